#include "tree/write_visit.h"

#include <sys/xattr.h>

#include "system/system_call.h"
#include "tree/write_attributes.h"

namespace dmthin {
namespace {

constexpr const char* kDefaultAcl = "system.posix_acl_default";
constexpr size_t kShortValue = 256;  // has room for 31 entries
constexpr size_t kLongValue = 65536;

/// Reads the default ACL; none if the directory has none, or the file system has no ACLs.
Result<std::optional<std::string>> default_acl(int fd, const std::string& path) {
  std::string value(kShortValue, '\0');
  const auto get = [&] { return ::fgetxattr(fd, kDefaultAcl, value.data(), value.size()); };
  int length = system_call("getxattr", get);
  if (length == -ERANGE) {
    value.resize(kLongValue);
    length = system_call("getxattr", get);
  }
  if (length == -ENODATA || length == -EOPNOTSUPP) return std::optional<std::string>();
  if (length < 0) return failed("getxattr", -length, path, kDefaultAcl);
  value.resize(static_cast<size_t>(length));
  return std::optional<std::string>(std::move(value));
}

}  // namespace

Status WriteVisit::enter(UniqueFd fd, std::string_view path, const WriteMarks& marks) {
  TRY(leave());
  path_ = path;
  const int result = stat_at(fd.get(), "", stat_);
  if (result < 0) return failed("statx", -result, path_);
  timed_ = marks.has_timed(stat_.inode);
  acl_asked_ = false;
  fd_ = std::move(fd);
  return Nothing{};
}

Status WriteVisit::hide_default_acl() {
  if (acl_asked_) return Nothing{};
  auto acl = TRY(default_acl(fd_.get(), path_));
  if (acl) {
    TRY(checked("removexattr", path_, [&] { return ::fremovexattr(fd_.get(), kDefaultAcl); }, kDefaultAcl));
  }
  acl_ = std::move(acl);
  acl_asked_ = true;
  return Nothing{};
}

Status WriteVisit::leave() {
  if (!fd_) return Nothing{};
  const UniqueFd fd = std::move(fd_);
  const auto acl = std::exchange(acl_, std::nullopt);
  if (acl) {
    TRY(checked(
        "setxattr", path_, [&] { return ::fsetxattr(fd.get(), kDefaultAcl, acl->data(), acl->size(), 0); },
        kDefaultAcl));
  }
  return timed_ ? set_times(fd.get(), stat_.times, path_) : Status(Nothing{});
}

}  // namespace dmthin
