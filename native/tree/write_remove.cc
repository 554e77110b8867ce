#include "tree/write_remove.h"

#include <dirent.h>
#include <fcntl.h>

#include <memory>
#include <string>
#include <vector>

#include "abi/system_call.h"

namespace dmthin {
namespace {

struct Closer {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

/// A directory on the way down. Its names are read at once: what is removed meanwhile confuses nobody.
struct Level {
  uint64_t inode = 0;
  std::string name;
  bool stays = false;
  std::vector<std::string> names;
};

// However deep the tree is, one directory is open at a time and the thread's stack does not grow: whoever
// packed the lower layers chose the depth.
class Emptying {
 public:
  Emptying(const WriteRemoval& removal, Cancel& cancel) : removal_(removal), cancel_(cancel) {}

  Status run(UniqueFd directory) {
    if (const auto entered = enter(std::move(directory), "", true); !entered) return entered;
    for (;;) {
      if (cancel_.requested()) {
        Failure failure = failed("remove", EINTR, removal_.path);
        failure.cancelled = true;
        return failure;
      }
      if (levels_.back().names.empty()) {
        if (levels_.size() == 1) return Nothing{};
        if (const auto left = leave(); !left) return left;
        continue;
      }
      const std::string name = std::move(levels_.back().names.back());
      levels_.back().names.pop_back();
      if (const auto done = one(name); !done) return done;
    }
  }

 private:
  Failure refused(const char* operation, int result) const {
    return failed(operation, -result, removal_.path);
  }

  Status one(const std::string& name) {
    const bool stays = removal_.keep != nullptr && removal_.keep->has(levels_.back().inode, name);
    if (stays) {
      WriteStat stat;
      const int result = stat_at(at_.get(), name.c_str(), stat);
      if (result < 0) return refused("statx", result);
      if (!stat.directory()) return Nothing{};
    } else {
      const int result = system_call("unlink", [&] { return ::unlinkat(at_.get(), name.c_str(), 0); });
      if (result == 0) return Nothing{};
      if (result != -EISDIR) return refused("unlink", result);
    }
    const int fd = system_call("open", [&] {
      return ::openat(at_.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    });
    if (fd < 0) return refused("open", fd);
    return enter(UniqueFd(fd), name, stays);
  }

  Status enter(UniqueFd directory, const std::string& name, bool stays) {
    WriteStat stat;
    int result = stat_at(directory.get(), "", stat);
    if (result < 0) return refused("statx", result);
    if (stat.device != removal_.device) return refused("remove", -EXDEV);
    Level level{stat.inode, name, stays, {}};
    const int copy =
        system_call("open", [&] { return ::openat(directory.get(), ".", O_RDONLY | O_CLOEXEC); });
    if (copy < 0) return refused("open", copy);
    const std::unique_ptr<DIR, Closer> names(::fdopendir(copy));
    if (!names) {
      ::close(copy);
      return refused("open", -ENOMEM);
    }
    errno = 0;
    while (const dirent* each = ::readdir(names.get())) {
      const std::string_view text = each->d_name;
      if (text != "." && text != "..") level.names.emplace_back(text);
    }
    if (errno != 0) return refused("readdir", -errno);
    levels_.push_back(std::move(level));
    at_ = std::move(directory);
    return Nothing{};
  }

  /// Back up by `..`, and only into the directory from which this one was entered.
  Status leave() {
    const Level level = std::move(levels_.back());
    levels_.pop_back();
    const int fd =
        system_call("open", [&] { return ::openat(at_.get(), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
    if (fd < 0) return refused("open", fd);
    at_.reset(fd);
    WriteStat stat;
    int result = stat_at(fd, "", stat);
    if (result < 0) return refused("statx", result);
    if (stat.inode != levels_.back().inode || stat.device != removal_.device)
      return refused("remove", -ESTALE);
    if (level.stays) return Nothing{};
    result = system_call("rmdir", [&] { return ::unlinkat(fd, level.name.c_str(), AT_REMOVEDIR); });
    // Something in it stays, and so does what leads there.
    if (result == -ENOTEMPTY && removal_.keep != nullptr) return Nothing{};
    if (result < 0) return refused("rmdir", result);
    return Nothing{};
  }

  const WriteRemoval& removal_;
  Cancel& cancel_;
  UniqueFd at_;
  std::vector<Level> levels_;
};

}  // namespace

Status empty_directory(int directory, const WriteRemoval& removal, Cancel& cancel) {
  const int fd = system_call(
      "open", [&] { return ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC); });
  if (fd < 0) return failed("open", -fd, removal.path);
  return Emptying(removal, cancel).run(UniqueFd(fd));
}

Status remove_name(const WriteParent& parent, const char* name, const WriteRemoval& removal, Cancel& cancel) {
  const bool stays = removal.keep != nullptr && removal.keep->has(parent.inode, name);
  if (!stays) {
    const int result = system_call("unlink", [&] { return ::unlinkat(parent.fd, name, 0); });
    if (result == 0 || result == -ENOENT) return Nothing{};
    if (result != -EISDIR) return failed("unlink", -result, removal.path);
  }
  const int fd = system_call(
      "open", [&] { return ::openat(parent.fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC); });
  // Made by this archive, and no directory.
  if (stays && (fd == -ENOTDIR || fd == -ELOOP || fd == -ENOENT || fd == -ENXIO)) return Nothing{};
  if (fd < 0) return failed("open", -fd, removal.path);
  if (const auto emptied = Emptying(removal, cancel).run(UniqueFd(fd)); !emptied) return emptied;
  if (stays) return Nothing{};
  const int result = system_call("rmdir", [&] { return ::unlinkat(parent.fd, name, AT_REMOVEDIR); });
  if (result == -ENOTEMPTY && removal.keep != nullptr) return Nothing{};
  if (result < 0) return failed("rmdir", -result, removal.path);
  return Nothing{};
}

}  // namespace dmthin
