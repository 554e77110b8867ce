// A lock on the node of a block device, as mkfs, partitioners and udev honour it: whoever writes to a whole
// device takes it exclusively, and udev does not look at the device during that.
#pragma once

#include <string>

#include "system/cancel.h"
#include "system/result.h"
#include "system/unique_fd.h"

namespace dmthin {

/// Locks with flock(LOCK_EX) until it is closed. Waits; a cancellation ends the wait.
Result<UniqueFd> lock_node(const std::string& path, Cancel& cancel);

}  // namespace dmthin
