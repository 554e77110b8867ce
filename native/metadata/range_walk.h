// A walk over mapping trees in batches. When it has become long, several threads walk parts of the rest.
#pragma once

#include <memory>
#include <vector>

#include "metadata/span_walk.h"

namespace dmthin {

class RangeWalk {
 public:
  RangeWalk(const std::shared_ptr<const MetadataFile>& file, std::unique_ptr<SpanWalk> place,
            const RangeWalkOptions& options);

  /// Returns the next batch. Not on two threads at once; none after the last, and none after a failure.
  Result<std::vector<double>> next(Cancel& cancel);

 private:
  /// Walks on until there is enough for a batch.
  Status walk(Cancel& cancel);
  /// Walks parts of the rest, which follow each other and end at these virtual blocks, on several threads.
  Status walk_parts(const std::vector<uint64_t>& ends, Cancel& cancel);
  uint64_t reads() const;

  std::unique_ptr<SpanWalk> place_;
  const RangeWalkOptions options_;
  std::vector<NodeReader> readers_;  // of each thread
  RangeList ranges_;
  uint64_t from_;  // the mappings before it have been passed over
  bool begun_ = false;
  uint64_t position_ = 0;
  uint64_t batch_reads_;  // the most nodes of the next batch
  size_t parts_;          // the most parts of the next batch
};

std::shared_ptr<RangeWalk> mapping_walk(const std::shared_ptr<const MetadataFile>& file, uint64_t root,
                                        const RangeWalkOptions& options);
std::shared_ptr<RangeWalk> delta_walk(const std::shared_ptr<const MetadataFile>& file, uint64_t left,
                                      uint64_t right, const RangeWalkOptions& options);

}  // namespace dmthin
