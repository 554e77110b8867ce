// What a failure names as having failed. TypeScript decides by these names
// (lib/kernel/errors/native-operation.ts): a unit test holds the two lists together, and the compiler refuses
// a name that is not in this one.
#pragma once

#include <string>
#include <string_view>

namespace dmthin {

constexpr std::string_view kOperations[] = {
    "BLKDISCARD",
    "BLKFLSBUF",
    "BLKGETSIZE64",
    "BLKPBSZGET",
    "BLKROGET",
    "BLKROSET",
    "BLKRRPART",
    "BLKSECDISCARD",
    "BLKSSZGET",
    "BLKZEROOUT",
    "DM_DEV_ARM_POLL",
    "DM_DEV_CREATE",
    "DM_DEV_REMOVE",
    "DM_DEV_RENAME",
    "DM_DEV_RESUME",
    "DM_DEV_SET_GEOMETRY",
    "DM_DEV_STATUS",
    "DM_DEV_SUSPEND",
    "DM_DEV_WAIT",
    "DM_GET_TARGET_VERSION",
    "DM_LIST_DEVICES",
    "DM_LIST_VERSIONS",
    "DM_REMOVE_ALL",
    "DM_TABLE_CLEAR",
    "DM_TABLE_DEPS",
    "DM_TABLE_LOAD",
    "DM_TABLE_STATUS",
    "DM_TARGET_MSG",
    "DM_VERSION",
    "EXT4_IOC_RESIZE_FS",
    "FIFREEZE",
    "FIONREAD",
    "FITHAW",
    "FITRIM",
    "LOOP_CHANGE_FD",
    "LOOP_CLR_FD",
    "LOOP_CONFIGURE",
    "LOOP_CTL_ADD",
    "LOOP_CTL_GET_FREE",
    "LOOP_GET_STATUS64",
    "LOOP_SET_BLOCK_SIZE",
    "LOOP_SET_CAPACITY",
    "LOOP_SET_DIRECT_IO",
    "LOOP_SET_FD",
    "LOOP_SET_STATUS64",
    "XFS_IOC_FSGEOMETRY",
    "XFS_IOC_FSGROWFSDATA",
    "allocate",
    "attach",
    "batch",
    "bind mount",
    "chmod",
    "chown",
    "commit",
    "create",
    "create file",
    "digest",
    "double activation",
    "dup",
    "entries",
    "expect uevent",
    "fallocate",
    "fdatasync",
    "flock",
    "flock loop-control",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fsync",
    "ftruncate",
    "getdents64",
    "getrandom",
    "getxattr",
    "grow",
    "link",
    "link file",
    "listxattr",
    "lock cookie",
    "lock gate",
    "lock node",
    "lock thin",
    "lseek",
    "memory",
    "metadata",
    "mkdir",
    "mknod",
    "mount",
    "native",
    "open",
    "open block device",
    "open control",
    "open lock",
    "open loop",
    "open loop-control",
    "open metadata",
    "open node",
    "open tree",
    "open_tree",
    "openat2",
    "opendir",
    "parse the kernel's answer",
    "poll events",
    "posix_memalign",
    "pread",
    "propagation",
    "pthread_create",
    "pwrite",
    "range",
    "read",
    "readlink",
    "remount",
    "remove",
    "removexattr",
    "request",
    "reserve",
    "rmdir",
    "semctl",
    "semget",
    "setxattr",
    "statfs",
    "statx",
    "symlink",
    "syncfs",
    "tree",
    "tree changed",
    "tree mount",
    "truncate",
    "umount2",
    "unexpect uevent",
    "unlink",
    "utimens",
    "wait for udev",
    "write",
};

class Operation {
 public:
  consteval Operation(const char* name) : name_(name) {
    for (const std::string_view each : kOperations) {
      if (each == name) return;
    }
    throw "not in kOperations";
  }
  /// The operation of a failure before the first one.
  static constexpr Operation none() { return Operation(); }

  constexpr const char* name() const { return name_; }
  operator std::string() const { return name_; }
  bool operator==(const Operation& other) const { return std::string_view(name_) == other.name_; }

 private:
  constexpr Operation() : name_("") {}
  const char* name_;
};

}  // namespace dmthin
