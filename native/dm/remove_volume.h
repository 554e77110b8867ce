// The removal of a volume's device, after the pool's worker has released it.
//
// The worker of a pool (drivers/md/dm-thin.c, process_deferred_bios) walks the list of the pool's active
// thins and can sleep between the requests of one. If that one is removed during that, its memory stays until
// the worker goes on, but its pointer to the next thin is no longer maintained. If the next one is removed
// too, the worker follows the pointer into freed memory, and the kernel panics. In Linux 6.12 each removal
// waits for the worker; in 7.2 thin_postsuspend() waits only after a suspend without flush. So the device is
// suspended without flush first: nobody has it open, so no request comes, and the suspend waits for the
// worker.
#pragma once

#include "dm/active_thins.h"
#include "dm/control.h"

namespace dmthin {

struct RemoveVolumeRequest {
  /// Its name names the lock file.
  KnownPool pool;
  /// ENXIO if the pool no longer runs: the uuid or the number may be that of another pool's volume by then.
  bool verifies_pool = false;
  Address device;
  uint32_t thin_id = 0;
  uint32_t event = 0;
};

/// Removes the device. EBUSY if it is open; then it has not been suspended, or is resumed. Waits for
/// activations and snapshots of the thin id, and can be cancelled until the device is suspended.
Result<DeviceInfo> remove_volume(Control& control, const RemoveVolumeRequest& request, Cancel& cancel);

}  // namespace dmthin
