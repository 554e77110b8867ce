#include "tree/write_attributes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "system/system_call.h"

namespace dmthin {
namespace {

constexpr uint32_t kPermissions = 07777;

/// `set(name, value)` for each; the first refusal ends it.
template <class Set>
Status each_attribute(std::string_view attributes, const std::string& path, const Set& set) {
  while (const auto each = next_attribute(attributes)) {
    TRY(checked(
        "setxattr", path, [&] { return set(each->name.data(), each->value); }, std::string(each->name)));
  }
  return Nothing{};
}

timespec time_of(int64_t seconds, uint32_t nanoseconds) {
  timespec time = {};
  time.tv_sec = static_cast<time_t>(seconds);
  time.tv_nsec = static_cast<long>(nanoseconds);
  return time;
}

}  // namespace

WriteAttributes::WriteAttributes(const WriteRecord& record)
    : mode(record.mode),
      uid(record.uid),
      gid(record.gid),
      times{time_of(record.accessed, record.accessed_ns), time_of(record.modified, record.modified_ns)},
      attributes(record.attributes) {}

Status set_times(int fd, const timespec (&times)[2], const std::string& path) {
  TRY(checked("utimens", path, [&] { return ::futimens(fd, times); }));
  return Nothing{};
}

Status set_attributes(int fd, const WriteAttributes& attributes, const std::string& path) {
  // Asking is cheap, and most are right already. The owner first: a change of it takes set-user-id away. What
  // carries file capabilities after both, for the same reason.
  WriteStat stat;
  int result = stat_at(fd, "", stat);
  if (result < 0) return failed("statx", -result, path);
  const bool owner = stat.uid != attributes.uid || stat.gid != attributes.gid;
  if (owner) {
    TRY(checked("chown", path, [&] { return ::fchown(fd, attributes.uid, attributes.gid); }));
  }
  if ((stat.mode & kPermissions) != attributes.mode || (owner && (attributes.mode & 06000) != 0)) {
    TRY(checked("chmod", path, [&] { return ::fchmod(fd, attributes.mode); }));
  }
  TRY(each_attribute(attributes.attributes, path, [&](const char* name, std::string_view value) {
    return ::fsetxattr(fd, name, value.data(), value.size(), 0);
  }));
  return set_times(fd, attributes.times, path);
}

Status set_attributes_of_name(int parent, const char* name, const WriteAttributes& attributes,
                              const std::string& path) {
  WriteStat stat;
  int result = stat_at(parent, name, stat);
  if (result < 0) return failed("statx", -result, path);
  if (stat.uid != attributes.uid || stat.gid != attributes.gid) {
    TRY(checked("chown", path, [&] {
      return ::fchownat(parent, name, attributes.uid, attributes.gid, AT_SYMLINK_NOFOLLOW);
    }));
  }
  if (!stat.symlink() && (stat.mode & kPermissions) != attributes.mode) {
    TRY(checked("chmod", path, [&] { return ::fchmodat(parent, name, attributes.mode, 0); }));
  }
  if (!attributes.attributes.empty()) {
    // There is no call for an attribute of a name in a directory before Linux 6.13; /proc leads to the very
    // inode.
    const int fd =
        TRY(checked("open", path, [&] { return ::openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC); }));
    const UniqueFd held(fd);
    const std::string self = "/proc/self/fd/" + std::to_string(fd);
    TRY(each_attribute(attributes.attributes, path, [&](const char* key, std::string_view value) {
      return ::setxattr(self.c_str(), key, value.data(), value.size(), 0);
    }));
  }
  TRY(checked("utimens", path,
              [&] { return ::utimensat(parent, name, attributes.times, AT_SYMLINK_NOFOLLOW); }));
  return Nothing{};
}

}  // namespace dmthin
