#include "metadata/node.h"

#include <algorithm>

#include "metadata/crc32c.h"

namespace dmthin {
namespace {

constexpr uint32_t kNodeSalt = 121107;  // BTREE_CSUM_XOR
constexpr uint32_t kInternal = 1;
constexpr uint32_t kLeaf = 2;
constexpr uint32_t kEntryBytes = 16;  // a key and a value
constexpr uint32_t kMostEntries = (kMetadataBlock - 32) / kEntryBytes;

uint32_t u32_at(const uint8_t* bytes, size_t offset) {
  uint32_t value;
  memcpy(&value, bytes + offset, sizeof value);
  return value;
}

uint64_t u64_at(const uint8_t* bytes, size_t offset) {
  uint64_t value;
  memcpy(&value, bytes + offset, sizeof value);
  return value;
}

std::string header_fault(const uint8_t* bytes, uint64_t block) {
  const uint32_t stored = u32_at(bytes, 0);
  const uint32_t checksum = crc32c(bytes + 4, kMetadataBlock - 4) ^ kNodeSalt;
  if (stored != checksum)
    return "tree node checksum is " + std::to_string(stored) + ", its content has " +
           std::to_string(checksum);
  const uint64_t location = u64_at(bytes, 8);
  if (location != block) return "tree node was written for block " + std::to_string(location);
  const uint32_t flags = u32_at(bytes, 4);
  if (flags != kInternal && flags != kLeaf) return "tree node flags " + std::to_string(flags);
  const uint32_t value_bytes = u32_at(bytes, 24);
  if (value_bytes != 8) return "tree node values of " + std::to_string(value_bytes) + " bytes, not 8";
  const uint32_t capacity = u32_at(bytes, 20);
  if (capacity > kMostEntries)
    return "tree node with room for " + std::to_string(capacity) + " entries does not fit a block";
  const uint32_t count = u32_at(bytes, 16);
  if (count > capacity)
    return "tree node has " + std::to_string(count) + " entries, room for " + std::to_string(capacity);
  if (count == 0 && flags == kInternal) return "internal tree node without children";
  return {};
}

/// Returns whether nothing is wrong with any entry. Without branches: most nodes are intact, and have 252
/// entries.
bool entries_hold(const Node& node, const MetadataLimits& limits) {
  const uint32_t count = node.count();
  if (count == 0) return true;
  uint64_t lowest = node.value(0);
  uint64_t highest = lowest;
  bool ascend = true;
  for (uint32_t i = 1; i < count; ++i) {
    ascend &= node.key(i) > node.key(i - 1);
    lowest = std::min(lowest, node.value(i));
    highest = std::max(highest, node.value(i));
  }
  if (!ascend || node.key(count - 1) > kMostExact) return false;
  return node.leaf() ? data_block_of(highest) < limits.data_blocks
                     : lowest >= 1 && highest < limits.metadata_blocks;
}

/// Returns what is wrong with an entry, in words; empty if nothing is.
std::string entry_fault(const Node& node, uint32_t index, const MetadataLimits& limits) {
  const uint64_t key = node.key(index);
  if (index > 0 && key <= node.key(index - 1))
    return "key " + std::to_string(index) + " is " + std::to_string(key) + ", after " +
           std::to_string(node.key(index - 1));
  if (key > kMostExact) return "key " + std::to_string(index) + " is " + std::to_string(key);
  const uint64_t value = node.value(index);
  if (!node.leaf()) {
    // Block 0 is the superblock, never part of a tree.
    if (value >= 1 && value < limits.metadata_blocks) return {};
    return "entry " + std::to_string(index) + " points to block " + std::to_string(value) + " of " +
           std::to_string(limits.metadata_blocks);
  }
  if (data_block_of(value) < limits.data_blocks) return {};
  return "mapping " + std::to_string(key) + " is to data block " + std::to_string(data_block_of(value)) +
         " of " + std::to_string(limits.data_blocks);
}

}  // namespace

std::string node_fault(const uint8_t* bytes, uint64_t block, const MetadataLimits& limits) {
  std::string fault = header_fault(bytes, block);
  const Node node(bytes);
  if (!fault.empty() || entries_hold(node, limits)) return fault;
  for (uint32_t i = 0; i < node.count() && fault.empty(); ++i) fault = entry_fault(node, i, limits);
  return fault;
}

std::string place_fault(const Node& node, const NodePlace& place) {
  if (node.leaf() != (place.height == 0))
    return (node.leaf() ? "leaf" : "internal tree node") + std::string(", but leaves are ") +
           std::to_string(place.height) + " levels further down";
  if (node.count() == 0) return place.is_root ? "" : "tree node without entries below the root";
  const uint64_t first = node.key(0);
  const uint64_t last = node.key(node.count() - 1);
  if (first >= place.low && last < place.high) return {};
  return "tree node has keys " + std::to_string(first) + " to " + std::to_string(last) +
         ", its parent expects " + std::to_string(place.low) + " up to " + std::to_string(place.high);
}

}  // namespace dmthin
