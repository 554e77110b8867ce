// Snapshots of one thin on one thread. What is suspended here is resumed here, whatever happens.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "dm/activate.h"
#include "dm/active_thins.h"

namespace dmthin {

struct SnapshotRequest {
  KnownPool pool;
  std::string own_prefix;
  std::string origin_uuid;  // of the origin when this library activated it
  uint32_t origin_id = 0;
  std::vector<uint32_t> ids;  // one snapshot each, under one suspend
  uint32_t event = 0;         // for udev, as in Control
  bool committed = true;      // whether each must have been committed
  bool unwritten = false;     // whether nobody writes the origin: it is neither looked up nor suspended
  Reserve reserve = {};       // what has to be free before
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

struct ActiveSnapshot {
  SnapshotOutcome outcome;
  std::optional<Result<DeviceInfo>> activated;  // none if there is no snapshot to activate
};

/// Makes a snapshot of one id, and activates it: the look at the pool and the pool's lock serve both. Nobody
/// can have the snapshot active already, so nobody looks for that. Whoever asked for it deletes the snapshot
/// if the activation failed.
Result<ActiveSnapshot> snapshot_and_activate(Control& control, const SnapshotRequest& request,
                                             const ActivateRequest& activation, Cancel& cancel);

}  // namespace dmthin
