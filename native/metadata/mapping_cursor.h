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

/// What comes next in a tree: a mapping, or a subtree that has not been read.
struct TreeHead {
  enum Kind { kEnd, kMapping, kSubtree };
  Kind kind = kEnd;
  uint64_t low = 0;    // of a mapping: its virtual block. No key of a subtree is lower
  uint64_t high = 0;   // of a subtree: all its keys are lower
  uint64_t value = 0;  // of a mapping: data block and time; of a subtree: its block
  int height = 0;      // of a subtree: the levels below its root
};

/// Refuses whatever the kernel would not find on its way down: a node with keys outside the range that its
/// parent gives, leaves at different levels, a node without entries below the root. So no node is read twice
/// on one level, and no tree, whatever is in it, costs more than the metadata has blocks times levels.
class MappingCursor {
 public:
  MappingCursor(NodeReader& reader, const BlockSpan& span) : reader_(reader), span_(span) {}

  /// Goes to the start of a tree. Reads one node of each level.
  Status start(uint64_t root, Cancel& cancel);
  const TreeHead& head() const { return head_; }
  /// Puts the entries of the subtree at the head in its place. Leaves that come next, and that `other` does
  /// not refer to, will be read too.
  Status expand(const MappingCursor* other, Cancel& cancel);
  /// Passes over the mapping or subtree at the head.
  void skip();

 private:
  struct Level {
    std::array<uint8_t, kMetadataBlock> bytes;
    uint32_t at = 0;
    uint64_t high = 0;
    Node node() const { return Node(bytes.data()); }
  };

  /// Sets the head by the place in the deepest level, passing over what is outside the span.
  void settle();
  /// The block of the nth leaf after the one at the head, if it has the same parent and will be read;
  /// otherwise 0.
  uint64_t leaf_after(size_t n, const MappingCursor* other) const;
  /// Whether a leaf is still to come whose parent has been read.
  bool refers_to(uint64_t leaf) const;

  NodeReader& reader_;
  BlockSpan span_;
  std::vector<Level> levels_;  // from the root down
  TreeHead head_;
  int height_ = 0;  // of the whole tree
};

}  // namespace dmthin
