// Mounted file systems by their ioctls: freeze and thaw, trim, grow.
#pragma once

#include <memory>
#include <string>

#include "system/cancel.h"
#include "system/result.h"
#include "system/unique_fd.h"

namespace dmthin {

void thaw_all_at_exit();

/// A file system that this process has frozen. It is thawed when this goes, and at the latest by
/// process.exit(): what nobody thaws blocks every writer until the machine is restarted. Only a process
/// that is killed leaves it frozen.
class Frozen {
 public:
  Frozen(UniqueFd fd, std::string path);
  ~Frozen();
  Frozen(const Frozen&) = delete;
  Frozen& operator=(const Frozen&) = delete;

  /// Sends FIFREEZE, which destruction undoes. Returns 0 or -errno.
  int freeze();
  /// Sends FITHAW through the descriptor that froze it: a path may lead elsewhere by now. Nothing the second
  /// time.
  Status thaw();

 private:
  friend void thaw_all_at_exit();
  int thaw_once();
  UniqueFd fd_;
  const std::string path_;
  bool frozen_ = false;
  Frozen* next_ = nullptr;
};

/// Sends FIFREEZE: waits until what was written is on the device and no writer is under way. EBUSY when it is
/// frozen already. If the call is cancelled, the file system is thawed again.
Result<std::shared_ptr<Frozen>> freeze_file_system(const std::string& path, Cancel& cancel);
/// Sends FITHAW by path, for what somebody else froze. EINVAL when it is not frozen.
Status thaw_file_system(const std::string& path);

/// Waits until the file system of an open file or directory has everything on its disk (syncfs). Fails with
/// what its disk has refused since the file was opened (Linux 5.8 or later). The file stays the caller's,
/// open until this is through.
Status sync_file_system(int file);

/// Allocates the blocks of a file that has holes, up to its size; they read as zeros (fallocate). EOPNOTSUPP
/// where its file system cannot.
Status allocate_file(const std::string& path);

struct TrimRequest {
  std::string path;
  uint64_t offset = 0;
  uint64_t length = UINT64_MAX;
  uint64_t least_extent = 0;  // bytes: smaller free pieces are left
};

/// Sends FITRIM, piece by piece where the file system's places are numbered through (ext4, xfs). How many
/// bytes it says that it discarded.
Result<uint64_t> trim_file_system(const TrimRequest& request, Cancel& cancel);

struct Grown {
  std::string type;  // "ext4" or "xfs"
  uint64_t device_bytes = 0;
  uint64_t before_bytes = 0;  // as statfs counts: ext4 leaves its own tables out
  uint64_t after_bytes = 0;
};

/// Sends EXT4_IOC_RESIZE_FS or XFS_IOC_FSGROWFSDATA: grows to the size of the device below. EOPNOTSUPP for
/// other types.
Result<Grown> grow_file_system(const std::string& path);

}  // namespace dmthin
