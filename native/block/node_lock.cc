#include "block/node_lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include "system/file_lock.h"

namespace dmthin {

Result<UniqueFd> lock_node(const std::string& path, Cancel& cancel) {
  const int fd = TRY(
      checked("open node", path, [&] { return ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC); }));
  UniqueFd owned(fd);
  TRY(wait_for_lock("lock node", path, cancel, [&] { return ::flock(fd, LOCK_EX); }));
  return owned;
}

}  // namespace dmthin
