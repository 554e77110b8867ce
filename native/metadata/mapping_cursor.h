// A place in one mapping tree, from which it goes on by ascending virtual block.
#pragma once

#include <array>
#include <vector>

#include "metadata/node_reader.h"

namespace dmthin {

/// The virtual blocks of interest: `from` and up, below `to`.
struct BlockSpan {
  uint64_t from = 0;
  uint64_t to = UINT64_MAX;
};

/// The next item of a tree: a mapping, or a subtree that has not been read.
struct TreeHead {
  enum Kind { kEnd, kMapping, kSubtree };
  Kind kind = kEnd;
  uint64_t low = 0;    // of a mapping: its virtual block. No key of a subtree is lower
  uint64_t high = 0;   // of a subtree: all its keys are lower
  uint64_t value = 0;  // of a mapping: data block and time; of a subtree: its block
  int height = 0;      // of a subtree: the levels below its root
};

/// Mappings that follow each other in a leaf.
struct MappingRun {
  Node leaf;
  uint32_t begin;
  uint32_t end;

  uint32_t count() const { return end - begin; }
  uint64_t block(uint32_t index) const { return leaf.key(begin + index); }
  uint64_t value(uint32_t index) const { return leaf.value(begin + index); }
};

/// Refuses whatever the kernel would not find on its way down: a node with keys outside the range that its
/// parent gives, leaves at different levels, a node without entries below the root. So no node is read twice
/// on one level, and no tree, whatever is in it, costs more than the metadata has blocks times levels.
class MappingCursor {
 public:
  explicit MappingCursor(const BlockSpan& span) : span_(span) {}

  /// Goes to the start of a tree. Reads one node of each level.
  Status start(uint64_t root, NodeReader& reader, Cancel& cancel);
  /// Goes on to a later span. Reads nothing.
  void go_to(const BlockSpan& span);
  const TreeHead& head() const { return head_; }
  /// Puts the entries of the subtree at the head in its place. Leaves that come next, and that `other` does
  /// not refer to, will be read too.
  Status expand(const MappingCursor* other, NodeReader& reader, Cancel& cancel);
  /// Returns the mapping at the head and those after it in the same leaf.
  MappingRun run() const;
  /// Passes over the subtree at the head, or over so many mappings of its run.
  void skip(uint32_t count = 1);
  /// Returns where the subtree of leaves and their parent ends that the head is in, and where the next ones
  /// end: as many as are known without reading.
  std::vector<uint64_t> ends_ahead(size_t most) const;
  /// Returns the virtual block up to which those are known.
  uint64_t known_to() const;
  /// Returns whether a parent of leaves has been read, and some of its leaves come next.
  bool has_leaves_ahead() const { return height_ > 0 && static_cast<int>(depth_) >= height_; }

 private:
  struct Level {
    std::array<uint8_t, kMetadataBlock> bytes;
    uint32_t at;
    uint64_t high;
    Node node() const { return Node(bytes.data()); }
    /// Returns the key above all keys of the child.
    uint64_t end_of(uint32_t child) const {
      return child + 1 < node().count() ? node().key(child + 1) : high;
    }
  };

  Level& deepest() { return levels_[depth_ - 1]; }
  const Level& deepest() const { return levels_[depth_ - 1]; }
  /// Sets the head by the place in the deepest level, passing over what is outside the span.
  void settle();
  /// Returns the block of the nth leaf after the one at the head, if it has the same parent and will be read;
  /// otherwise 0.
  uint64_t leaf_after(size_t n, const MappingCursor* other) const;
  /// Returns whether a leaf is still to come whose parent has been read.
  bool refers_to(uint64_t leaf) const;

  BlockSpan span_;
  std::vector<Level> levels_;  // from the root down
  size_t depth_ = 0;           // how many of them are in use
  TreeHead head_;
  int height_ = 0;  // of the whole tree
};

}  // namespace dmthin
