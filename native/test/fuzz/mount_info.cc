// /proc/PID/mountinfo, whose mount points and sources other users can name.
#include "fs/mount_info.h"

#include "test/fuzz/target.h"

using namespace dmthin;

FUZZ(mount_info) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  size_t read = 0;
  for (const MountLine& line : parse_mount_info(text)) {
    read += line.id.size() + line.parent.size() + line.device.size() + line.target.size() +
            line.source.size() + line.file_system_options.size();
    HOLDS(line.id.find_first_of(" \n") == std::string::npos);
    HOLDS(line.device.find_first_of(" \n") == std::string::npos);
  }
  HOLDS(read <= size);
}
