#include "block/loop.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include "block/backing_file.h"
#include "system/directory.h"
#include "system/number.h"
#include "system/system_call.h"

namespace dmthin {
namespace {

std::string backing_file_path(int number) {
  return "/sys/block/loop" + std::to_string(number) + "/loop/backing_file";
}

}  // namespace

std::string loop_node(int number) { return "/dev/loop" + std::to_string(number); }

Result<UniqueFd> open_loop(int number, int mode) {
  const std::string node = loop_node(number);
  const int fd = TRY(checked("open loop", node, [&] { return ::open(node.c_str(), mode | O_CLOEXEC); }));
  return UniqueFd(fd);
}

Result<LoopStatus> loop_status(int number) {
  auto fd = TRY(open_loop(number, O_RDONLY));
  loop_info64 info = {};
  TRY(checked("LOOP_GET_STATUS64", loop_node(number),
              [&] { return ::ioctl(fd.get(), LOOP_GET_STATUS64, &info); }));
  LoopStatus status = status_from(number, info);
  ::ioctl(fd.get(), BLKGETSIZE64, &status.size_bytes);
  int block_size = 0;
  if (::ioctl(fd.get(), BLKSSZGET, &block_size) == 0) status.block_size = static_cast<uint32_t>(block_size);
  status.file = read_small_file(backing_file_path(number));
  return status;
}

Result<std::vector<LoopStatus>> loop_list() {
  std::vector<int> numbers;
  const int listed = each_name("/sys/block", [&](const char* name) {
    const auto number = number_after<int>(name, "loop");
    // An unattached device has no `loop` folder; asking sysfs first avoids opening each of them.
    if (number && ::access(backing_file_path(*number).c_str(), F_OK) == 0) numbers.push_back(*number);
  });
  if (listed < 0) return failed("opendir", -listed, "/sys/block");
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

// Opened for reading: the right to change a device is the capability's, and a read-only one opens in no other
// way.
Result<LoopStatus> loop_set_capacity(int number) {
  {
    auto fd = TRY(open_loop(number, O_RDONLY));
    TRY(checked("LOOP_SET_CAPACITY", loop_node(number),
                [&] { return ::ioctl(fd.get(), LOOP_SET_CAPACITY, 0ul); }));
  }
  return loop_status(number);
}

Result<LoopStatus> loop_set_direct_io(int number, bool direct_io) {
  {
    auto fd = TRY(open_loop(number, O_RDONLY));
    const unsigned long on = direct_io ? 1 : 0;
    TRY(checked("LOOP_SET_DIRECT_IO", loop_node(number),
                [&] { return ::ioctl(fd.get(), LOOP_SET_DIRECT_IO, on); }));
  }
  return loop_status(number);
}

Result<bool> loop_detach_at_last_close(int number) {
  {
    auto fd = open_loop(number, O_RDONLY);
    if (!fd) {
      // No such device, or nothing behind it: what was asked for is so.
      if (fd.failure().error == ENOENT || fd.failure().error == ENXIO) return true;
      return fd.failure();
    }
    const int result = system_call("LOOP_CLR_FD", [&] { return ::ioctl(fd->get(), LOOP_CLR_FD, 0ul); });
    if (result < 0 && result != -ENXIO) return failed("LOOP_CLR_FD", -result, loop_node(number));
  }
  // With another opener the kernel answers 0 and detaches at the last close; only a look shows it.
  return ::access(backing_file_path(number).c_str(), F_OK) != 0;
}

Status loop_detach(int number) {
  const auto detached = TRY(loop_detach_at_last_close(number));
  if (detached) return Nothing{};
  return failed("LOOP_CLR_FD", EBUSY, loop_node(number),
                "held open; the kernel detaches it at the last close");
}

Result<UniqueFd> loop_hold(int number) {
  auto fd = TRY(open_loop(number, O_RDONLY));
  if (::access(backing_file_path(number).c_str(), F_OK) != 0)
    return failed("open loop", ENXIO, loop_node(number));
  return fd;
}

}  // namespace dmthin
