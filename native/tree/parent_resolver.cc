#include "tree/parent_resolver.h"

#include <sys/stat.h>

#include <algorithm>
#include <vector>

#include "system/system_call.h"

namespace dmthin {
namespace {

constexpr mode_t kMissingDirectory = 0755;

}  // namespace

ParentResolver::ParentResolver(UniqueFd root, const WriteStat& stat, const HashKey& key,
                               const WriteLimits& limits)
    : root_(std::move(root)), root_stat_(stat), left_(limits.names), marks_(key, limits.bytes) {}

Status ParentResolver::count(std::string_view name) {
  if (left_ == 0) return failed("entries", E2BIG, std::string(name));
  --left_;
  return Nothing{};
}

Status ParentResolver::leave() {
  known_ = false;
  return visit_.leave();
}

Result<WriteParent> ParentResolver::enter(UniqueFd fd, std::string_view path) {
  known_ = false;
  TRY(visit_.enter(std::move(fd), path, marks_));
  known_ = true;
  return WriteParent{visit_.fd(), visit_.inode()};
}

Result<UniqueFd> ParentResolver::open(std::string_view path) const {
  const std::string text(path);
  const int fd = open_inside(root_.get(), text.c_str());
  if (fd == -ENOENT || fd == -ENOTDIR) return UniqueFd();
  if (fd < 0) return failed("openat2", -fd, text);
  return UniqueFd(fd);
}

Result<WriteParent> ParentResolver::find(std::string_view path) {
  if (known_ && path == visit_.path()) return WriteParent{visit_.fd(), visit_.inode()};
  auto fd = TRY(open(path));
  return fd ? enter(std::move(fd), path) : WriteParent{};
}

Result<WriteParent> ParentResolver::make(std::string_view path) {
  if (!known_ || path != visit_.path()) {
    const std::string text(path);
    const int fd = open_inside(root_.get(), text.c_str());
    if (fd < 0 && fd != -ENOENT) return failed("openat2", -fd, text);
    if (fd < 0) {
      TRY(make_missing(text));
    } else if (auto entered = enter(UniqueFd(fd), path); !entered) {
      return entered;
    }
  }
  TRY(visit_.hide_default_acl());
  return WriteParent{visit_.fd(), visit_.inode()};
}

/// Returns how much of a path is there, of which a part is missing. Searches by halves: one attempt for each
/// part would take the square of a long path.
Result<size_t> ParentResolver::longest_there(const std::string& path) const {
  std::vector<size_t> ends = {0};
  for (size_t at = path.find('/'); at != std::string::npos; at = path.find('/', at + 1)) ends.push_back(at);
  size_t there = 0;
  for (size_t missing = ends.size(); missing - there > 1;) {
    // Usually one directory is missing.
    const size_t middle = missing == ends.size() ? missing - 1 : there + (missing - there) / 2;
    const int fd = open_inside(root_.get(), path.substr(0, ends[middle]).c_str());
    if (fd < 0 && fd != -ENOENT) return failed("openat2", -fd, path);
    const UniqueFd opened(fd);
    (opened ? there : missing) = middle;
  }
  return ends[there];
}

/// Makes the missing directories from the longest part of the path that is there. Below it everything is new,
/// so there is no link to follow.
Status ParentResolver::make_missing(const std::string& path) {
  const auto there = TRY(longest_there(path));
  auto parent = TRY(make(path.substr(0, there)));
  UniqueFd made;
  for (size_t begin = there == 0 ? 0 : there + 1; begin < path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string name = path.substr(begin, end - begin);
    TRY(count(path));
    // EEXIST: a link that leads nowhere.
    int result =
        TRY(checked("mkdir", path, [&] { return ::mkdirat(parent.fd, name.c_str(), kMissingDirectory); }));
    TRY(marks_.made(parent.inode, name));
    const int fd = open_child(parent.fd, name.c_str());
    if (fd < 0) return failed("openat2", -fd, path);
    made.reset(fd);
    WriteStat stat;
    result = stat_at(fd, "", stat);
    if (result < 0) return failed("statx", -result, path);
    // mkdir leaves out what the process's umask says.
    TRY(checked("chmod", path, [&] { return ::fchmod(fd, kMissingDirectory); }));
    parent = {fd, stat.inode};
    begin = end + 1;
  }
  TRY(enter(std::move(made), path));
  return Nothing{};
}

}  // namespace dmthin
