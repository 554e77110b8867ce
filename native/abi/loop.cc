#include "abi/loop.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "abi/block.h"
#include "abi/system_call.h"

namespace dmthin {
namespace {

// How often another process may be quicker at the free number before we give up.
constexpr int kMostRaces = 128;

std::string node_of(int number) { return "/dev/loop" + std::to_string(number); }

std::string backing_file_path(int number) {
  return "/sys/block/loop" + std::to_string(number) + "/loop/backing_file";
}

Result<UniqueFd> open_node(int number, int mode) {
  const std::string node = node_of(number);
  const int fd = system_call("open loop", [&] { return ::open(node.c_str(), mode | O_CLOEXEC); });
  if (fd < 0) return failed("open loop", -fd, node);
  return UniqueFd(fd);
}

loop_info64 info_for(const LoopRequest& request) {
  loop_info64 info = {};
  info.lo_offset = request.offset;
  info.lo_sizelimit = request.size_limit;
  if (request.read_only) info.lo_flags |= LO_FLAGS_READ_ONLY;
  if (request.autoclear) info.lo_flags |= LO_FLAGS_AUTOCLEAR;
  if (request.direct_io) info.lo_flags |= LO_FLAGS_DIRECT_IO;
  strncpy(reinterpret_cast<char*>(info.lo_file_name), request.file.c_str(), LO_NAME_SIZE - 1);
  return info;
}

/// Detaches what a later step could not use; says so in the failure.
Failure undo_attach(int device, Failure failure) {
  const int detached = ::ioctl(device, LOOP_CLR_FD, 0) == 0 ? 0 : errno;
  failure.rollback.push_back({"LOOP_CLR_FD", failure.device, detached});
  return failure;
}

/// The way of kernels before 5.8. The device is visible without its offset for a moment; that is why
/// LOOP_CONFIGURE exists.
Status set_fd_and_status(int device, int backing, const LoopRequest& request, const std::string& node) {
  int result = system_call("LOOP_SET_FD", [&] { return ::ioctl(device, LOOP_SET_FD, backing); });
  if (result < 0) return failed("LOOP_SET_FD", -result, node, request.file);
  const auto undo = [&](const char* operation) {
    return undo_attach(device, failed(operation, -result, node, request.file));
  };
  loop_info64 info = info_for(request);
  result = system_call("LOOP_SET_STATUS64", [&] { return ::ioctl(device, LOOP_SET_STATUS64, &info); });
  if (result < 0) return undo("LOOP_SET_STATUS64");
  if (request.direct_io) {
    result = system_call("LOOP_SET_DIRECT_IO", [&] { return ::ioctl(device, LOOP_SET_DIRECT_IO, 1ul); });
    if (result < 0) return undo("LOOP_SET_DIRECT_IO");
  }
  if (request.block_size != 0) {
    const unsigned long size = request.block_size;
    result = system_call("LOOP_SET_BLOCK_SIZE", [&] { return ::ioctl(device, LOOP_SET_BLOCK_SIZE, size); });
    if (result < 0) return undo("LOOP_SET_BLOCK_SIZE");
  }
  return Nothing{};
}

Status configure(int device, int backing, const LoopRequest& request, const std::string& node) {
  loop_config config = {};
  config.fd = static_cast<uint32_t>(backing);
  config.block_size = request.block_size;
  config.info = info_for(request);
  const int result = system_call("LOOP_CONFIGURE", [&] { return ::ioctl(device, LOOP_CONFIGURE, &config); });
  // Whether the kernel has it is asked by trying, not by its version: distributions backport. EINVAL may also
  // be a real refusal, which the older calls then repeat.
  if (result == -EINVAL || result == -ENOTTY || result == -ENOSYS) {
    return set_fd_and_status(device, backing, request, node);
  }
  if (result < 0) return failed("LOOP_CONFIGURE", -result, node, request.file);
  return Nothing{};
}

/// Whether two devices over one file would show the same bytes. Two windows that do not, as of partitions,
/// may be.
bool overlaps(const LoopStatus& attached, const LoopRequest& request) {
  const auto end = [](uint64_t offset, uint64_t limit) { return limit == 0 ? UINT64_MAX : offset + limit; };
  return attached.offset < end(request.offset, request.size_limit) &&
         request.offset < end(attached.offset, attached.size_limit);
}

Result<Nothing> refuse_attached(const FileIdentity& file, const LoopRequest& request) {
  const auto all = loop_list();
  if (!all) return all.failure();
  for (const LoopStatus& each : *all) {
    if (each.backing_device == file.device && each.backing_inode == file.inode && overlaps(each, request)) {
      return failed("attach", EEXIST, request.file, node_of(each.number));
    }
  }
  return Nothing{};
}

}  // namespace

Result<LoopStatus> loop_status(int number) {
  auto fd = open_node(number, O_RDONLY);
  if (!fd) return fd.failure();
  loop_info64 info = {};
  const int result =
      system_call("LOOP_GET_STATUS64", [&] { return ::ioctl(fd->get(), LOOP_GET_STATUS64, &info); });
  if (result < 0) return failed("LOOP_GET_STATUS64", -result, node_of(number));
  LoopStatus status;
  status.number = number;
  status.backing_device = info.lo_device;
  status.backing_inode = info.lo_inode;
  status.offset = info.lo_offset;
  status.size_limit = info.lo_sizelimit;
  status.read_only = (info.lo_flags & LO_FLAGS_READ_ONLY) != 0;
  status.autoclear = (info.lo_flags & LO_FLAGS_AUTOCLEAR) != 0;
  status.direct_io = (info.lo_flags & LO_FLAGS_DIRECT_IO) != 0;
  ::ioctl(fd->get(), BLKGETSIZE64, &status.size_bytes);
  status.file = read_small_file(backing_file_path(number));
  return status;
}

Result<std::vector<LoopStatus>> loop_list() {
  DIR* directory = ::opendir("/sys/block");
  if (directory == nullptr) return failed("opendir", errno, "/sys/block");
  std::vector<int> numbers;
  while (const dirent* entry = ::readdir(directory)) {
    const std::string name = entry->d_name;
    int number = 0;
    if (name.compare(0, 4, "loop") != 0) continue;
    if (std::from_chars(name.data() + 4, name.data() + name.size(), number).ec != std::errc()) continue;
    // An unattached device has no `loop` folder; asking sysfs first avoids opening each of them.
    if (::access(backing_file_path(number).c_str(), F_OK) == 0) numbers.push_back(number);
  }
  ::closedir(directory);
  std::sort(numbers.begin(), numbers.end());
  std::vector<LoopStatus> found;
  for (const int number : numbers) {
    const auto status = loop_status(number);
    if (status) found.push_back(*status);
    // ENXIO: detached since it was listed.
    if (!status && status.failure().error != ENXIO && status.failure().error != ENOENT)
      return status.failure();
  }
  return found;
}

Result<Attached> loop_attach(const LoopRequest& request, Cancel& cancel) {
  const int mode = request.read_only ? O_RDONLY : O_RDWR;
  const int backing = system_call("open", [&] { return ::open(request.file.c_str(), mode | O_CLOEXEC); });
  if (backing < 0) return failed("open", -backing, request.file);
  UniqueFd file(backing);
  const auto identity = identify(backing, request.file);
  if (!identity) return identity.failure();
  // Two processes that attach the same file take turns here, so that the second finds the first one's device.
  const int locked = system_call("flock", [&] { return ::flock(backing, LOCK_EX | LOCK_NB); });
  if (locked == -EWOULDBLOCK)
    return failed("attach", EEXIST, request.file, "another process is attaching it");
  if (locked < 0) return failed("flock", -locked, request.file);
  const auto alone = refuse_attached(*identity, request);
  if (!alone) return alone.failure();

  const int control =
      system_call("open loop-control", [] { return ::open("/dev/loop-control", O_RDWR | O_CLOEXEC); });
  if (control < 0) return failed("open loop-control", -control, "/dev/loop-control");
  UniqueFd owned_control(control);
  for (int races = 0; races < kMostRaces; ++races) {
    if (cancel.requested()) {
      Failure failure = failed("LOOP_CTL_GET_FREE", EINTR, request.file);
      failure.cancelled = true;
      return failure;
    }
    const int number = system_call("LOOP_CTL_GET_FREE", [&] { return ::ioctl(control, LOOP_CTL_GET_FREE); });
    if (number < 0) return failed("LOOP_CTL_GET_FREE", -number, "/dev/loop-control");
    auto device = open_node(number, mode);
    if (!device) return device.failure();
    const auto configured = configure(device->get(), backing, request, node_of(number));
    if (!configured && configured.failure().error == EBUSY) continue;  // another process was quicker
    if (!configured) return configured.failure();
    // The loop driver keeps our open file, and with it the lock; a later attach looks at the devices anyway.
    ::flock(backing, LOCK_UN);
    auto status = loop_status(number);
    if (!status) return undo_attach(device->get(), status.failure());
    return Attached{std::move(*status), std::move(*device)};
  }
  return failed("LOOP_CONFIGURE", EBUSY, request.file, "no free loop device could be had");
}

Result<LoopStatus> loop_set_capacity(int number) {
  {
    auto fd = open_node(number, O_RDWR);
    if (!fd) return fd.failure();
    const int result =
        system_call("LOOP_SET_CAPACITY", [&] { return ::ioctl(fd->get(), LOOP_SET_CAPACITY, 0ul); });
    if (result < 0) return failed("LOOP_SET_CAPACITY", -result, node_of(number));
  }
  return loop_status(number);
}

Status loop_detach(int number) {
  {
    auto fd = open_node(number, O_RDONLY);
    if (!fd) {
      // No such device, or nothing behind it: what was asked for is so.
      if (fd.failure().error == ENOENT || fd.failure().error == ENXIO) return Nothing{};
      return fd.failure();
    }
    const int result = system_call("LOOP_CLR_FD", [&] { return ::ioctl(fd->get(), LOOP_CLR_FD, 0ul); });
    if (result < 0 && result != -ENXIO) return failed("LOOP_CLR_FD", -result, node_of(number));
  }
  // With another opener the kernel answers 0 and detaches at the last close; only a look tells.
  if (::access(backing_file_path(number).c_str(), F_OK) == 0) {
    return failed("LOOP_CLR_FD", EBUSY, node_of(number),
                  "held open; the kernel detaches it at the last close");
  }
  return Nothing{};
}

Result<UniqueFd> loop_hold(int number) {
  auto fd = open_node(number, O_RDONLY);
  if (!fd) return fd.failure();
  if (::access(backing_file_path(number).c_str(), F_OK) != 0)
    return failed("open loop", ENXIO, node_of(number));
  return fd;
}

}  // namespace dmthin
