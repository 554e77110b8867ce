#include "dm/pool_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "system/file_lock.h"

namespace dmthin {

namespace {

/// Behind the bytes of all thin ids.
constexpr off_t kGate = off_t{1} << 32;
/// One byte for each thin id.
constexpr off_t kResizes = off_t{1} << 33;

/// The lock is the open file's, not the process's: threads exclude each other.
struct flock byte_at(off_t offset, short type) {
  struct flock one = {};
  one.l_type = type;
  one.l_whence = SEEK_SET;
  one.l_start = offset;
  one.l_len = 1;
  return one;
}

constexpr char kLockDirectory[] = "/run/dm-thin";

std::string lock_path(const std::string& key) { return std::string(kLockDirectory) + "/" + key + ".lock"; }

Result<UniqueFd> open_lock_file(const std::string& path) {
  const auto open_file = [&] {
    return ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  };
  int fd = system_call("open lock", open_file);
  if (fd == -ENOENT) {
    ::mkdir(kLockDirectory, 0700);
    fd = system_call("open lock", open_file);
  }
  if (fd < 0) return failed("open lock", -fd, path);
  return UniqueFd(fd);
}

}  // namespace

Result<UniqueFd> lock_pool(const std::string& key, LockMode mode, Cancel& cancel) {
  const std::string path = lock_path(key);
  auto opened = TRY(open_lock_file(path));
  UniqueFd owned = std::move(opened);
  const int fd = owned.get();
  const int operation = mode == LockMode::kShared ? LOCK_SH : LOCK_EX;
  const auto lock = [&] {
    return wait_for_lock("flock", path, cancel, [&] { return ::flock(fd, operation); });
  };
  // One call says that nobody waits for the exclusive lock, in place of two that go through the gate.
  struct flock gate = byte_at(kGate, F_WRLCK);
  if (mode == LockMode::kShared && ::fcntl(fd, F_OFD_GETLK, &gate) == 0 && gate.l_type == F_UNLCK) {
    TRY(lock());
    return owned;
  }
  gate = byte_at(kGate, F_WRLCK);
  const auto entered =
      wait_for_lock("lock gate", path, cancel, [&] { return ::fcntl(fd, F_OFD_SETLKW, &gate); });
  if (!entered) return entered.failure();
  TRY(lock());
  gate.l_type = F_UNLCK;
  TRY(checked("lock gate", path, [&] { return ::fcntl(fd, F_OFD_SETLK, &gate); }));
  return owned;
}

Result<std::optional<UniqueFd>> try_lock_pool(const std::string& key) {
  const std::string path = lock_path(key);
  auto opened = TRY(open_lock_file(path));
  const int fd = opened.get();
  const auto taken = [](int result) { return result == -EAGAIN || result == -EACCES; };
  struct flock gate = byte_at(kGate, F_WRLCK);
  const int entered = system_call("lock gate", [&] { return ::fcntl(fd, F_OFD_SETLK, &gate); });
  if (taken(entered)) return std::optional<UniqueFd>();
  if (entered < 0) return failed("lock gate", -entered, path);
  const int locked = system_call("flock", [&] { return ::flock(fd, LOCK_EX | LOCK_NB); });
  if (taken(locked)) return std::optional<UniqueFd>();
  if (locked < 0) return failed("flock", -locked, path);
  gate.l_type = F_UNLCK;
  TRY(checked("lock gate", path, [&] { return ::fcntl(fd, F_OFD_SETLK, &gate); }));
  return std::optional<UniqueFd>(std::move(opened));
}

/// Opens a lock file that only this process has.
static Result<UniqueFd> lock_of_process() {
  static const int file = ::memfd_create("dm-thin", MFD_CLOEXEC);
  // A lock belongs to an open file: each caller needs one of its own, of the one inode.
  const std::string path = "/proc/self/fd/" + std::to_string(file);
  const int fd = TRY(checked("open lock", path, [&] { return ::open(path.c_str(), O_RDWR | O_CLOEXEC); }));
  return UniqueFd(fd);
}

Result<UniqueFd> lock_pool_shared(const std::string& pool_name, Cancel& cancel) {
  auto locked = lock_pool(pool_name, LockMode::kShared, cancel);
  if (!locked && !locked.failure().cancelled) return lock_of_process();
  return locked;
}

ThinLock::~ThinLock() {
  if (!file_.fd || file_.fd.use_count() == 1) return;  // closing the file ends its locks
  struct flock one = byte_at(id_, F_UNLCK);
  ::fcntl(file_.fd->get(), F_OFD_SETLK, &one);
}

Result<ThinLockFile> open_thin_locks(const std::string& pool_name, Cancel& cancel) {
  auto file = lock_pool(pool_name, LockMode::kShared, cancel);
  const bool of_machine = static_cast<bool>(file);
  if (!file && !file.failure().cancelled) file = lock_of_process();
  if (!file) return file.failure();
  return ThinLockFile{std::make_shared<const UniqueFd>(std::move(*file)), of_machine};
}

/// Locks one byte. `id` is for messages.
static Status lock_byte(int fd, off_t offset, short type, uint32_t id, Cancel& cancel) {
  struct flock one = byte_at(offset, type);
  return wait_for_lock("lock thin", std::to_string(id), cancel,
                       [&] { return ::fcntl(fd, F_OFD_SETLKW, &one); });
}

Result<ThinLock> lock_thin(const ThinLockFile& file, uint32_t id, Cancel& cancel) {
  // One byte of the file for each id.
  TRY(lock_byte(file.fd->get(), id, F_WRLCK, id, cancel));
  return ThinLock(file, id);
}

Result<bool> try_lock_new_thin(const ThinLockFile& file, uint32_t id) {
  struct flock one = byte_at(id, F_WRLCK);
  const int locked = system_call("lock thin", [&] { return ::fcntl(file.fd->get(), F_OFD_SETLK, &one); });
  if (locked == -EAGAIN || locked == -EACCES) return false;
  if (locked < 0) return failed("lock thin", -locked, std::to_string(id));
  return true;
}

Result<ThinLock> lock_thin(const std::string& pool_name, uint32_t id, Cancel& cancel) {
  const auto file = TRY(open_thin_locks(pool_name, cancel));
  return lock_thin(file, id, cancel);
}

/// Opens the lock file of a pool without the pool's lock; where /run cannot be written, that of this process.
static Result<UniqueFd> open_unlocked(const std::string& pool_name) {
  auto file = open_lock_file(lock_path(pool_name));
  if (!file) file = lock_of_process();
  return file;
}

Result<ThinLockFile> open_new_thin_locks(const std::string& pool_name) {
  auto file = TRY(open_unlocked(pool_name));
  return ThinLockFile{std::make_shared<const UniqueFd>(std::move(file)), false};
}

/// Locks one thin id in that file, until the descriptor is closed.
static Result<UniqueFd> lock_in_file(const std::string& pool_name, uint32_t id, short type, Cancel& cancel) {
  auto file = TRY(open_unlocked(pool_name));
  TRY(lock_byte(file.get(), id, type, id, cancel));
  return file;
}

Result<UniqueFd> lock_thin_alone(const std::string& pool_name, uint32_t id, Cancel& cancel) {
  return lock_in_file(pool_name, id, F_WRLCK, cancel);
}

Result<UniqueFd> lock_thin_shared(const std::string& pool_name, uint32_t id, Cancel& cancel) {
  return lock_in_file(pool_name, id, F_RDLCK, cancel);
}

Result<UniqueFd> lock_thin_to_resize(const std::string& pool_name, uint32_t id, Cancel& cancel) {
  auto file = TRY(open_unlocked(pool_name));
  TRY(lock_byte(file.get(), kResizes + id, F_WRLCK, id, cancel));
  TRY(lock_byte(file.get(), id, F_RDLCK, id, cancel));
  return file;
}

}  // namespace dmthin
