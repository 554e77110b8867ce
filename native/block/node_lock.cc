#include "block/node_lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include "system/system_call.h"

namespace dmthin {

Result<UniqueFd> lock_node(const std::string& path, Cancel& cancel) {
  const int fd =
      system_call("open node", [&] { return ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC); });
  if (fd < 0) return failed("open node", -fd, path);
  UniqueFd owned(fd);
  for (;;) {
    if (cancel.requested()) {
      Failure failure = failed("lock node", EINTR, path);
      failure.cancelled = true;
      return failure;
    }
    const int result = system_call("lock node", [&] { return ::flock(fd, LOCK_EX); });
    if (result >= 0) return owned;
    if (result != -EINTR) return failed("lock node", -result, path);
  }
}

}  // namespace dmthin
