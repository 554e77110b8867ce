// /proc/PID/mountinfo. Pure.
#pragma once

#include <string>
#include <vector>

namespace dmthin {

struct MountLine {
  std::string id, parent, device, target, source;
};

/// Its lines, but for those that are none.
std::vector<MountLine> parse_mount_info(const std::string& text);

}  // namespace dmthin
