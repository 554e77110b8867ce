// Data blocks that volumes map, alone and together.
#pragma once

#include <memory>
#include <vector>

#include "metadata/node_reader.h"

namespace dmthin {

struct VolumeUsage {
  uint64_t mapped = 0;
  uint64_t exclusive = 0;  // that nothing else in the pool maps: deleting the volume frees them
};

struct PoolUsage {
  std::vector<VolumeUsage> volumes;  // in the order of the roots
  uint64_t data_blocks = 0;          // that at least one volume maps
};

/// Counts the mappings of the trees at `roots`: all of the pool.
///
/// Reads each distinct node once, whatever the number of volumes that share it, and those of one volume alone
/// twice. Memory: 32 bytes for each metadata block and 2 bits for each data block. As each 16320 data blocks
/// have a block of the metadata for their counts, that is less than twice the size of the metadata.
Result<PoolUsage> count_usage(const std::shared_ptr<const MetadataFile>& file, const MetadataLimits& limits,
                              const std::vector<uint64_t>& roots, Cancel& cancel);

}  // namespace dmthin
