#include "fs/mount_table.h"

#include <cstdlib>

#include "block/backing_file.h"

namespace dmthin {

std::vector<MountLine> mounts_seen_by(const std::string& process) {
  return parse_mount_info(read_whole_file(process + "/mountinfo"));
}

std::string without_links(const std::string& path) {
  char* real = ::realpath(path.c_str(), nullptr);
  std::string found = real == nullptr ? path : real;
  ::free(real);
  return found;
}

}  // namespace dmthin
