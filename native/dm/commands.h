// The commands of <linux/dm-ioctl.h>, each with the lowest interface version that has it. That version, and
// not the one of the header we were compiled with, goes into the request, so that one binary works on old
// kernels and new ones (drivers/md/dm-ioctl.c check_version refuses a minor above its own).
#pragma once

#include <linux/dm-ioctl.h>
#include <sys/ioctl.h>

#include <cstdint>

#include "system/operation.h"

namespace dmthin {

struct Command {
  unsigned long request;
  Operation name;
  uint32_t minor;
  /// The answer can be larger than the buffer and asking again changes nothing: grow and repeat.
  bool grows;
};

namespace command {
inline constexpr Command kVersion{DM_VERSION, "DM_VERSION", 0, false};
inline constexpr Command kRemoveAll{DM_REMOVE_ALL, "DM_REMOVE_ALL", 0, false};
inline constexpr Command kListDevices{DM_LIST_DEVICES, "DM_LIST_DEVICES", 0, true};
inline constexpr Command kCreate{DM_DEV_CREATE, "DM_DEV_CREATE", 0, false};
inline constexpr Command kRemove{DM_DEV_REMOVE, "DM_DEV_REMOVE", 0, false};
inline constexpr Command kSuspend{DM_DEV_SUSPEND, "DM_DEV_SUSPEND", 0, false};
inline constexpr Command kResume{DM_DEV_SUSPEND, "DM_DEV_RESUME", 0, false};  // one command, by a flag
inline constexpr Command kRename{DM_DEV_RENAME, "DM_DEV_RENAME", 0, false};
inline constexpr Command kDeviceStatus{DM_DEV_STATUS, "DM_DEV_STATUS", 0, false};
// Asking again for the same event answers at once, so a small buffer may be tried first.
inline constexpr Command kWait{DM_DEV_WAIT, "DM_DEV_WAIT", 0, true};
inline constexpr Command kTableLoad{DM_TABLE_LOAD, "DM_TABLE_LOAD", 0, false};
inline constexpr Command kTableClear{DM_TABLE_CLEAR, "DM_TABLE_CLEAR", 0, false};
inline constexpr Command kTableDeps{DM_TABLE_DEPS, "DM_TABLE_DEPS", 0, true};
inline constexpr Command kTableStatus{DM_TABLE_STATUS, "DM_TABLE_STATUS", 0, true};
inline constexpr Command kListVersions{DM_LIST_VERSIONS, "DM_LIST_VERSIONS", 1, true};
inline constexpr Command kTargetMessage{DM_TARGET_MSG, "DM_TARGET_MSG", 2, false};
inline constexpr Command kSetGeometry{DM_DEV_SET_GEOMETRY, "DM_DEV_SET_GEOMETRY", 6, false};
inline constexpr Command kArmPoll{DM_DEV_ARM_POLL, "DM_DEV_ARM_POLL", 37, false};
inline constexpr Command kGetTargetVersion{DM_GET_TARGET_VERSION, "DM_GET_TARGET_VERSION", 41, true};
}  // namespace command

/// Flags of a suspend: requests that wait are queued again, and file systems are not frozen.
inline constexpr uint32_t kWithoutFlush = DM_NOFLUSH_FLAG | DM_SKIP_LOCKFS_FLAG;

}  // namespace dmthin
