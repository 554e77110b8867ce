// A file system mounted in no mount namespace (fsopen, fsmount): nobody else sees it, and it goes with its
// last descriptor, also if the process is killed. Since Linux 5.2; before, ENOSYS.
#pragma once

#include "fs/mounts.h"
#include "system/unique_fd.h"

namespace dmthin {

/// Opens the root of the mount. `target` of the request does not count. Of the flags MS_RDONLY, MS_NOSUID,
/// MS_NODEV, MS_NOEXEC and MS_NOATIME do.
Result<UniqueFd> mount_detached(const MountRequest& request);

}  // namespace dmthin
