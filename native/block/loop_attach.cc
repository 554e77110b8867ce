// A file to a loop device, or to another file.
#include <fcntl.h>
#include <linux/loop.h>
#include <sys/file.h>
#include <sys/ioctl.h>

#include <ctime>

#include "block/backing_file.h"
#include "block/loop.h"
#include "system/file_lock.h"
#include "system/scope_guard.h"
#include "system/system_call.h"

namespace dmthin {
namespace {

// How often a program that does not take turns (losetup) may be quicker at the free number before we give up.
constexpr int kMaxRaces = 128;
// How long an attach waits for another of the same file, a failed attach for whoever looks into the device
// that it removes, and one on an old kernel for the pages of a device that it has just attached: ten seconds
// in all. Some program may hold the lock or the device for good.
constexpr int kMaxWaits = 2000;
constexpr long kPauseNs = 5'000'000;

void pause() {
  timespec time{0, kPauseNs};
  nanosleep(&time, nullptr);
}

loop_info64 info_for(const LoopRequest& request) {
  loop_info64 info = {};
  info.lo_offset = request.offset;
  info.lo_sizelimit = request.size_limit;
  if (request.read_only) info.lo_flags |= LO_FLAGS_READ_ONLY;
  if (request.autoclear) info.lo_flags |= LO_FLAGS_AUTOCLEAR;
  if (request.direct_io) info.lo_flags |= LO_FLAGS_DIRECT_IO;
  if (request.partition_scan) info.lo_flags |= LO_FLAGS_PARTSCAN;
  const std::string& name = request.reference.empty() ? request.file : request.reference;
  name.copy(reinterpret_cast<char*>(info.lo_file_name), LO_NAME_SIZE - 1);
  return info;
}

/// Detaches a device at the end of a scope, unless it is dismissed.
class Attachment {
 public:
  explicit Attachment(int device) : guard_(Detach{device}), device_(device) {}
  void dismiss() { guard_.dismiss(); }
  /// Detaches what a later step could not use; says so in the failure.
  Failure undo(Failure failure) {
    failure.rollback.push_back({"LOOP_CLR_FD", failure.device, 0});
    guard_.dismiss();
    failure.rollback.back().error = Detach{device_}();
    return failure;
  }

 private:
  struct Detach {
    int device;
    int operator()() const { return ::ioctl(device, LOOP_CLR_FD, 0) == 0 ? 0 : errno; }
  };
  ScopeGuard<Detach> guard_;
  const int device_;
};

/// Attaches as kernels before 5.8 need it. The device is visible without its offset for a moment; that is why
/// LOOP_CONFIGURE exists.
Status set_fd_and_status(int device, int backing, const LoopRequest& request, const std::string& node) {
  int result =
      TRY(checked("LOOP_SET_FD", node, [&] { return ::ioctl(device, LOOP_SET_FD, backing); }, request.file));
  Attachment attachment(device);
  const auto undo = [&](Operation operation) {
    return attachment.undo(failed(operation, -result, node, request.file));
  };
  loop_info64 info = info_for(request);
  // EAGAIN: before 5.8 the kernel does not wait for the pages that udev has read from the device.
  for (int tries = 0;; ++tries) {
    result = system_call("LOOP_SET_STATUS64", [&] { return ::ioctl(device, LOOP_SET_STATUS64, &info); });
    if (result != -EAGAIN || tries == kMaxWaits) break;
    pause();
  }
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
  attachment.dismiss();
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

/// Returns whether two devices over one file would show the same bytes. Two windows that do not, as of
/// partitions, may be.
bool overlaps(const LoopStatus& attached, const LoopRequest& request) {
  const auto end = [](uint64_t offset, uint64_t limit) { return limit == 0 ? UINT64_MAX : offset + limit; };
  return attached.offset < end(request.offset, request.size_limit) &&
         request.offset < end(attached.offset, attached.size_limit);
}

Status refuse_attached(const FileIdentity& file, const LoopRequest& request, int except = -1) {
  const auto all = TRY(loop_list());
  for (const LoopStatus& each : all) {
    if (each.number == except) continue;
    if (each.backing_device == file.device && each.backing_inode == file.inode && overlaps(each, request)) {
      return failed("attach", EEXIST, request.file, loop_node(each.number));
    }
  }
  return Nothing{};
}

/// The file, and that its part is attached nowhere else. Its lock is held for as long as it is open.
struct Claimed {
  UniqueFd file;
  FileIdentity identity;
};

Failure given_up(const LoopRequest& request) { return cancelled("LOOP_CTL_GET_FREE", request.file); }

/// Locks the file: those who attach it, in one process or several, take turns, so that each finds the devices
/// of those before it.
Status lock_file(int fd, const LoopRequest& request, Cancel& cancel) {
  for (int tries = 0;; ++tries) {
    if (cancel.requested()) return given_up(request);
    const int locked = system_call("flock", [&] { return ::flock(fd, LOCK_EX | LOCK_NB); });
    if (locked >= 0) return Nothing{};
    if (locked != -EWOULDBLOCK && locked != -EINTR) return failed("flock", -locked, request.file);
    if (tries == kMaxWaits) return failed("attach", EEXIST, request.file, "another program has locked it");
    pause();
  }
}

Result<Claimed> claim(const LoopRequest& request, Cancel& cancel, int except = -1) {
  const int mode = request.read_only ? O_RDONLY : O_RDWR;
  const int fd =
      TRY(checked("open", request.file, [&] { return ::open(request.file.c_str(), mode | O_CLOEXEC); }));
  Claimed claimed{UniqueFd(fd), {}};
  const auto identity = TRY(identify(fd, request.file));
  claimed.identity = identity;
  TRY(lock_file(fd, request, cancel));
  TRY(refuse_attached(claimed.identity, request, except));
  return claimed;
}

/// Locks the control node: whoever takes a free number (systemd does the same) takes turns, or as many
/// callers as there are would ask for the same one, and all but one in vain. Closing it is the end of the
/// turn.
Result<UniqueFd> take_turn(Cancel& cancel) {
  const int control = TRY(checked("open loop-control", "/dev/loop-control",
                                  [] { return ::open("/dev/loop-control", O_RDWR | O_CLOEXEC); }));
  UniqueFd owned(control);
  TRY(wait_for_lock("flock loop-control", "/dev/loop-control", cancel,
                    [&] { return ::flock(control, LOCK_EX); }));
  return owned;
}

/// Waits until the device has released the file: udev looks into a device that has just
/// come, and the kernel detaches it when the last has closed it.
void await_detached(int number, int file, const LoopRequest& request) {
  const auto ours = identify(file, request.file);
  for (int looks = 0; ours && looks < kMaxWaits; ++looks) {
    const auto status = loop_status(number);
    if (!status || status->backing_device != ours->device || status->backing_inode != ours->inode) return;
    pause();
  }
}

Result<Attached> configure_and_look(int number, const UniqueFd& file, const LoopRequest& request) {
  auto device = TRY(open_loop(number, request.read_only ? O_RDONLY : O_RDWR));
  TRY(configure(device.get(), file.get(), request, loop_node(number)));
  Attachment attachment(device.get());
  // The loop driver keeps our open file, and with it the lock; a later attach looks at the devices anyway.
  ::flock(file.get(), LOCK_UN);
  auto status = loop_status(number);
  if (!status) return attachment.undo(status.failure());
  attachment.dismiss();
  return Attached{std::move(*status), std::move(device)};
}

/// Attaches to one number. EBUSY: another process has it.
Result<Attached> attach_to(int number, const UniqueFd& file, const LoopRequest& request) {
  auto attached = configure_and_look(number, file, request);
  const bool undone = !attached && !attached.failure().rollback.empty();
  if (undone) await_detached(number, file.get(), request);
  return attached;
}

/// Removes a device. udev looks into a device that has just come: its number can go when it has closed it.
/// The turn is kept until then: a free number that is about to go must not be handed out. Attached by
/// another, it stays.
int remove_number(int control, int number, bool taken) noexcept {
  for (int left = taken ? 0 : kMaxWaits;; --left) {
    if (::ioctl(control, LOOP_CTL_REMOVE, number) >= 0) return 0;
    if (errno != EBUSY || left == 0) return errno;
    pause();
  }
}

Result<Attached> attach_to_chosen(int control, const UniqueFd& file, const LoopRequest& request) {
  const int number = request.number;
  const int added = system_call("LOOP_CTL_ADD", [&] { return ::ioctl(control, LOOP_CTL_ADD, number); });
  if (added < 0 && added != -EEXIST) return failed("LOOP_CTL_ADD", -added, loop_node(number));
  ScopeGuard made([&] { remove_number(control, number, false); });
  if (added < 0) made.dismiss();  // it was there before
  auto attached = attach_to(number, file, request);
  if (!attached && added >= 0) {
    attached.failure().rollback.push_back({"LOOP_CTL_REMOVE", loop_node(number), 0});
    const bool taken = attached.failure().error == EBUSY;
    made.dismiss();
    attached.failure().rollback.back().error = remove_number(control, number, taken);
  }
  made.dismiss();
  return attached;
}

}  // namespace

Result<Attached> loop_attach(const LoopRequest& request, Cancel& cancel) {
  const auto claimed = TRY(claim(request, cancel));
  const auto turn = TRY(take_turn(cancel));
  const int control = turn.get();
  if (request.number >= 0) return attach_to_chosen(control, claimed.file, request);
  for (int races = 0; races < kMaxRaces; ++races) {
    if (cancel.requested()) return given_up(request);
    const int number = TRY(checked("LOOP_CTL_GET_FREE", "/dev/loop-control",
                                   [&] { return ::ioctl(control, LOOP_CTL_GET_FREE); }));
    auto attached = attach_to(number, claimed.file, request);
    const bool quicker = !attached && attached.failure().error == EBUSY;  // another process was
    if (!quicker) return attached;
  }
  return failed("LOOP_CONFIGURE", EBUSY, request.file, "no free loop device could be had");
}

Result<LoopStatus> loop_change_file(int number, const std::string& file, Cancel& cancel) {
  {
    const auto before = TRY(loop_status(number));
    LoopRequest request;
    request.file = file;
    request.read_only = true;
    request.offset = before.offset;
    request.size_limit = before.size_limit;
    const auto claimed = TRY(claim(request, cancel, number));
    auto device = TRY(open_loop(number, O_RDONLY));
    const int backing = claimed.file.get();
    TRY(checked(
        "LOOP_CHANGE_FD", loop_node(number), [&] { return ::ioctl(device.get(), LOOP_CHANGE_FD, backing); },
        file));
    ::flock(backing, LOCK_UN);
  }
  return loop_status(number);
}

}  // namespace dmthin
