// mount(2) and umount2(2), and who keeps a block device busy.
#pragma once

#include <string>
#include <vector>

#include "abi/result.h"

namespace dmthin {

struct MountRequest {
  std::string source;
  std::string target;
  std::string type;
  unsigned long flags = 0;
  std::string data;
};

Status mount_file_system(const MountRequest& request);
Status unmount_file_system(const std::string& target, int flags);

/// Somebody who holds a block device: a mount (with a process in whose mount namespace it is), a process with
/// the node open, or a device stacked on it.
struct Holder {
  std::string kind;  // "mount", "process" or "device"
  std::string path;  // the mount point, the program's name, or the device's node
  int pid = 0;
};

/// What can be seen of the holders of `device` in /proc and sysfs. Other processes come and go meanwhile.
std::vector<Holder> holders(uint64_t device);

}  // namespace dmthin
