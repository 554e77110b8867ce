#include "tree/tree_entry.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "system/directory.h"
#include "system/system_call.h"

namespace dmthin {
namespace {

// Newer than the headers of the oldest system that the library builds on; the same on x64 and arm64.
constexpr long kOpenTree = 428;               // SYS_open_tree, since 5.2
constexpr unsigned kOpenTreeClone = 1;        // OPEN_TREE_CLONE
constexpr uint64_t kAttributeMount = 0x2000;  // STATX_ATTR_MOUNT_ROOT, since 5.8

struct Named {
  size_t name_at;
  size_t name_length;
  uint64_t inode;
};

EntryStat plain(const struct statx& stat) {
  EntryStat entry;
  entry.is = {stat.stx_ino,          stat.stx_size,          stat.stx_mtime.tv_sec,
              stat.stx_ctime.tv_sec, stat.stx_mtime.tv_nsec, stat.stx_ctime.tv_nsec};
  entry.mode = stat.stx_mode;
  entry.uid = stat.stx_uid;
  entry.gid = stat.stx_gid;
  entry.links = stat.stx_nlink;
  entry.device_major = stat.stx_rdev_major;
  entry.device_minor = stat.stx_rdev_minor;
  return entry;
}

/// Opens without a change of the access time if the kernel allows it, which it does for own files.
Result<UniqueFd> open_at(int parent, const char* name, int flags, const std::string& path) {
  flags |= O_RDONLY | O_NOFOLLOW | O_CLOEXEC;
  int fd = system_call("open", [&] { return ::openat(parent, name, flags | O_NOATIME); });
  if (fd == -EPERM) fd = system_call("open", [&] { return ::openat(parent, name, flags); });
  if (fd < 0) return tree_failure("open", -fd, path);
  return UniqueFd(fd);
}

/// Returns the names of a directory, without `.` and `..`.
Result<std::vector<Named>> names_of(int directory, std::vector<char>& names, const std::string& path,
                                    Cancel& cancel) {
  std::vector<Named> found;
  DirectoryNames pieces(directory);
  for (;;) {
    if (cancel.requested()) return tree_cancelled(path);
    const auto piece = pieces.next();
    if (!piece) return tree_failure("getdents64", piece.failure().error, path);
    if (*piece == nullptr) return found;
    for (const DirectoryName& each : **piece) {
      found.push_back({names.size(), each.name.size(), each.inode});
      names.insert(names.end(), each.name.begin(), each.name.end());
      names.push_back('\0');
    }
  }
}

}  // namespace

bool EntryStat::directory() const { return S_ISDIR(mode); }
bool EntryStat::regular() const { return S_ISREG(mode); }
bool EntryStat::symlink() const { return S_ISLNK(mode); }

Failure tree_cancelled(const std::string& path) { return cancelled("tree", path); }

Failure tree_changed(const std::string& path) { return failed("tree changed", ESTALE, path); }

Failure tree_failure(Operation operation, int error, const std::string& path) {
  if (error == ENOENT || error == ENOTDIR || error == ELOOP || error == ESTALE) return tree_changed(path);
  return failed(operation, error, path);
}

Result<EntryStat> stat_entry(int directory, const char* name, const std::string& path) {
  struct statx stat = {};
  const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name == '\0' ? AT_EMPTY_PATH : 0);
  const int result =
      system_call("statx", [&] { return ::statx(directory, name, flags, STATX_BASIC_STATS, &stat); });
  if (result < 0) return tree_failure("statx", -result, path);
  if (*name != '\0' && (stat.stx_attributes & kAttributeMount) != 0) return failed("tree mount", EXDEV, path);
  return plain(stat);
}

Result<TreeRoot> open_tree_root(const std::string& path) {
  TreeRoot root;
  root.path = path;
  const int given =
      TRY(checked("open tree", path, [&] { return ::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC); }));
  root.given.reset(given);
  // Fails without CAP_SYS_ADMIN, on old kernels, and where a user namespace has locked the mounts: then a
  // mount inside the tree is an error when it is come upon.
  const int clone = system_call("open_tree", [&] {
    return ::syscall(kOpenTree, given, "", kOpenTreeClone | unsigned{O_CLOEXEC} | unsigned{AT_EMPTY_PATH});
  });
  if (clone >= 0) root.clone.reset(clone);
  const int parent = root.clone ? root.clone.get() : given;
  auto fd = TRY(open_directory(parent, ".", path));
  root.fd = std::move(fd);
  root.stat = TRY(stat_entry(root.fd.get(), "", path));
  return root;
}

// statx in the order of the inodes: on a cold disk a directory's own order reads the inode tables here and
// there.
Result<Listing> list_directory(int directory, const std::string& path, Cancel& cancel) {
  Listing listing;
  auto found = TRY(names_of(directory, listing.names, path, cancel));
  std::sort(found.begin(), found.end(),
            [](const Named& one, const Named& other) { return one.inode < other.inode; });
  listing.entries.reserve(found.size());
  for (const Named& each : found) {
    if (cancel.requested()) return tree_cancelled(path);
    const char* name = listing.names.data() + each.name_at;
    auto stat = stat_entry(directory, name, path);
    if (!stat) {
      stat.failure().device = path + "/" + name;
      return stat.failure();
    }
    listing.entries.push_back({each.name_at, each.name_length, *stat});
  }
  const char* names = listing.names.data();
  std::sort(listing.entries.begin(), listing.entries.end(),
            [names](const DirectoryEntry& one, const DirectoryEntry& other) {
              return std::string_view(names + one.name_at, one.name_length) <
                     std::string_view(names + other.name_at, other.name_length);
            });
  return listing;
}

Result<UniqueFd> open_directory(int parent, const char* name, const std::string& path) {
  return open_at(parent, name, O_DIRECTORY, path);
}

// O_NONBLOCK: a pipe that has taken the place of the file since must not be waited for.
Result<UniqueFd> open_regular(int parent, const char* name, const std::string& path) {
  return open_at(parent, name, O_NONBLOCK, path);
}

}  // namespace dmthin
