#include "tree/write_stat.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "system/system_call.h"

namespace dmthin {
namespace {

// linux/openat2.h, which machines that build for an old glibc do not have. The number is the same on all of
// them.
constexpr long kOpenat2 = 437;
struct OpenHow {
  uint64_t flags, mode, resolve;
};
constexpr uint64_t kNoOtherMount = 0x01;  // RESOLVE_NO_XDEV
constexpr uint64_t kNoMagicLinks = 0x02;  // RESOLVE_NO_MAGICLINKS
constexpr uint64_t kNoLinks = 0x04;       // RESOLVE_NO_SYMLINKS
constexpr uint64_t kInRoot = 0x10;        // RESOLVE_IN_ROOT

// A rename or a mount anywhere on the machine makes the kernel ask to be asked again, if it came while the
// path went through a `..`. A walk takes microseconds; so many in a row are no coincidence.
constexpr int kAttempts = 128;

int open_by(int directory, const char* path, int flags, uint64_t resolve) {
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  OpenHow how = {static_cast<uint64_t>(kFlags | flags), 0, resolve | kNoOtherMount};
  int fd = -EAGAIN;
  for (int attempt = 0; attempt < kAttempts && (fd == -EAGAIN || fd == -EINTR); ++attempt) {
    fd = system_call("openat2", [&] { return syscall(kOpenat2, directory, path, &how, sizeof how); });
  }
  return fd;
}

}  // namespace

int open_child(int directory, const char* name) { return open_by(directory, name, O_NOFOLLOW, kNoLinks); }

int open_inside(int root, const char* path) {
  return open_by(root, *path == '\0' ? "." : path, 0, kInRoot | kNoMagicLinks);
}

int stat_at(int directory, const char* name, WriteStat& found) {
  // statx and not fstatat: the latter's symbol is younger than the glibc that Node 20 itself asks for.
  struct statx stat = {};
  constexpr int kFlags = AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
  constexpr unsigned kMask =
      STATX_TYPE | STATX_MODE | STATX_UID | STATX_GID | STATX_INO | STATX_ATIME | STATX_MTIME;
  const int result = system_call("statx", [&] { return ::statx(directory, name, kFlags, kMask, &stat); });
  if (result < 0) return result;
  found = {stat.stx_ino, makedev(stat.stx_dev_major, stat.stx_dev_minor), stat.stx_mode, stat.stx_uid,
           stat.stx_gid};
  const statx_timestamp* times[] = {&stat.stx_atime, &stat.stx_mtime};
  for (int i = 0; i < 2; ++i) {
    found.times[i].tv_sec = static_cast<time_t>(times[i]->tv_sec);
    found.times[i].tv_nsec = static_cast<long>(times[i]->tv_nsec);
  }
  return 0;
}

}  // namespace dmthin
