#include "block/node_lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include "system/file_lock.h"

namespace dmthin {

Result<UniqueFd> lock_node(const std::string& path, Cancel& cancel) {
  const int fd =
      system_call("open node", [&] { return ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC); });
  if (fd < 0) return failed("open node", -fd, path);
  UniqueFd owned(fd);
  const auto locked = wait_for_lock("lock node", path, cancel, [&] { return ::flock(fd, LOCK_EX); });
  if (!locked) return locked.failure();
  return owned;
}

}  // namespace dmthin
