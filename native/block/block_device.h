// An open block device: what it is, its content past the page cache, and taking content away.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "system/cancel.h"
#include "system/result.h"
#include "system/unique_fd.h"

namespace dmthin {

struct BlockOpenRequest {
  std::string path;
  bool read_only = false;
  bool exclusive = false;  // O_EXCL: refuses one that is mounted or claimed, and claims it
  bool direct = true;      // O_DIRECT
};

struct BlockInfo {
  uint64_t device = 0;  // its number
  uint64_t size_bytes = 0;
  uint32_t logical_block = 0;   // bytes
  uint32_t physical_block = 0;  // bytes
  bool read_only = false;
  uint64_t discard_granularity = 0;  // bytes; 0 where it cannot discard
  uint64_t max_discard = 0;          // bytes in one request; 0 where it cannot discard
};

/// An open device. Calls under way share it, so that closing waits for none and takes it from none.
struct BlockFile {
  UniqueFd fd;
  std::string path;
  uint64_t device = 0;
  bool direct = true;
  uint32_t logical_block = 512;
};

struct OpenedBlock {
  std::shared_ptr<BlockFile> file;
  BlockInfo info;
};

/// Returns EROFS if a device takes no writes: the kernel says EPERM or EACCES of that, as of a caller who may
/// not.
int why_not_written(uint64_t device, int error);

/// Opens a block device; ENOTBLK if it is none.
Result<OpenedBlock> open_block(const BlockOpenRequest& request);
Result<BlockInfo> block_info(const BlockFile& file);

enum class Erase { kDiscard, kSecureDiscard, kZeroOut };

/// Sends BLKDISCARD, BLKSECDISCARD or BLKZEROOUT, piece by piece, so that it can be given up between two.
/// ERANGE
/// ("range") when the range ends behind the device; nothing is done then.
Status erase_range(const BlockFile& file, Erase how, uint64_t offset, uint64_t length, Cancel& cancel);
/// Sends BLKROSET.
Status set_read_only(const BlockFile& file, bool read_only);
/// Calls fsync, after which what was written is on the device. With `drop_cache`, sends BLKFLSBUF too.
Status flush_block(const BlockFile& file, bool drop_cache);
/// Sends BLKRRPART.
Status reread_partitions(const BlockFile& file);

/// Fills all of `memory`, or fails. Piece by piece; through an aligned buffer where `memory` is not aligned.
Status read_block(const BlockFile& file, uint64_t offset, uint8_t* memory, uint64_t length, Cancel& cancel);
Status write_block(const BlockFile& file, uint64_t offset, const uint8_t* memory, uint64_t length,
                   Cancel& cancel);

struct ByteRange {
  uint64_t offset = 0;
  uint32_t length = 0;
};

/// Reads parts of a device or file, to detect its content: past the page cache where the file system lets,
/// and shorter (or empty) at the end. Offsets and lengths are multiples of 4096.
Result<std::vector<std::vector<uint8_t>>> peek(const std::string& path, const std::vector<ByteRange>& ranges);

}  // namespace dmthin
