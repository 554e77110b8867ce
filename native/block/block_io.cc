// The content of block devices.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "block/block_device.h"
#include "system/aligned.h"
#include "system/system_call.h"

namespace dmthin {
namespace {

// One call of the kernel, and what an abort waits for at most.
constexpr uint64_t kPiece = uint64_t{1} << 20;

std::string so_far(uint64_t done, uint64_t length) {
  return std::to_string(done) + " of " + std::to_string(length) + " bytes done";
}

/// Runs `piece(at, size)`, which answers how many bytes it moved, until all are.
template <class Piece>
Status each_piece(Operation operation, const BlockFile& file, uint64_t length, Cancel& cancel,
                  const Piece& piece) {
  for (uint64_t done = 0; done < length;) {
    if (cancel.requested()) return cancelled(operation, file.path, so_far(done, length));
    const int moved = system_call(operation, [&] { return piece(done, std::min(kPiece, length - done)); });
    if (moved == -EINTR) continue;
    if (moved < 0)
      return failed(operation, why_not_written(file.device, -moved), file.path, so_far(done, length));
    // The range was within the device a moment ago: it has shrunk.
    if (moved == 0) return failed(operation, EIO, file.path, so_far(done, length));
    done += static_cast<uint64_t>(moved);
  }
  return Nothing{};
}

Status check_range(const BlockFile& file, uint64_t offset, uint64_t length) {
  uint64_t size = 0;
  TRY(checked("BLKGETSIZE64", file.path, [&] { return ::ioctl(file.fd.get(), BLKGETSIZE64, &size); }));
  if (offset > size || length > size - offset)
    return failed("range", ERANGE, file.path, std::to_string(size));
  return Nothing{};
}

/// Returns whether the kernel can move between the device and this memory itself.
bool fits(const BlockFile& file, const uint8_t* memory) {
  return !file.direct || reinterpret_cast<uintptr_t>(memory) % file.logical_block == 0;
}

}  // namespace

Status read_block(const BlockFile& file, uint64_t offset, uint8_t* memory, uint64_t length, Cancel& cancel) {
  TRY(check_range(file, offset, length));
  const int fd = file.fd.get();
  if (fits(file, memory)) {
    return each_piece("pread", file, length, cancel, [&](uint64_t at, uint64_t size) {
      return ::pread(fd, memory + at, size, static_cast<off_t>(offset + at));
    });
  }
  const Aligned buffer = aligned(std::min(kPiece, length));
  if (!buffer) return failed("posix_memalign", ENOMEM, file.path);
  return each_piece("pread", file, length, cancel, [&](uint64_t at, uint64_t size) {
    const ssize_t got = ::pread(fd, buffer.get(), size, static_cast<off_t>(offset + at));
    if (got > 0) memcpy(memory + at, buffer.get(), static_cast<size_t>(got));
    return got;
  });
}

Status write_block(const BlockFile& file, uint64_t offset, const uint8_t* memory, uint64_t length,
                   Cancel& cancel) {
  TRY(check_range(file, offset, length));
  const int fd = file.fd.get();
  if (fits(file, memory)) {
    return each_piece("pwrite", file, length, cancel, [&](uint64_t at, uint64_t size) {
      return ::pwrite(fd, memory + at, size, static_cast<off_t>(offset + at));
    });
  }
  const Aligned buffer = aligned(std::min(kPiece, length));
  if (!buffer) return failed("posix_memalign", ENOMEM, file.path);
  return each_piece("pwrite", file, length, cancel, [&](uint64_t at, uint64_t size) {
    memcpy(buffer.get(), memory + at, size);
    return ::pwrite(fd, buffer.get(), size, static_cast<off_t>(offset + at));
  });
}

Result<std::vector<std::vector<uint8_t>>> peek(const std::string& path,
                                               const std::vector<ByteRange>& ranges) {
  int fd =
      system_call("open", [&] { return ::open(path.c_str(), O_RDONLY | O_DIRECT | O_NONBLOCK | O_CLOEXEC); });
  // Not every file system reads past its cache.
  if (fd == -EINVAL)
    fd = system_call("open", [&] { return ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC); });
  if (fd < 0) return failed("open", -fd, path);
  const UniqueFd owned(fd);
  std::vector<std::vector<uint8_t>> found;
  for (const ByteRange& range : ranges) {
    const Aligned buffer = aligned(range.length);
    if (!buffer) return failed("posix_memalign", ENOMEM, path);
    uint32_t filled = 0;
    while (filled < range.length) {
      const int got = TRY(checked(
          "pread", path,
          [&] {
            return ::pread(fd, buffer.get() + filled, range.length - filled,
                           static_cast<off_t>(range.offset + filled));
          },
          "byte " + std::to_string(range.offset)));
      filled += static_cast<uint32_t>(got);
      // The end; and past the cache a piece that is no whole block ends there too.
      if (got == 0 || filled % 512 != 0) break;
    }
    found.emplace_back(buffer.get(), buffer.get() + filled);
  }
  return found;
}

}  // namespace dmthin
