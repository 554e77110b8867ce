#include "tree/write_place.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include <functional>

#include "abi/system_call.h"

namespace dmthin {
namespace {

// linux/openat2.h, which machines that build for an old glibc have not. The number is the same on all of
// them.
constexpr long kOpenat2 = 437;
struct OpenHow {
  uint64_t flags, mode, resolve;
};
constexpr uint64_t kNoOtherFileSystem = 0x01;  // RESOLVE_NO_XDEV
constexpr uint64_t kNoMagicLinks = 0x02;       // RESOLVE_NO_MAGICLINKS
constexpr uint64_t kInRoot = 0x10;             // RESOLVE_IN_ROOT

constexpr mode_t kMissingDirectory = 0755;

int open_inside(int root, const char* path, int flags) {
  OpenHow how = {static_cast<uint64_t>(flags | O_CLOEXEC), 0, kInRoot | kNoMagicLinks | kNoOtherFileSystem};
  // EAGAIN: a rename somewhere on the machine, or a signal, came between; the kernel asks to be asked again.
  for (;;) {
    const int fd = system_call("openat2", [&] { return syscall(kOpenat2, root, path, &how, sizeof how); });
    if (fd != -EAGAIN && fd != -EINTR) return fd;
  }
}

}  // namespace

uint64_t WrittenNames::key(uint64_t directory, std::string_view name) {
  uint64_t mixed = directory * 0x9E3779B97F4A7C15u;
  mixed = (mixed ^ (mixed >> 32)) + std::hash<std::string_view>{}(name);
  return mixed * 0xD6E8FEB86659FD93u;
}

int stat_at(int directory, const char* name, WriteStat& found) {
  // statx and not fstatat: the latter's symbol is younger than the glibc that Node 20 itself asks for.
  struct statx stat = {};
  constexpr int kFlags = AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
  const int result = system_call("statx", [&] {
    return ::statx(directory, name, kFlags, STATX_TYPE | STATX_MODE | STATX_UID | STATX_GID | STATX_INO,
                   &stat);
  });
  if (result < 0) return result;
  found = {stat.stx_ino, makedev(stat.stx_dev_major, stat.stx_dev_minor), stat.stx_mode, stat.stx_uid,
           stat.stx_gid};
  return 0;
}

WritePlaces::WritePlaces(UniqueFd root, const WriteStat& stat, uint64_t most)
    : root_(std::move(root)), root_stat_(stat), left_(most) {}

Status WritePlaces::count(std::string_view name) {
  if (left_ == 0) return failed("entries", E2BIG, std::string(name));
  --left_;
  return Nothing{};
}

Result<WriteParent> WritePlaces::keep(UniqueFd fd, std::string_view path) {
  WriteStat stat;
  const int result = stat_at(fd.get(), "", stat);
  if (result < 0) return failed("statx", -result, std::string(path));
  fd_ = std::move(fd);
  path_ = path;
  inode_ = stat.inode;
  known_ = true;
  return WriteParent{fd_.get(), inode_};
}

Result<WriteParent> WritePlaces::find(std::string_view path) {
  if (path.empty()) return WriteParent{root_.get(), root_stat_.inode};
  if (known_ && path == path_) return WriteParent{fd_.get(), inode_};
  const std::string text(path);
  const int fd = open_inside(root_.get(), text.c_str(), O_PATH | O_DIRECTORY);
  if (fd == -ENOENT || fd == -ENOTDIR) return WriteParent{};
  if (fd < 0) return failed("openat2", -fd, text);
  return keep(UniqueFd(fd), path);
}

Result<WriteParent> WritePlaces::make(std::string_view path) {
  if (path.empty()) return WriteParent{root_.get(), root_stat_.inode};
  if (known_ && path == path_) return WriteParent{fd_.get(), inode_};
  const std::string text(path);
  const int fd = open_inside(root_.get(), text.c_str(), O_PATH | O_DIRECTORY);
  if (fd == -ENOENT) {
    auto made = make_missing(text);
    if (!made) return made.failure();
    return keep(std::move(*made), path);
  }
  if (fd < 0) return failed("openat2", -fd, text);
  return keep(UniqueFd(fd), path);
}

/// From the longest part of the path that is there. Below it everything is new, so there is no link to
/// follow.
Result<UniqueFd> WritePlaces::make_missing(const std::string& path) {
  std::string there = path;
  UniqueFd at;
  while (!at) {
    const size_t slash = there.rfind('/');
    there.resize(slash == std::string::npos ? 0 : slash);
    const char* where = there.empty() ? "." : there.c_str();
    const int fd = open_inside(root_.get(), where, O_PATH | O_DIRECTORY);
    if (fd >= 0)
      at.reset(fd);
    else if (fd != -ENOENT || there.empty())
      return failed("openat2", -fd, path);
  }
  for (size_t begin = there.empty() ? 0 : there.size() + 1; begin < path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string name = path.substr(begin, end - begin);
    if (const auto counted = count(path); !counted) return counted.failure();
    WriteStat parent;
    int result = stat_at(at.get(), "", parent);
    if (result < 0) return failed("statx", -result, path);
    // EEXIST: a link that leads nowhere.
    result = system_call("mkdir", [&] { return ::mkdirat(at.get(), name.c_str(), kMissingDirectory); });
    if (result < 0) return failed("mkdir", -result, path);
    const int fd = system_call("open", [&] {
      return ::openat(at.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    });
    if (fd < 0) return failed("open", -fd, path);
    at.reset(fd);
    written_.add(parent.inode, name);
    // mkdir leaves out what the process's umask says.
    result = system_call("chmod", [&] { return ::fchmod(fd, kMissingDirectory); });
    if (result < 0) return failed("chmod", -result, path);
    begin = end + 1;
  }
  return at;
}

Result<UniqueFd> WritePlaces::open(const std::string& path) const {
  const char* where = path.empty() ? "." : path.c_str();
  const int fd = open_inside(root_.get(), where, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP) return UniqueFd();
  if (fd < 0) return failed("openat2", -fd, path);
  return UniqueFd(fd);
}

}  // namespace dmthin
