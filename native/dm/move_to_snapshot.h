// A device that moves from one thin to a new snapshot of another, on one thread. Nobody can write to the old
// thin after the snapshot was made: the device is suspended from before the snapshot until it has its new
// table.
#pragma once

#include <vector>

#include "dm/active_thins.h"

namespace dmthin {

struct MoveRequest {
  KnownPool pool;
  Address device;
  uint32_t locked_id = 0;     // the thin id of the device's uuid
  uint32_t origin_id = 0;     // of the snapshot
  uint32_t id = 0;            // of the new snapshot
  std::vector<Target> table;  // the snapshot's
  uint32_t event = 0;         // for udev, as in Control
};

/// Suspends the device, sends create_snap, loads the table, and resumes the device, which has the new table
/// from then on. Writes that the suspend held back go to the snapshot. If create_snap or the load failed, the
/// device keeps its table, and the snapshot is deleted again. EBUSY: somebody had the device suspended. A
/// failed commit is reported after the device has moved.
Status move_to_snapshot(Control& control, const MoveRequest& request, Cancel& cancel);

}  // namespace dmthin
