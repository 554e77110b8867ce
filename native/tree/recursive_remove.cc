#include "tree/recursive_remove.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "system/directory.h"
#include "system/system_call.h"
#include "tree/write_attributes.h"

namespace dmthin {
namespace {

/// The directories that are still to be entered, in one piece of memory: a mark of one byte, the name, a NUL.
class Waiting {
 public:
  void push(std::string_view name, bool stays) {
    text_ += stays ? kStays : kGoes;
    text_ += name;
    text_ += '\0';
  }
  /// Takes the last one; there must be one.
  std::string pop(bool& stays) {
    text_.pop_back();
    const size_t end = text_.rfind('\0');
    const size_t begin = end == std::string::npos ? 0 : end + 1;
    stays = text_[begin] == kStays;
    std::string name = text_.substr(begin + 1);
    text_.resize(begin);
    return name;
  }
  bool empty() const { return text_.empty(); }
  void clear() { text_.clear(); }
  size_t bytes() const { return text_.capacity(); }

 private:
  static constexpr char kStays = 's';
  static constexpr char kGoes = 'g';
  std::string text_;
};

/// A directory on the way down.
struct Level {
  WriteStat stat;
  std::string name;
  bool stays = false;
  bool listed = false;
  Waiting directories;
};

// However deep the tree is, one directory is open at a time and the thread's stack does not grow: whoever
// packed the lower layers chose the depth.
class RecursiveRemover {
 public:
  RecursiveRemover(const WriteRemoval& removal, Cancel& cancel) : removal_(removal), cancel_(cancel) {}

  /// Empties the directory. `stays`: it is not about to be removed itself.
  Status run(UniqueFd directory, bool stays) {
    TRY(enter(std::move(directory), "", stays));
    for (;;) {
      if (cancel_.requested()) return cancelled();
      Level& level = levels_.back();
      if (!level.directories.empty()) {
        bool kept = false;
        const std::string name = level.directories.pop(kept);
        const int fd = open_child(at_.get(), name.c_str());
        if (fd < 0) return refused("openat2", fd);
        TRY(enter(UniqueFd(fd), name, kept));
        continue;
      }
      TRY(put_back_times(level));
      if (levels_.size() == 1) return emptied(level);
      TRY(leave());
    }
  }

 private:
  Failure refused(Operation operation, int result) const { return failed(operation, -result, removal_.path); }

  Failure cancelled() const {
    Failure failure = failed("remove", EINTR, removal_.path);
    failure.cancelled = true;
    return failure;
  }

  Status enter(UniqueFd directory, const std::string& name, bool stays) {
    Level level;
    const int result = stat_at(directory.get(), "", level.stat);
    if (result < 0) return refused("statx", result);
    if (level.stat.device != removal_.device) return refused("remove", -EXDEV);
    level.name = name;
    level.stays = stays;
    at_ = std::move(directory);
    level.listed = removal_.keep == nullptr || !removal_.keep->has_emptied(level.stat.inode);
    for (bool again = level.listed; again;) {
      again = TRY(sift(level));
    }
    bytes_ += bytes_of(level);
    if (bytes_ > removal_.max_bytes) return failed("memory", E2BIG, removal_.path);
    levels_.push_back(std::move(level));
    return Nothing{};
  }

  /// Removes from the directory what is no directory, and notes which directories it has. True if names were
  /// removed between two pieces of the list: what a file system leaves out then, the next time shows.
  Result<bool> sift(Level& level) {
    level.directories.clear();
    if (::lseek(at_.get(), 0, SEEK_SET) < 0) return refused("lseek", -errno);
    DirectoryNames names(at_.get());
    bool removed = false;
    for (int pieces = 0;; ++pieces) {
      if (cancel_.requested()) return cancelled();
      const auto piece = names.next();
      if (!piece) return refused("getdents64", -piece.failure().error);
      if (*piece == nullptr) return removed && pieces > 1;
      for (const DirectoryName& each : **piece) {
        const auto gone = TRY(one(level, each));
        removed = removed || gone;
      }
      if (bytes_ + bytes_of(level) > removal_.max_bytes) return failed("memory", E2BIG, removal_.path);
    }
  }

  /// Returns whether the name was removed.
  Result<bool> one(Level& level, const DirectoryName& entry) {
    const bool stays = removal_.keep != nullptr && removal_.keep->has_made(level.stat.inode, entry.name);
    uint8_t type = entry.type;
    if (stays && type == DT_UNKNOWN) {
      WriteStat stat;
      const int result = stat_at(at_.get(), entry.name.data(), stat);
      if (result < 0) return refused("statx", result);
      type = stat.directory() ? DT_DIR : DT_REG;
    }
    if (stays && type != DT_DIR) return false;
    if (type != DT_DIR) {
      const int result = system_call("unlink", [&] { return ::unlinkat(at_.get(), entry.name.data(), 0); });
      if (result == 0) return true;
      if (result != -EISDIR) return refused("unlink", result);
    }
    level.directories.push(entry.name, stays);
    return false;
  }

  /// Goes back up by `..`, and only into the directory from which this one was entered.
  Status leave() {
    const int fd = open_child(at_.get(), "..");
    if (fd < 0) return refused("openat2", fd);
    at_.reset(fd);
    WriteStat stat;
    int result = stat_at(fd, "", stat);
    if (result < 0) return refused("statx", result);
    const Level level = std::move(levels_.back());
    levels_.pop_back();
    bytes_ -= bytes_of(level);
    if (stat.inode != levels_.back().stat.inode || stat.device != removal_.device)
      return refused("remove", -ESTALE);
    if (level.stays) return emptied(level);
    result = system_call("rmdir", [&] { return ::unlinkat(fd, level.name.c_str(), AT_REMOVEDIR); });
    // Something in it stays, and so does what leads there.
    if (result == -ENOTEMPTY && removal_.keep != nullptr) return emptied(level);
    if (result < 0) return refused("rmdir", result);
    return Nothing{};
  }

  /// Marks the directory, so that it is not listed again however often the archive empties it.
  Status emptied(const Level& level) {
    return removal_.keep == nullptr ? Status(Nothing{}) : removal_.keep->emptied(level.stat.inode);
  }

  /// Restores the times of a directory that stays and has them of the archive: listing it and removing from
  /// it changes them.
  Status put_back_times(const Level& level) {
    if (!level.stays || !level.listed || !removal_.keep->has_timed(level.stat.inode)) return Nothing{};
    return set_times(at_.get(), level.stat.times, removal_.path);
  }

  static size_t bytes_of(const Level& level) {
    return sizeof level + level.name.capacity() + level.directories.bytes();
  }

  const WriteRemoval& removal_;
  Cancel& cancel_;
  UniqueFd at_;
  std::vector<Level> levels_;
  size_t bytes_ = 0;
};

}  // namespace

Status empty_directory(int directory, const WriteRemoval& removal, Cancel& cancel) {
  const int fd = open_child(directory, ".");
  if (fd < 0) return failed("openat2", -fd, removal.path);
  return RecursiveRemover(removal, cancel).run(UniqueFd(fd), true);
}

Status remove_name(const WriteParent& parent, const char* name, const WriteRemoval& removal, Cancel& cancel) {
  const bool stays = removal.keep != nullptr && removal.keep->has_made(parent.inode, name);
  if (!stays) {
    const int result = system_call("unlink", [&] { return ::unlinkat(parent.fd, name, 0); });
    if (result == 0 || result == -ENOENT) return Nothing{};
    if (result != -EISDIR) return failed("unlink", -result, removal.path);
  }
  const int fd = open_child(parent.fd, name);
  // Made by this archive, and no directory.
  if (stays && (fd == -ENOTDIR || fd == -ELOOP || fd == -ENOENT || fd == -ENXIO)) return Nothing{};
  if (fd < 0) return failed("openat2", -fd, removal.path);
  TRY(RecursiveRemover(removal, cancel).run(UniqueFd(fd), stays));
  if (stays) return Nothing{};
  const int result = system_call("rmdir", [&] { return ::unlinkat(parent.fd, name, AT_REMOVEDIR); });
  if (result == -ENOTEMPTY && removal.keep != nullptr) return Nothing{};
  if (result < 0) return failed("rmdir", -result, removal.path);
  return Nothing{};
}

}  // namespace dmthin
