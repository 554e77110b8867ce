#include "abi/section_lock.h"

#include <fcntl.h>
#include <sys/file.h>
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

}  // namespace dmthin
