// The mapped devices of the machine, as far as they matter to a pool.
//
// How thins of other programs are found: by the list of all mapped devices, then by the pool's holders in
// sysfs, in this order. The kernel lists a device from its creation to its removal, and a device needs a
// table to hold the pool. So whatever holds the pool when the list is taken is in the list, except a device
// whose removal has begun, which nobody can open any more. If all listed devices are known, nobody else holds
// the pool, and the holders are not read. Otherwise the holders show which of the others lie on the pool. In
// both cases a device that was active before the call is found. One that another program activates during the
// call may be missed, as one that it activates after the call. The number of holders does not replace the
// list: a device that this library is just activating is in the list and holds nothing yet.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dm/control.h"

namespace dmthin {

/// The list, as seen from a pool.
struct ListedDevices {
  std::string pool_name;
  std::string pool_uuid;
  /// The volumes that this library has activated, or is activating; sorted.
  std::vector<uint64_t> own;
  /// True if another program may have activated a volume.
  bool others = true;

  bool has(uint64_t device) const { return std::binary_search(own.begin(), own.end(), device); }
};

/// Returns nothing if no device has the pool's number.
Result<std::optional<ListedDevices>> listed_devices(Control& control, uint64_t pool,
                                                    const std::string& own_prefix, Cancel& cancel);

/// Returns the holders of the pool that another program has made. Where sysfs cannot be read, all devices
/// that may be.
Result<std::vector<uint64_t>> other_holders(Control& control, uint64_t pool, const ListedDevices& listed,
                                            Cancel& cancel);

}  // namespace dmthin
