// The mounts that a process sees.
#pragma once

#include <string>
#include <vector>

#include "fs/mount_info.h"

namespace dmthin {

/// Returns the mounts of `process`, "/proc/self" or "/proc/7"; none if it is gone.
std::vector<MountLine> mounts_seen_by(const std::string& process);

/// Returns a path as the mount table has it; the path itself if it leads nowhere.
std::string without_links(const std::string& path);

}  // namespace dmthin
