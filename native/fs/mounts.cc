#include "fs/mounts.h"

#include <sys/mount.h>
#include <sys/vfs.h>

#include "fs/mount_table.h"
#include "system/scope_guard.h"
#include "system/system_call.h"

namespace dmthin {
namespace {

unsigned long flag_if(bool wanted, unsigned long flag) { return wanted ? flag : 0; }

/// Returns whether the file system at `target` is mounted with lazytime, which only its line in mountinfo
/// shows.
bool is_lazytime(const std::string& target) {
  const auto mounts = mounts_seen_by("/proc/self");
  const MountLine* mount = mount_at(mounts, without_links(target));
  return mount != nullptr && ("," + mount->file_system_options + ",").find(",lazytime,") != std::string::npos;
}

/// Returns the flags of the mount at `target` as mount(2) takes them, which clears those that it is not
/// given. statfs numbers most of them alike.
Result<unsigned long> flags_now(const std::string& target) {
  struct statfs stat = {};
  TRY(checked("statfs", target, [&] { return ::statfs(target.c_str(), &stat); }));
  // include/linux/statfs.h
  constexpr unsigned long kStatRelatime = 0x1000;
  constexpr unsigned long kStatNoSymlinks = 0x2000;
  constexpr unsigned long kNoSymlinks = 256;  // MS_NOSYMFOLLOW, since 5.10
  constexpr unsigned long kSame = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_SYNCHRONOUS |
                                  MS_MANDLOCK | MS_NOATIME | MS_NODIRATIME;
  const auto flags = static_cast<unsigned long>(stat.f_flags);
  // Beside MS_NODIRATIME alone the kernel would take relatime for the default.
  const bool strict = (flags & (kStatRelatime | MS_NOATIME)) == 0;
  return (flags & kSame) | flag_if((flags & kStatRelatime) != 0, MS_RELATIME) |
         flag_if(strict, MS_STRICTATIME) | flag_if((flags & kStatNoSymlinks) != 0, kNoSymlinks) |
         flag_if(is_lazytime(target), MS_LAZYTIME);
}

}  // namespace

Status mount_file_system(const MountRequest& request) {
  TRY(checked(
      "mount", request.source,
      [&] {
        return ::mount(request.source.c_str(), request.target.c_str(), request.type.c_str(), request.flags,
                       request.data.empty() ? nullptr : request.data.c_str());
      },
      request.target));
  return Nothing{};
}

Status remount_file_system(const RemountRequest& request) {
  const auto now = TRY(flags_now(request.target));
  const unsigned long flags =
      (now & ~request.clear) | request.set | MS_REMOUNT | flag_if(request.mount_alone, MS_BIND);
  TRY(checked("remount", request.target, [&] {
    return ::mount("none", request.target.c_str(), nullptr, flags,
                   request.data.empty() ? nullptr : request.data.c_str());
  }));
  return Nothing{};
}

Status bind_mount(const BindRequest& request) {
  const unsigned long flags = MS_BIND | flag_if(request.recursive, MS_REC);
  TRY(checked(
      "bind mount", request.source,
      [&] { return ::mount(request.source.c_str(), request.target.c_str(), nullptr, flags, nullptr); },
      request.target));
  if (!request.read_only) return Nothing{};
  const auto unmount = [&] { return ::umount2(request.target.c_str(), UMOUNT_NOFOLLOW) == 0 ? 0 : errno; };
  ScopeGuard bound(unmount);
  // The kernel looks at no other flag while it binds: read-only takes a second call.
  RemountRequest remount;
  remount.target = request.target;
  remount.mount_alone = true;
  remount.set = MS_RDONLY;
  auto done = remount_file_system(remount);
  if (!done) done.failure().rollback.push_back({"umount2", request.target, 0});
  bound.dismiss();
  if (!done) done.failure().rollback.back().error = unmount();
  return done;
}

Status set_propagation(const std::string& target, unsigned long flags) {
  TRY(checked("propagation", target,
              [&] { return ::mount("none", target.c_str(), nullptr, flags, nullptr); }));
  return Nothing{};
}

Status unmount_file_system(const std::string& target, int flags) {
  TRY(checked("umount2", target, [&] { return ::umount2(target.c_str(), flags); }));
  return Nothing{};
}

}  // namespace dmthin
