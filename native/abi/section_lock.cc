#include "abi/section_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "abi/system_call.h"

namespace dmthin {

Result<UniqueFd> lock_sections(const std::string& pool_name, LockMode mode, Cancel& cancel) {
  const char* directory = "/run/dm-thin";
  const std::string path = std::string(directory) + "/" + pool_name + ".lock";
  const auto open_file = [&] {
    return ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  };
  int fd = system_call("open lock", open_file);
  if (fd == -ENOENT) {
    ::mkdir(directory, 0700);
    fd = system_call("open lock", open_file);
  }
  if (fd < 0) return failed("open lock", -fd, path);
  UniqueFd owned(fd);
  const int operation = mode == LockMode::kShared ? LOCK_SH : LOCK_EX | LOCK_NB;
  for (;;) {
    if (cancel.requested()) {
      Failure failure = failed("flock", EINTR, path);
      failure.cancelled = true;
      return failure;
    }
    const int result = system_call("flock", [&] { return ::flock(fd, operation); });
    if (result >= 0) return owned;
    if (result != -EINTR) return failed("flock", -result, path);
  }
}

/// A lock file that only this process has.
static Result<UniqueFd> lock_of_process() {
  static const int file = ::memfd_create("dm-thin", MFD_CLOEXEC);
  // A lock belongs to an open file: each caller needs one of its own, of the one inode.
  const std::string path = "/proc/self/fd/" + std::to_string(file);
  const int fd = system_call("open lock", [&] { return ::open(path.c_str(), O_RDWR | O_CLOEXEC); });
  if (fd < 0) return failed("open lock", -fd, path);
  return UniqueFd(fd);
}

Result<UniqueFd> enter_sections(const std::string& pool_name, Cancel& cancel) {
  auto locked = lock_sections(pool_name, LockMode::kShared, cancel);
  if (!locked && !locked.failure().cancelled) return lock_of_process();
  return locked;
}

Result<UniqueFd> lock_thin(const std::string& pool_name, uint32_t id, ThinLock mode, Cancel& cancel) {
  auto file = enter_sections(pool_name, cancel);
  if (!file) return file;
  // One byte of the file for each id. The lock is the open file's, not the process's: threads exclude each
  // other.
  struct flock one = {};
  one.l_type = mode == ThinLock::kShared ? F_RDLCK : F_WRLCK;
  one.l_whence = SEEK_SET;
  one.l_start = id;
  one.l_len = 1;
  for (;;) {
    if (cancel.requested()) {
      Failure failure = failed("lock thin", EINTR, std::to_string(id));
      failure.cancelled = true;
      return failure;
    }
    const int result = system_call("lock thin", [&] { return ::fcntl(file->get(), F_OFD_SETLKW, &one); });
    if (result >= 0) return file;
    if (result != -EINTR) return failed("lock thin", -result, std::to_string(id));
  }
}

}  // namespace dmthin
