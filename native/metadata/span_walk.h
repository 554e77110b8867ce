// Walks over mapping trees that give ranges: over the mappings of one volume, and over the differences of
// two.
#pragma once

#include <memory>
#include <vector>

#include "metadata/mapping_cursor.h"
#include "metadata/range_list.h"

namespace dmthin {

struct RangeWalkOptions {
  MetadataLimits limits;
  BlockSpan span;
  bool by_data = false;  // ranges end where the data blocks do
  bool same = false;     // of a comparison: ranges that are equal too, which takes a walk over all mappings
};

/// A place in one tree, or in two that are compared. A copy goes on from the same place.
class SpanWalk {
 public:
  virtual ~SpanWalk() = default;
  virtual std::unique_ptr<SpanWalk> copy() const = 0;

  /// Goes to the start of the trees.
  virtual Status begin(NodeReader& reader, Cancel& cancel) = 0;
  /// Goes on to a later span. Reads nothing.
  virtual void go_to(const BlockSpan& span) = 0;
  /// Reads a node of each tree at most, or passes over the mappings of a leaf or over a subtree.
  virtual Status step(NodeReader& reader, RangeList& ranges, Cancel& cancel) = 0;
  virtual bool ended() const = 0;
  /// Returns the virtual block that comes next.
  virtual uint64_t reached() const = 0;
  /// Returns ascending virtual blocks at which the rest can be divided, so that each part but the last has
  /// leaves of one parent at most in each tree; as many as are known without reading. Empty if one thread had
  /// better go on.
  virtual std::vector<uint64_t> divisions(size_t most) const = 0;
};

std::unique_ptr<SpanWalk> mapping_span(uint64_t root, const RangeWalkOptions& options);

/// Reads no subtree that both trees have, unless `same` ranges are wanted: the nodes that differ and their
/// parents. Times do not count: a mapping is the same if its data block is.
std::unique_ptr<SpanWalk> delta_span(uint64_t left, uint64_t right, const RangeWalkOptions& options);

}  // namespace dmthin
