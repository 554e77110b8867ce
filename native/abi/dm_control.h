// The device mapper's control node: one funnel for every command, and one function per command in the
// kernel's words. No policy: what to do in which order is in dm_sections.
#pragma once

#include <pthread.h>

#include <string>
#include <vector>

#include "abi/cancel.h"
#include "abi/dm_message.h"
#include "abi/result.h"
#include "abi/unique_fd.h"

namespace dmthin {

class Control {
 public:
  Control() = default;
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  /// The interface version of the running kernel.
  Result<std::vector<uint32_t>> version(Cancel& cancel);
  /// Devices whose name and uuid begin with the prefixes of `filter`. The kernel filters since 4.45 or so and
  /// ignores the prefixes before, so the list is filtered again here.
  Result<std::vector<Listed>> list_devices(const Address& filter, Cancel& cancel);
  Result<std::vector<TargetVersion>> list_versions(Cancel& cancel);
  Result<DeviceInfo> create(const std::string& name, const std::string& uuid, Cancel& cancel);
  Result<DeviceInfo> remove(const Address& address, uint32_t udev, uint32_t flags, Cancel& cancel);
  Result<DeviceInfo> suspend(const Address& address, uint32_t flags, Cancel& cancel);
  Result<DeviceInfo> resume(const Address& address, uint32_t udev, uint32_t flags, Cancel& cancel);
  Result<DeviceInfo> status(const Address& address, Cancel& cancel);
  Result<DeviceInfo> table_load(const Address& address, const std::vector<Target>& table, uint32_t flags,
                                Cancel& cancel);
  Result<DeviceInfo> table_clear(const Address& address, Cancel& cancel);
  Result<std::vector<uint64_t>> table_deps(const Address& address, Cancel& cancel);
  /// With DM_STATUS_TABLE_FLAG the table lines, else the status lines. Without DM_NOFLUSH_FLAG the status of
  /// a thin pool commits its metadata (dm-thin.c pool_status).
  Result<std::vector<Target>> table_status(const Address& address, uint32_t flags, Cancel& cancel);
  Result<std::string> target_message(const Address& address, uint64_t sector, const std::string& text,
                                     Cancel& cancel);

 private:
  Result<Reply> run(const Call& call, Cancel& cancel);
  Result<int> descriptor();

  pthread_mutex_t opening_ = PTHREAD_MUTEX_INITIALIZER;
  UniqueFd fd_;
};

}  // namespace dmthin
