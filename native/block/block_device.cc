#include "block/block_device.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>

#include "block/backing_file.h"
#include "system/number.h"
#include "system/system_call.h"

namespace dmthin {
namespace {

// How much is asked of the kernel between two looks at the canceller. None of the three can be interrupted,
// and zeros may have to be written out.
constexpr uint64_t kDiscardPiece = uint64_t{1} << 30;
constexpr uint64_t kZeroPiece = uint64_t{64} << 20;

std::string folder_of(uint64_t device) {
  return "/sys/dev/block/" + std::to_string(major(device)) + ":" + std::to_string(minor(device)) + "/";
}

/// Returns a number of the device's queue. A partition has none of its own: its disk's counts.
uint64_t queue_limit(uint64_t device, const char* name) {
  const std::string folder = folder_of(device);
  std::string text = read_small_file(folder + "queue/" + name);
  if (text.empty()) text = read_small_file(folder + "../queue/" + name);
  return number_in<uint64_t>(text).value_or(0);
}

struct EraseCall {
  Operation name;
  unsigned long request;
  uint64_t piece;
};

EraseCall call_for(Erase how) {
  switch (how) {
    case Erase::kDiscard:
      return {"BLKDISCARD", BLKDISCARD, kDiscardPiece};
    case Erase::kSecureDiscard:
      return {"BLKSECDISCARD", BLKSECDISCARD, kZeroPiece};
    case Erase::kZeroOut:
      break;
  }
  return {"BLKZEROOUT", BLKZEROOUT, kZeroPiece};
}

/// Returns how much of `left` comes next. Ends where a unit of discarding does: a device keeps what is
/// discarded in part.
uint64_t piece_at(uint64_t from, uint64_t left, uint64_t most, const BlockInfo& info) {
  if (left <= most) return left;
  const uint64_t unit = std::max<uint64_t>(info.discard_granularity, 1);
  const uint64_t end = (from + most) / unit * unit;
  return end > from ? end - from : std::min(left, unit);
}

}  // namespace

int why_not_written(uint64_t device, int error) {
  const bool refused = error == EPERM || error == EACCES;
  return refused && read_small_file(folder_of(device) + "ro") == "1" ? EROFS : error;
}

Result<OpenedBlock> open_block(const BlockOpenRequest& request) {
  const int flags = (request.read_only ? O_RDONLY : O_RDWR) | (request.exclusive ? O_EXCL : 0) |
                    (request.direct ? O_DIRECT : 0) | O_CLOEXEC | O_NOCTTY;
  // Looked at before it is opened: to open a terminal or a tape has effects of its own.
  const auto looked = TRY(identify_path(request.path));
  if (!looked.block_device) return failed("open block device", ENOTBLK, request.path);
  const int fd = system_call("open block device", [&] { return ::open(request.path.c_str(), flags); });
  if (fd < 0) {
    const int error = request.read_only ? -fd : why_not_written(looked.target_device, -fd);
    return failed("open block device", error, request.path);
  }
  auto file = std::make_shared<BlockFile>();
  file->fd.reset(fd);
  file->path = request.path;
  file->direct = request.direct;
  // The path may lead elsewhere by now: what counts is what was opened.
  const auto identity = TRY(identify(fd, request.path));
  if (!identity.block_device) return failed("open block device", ENOTBLK, request.path);
  file->device = identity.target_device;
  const auto info = TRY(block_info(*file));
  file->logical_block = std::max<uint32_t>(info.logical_block, 512);
  return OpenedBlock{std::move(file), info};
}

Result<BlockInfo> block_info(const BlockFile& file) {
  BlockInfo info;
  info.device = file.device;
  const int fd = file.fd.get();
  int logical = 0;
  unsigned int physical = 0;
  int read_only = 0;
  TRY(checked("BLKGETSIZE64", file.path, [&] { return ::ioctl(fd, BLKGETSIZE64, &info.size_bytes); }));
  TRY(checked("BLKSSZGET", file.path, [&] { return ::ioctl(fd, BLKSSZGET, &logical); }));
  TRY(checked("BLKPBSZGET", file.path, [&] { return ::ioctl(fd, BLKPBSZGET, &physical); }));
  TRY(checked("BLKROGET", file.path, [&] { return ::ioctl(fd, BLKROGET, &read_only); }));
  info.logical_block = static_cast<uint32_t>(logical);
  info.physical_block = physical;
  info.read_only = read_only != 0;
  info.max_discard = queue_limit(file.device, "discard_max_bytes");
  if (info.max_discard != 0) info.discard_granularity = queue_limit(file.device, "discard_granularity");
  return info;
}

Status erase_range(const BlockFile& file, Erase how, uint64_t offset, uint64_t length, Cancel& cancel) {
  const auto info = TRY(block_info(file));
  if (offset > info.size_bytes || length > info.size_bytes - offset)
    return failed("range", ERANGE, file.path, std::to_string(info.size_bytes));
  const EraseCall call = call_for(how);
  for (uint64_t done = 0; done < length;) {
    const std::string so_far = std::to_string(done) + " of " + std::to_string(length) + " bytes done";
    if (cancel.requested()) return cancelled(call.name, file.path, so_far);
    uint64_t range[2] = {offset + done, piece_at(offset + done, length - done, call.piece, info)};
    const int result = system_call(call.name, [&] { return ::ioctl(file.fd.get(), call.request, range); });
    if (result < 0) return failed(call.name, why_not_written(file.device, -result), file.path, so_far);
    done += range[1];
  }
  return Nothing{};
}

Status set_read_only(const BlockFile& file, bool read_only) {
  const int value = read_only ? 1 : 0;
  TRY(checked("BLKROSET", file.path, [&] { return ::ioctl(file.fd.get(), BLKROSET, &value); }));
  return Nothing{};
}

Status flush_block(const BlockFile& file, bool drop_cache) {
  TRY(checked("fsync", file.path, [&] { return ::fsync(file.fd.get()); }));
  if (!drop_cache) return Nothing{};
  TRY(checked("BLKFLSBUF", file.path, [&] { return ::ioctl(file.fd.get(), BLKFLSBUF, 0); }));
  return Nothing{};
}

Status reread_partitions(const BlockFile& file) {
  TRY(checked("BLKRRPART", file.path, [&] { return ::ioctl(file.fd.get(), BLKRRPART, 0); }));
  return Nothing{};
}

}  // namespace dmthin
