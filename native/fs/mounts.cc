#include "fs/mounts.h"

#include <sys/mount.h>
#include <sys/vfs.h>

#include "fs/mount_table.h"
#include "system/scope_guard.h"
#include "system/system_call.h"

namespace dmthin {
namespace {

unsigned long flag_if(bool wanted, unsigned long flag) { return wanted ? flag : 0; }

/// Of the file system at `target`. No system call tells of it, only its mount's line.
bool is_lazytime(const std::string& target) {
  const auto mounts = mounts_seen_by("/proc/self");
  const MountLine* mount = mount_at(mounts, without_links(target));
  return mount != nullptr && ("," + mount->file_system_options + ",").find(",lazytime,") != std::string::npos;
}

/// The flags of the mount at `target` as mount(2) takes them, which clears those that it is not given. statfs
/// numbers most of them alike.
Result<unsigned long> flags_now(const std::string& target) {
  struct statfs stat = {};
  const int result = system_call("statfs", [&] { return ::statfs(target.c_str(), &stat); });
  if (result < 0) return failed("statfs", -result, target);
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
  const int result = system_call("mount", [&] {
    return ::mount(request.source.c_str(), request.target.c_str(), request.type.c_str(), request.flags,
                   request.data.empty() ? nullptr : request.data.c_str());
  });
  if (result < 0) return failed("mount", -result, request.source, request.target);
  return Nothing{};
}

Status remount_file_system(const RemountRequest& request) {
  const auto now = flags_now(request.target);
  if (!now) return now.failure();
  const unsigned long flags =
      (*now & ~request.clear) | request.set | MS_REMOUNT | flag_if(request.mount_alone, MS_BIND);
  const int result = system_call("remount", [&] {
    return ::mount("none", request.target.c_str(), nullptr, flags,
                   request.data.empty() ? nullptr : request.data.c_str());
  });
  if (result < 0) return failed("remount", -result, request.target);
  return Nothing{};
}

Status bind_mount(const BindRequest& request) {
  const unsigned long flags = MS_BIND | flag_if(request.recursive, MS_REC);
  const int result = system_call("bind mount", [&] {
    return ::mount(request.source.c_str(), request.target.c_str(), nullptr, flags, nullptr);
  });
  if (result < 0) return failed("bind mount", -result, request.source, request.target);
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
  const int result =
      system_call("propagation", [&] { return ::mount("none", target.c_str(), nullptr, flags, nullptr); });
  if (result < 0) return failed("propagation", -result, target);
  return Nothing{};
}

Status unmount_file_system(const std::string& target, int flags) {
  const int result = system_call("umount2", [&] { return ::umount2(target.c_str(), flags); });
  if (result < 0) return failed("umount2", -result, target);
  return Nothing{};
}

}  // namespace dmthin
