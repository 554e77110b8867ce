// A device made, loaded and resumed on one thread: a failed step undoes the earlier ones, newest first.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "dm/activation_guard.h"
#include "dm/control.h"

namespace dmthin {

struct ActivateRequest {
  std::string name;
  std::string uuid;
  std::vector<Target> table;
  bool read_only = false;
  uint32_t event = 0;                      // for udev, as in Control
  std::shared_ptr<ActivationGuard> guard;  // of the pool that `thin_id` belongs to; may be null
  uint32_t thin_id = 0;
};

/// Sends DM_DEV_CREATE and DM_TABLE_LOAD and resumes, after the guard, if there is one, has admitted it.
Result<DeviceInfo> activate(Control& control, const ActivateRequest& request, Cancel& cancel);

/// Activates for a caller that has the lock of the thin id, and has looked at the pool.
Result<DeviceInfo> activate_locked(Control& control, const ActivateRequest& request, const ThinLock& lock,
                                   Cancel& cancel);

/// Sends DM_TABLE_LOAD, with the kernel log's reason attached when the table is refused.
Result<DeviceInfo> load_with_reason(Control& control, const Address& address,
                                    const std::vector<Target>& table, uint32_t flags, Cancel& cancel);

}  // namespace dmthin
