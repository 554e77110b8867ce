#include "fs/freeze_trim.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "fs/ioctl_numbers.h"
#include "system/critical_section.h"
#include "system/scope_guard.h"
#include "system/system_call.h"

namespace dmthin {
namespace {

// Plain pthread objects: they have no destructor, so a thread may still use them while the process exits.
// Held while thawing too: a process that exits waits for a thaw that is under way.
pthread_mutex_t freeze_gate = PTHREAD_MUTEX_INITIALIZER;
Frozen* all_frozen = nullptr;
bool freezes_end = false;

constexpr uint64_t kTrimPiece = uint64_t{4} << 30;

/// Returns whether the file system numbers its bytes from 0 to its size, so that FITRIM can name a part.
/// btrfs does not.
bool has_plain_places(const struct statfs& stat) {
  const auto type = static_cast<uint32_t>(stat.f_type);
  return type == kExtMagic || type == kXfsMagic;
}

}  // namespace

Result<UniqueFd> open_mounted(const std::string& path) {
  const int fd =
      TRY(checked("open", path, [&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  return UniqueFd(fd);
}

Frozen::Frozen(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {
  static const int registered = std::atexit(thaw_all_at_exit);
  (void)registered;
  const MutexLock locked(freeze_gate);
  next_ = all_frozen;
  all_frozen = this;
}

Frozen::~Frozen() {
  pthread_mutex_lock(&freeze_gate);
  for (Frozen** link = &all_frozen; *link != nullptr; link = &(*link)->next_) {
    if (*link == this) {
      *link = next_;
      break;
    }
  }
  thaw_once();
  pthread_mutex_unlock(&freeze_gate);
}

/// Freezes. Returns 0, or -errno. The lock is not held during it: a freeze waits for writers, and a thaw must
/// not wait for it.
int Frozen::freeze() {
  const int result = system_call("FIFREEZE", [&] { return ::ioctl(fd_.get(), FIFREEZE, 0); });
  const MutexLock locked(freeze_gate);
  frozen_ = result >= 0;
  return result;
}

/// Thaws. Returns 0, or -errno. Only the first success counts: a second FITHAW could undo the freeze of
/// somebody else.
int Frozen::thaw_once() {
  if (!frozen_) return 0;
  const int result = system_call("FITHAW", [&] { return ::ioctl(fd_.get(), FITHAW, 0); });
  // EINVAL: somebody else has thawed it, so there is nothing left to do.
  if (result < 0 && result != -EINVAL) return result;
  frozen_ = false;
  return 0;
}

Status Frozen::thaw() {
  const MutexLock locked(freeze_gate);
  const int result = thaw_once();
  if (result < 0) return failed("FITHAW", -result, path_);
  return Nothing{};
}

void thaw_all_at_exit() {
  pthread_mutex_lock(&freeze_gate);
  freezes_end = true;
  for (Frozen* each = all_frozen; each != nullptr; each = each->next_) each->thaw_once();
  pthread_mutex_unlock(&freeze_gate);
}

Result<std::shared_ptr<Frozen>> freeze_file_system(const std::string& path, Cancel& cancel) {
  auto fd = TRY(open_mounted(path));
  // The process does not exit between the freeze and its being known to thaw_all_at_exit.
  CriticalSection section(cancel);
  auto frozen = std::make_shared<Frozen>(std::move(fd), path);
  const int result = frozen->freeze();
  if (result < 0) return failed("FIFREEZE", -result, path);
  pthread_mutex_lock(&freeze_gate);
  const bool late = freezes_end;
  pthread_mutex_unlock(&freeze_gate);
  if (!late && !cancel.requested()) return frozen;
  Failure failure = cancelled("FIFREEZE", path);
  const auto thawed = frozen->thaw();
  failure.rollback.push_back({"FITHAW", path, thawed ? 0 : thawed.failure().error});
  return failure;
}

Status thaw_file_system(const std::string& path) {
  const auto fd = TRY(open_mounted(path));
  TRY(checked("FITHAW", path, [&] { return ::ioctl(fd.get(), FITHAW, 0); }));
  return Nothing{};
}

Status sync_file_system(int file) {
  TRY(checked("syncfs", {}, [&] { return ::syncfs(file); }));
  return Nothing{};
}

Status allocate_file(const std::string& path) {
  const int opened = TRY(checked("open", path, [&] { return ::open(path.c_str(), O_WRONLY | O_CLOEXEC); }));
  const UniqueFd fd(opened);
  // Not fstat: its symbol is younger than the glibc that Node 20 itself asks for.
  const off_t size = ::lseek(fd.get(), 0, SEEK_END);
  if (size < 0) return failed("lseek", errno, path);
  TRY(checked("fallocate", path, [&] { return ::fallocate(fd.get(), 0, 0, size); }));
  return Nothing{};
}

Result<uint64_t> trim_file_system(const TrimRequest& request, Cancel& cancel) {
  const auto fd = TRY(open_mounted(request.path));
  struct statfs stat = {};
  TRY(checked("statfs", request.path, [&] { return ::fstatfs(fd.get(), &stat); }));
  const uint64_t size = static_cast<uint64_t>(stat.f_blocks) * static_cast<uint64_t>(stat.f_bsize);
  const uint64_t end =
      request.length > UINT64_MAX - request.offset ? UINT64_MAX : request.offset + request.length;
  uint64_t discarded = 0;
  for (uint64_t from = request.offset; from < end;) {
    if (cancel.requested())
      return cancelled("FITRIM", request.path, std::to_string(discarded) + " bytes discarded");
    // The size leaves out what the file system needs for itself: whatever lies behind it goes with the last.
    const bool last = !has_plain_places(stat) || size <= kTrimPiece || from >= size - kTrimPiece;
    const uint64_t to = last ? end : std::min(end, from + kTrimPiece);
    fstrim_range range = {from, to - from, request.least_extent};
    TRY(checked(
        "FITRIM", request.path, [&] { return ::ioctl(fd.get(), FITRIM, &range); },
        std::to_string(discarded) + " bytes discarded"));
    discarded += range.len;
    from = to;
  }
  return discarded;
}

}  // namespace dmthin
