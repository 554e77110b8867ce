// An open metadata device, or a file of one, and the nodes of its mapping trees.
#pragma once

#include <array>
#include <bitset>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "metadata/node.h"
#include "system/aligned.h"
#include "system/cancel.h"
#include "system/result.h"
#include "system/unique_fd.h"

namespace dmthin {

/// Open for reading, past the page cache where the file system lets: the kernel writes metadata past it, and
/// what is in the cache is old.
struct MetadataFile {
  UniqueFd fd;
  std::string path;
  uint64_t blocks = 0;  // of 4096 bytes
};

/// Opens the metadata. `exclusive`: EBUSY for a block device in use.
Result<std::shared_ptr<MetadataFile>> open_metadata(const std::string& path, bool exclusive);

/// Blocks in the order of their numbers; EIO for one past the end.
Result<std::vector<std::vector<uint8_t>>> read_metadata(const MetadataFile& file,
                                                        const std::vector<uint64_t>& blocks);

/// Returns the failure for a block that violates the format. TypeScript takes the number from the detail.
Failure corrupt(const MetadataFile& file, uint64_t block, const std::string& fault);

/// The block that will be read as the `n`th after one, from 1; 0 if none is known.
using Ahead = std::function<uint64_t(size_t n)>;

/// Reads and checks nodes. Keeps what it has read last: trees have nodes in common. Not on two threads at
/// once.
class NodeReader {
 public:
  NodeReader(std::shared_ptr<const MetadataFile> file, const MetadataLimits& limits)
      : file_(std::move(file)), limits_(limits) {}

  /// Returns the 4096 bytes of a checked node, until the next call. The nodes that will be read after it are
  /// read with it as long as each follows the one before on the disk.
  Result<const uint8_t*> read(uint64_t block, const Ahead& ahead, Cancel& cancel);

  const std::shared_ptr<const MetadataFile>& shared_file() const { return file_; }
  const MetadataFile& file() const { return *file_; }
  const MetadataLimits& limits() const { return limits_; }
  /// Returns how many nodes were read from the device so far.
  uint64_t reads() const { return reads_; }

 private:
  /// The most blocks of one read, 512 KiB.
  static constexpr size_t kMostAhead = 128;
  /// One for each of two trees, and one for a leaf of a third place.
  static constexpr size_t kRuns = 3;
  /// The nodes that are read by themselves: usually internal ones.
  static constexpr size_t kSingles = 64;

  /// Blocks that follow each other, from one read.
  struct Run {
    Aligned memory;
    uint64_t first = 0;
    size_t count = 0;
    uint64_t used = 0;  // at which read
    std::bitset<kMostAhead> checked;

    bool has(uint64_t block) const { return block - first < count; }
  };

  Run* kept(uint64_t block);
  /// Returns the place of the next read: of a single block, or of the run that was not used for longest.
  Run& place(uint64_t block, size_t count);
  Result<const uint8_t*> check(Run& run, uint64_t block);

  std::shared_ptr<const MetadataFile> file_;
  MetadataLimits limits_;
  std::array<Run, kRuns> runs_;
  std::array<Run, kSingles> singles_;
  uint64_t clock_ = 0;
  uint64_t reads_ = 0;
};

/// Returns the levels below a root, along its first children. Reads one node of each level.
Result<int> height_of(NodeReader& reader, uint64_t root, Cancel& cancel);

}  // namespace dmthin
