// The mounts that a process sees.
#pragma once

#include <string>
#include <vector>

#include "fs/mount_info.h"

namespace dmthin {

/// `process`: "/proc/self" or "/proc/7". Empty where it is gone.
std::vector<MountLine> mounts_seen_by(const std::string& process);

/// A path as the mount table has it; the path itself where it leads nowhere.
std::string without_links(const std::string& path);

}  // namespace dmthin
