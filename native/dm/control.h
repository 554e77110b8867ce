// The device mapper's control node: one funnel for every command, and one
// function per command in the kernel's words. No policy: what to do in which
// order is in the compound calls of this folder.
#pragma once

#include <pthread.h>

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "dm/ioctl_data.h"
#include "dm/kernel_logs.h"
#include "dm/verified_commits.h"
#include "system/cancel.h"
#include "system/result.h"
#include "system/unique_fd.h"

namespace dmthin {

class Control {
 public:
  Control() = default;
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  /// Returns the interface version of the running kernel.
  Result<std::vector<uint32_t>> version(Cancel& cancel);
  /// Devices whose name and uuid begin with the prefixes of `filter`. The
  /// kernel filters since 4.45 or so and ignores the prefixes before, so the
  /// list is filtered again here.
  Result<std::vector<Listed>> list_devices(const Address& filter, Cancel& cancel);
  /// Does the same without a copy for each: one record, used again for the next.
  Status each_device(const Address& filter, Cancel& cancel, const std::function<void(const Listed&)>& tell);
  Result<std::vector<TargetVersion>> list_versions(Cancel& cancel);
  /// Counts the events that this descriptor has not reported, from now on.
  /// To miss none: arm, then list, then poll (dm-ioctl.c dm_poll). The
  /// descriptor must be nobody else's: arming takes the events from all who
  /// poll it.
  Status arm_poll(Cancel& cancel);
  /// Waits until anything has happened to any mapped device since it was armed:
  /// made, renamed, removed, or an event of its own.
  Status poll_events(Cancel& cancel);
  /// Returns the version of one target, its module loaded for it where there is one.
  Result<TargetVersion> target_version(const std::string& type, Cancel& cancel);
  /// Removes every mapped device of the machine that nobody holds open; with
  /// DM_DEFERRED_REMOVE the others too, later.
  Status remove_all(uint32_t flags, Cancel& cancel);
  /// Creates a device. With DM_PERSISTENT_DEV_FLAG, `device` is the wanted number.
  Result<DeviceInfo> create(const std::string& name, const std::string& uuid, Cancel& cancel,
                            uint32_t flags = 0, uint64_t device = 0);
  /// Removes a device. `event`: the value for udev, flags in the upper half and the cookie, or 0,
  /// in the lower.
  Result<DeviceInfo> remove(const Address& address, uint32_t event, uint32_t flags, Cancel& cancel);
  Result<DeviceInfo> suspend(const Address& address, uint32_t flags, Cancel& cancel);
  Result<DeviceInfo> resume(const Address& address, uint32_t event, uint32_t flags, Cancel& cancel);
  /// Renames a device, by name only: the kernel finds no device to rename by its uuid. The answer
  /// is read again, because the kernel's own still carries the old name.
  Result<DeviceInfo> rename(const std::string& name, const std::string& to, uint32_t event, Cancel& cancel);
  /// Sets the uuid of a device that has none, once.
  Result<DeviceInfo> set_uuid(const std::string& name, const std::string& uuid, uint32_t event,
                              Cancel& cancel);
  /// Sets the geometry, four numbers as text: cylinders, heads, sectors, start. The answer says
  /// nothing of the device.
  Status set_geometry(const Address& address, const std::string& geometry, Cancel& cancel);
  Result<DeviceInfo> status(const Address& address, Cancel& cancel, uint32_t flags = 0);
  struct DeviceLines {
    DeviceInfo info;
    std::vector<Target> targets;
  };
  /// Returns when the device's event number is another than `event_number`;
  /// that can be never.
  Result<DeviceLines> wait(const Address& address, uint32_t event_number, uint32_t flags, Cancel& cancel);
  Result<DeviceInfo> table_load(const Address& address, const std::vector<Target>& table, uint32_t flags,
                                Cancel& cancel);
  Result<DeviceInfo> table_clear(const Address& address, Cancel& cancel);
  Result<std::vector<uint64_t>> table_deps(const Address& address, Cancel& cancel, uint32_t flags = 0);
  /// Returns the table lines with DM_STATUS_TABLE_FLAG, else the status lines. Without
  /// DM_NOFLUSH_FLAG the status of a thin pool commits its metadata (dm-thin.c
  /// pool_status).
  Result<std::vector<Target>> table_status(Address address, uint32_t flags, Cancel& cancel);
  /// Returns the same with the device, in one command.
  Result<DeviceLines> device_lines(const Address& address, uint32_t flags, Cancel& cancel);
  struct Answer {
    DeviceInfo info;  // after the message
    std::string text;
  };
  Result<Answer> target_message(const Address& address, uint64_t sector, const std::string& text,
                                Cancel& cancel, uint32_t flags = 0);

  /// Returns the control node, opened by the first call that needs it. For
  /// PreparedCalls.
  Result<int> descriptor();
  KernelLogs& logs() { return logs_; }
  VerifiedCommits& commits() { return commits_; }
  /// Returns how many of the next looks for thins of other programs do not list all
  /// devices, because there are many (listed_devices.cc).
  std::atomic<int>& looks_with_many() { return looks_with_many_; }

 private:
  Result<Reply> run(const Call& call, Cancel& cancel, size_t room = 0);

  pthread_mutex_t opening_ = PTHREAD_MUTEX_INITIALIZER;
  UniqueFd fd_;
  KernelLogs logs_;
  VerifiedCommits commits_;
  std::atomic<int> looks_with_many_{0};
  std::atomic<size_t> list_room_{0};  // for the next list of all devices
};

}  // namespace dmthin
