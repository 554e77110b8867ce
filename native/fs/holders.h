// Who keeps a block device or a mount busy.
#pragma once

#include <string>
#include <vector>

#include "system/result.h"

namespace dmthin {

/// Somebody who holds a block device: a mount (with a process in whose mount namespace it is), a process with
/// the node open, or a device stacked on it.
struct Holder {
  std::string kind;  // "mount", "process" or "device"
  std::string path;  // the mount point, the program's name, or the device's node
  int pid = 0;
};

/// Returns the holders of `device` that /proc and sysfs show. Other processes come and go during the call.
std::vector<Holder> holders(uint64_t device);

/// Returns what keeps the mount at `path` from being unmounted, as far as /proc shows it: processes with a
/// file open below it or their folder there, mounts below it, loop devices over a file of it.
Result<std::vector<Holder>> holders_of_mount(const std::string& path);

}  // namespace dmthin
