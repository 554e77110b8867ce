// Compound calls: steps that belong together run on one thread without a hop through JavaScript between them,
// and a failed step undoes the earlier ones, newest first. What is suspended here is resumed here, whatever
// happens.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "abi/activation_guard.h"
#include "abi/dm_control.h"

namespace dmthin {

struct ActivateRequest {
  std::string name;
  std::string uuid;
  std::vector<Target> table;
  bool read_only = false;
  uint32_t event = 0;                      // for udev, as in dm_control
  std::shared_ptr<ActivationGuard> guard;  // of the pool that `thin_id` belongs to; may be null
  uint32_t thin_id = 0;
};

/// DM_DEV_CREATE, DM_TABLE_LOAD, resume, once the guard, if there is one, has let it in.
Result<DeviceInfo> activate(Control& control, const ActivateRequest& request, Cancel& cancel);

/// DM_TABLE_LOAD with the kernel log's reason attached when the table is refused.
Result<DeviceInfo> load_with_reason(Control& control, const Address& address,
                                    const std::vector<Target>& table, uint32_t flags, Cancel& cancel);

struct SnapshotRequest {
  KnownPool pool;
  std::string own_prefix;
  std::string origin_uuid;  // of the origin when this library activated it
  uint32_t origin_id = 0;
  std::vector<uint32_t> ids;  // one snapshot each, under one suspend
  uint32_t event = 0;         // for udev, as in dm_control
  bool committed = true;      // whether each must have been committed
};

struct SnapshotItem {
  uint32_t id = 0;
  int error = 0;
  std::string operation;  // what failed
};

struct SnapshotOutcome {
  std::vector<SnapshotItem> items;
  bool suspended = false;  // whether an active origin was suspended for it
};

/// Suspends the origin if it is active, sends one create_snap for each id, resumes it. An origin that
/// somebody else had suspended already is left suspended. A failed resume is the failure of the call, after
/// the snapshots made by it have been deleted again.
Result<SnapshotOutcome> snapshot(Control& control, const SnapshotRequest& request, Cancel& cancel);

}  // namespace dmthin
