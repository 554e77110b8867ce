#include "tree/tree_same.h"

#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "system/system_call.h"

namespace dmthin {
namespace {

constexpr size_t kCompareBytes = size_t{256} * 1024;
constexpr size_t kMaxXattrBytes = 65536;  // XATTR_LIST_MAX and XATTR_SIZE_MAX
constexpr size_t kMaxLinkBytes = 4096;    // PATH_MAX
constexpr const char* kHostLabel = "security.selinux";

/// Returns a path of the entry. The calls on extended attributes of a symbolic link or a device take a path
/// and no descriptor.
std::string path_of(const Place& place) {
  const char* name = *place.name == '\0' ? "." : place.name;
  return "/proc/self/fd/" + std::to_string(place.directory) + "/" + name;
}

/// Returns whether the error is that of a file system without extended attributes.
bool has_none(int error) { return error == EOPNOTSUPP; }

Result<size_t> fill(int fd, char* memory, const std::string& path, Cancel& cancel) {
  size_t filled = 0;
  while (filled < kCompareBytes) {
    if (cancel.requested()) return tree_cancelled(path);
    const int got = system_call("read", [&] { return ::read(fd, memory + filled, kCompareBytes - filled); });
    if (got == -EINTR) continue;
    if (got < 0) return tree_failure("read", -got, path);
    if (got == 0) break;
    filled += static_cast<size_t>(got);
  }
  return filled;
}

Result<bool> same_content(const Place& lower, const Place& upper, std::vector<char>& scratch,
                          Cancel& cancel) {
  if (upper.stat->is.size == 0) return true;
  auto one = TRY(open_regular(lower.directory, lower.name, lower.path));
  auto other = TRY(open_regular(upper.directory, upper.name, upper.path));
  if (scratch.size() < 2 * kCompareBytes) scratch.resize(2 * kCompareBytes);
  for (;;) {
    const auto left = TRY(fill(one.get(), scratch.data(), lower.path, cancel));
    const auto right = TRY(fill(other.get(), scratch.data() + kCompareBytes, upper.path, cancel));
    if (left != right || memcmp(scratch.data(), scratch.data() + kCompareBytes, left) != 0) return false;
    if (left < kCompareBytes) return true;
  }
}

}  // namespace

Result<Xattrs> xattrs_of(const Place& place) {
  const std::string path = path_of(place);
  Xattrs found;
  const int needed = system_call("listxattr", [&] { return ::llistxattr(path.c_str(), nullptr, 0); });
  if (needed == 0 || has_none(-needed)) return found;
  if (needed < 0) return tree_failure("listxattr", -needed, place.path);
  std::vector<char> list(kMaxXattrBytes);
  const int length =
      system_call("listxattr", [&] { return ::llistxattr(path.c_str(), list.data(), list.size()); });
  if (length < 0) return tree_failure("listxattr", -length, place.path);
  std::vector<char> value(kMaxXattrBytes);
  const auto end = static_cast<size_t>(length);
  for (size_t at = 0; at < end;) {
    const std::string name(list.data() + at, strnlen(list.data() + at, end - at));
    at += name.size() + 1;
    if (name.empty() || name == kHostLabel) continue;
    const int got = system_call(
        "getxattr", [&] { return ::lgetxattr(path.c_str(), name.c_str(), value.data(), value.size()); });
    if (got == -ENODATA) return tree_changed(place.path);
    if (got < 0) return tree_failure("getxattr", -got, place.path);
    found.emplace_back(name, std::string(value.data(), static_cast<size_t>(got)));
  }
  std::sort(found.begin(), found.end());
  return found;
}

Result<std::string> link_target(const Place& place) {
  std::string target(kMaxLinkBytes, '\0');
  const int got = system_call(
      "readlink", [&] { return ::readlinkat(place.directory, place.name, target.data(), target.size()); });
  // EINVAL: it is no symbolic link any more.
  if (got == -EINVAL) return tree_changed(place.path);
  if (got < 0) return tree_failure("readlink", -got, place.path);
  target.resize(static_cast<size_t>(got));
  return target;
}

bool same_attributes(const EntryStat& lower, const EntryStat& upper) {
  if (lower.mode != upper.mode || lower.uid != upper.uid || lower.gid != upper.gid) return false;
  // A directory's size and times follow what is in it, which is compared by itself.
  if (upper.directory()) return true;
  return lower.is.size == upper.is.size && lower.is.modified == upper.is.modified &&
         lower.is.modified_ns == upper.is.modified_ns && lower.device_major == upper.device_major &&
         lower.device_minor == upper.device_minor;
}

Result<bool> same_entry(const Place& lower, const Place& upper, std::vector<char>& scratch, Cancel& cancel) {
  if (!same_attributes(*lower.stat, *upper.stat)) return false;
  if (lower.stat->is == upper.stat->is) return true;
  auto one = TRY(xattrs_of(lower));
  auto other = TRY(xattrs_of(upper));
  if (one != other) return false;
  if (upper.stat->symlink()) {
    auto left = TRY(link_target(lower));
    auto right = TRY(link_target(upper));
    return left == right;
  }
  return upper.stat->regular() ? same_content(lower, upper, scratch, cancel) : Result<bool>(true);
}

}  // namespace dmthin
