// Walks over mapping trees that give ranges, a batch at a time: over the mappings of one volume, and over the
// differences of two.
#pragma once

#include <memory>
#include <vector>

#include "metadata/mapping_cursor.h"
#include "metadata/range_batch.h"

namespace dmthin {

struct RangeWalkOptions {
  MetadataLimits limits;
  BlockSpan span;
  bool by_data = false;  // ranges end where the data blocks do
  bool same = false;     // of a comparison: ranges that are equal too, which takes a walk over all mappings
};

class RangeWalk {
 public:
  RangeWalk(std::shared_ptr<const MetadataFile> file, const RangeWalkOptions& options)
      : reader_(std::move(file), options.limits), batch_(options.by_data) {}
  virtual ~RangeWalk() = default;
  RangeWalk(const RangeWalk&) = delete;
  RangeWalk& operator=(const RangeWalk&) = delete;

  /// The next batch. Not on two threads at once; none after the last, and none after a failure.
  Result<std::vector<double>> next(Cancel& cancel);

 protected:
  /// Goes to the start of the trees.
  virtual Status begin(Cancel& cancel) = 0;
  /// Reads one node, or passes over one mapping or subtree.
  virtual Status step(Cancel& cancel) = 0;
  virtual bool ended() const = 0;
  /// The virtual block that comes next.
  virtual uint64_t reached() const = 0;

  NodeReader reader_;
  RangeBatch batch_;

 private:
  bool begun_ = false;
  uint64_t position_ = 0;
};

std::shared_ptr<RangeWalk> mapping_walk(std::shared_ptr<const MetadataFile> file, uint64_t root,
                                        const RangeWalkOptions& options);

/// Reads no subtree that both trees have, unless `same` ranges are wanted: the nodes that differ and their
/// parents. Times do not count: a mapping is the same if its data block is.
std::shared_ptr<RangeWalk> delta_walk(std::shared_ptr<const MetadataFile> file, uint64_t left, uint64_t right,
                                      const RangeWalkOptions& options);

}  // namespace dmthin
