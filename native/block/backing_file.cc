#include "block/backing_file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstring>

#include "system/aligned.h"
#include "system/scope_guard.h"
#include "system/system_call.h"
#include "system/unique_fd.h"

namespace dmthin {
namespace {

constexpr uint64_t kHoleProbeBytes = uint64_t{1024} * 1024;

Result<UniqueFd> open_path(const std::string& path, int flags) {
  const int fd = TRY(checked("open", path, [&] { return ::open(path.c_str(), flags | O_CLOEXEC, 0600); }));
  return UniqueFd(fd);
}

Status truncate_to(int fd, uint64_t size, const std::string& path) {
  TRY(checked("ftruncate", path, [&] { return ::ftruncate(fd, static_cast<off_t>(size)); }));
  return Nothing{};
}

Result<SparseFile> fill_new_file(int fd, const std::string& path, uint64_t size_bytes) {
  // A small piece first: on a file system without holes the whole size would be written out with zeros.
  const uint64_t probe = size_bytes < kHoleProbeBytes ? size_bytes : kHoleProbeBytes;
  TRY(truncate_to(fd, probe, path));
  auto identity = TRY(identify(fd, path));
  if (identity.allocated_bytes >= probe) return failed("ftruncate", EOPNOTSUPP, path, "no holes");
  TRY(truncate_to(fd, size_bytes, path));
  identity = TRY(identify(fd, path));
  return SparseFile{identity, true};
}

}  // namespace

// statx and not fstat: the latter's symbol is younger than the glibc that Node 20 itself asks for.
Result<FileIdentity> identify(int fd, const std::string& path) {
  struct statx stat = {};
  TRY(checked("statx", path, [&] { return ::statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stat); }));
  FileIdentity identity;
  identity.device = makedev(stat.stx_dev_major, stat.stx_dev_minor);
  identity.inode = stat.stx_ino;
  identity.size_bytes = stat.stx_size;
  identity.allocated_bytes = stat.stx_blocks * 512;
  identity.regular = S_ISREG(stat.stx_mode);
  identity.block_device = S_ISBLK(stat.stx_mode);
  identity.target_device = makedev(stat.stx_rdev_major, stat.stx_rdev_minor);
  return identity;
}

Result<FileIdentity> identify_path(const std::string& path) {
  auto fd = TRY(open_path(path, O_PATH));
  return identify(fd.get(), path);
}

/// Returns the file as it was found.
static Result<SparseFile> existing_file(const std::string& path, uint64_t size_bytes) {
  const auto identity = TRY(identify_path(path));
  if (!identity.regular) return failed("create file", EINVAL, path, "not a regular file");
  if (identity.size_bytes != size_bytes) {
    const bool larger = identity.size_bytes > size_bytes;
    return failed("create file", larger ? EFBIG : ERANGE, path, std::to_string(identity.size_bytes));
  }
  return SparseFile{identity, false};
}

/// Opens a file without a name, in the folder of `path`; -errno, among them that the file system has no such
/// files.
static int open_unnamed(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  return system_call("create file",
                     [&] { return ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600); });
}

// The file gets its name when it has its size: another process that makes the same pool finds it whole or not
// at all, and a process killed in between leaves nothing.
Result<SparseFile> create_sparse(const std::string& path, uint64_t size_bytes) {
  if (::access(path.c_str(), F_OK) == 0) return existing_file(path, size_bytes);
  const int unnamed = open_unnamed(path);
  if (unnamed >= 0) {
    const UniqueFd owned(unnamed);
    auto file = TRY(fill_new_file(unnamed, path, size_bytes));
    const std::string link = "/proc/self/fd/" + std::to_string(unnamed);
    const int linked = system_call("link file", [&] {
      return ::linkat(AT_FDCWD, link.c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW);
    });
    if (linked >= 0) return file;
    if (linked == -EEXIST) return existing_file(path, size_bytes);
    if (linked != -ENOENT) return failed("link file", -linked, path);
    // Without /proc it cannot be given its name.
  } else if (unnamed != -EOPNOTSUPP && unnamed != -EISDIR && unnamed != -EINVAL && unnamed != -ENOENT) {
    return failed("create file", -unnamed, path);
  }
  const int fd = system_call(
      "create file", [&] { return ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600); });
  if (fd == -EEXIST) return existing_file(path, size_bytes);
  if (fd < 0) return failed("create file", -fd, path);
  const UniqueFd owned(fd);
  const auto unlink = [&] { return ::unlink(path.c_str()) == 0 ? 0 : errno; };
  ScopeGuard made(unlink);
  auto file = fill_new_file(fd, path, size_bytes);
  if (!file) file.failure().rollback.push_back({"unlink", path, 0});
  made.dismiss();
  if (!file) file.failure().rollback.back().error = unlink();
  return file;
}

Result<FileIdentity> grow_file(const std::string& path, uint64_t size_bytes) {
  auto fd = TRY(open_path(path, O_RDWR));
  const auto before = TRY(identify(fd.get(), path));
  if (before.size_bytes >= size_bytes)
    return failed("ftruncate", ERANGE, path, std::to_string(before.size_bytes));
  TRY(truncate_to(fd.get(), size_bytes, path));
  return identify(fd.get(), path);
}

Status delete_file(const std::string& path) {
  const int result = system_call("unlink", [&] { return ::unlink(path.c_str()); });
  if (result < 0 && result != -ENOENT) return failed("unlink", -result, path);
  return Nothing{};
}

Result<uint64_t> block_size_bytes(const std::string& path) {
  auto fd = TRY(open_path(path, O_RDONLY));
  uint64_t size = 0;
  TRY(checked("BLKGETSIZE64", path, [&] { return ::ioctl(fd.get(), BLKGETSIZE64, &size); }));
  return size;
}

Result<std::vector<std::vector<uint8_t>>> read_blocks(const std::string& path,
                                                      const std::vector<uint64_t>& blocks,
                                                      uint32_t block_bytes, bool exclusive) {
  auto fd = TRY(open_path(path, O_RDONLY | O_DIRECT | (exclusive ? O_EXCL : 0)));
  const Aligned buffer = aligned(block_bytes);
  if (!buffer) return failed("posix_memalign", ENOMEM, path);
  std::vector<std::vector<uint8_t>> found;
  found.reserve(blocks.size());
  for (const uint64_t block : blocks) {
    const auto at = static_cast<off_t>(block * block_bytes);
    const int got = TRY(checked(
        "pread", path, [&] { return ::pread(fd.get(), buffer.get(), block_bytes, at); },
        "block " + std::to_string(block)));
    // Short at the end of a device that is no multiple of the block: what is not there reads as zeros.
    memset(buffer.get() + got, 0, block_bytes - static_cast<uint32_t>(got));
    found.emplace_back(buffer.get(), buffer.get() + block_bytes);
  }
  return found;
}

Status zero_blocks(const std::string& path, const std::vector<uint64_t>& blocks, uint32_t block_bytes) {
  auto fd = TRY(open_path(path, O_WRONLY | O_DIRECT | O_EXCL));
  const Aligned zeros = aligned(block_bytes);
  if (!zeros) return failed("posix_memalign", ENOMEM, path);
  const off_t end = ::lseek(fd.get(), 0, SEEK_END);
  if (end < 0) return failed("lseek", errno, path);
  for (const uint64_t block : blocks) {
    const auto at = static_cast<off_t>(block * block_bytes);
    if (at >= end) continue;
    const auto length = static_cast<size_t>(std::min<off_t>(block_bytes, end - at));
    const int written = TRY(checked(
        "pwrite", path, [&] { return ::pwrite(fd.get(), zeros.get(), length, at); },
        "block " + std::to_string(block)));
    if (static_cast<size_t>(written) != length) return failed("pwrite", EIO, path, "short write");
  }
  TRY(checked("fdatasync", path, [&] { return ::fdatasync(fd.get()); }));
  return Nothing{};
}

Status sync_file(int file) {
  TRY(checked("fdatasync", {}, [&] { return ::fdatasync(file); }));
  return Nothing{};
}

std::string read_small_file(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return {};
  char buffer[4096 + 64];
  const ssize_t size = ::read(fd.get(), buffer, sizeof buffer);
  if (size <= 0) return {};
  std::string text(buffer, static_cast<size_t>(size));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

std::string read_whole_file(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  char buffer[16384];
  for (ssize_t size; fd && (size = ::read(fd.get(), buffer, sizeof buffer)) > 0;) {
    text.append(buffer, static_cast<size_t>(size));
  }
  return text;
}

}  // namespace dmthin
