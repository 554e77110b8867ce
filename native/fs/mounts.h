// mount(2) and umount2(2).
#pragma once

#include <string>

#include "system/result.h"

namespace dmthin {

struct MountRequest {
  std::string source;
  std::string target;
  std::string type;
  unsigned long flags = 0;
  std::string data;
};

Status mount_file_system(const MountRequest& request);

struct RemountRequest {
  std::string target;
  unsigned long set = 0;  // MS_ flags; those in neither stay as they are
  unsigned long clear = 0;
  bool mount_alone = false;  // MS_BIND: this mount, not the file system that others may show too
  std::string data;
};

/// Sends MS_REMOUNT. The kernel takes the flags as a whole, so those of now are read first.
Status remount_file_system(const RemountRequest& request);

struct BindRequest {
  std::string source;
  std::string target;
  bool recursive = false;  // with what is mounted below
  bool read_only = false;
};

/// Sends MS_BIND. If it is to be read-only and that fails, it is unmounted again.
Status bind_mount(const BindRequest& request);

/// Sends MS_PRIVATE, MS_SHARED, MS_SLAVE or MS_UNBINDABLE, with MS_REC or without.
Status set_propagation(const std::string& target, unsigned long flags);

Status unmount_file_system(const std::string& target, int flags);

}  // namespace dmthin
