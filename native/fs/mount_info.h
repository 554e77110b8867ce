// /proc/PID/mountinfo. Pure.
#pragma once

#include <string>
#include <vector>

namespace dmthin {

struct MountLine {
  std::string id, parent, device, target, source;
  std::string file_system_options;  // those of the file system, which all its mounts share: "rw,lazytime"
};

/// Returns the lines of the text that have the form of one.
std::vector<MountLine> parse_mount_info(const std::string& text);

/// Returns the mount at `target`, a path without links. The last one at a place lies on top of the others.
const MountLine* mount_at(const std::vector<MountLine>& mounts, const std::string& target);

}  // namespace dmthin
