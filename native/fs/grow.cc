// A mounted file system takes the whole of the device below it, which has grown.
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "block/backing_file.h"
#include "fs/freeze_trim.h"
#include "fs/ioctl_numbers.h"
#include "system/number.h"
#include "system/system_call.h"

namespace dmthin {
namespace {

constexpr uint64_t kSectorBytes = 512;

/// Reads the size from sysfs: the node may have no path here.
Result<uint64_t> size_of_device(uint64_t device, const std::string& path) {
  const std::string number = std::to_string(major(device)) + ":" + std::to_string(minor(device));
  const auto sectors = number_in<uint64_t>(read_small_file("/sys/dev/block/" + number + "/size"));
  if (!sectors) return failed("grow", EOPNOTSUPP, path, "it lies on no block device");
  return *sectors * kSectorBytes;
}

Result<struct statfs> look(int fd, const std::string& path) {
  struct statfs stat = {};
  TRY(checked("statfs", path, [&] { return ::fstatfs(fd, &stat); }));
  return stat;
}

uint64_t bytes_of(const struct statfs& stat) {
  return static_cast<uint64_t>(stat.f_blocks) * static_cast<uint64_t>(stat.f_bsize);
}

Status grow_ext4(int fd, const std::string& path, uint64_t blocks) {
  // Of the same size already, the kernel has nothing to do and says so by success.
  TRY(checked("EXT4_IOC_RESIZE_FS", path, [&] { return ::ioctl(fd, kExt4Resize, &blocks); }));
  return Nothing{};
}

Status grow_xfs(int fd, const std::string& path, uint64_t device_bytes) {
  XfsGeometry geometry = {};
  TRY(checked("XFS_IOC_FSGEOMETRY", path, [&] { return ::ioctl(fd, kXfsGeometry, &geometry); }));
  if (geometry.block_size == 0) return failed("XFS_IOC_FSGEOMETRY", EIO, path, "a block size of 0");
  XfsGrow grow = {device_bytes / geometry.block_size, geometry.inode_max_percent};
  // Fewer would be to shrink it, which nobody asked for.
  if (grow.new_blocks <= geometry.data_blocks) return Nothing{};
  TRY(checked("XFS_IOC_FSGROWFSDATA", path, [&] { return ::ioctl(fd, kXfsGrowData, &grow); }));
  return Nothing{};
}

}  // namespace

Result<Grown> grow_file_system(const std::string& path) {
  const auto fd = TRY(open_mounted(path));
  const auto identity = TRY(identify(fd.get(), path));
  const auto before = TRY(look(fd.get(), path));
  const auto type = static_cast<uint32_t>(before.f_type);
  if ((type != kExtMagic && type != kXfsMagic) || before.f_bsize <= 0)
    return failed("grow", EOPNOTSUPP, path, "only ext4 and xfs grow while they are mounted");
  const auto size = TRY(size_of_device(identity.device, path));
  TRY(type == kExtMagic ? grow_ext4(fd.get(), path, size / static_cast<uint64_t>(before.f_bsize))
                        : grow_xfs(fd.get(), path, size));
  const auto after = TRY(look(fd.get(), path));
  return Grown{type == kExtMagic ? "ext4" : "xfs", size, bytes_of(before), bytes_of(after)};
}

}  // namespace dmthin
