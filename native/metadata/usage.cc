#include "metadata/usage.h"

#include <algorithm>
#include <array>
#include <cstdlib>

namespace dmthin {
namespace {

/// The data blocks whose counts are in one metadata block.
constexpr uint64_t kBlocksPerBitmap = 16320;

/// Zeros, of which only the pages that are written take memory.
template <class T>
std::unique_ptr<T, FreeMemory> zeros(uint64_t count) {
  return std::unique_ptr<T, FreeMemory>(static_cast<T*>(::calloc(count, sizeof(T))));
}

/// The known facts of a node that has been read.
struct NodeRecord {
  uint64_t first, last;  // keys
  uint64_t mapped;       // mappings below
  uint8_t levels;        // below it, plus 1; 0: not read yet
  uint8_t references;    // from parents and roots: 1, or 2 for more
};

/// Counts of data blocks: none, one, more.
class DataCounts {
 public:
  explicit DataCounts(uint64_t blocks) : bytes_(zeros<uint8_t>(blocks / 4 + 1)) {}
  explicit operator bool() const { return bytes_ != nullptr; }

  void add(uint64_t block) {
    const unsigned before = count(block);
    if (before == 0) ++mapped_;
    if (before < 2) bytes_.get()[block / 4] += static_cast<uint8_t>(1U << (block % 4 * 2));
  }
  unsigned count(uint64_t block) const { return (bytes_.get()[block / 4] >> (block % 4 * 2)) & 3U; }
  uint64_t mapped() const { return mapped_; }

 private:
  std::unique_ptr<uint8_t, FreeMemory> bytes_;
  uint64_t mapped_ = 0;
};

/// All mapping trees of a pool, as one graph.
class Forest {
 public:
  Forest(NodeReader& reader, Cancel& cancel)
      : reader_(reader),
        cancel_(cancel),
        nodes_(zeros<NodeRecord>(reader.limits().metadata_blocks)),
        data_(reader.limits().data_blocks) {}

  bool has_memory() const { return nodes_ != nullptr && static_cast<bool>(data_); }

  Status add(uint64_t root) {
    const auto height = TRY(height_of(reader_, root, cancel_));
    return visit(root, {0, UINT64_MAX, height, true});
  }

  uint64_t mapped(uint64_t root) const { return record(root).mapped; }

  /// Counts the data blocks of the leaves that one path alone leads to, and of those blocks the ones with one
  /// mapping.
  Result<uint64_t> exclusive(uint64_t block, const Ahead& ahead = nullptr) {
    if (record(block).references != 1) return uint64_t{0};
    const int height = record(block).levels - 1;
    const auto read = TRY(copy_of(block, height, ahead));
    const Node node = read;
    uint64_t found = 0;
    for (uint32_t i = 0; i < node.count(); ++i) {
      if (height == 0) {
        if (data_.count(data_block_of(node.value(i))) == 1) ++found;
        continue;
      }
      const auto leaf_after = [&](size_t n) { return exclusive_leaf(node, height, i + n); };
      const auto below = TRY(exclusive(node.child(i), leaf_after));
      found += below;
    }
    return found;
  }

  uint64_t data_blocks() const { return data_.mapped(); }

 private:
  NodeRecord& record(uint64_t block) { return nodes_.get()[block]; }
  const NodeRecord& record(uint64_t block) const { return nodes_.get()[block]; }

  /// Returns a copy that stays while nodes of lower levels are read.
  Result<Node> copy_of(uint64_t block, int height, const Ahead& ahead) {
    const auto bytes = TRY(reader_.read(block, ahead, cancel_));
    auto& copy = copies_[static_cast<size_t>(height)];
    copy.assign(bytes, bytes + kMetadataBlock);
    return Node(copy.data());
  }

  Status visit(uint64_t block, const NodePlace& place, const Ahead& ahead = nullptr) {
    NodeRecord& known = record(block);
    if (known.levels != 0) return visit_again(block, place);
    const auto read = TRY(copy_of(block, place.height, ahead));
    const Node node = read;
    const std::string fault = place_fault(node, place);
    if (!fault.empty()) return corrupt(reader_.file(), block, fault);
    known.levels = static_cast<uint8_t>(place.height + 1);
    known.references = 1;
    if (node.count() > 0) {
      known.first = node.key(0);
      known.last = node.key(node.count() - 1);
    }
    if (place.height > 0) return visit_children(known, node, place);
    for (uint32_t i = 0; i < node.count(); ++i) data_.add(data_block_of(node.value(i)));
    known.mapped = node.count();
    return Nothing{};
  }

  Status visit_children(NodeRecord& known, const Node& node, const NodePlace& place) {
    for (uint32_t i = 0; i < node.count(); ++i) {
      const uint64_t child = node.child(i);
      const uint64_t high = i + 1 < node.count() ? node.key(i + 1) : place.high;
      const auto leaf_after = [&](size_t n) { return new_leaf(node, place.height, i + n); };
      TRY(visit(child, {node.key(i), high, place.height - 1, false}, leaf_after));
      known.mapped += record(child).mapped;
    }
    return Nothing{};
  }

  /// Returns a leaf of this parent, if it has not been read yet; otherwise 0.
  uint64_t new_leaf(const Node& parent, int height, size_t index) const {
    if (height != 1 || index >= parent.count()) return 0;
    const uint64_t leaf = parent.child(static_cast<uint32_t>(index));
    return record(leaf).levels == 0 ? leaf : 0;
  }
  /// Returns a leaf of this parent, if nothing else refers to it; otherwise 0.
  uint64_t exclusive_leaf(const Node& parent, int height, size_t index) const {
    if (height != 1 || index >= parent.count()) return 0;
    const uint64_t leaf = parent.child(static_cast<uint32_t>(index));
    return record(leaf).references == 1 ? leaf : 0;
  }

  /// Checks a node to which another parent or root leads: it must fit there too.
  Status visit_again(uint64_t block, const NodePlace& place) {
    NodeRecord& known = record(block);
    if (known.levels != place.height + 1)
      return corrupt(reader_.file(), block, "tree node that is on two levels");
    const bool is_empty = known.mapped == 0;
    if (!place.is_root && (is_empty || known.first < place.low || known.last >= place.high))
      return corrupt(reader_.file(), block, "tree node with keys that a second parent does not expect");
    known.references = 2;
    return Nothing{};
  }

  NodeReader& reader_;
  Cancel& cancel_;
  std::unique_ptr<NodeRecord, FreeMemory> nodes_;
  DataCounts data_;
  std::array<std::vector<uint8_t>, kMostLevels> copies_;
};

}  // namespace

Result<PoolUsage> count_usage(const std::shared_ptr<const MetadataFile>& file, const MetadataLimits& limits,
                              const std::vector<uint64_t>& roots, Cancel& cancel) {
  if (limits.data_blocks > limits.metadata_blocks * kBlocksPerBitmap)
    return corrupt(*file, 0,
                   std::to_string(limits.data_blocks) + " data blocks, more than its metadata can count");
  NodeReader reader(file, limits);
  Forest forest(reader, cancel);
  if (!forest.has_memory()) return failed("allocate", ENOMEM, file->path);
  for (const uint64_t root : roots) {
    if (root == 0 || root >= limits.metadata_blocks) return corrupt(*file, root, "root outside the metadata");
    TRY(forest.add(root));
  }
  PoolUsage usage;
  usage.data_blocks = forest.data_blocks();
  for (const uint64_t root : roots) {
    const auto exclusive = TRY(forest.exclusive(root));
    usage.volumes.push_back({forest.mapped(root), exclusive});
  }
  return usage;
}

}  // namespace dmthin
