// A node of a mapping tree (`struct btree_node`, drivers/md/persistent-data/dm-btree-internal.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

namespace dmthin {

constexpr size_t kMetadataBlock = 4096;
/// The most levels of a tree. Nodes other than a root are at least a third full (84 entries), so that seven
/// levels suffice for 2^40 blocks; a deeper tree contains a loop.
constexpr int kMostLevels = 12;
/// Keys and block numbers above are not exact in JavaScript; no pool has them.
constexpr uint64_t kMostExact = (uint64_t{1} << 53) - 1;

/// The blocks that a tree may refer to.
struct MetadataLimits {
  uint64_t metadata_blocks = 0;
  uint64_t data_blocks = 0;
};

/// The fields of a node. The header of what is read through it has been checked: node_fault().
class Node {
 public:
  explicit Node(const uint8_t* bytes) : bytes_(bytes) {}

  bool leaf() const { return u32(4) == 2; }
  uint32_t count() const { return u32(16); }
  uint64_t key(uint32_t index) const { return u64(kHeader + size_t{8} * index); }
  uint64_t value(uint32_t index) const { return u64(kHeader + 8 * (size_t{u32(20)} + index)); }
  /// Returns a child of an internal node.
  uint64_t child(uint32_t index) const { return value(index); }

 private:
  static constexpr size_t kHeader = 32;
  // The format is little-endian, as the machines are.
  uint32_t u32(size_t offset) const {
    uint32_t value;
    memcpy(&value, bytes_ + offset, sizeof value);
    return value;
  }
  uint64_t u64(size_t offset) const {
    uint64_t value;
    memcpy(&value, bytes_ + offset, sizeof value);
    return value;
  }

  const uint8_t* bytes_;
};

/// The mapped data block: the upper 40 bits of a value. The lower 24 are the snapshot clock at its creation.
constexpr uint64_t data_block_of(uint64_t value) { return value >> 24; }
constexpr uint32_t time_of(uint64_t value) { return static_cast<uint32_t>(value & 0xffffff); }

/// Returns what is wrong with the 4096 bytes of a node of a mapping tree; empty if nothing is. Checks the
/// checksum, the block number in it, that its arrays fit, that its keys ascend, that its children are blocks
/// of the metadata, and that its mappings are to data blocks of the pool.
std::string node_fault(const uint8_t* bytes, uint64_t block, const MetadataLimits& limits);

/// The expectation of a parent of its child.
struct NodePlace {
  uint64_t low = 0;            // no key is lower
  uint64_t high = UINT64_MAX;  // all keys are lower
  int height = 0;              // the levels below it
  bool is_root = false;
};

/// Returns what is wrong with a checked node in this place; empty if nothing is. The kernel could not find an
/// entry outside the range that the parents give.
std::string place_fault(const Node& node, const NodePlace& place);

}  // namespace dmthin
