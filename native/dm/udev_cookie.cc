#include "dm/udev_cookie.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/sem.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>

#include "system/clock.h"
#include "system/directory.h"
#include "system/number.h"
#include "system/system_call.h"

namespace dmthin {
namespace {

constexpr uint32_t kMagic = 0x0D4D;  // libdevmapper.h DM_COOKIE_MAGIC
constexpr const char* kDirectory = "/run/dm-thin";
constexpr const char* kPrefix = "cookie-";
constexpr int kTries = 100;
constexpr int64_t kNsPerMillisecond = 1'000'000;

// The system's headers leave this to the caller (semctl(2)).
union semun {
  int val;
};

std::string lock_path(uint32_t key) {
  char name[64];
  snprintf(name, sizeof name, "%s/%s%08x", kDirectory, kPrefix, key);
  return name;
}

// statx and not stat: that symbol is younger than the glibc that Node 20 asks for.
uint64_t inode_of(int directory, const char* path) {
  struct statx found = {};
  return ::statx(directory, path, AT_EMPTY_PATH, STATX_INO, &found) == 0 ? found.stx_ino : 0;
}

/// Returns the key in a lock file's name; 0 where it is none.
uint32_t key_in(const char* name) { return number_after<uint32_t>(name, kPrefix, 16).value_or(0); }

/// Opens and locks the lock file of a key. Returns -errno; -EWOULDBLOCK if its process lives.
int lock_key(uint32_t key, int flags) {
  const std::string path = lock_path(key);
  for (;;) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
    if (fd < 0) return -errno;
    UniqueFd owned(fd);
    if (::flock(fd, LOCK_EX | LOCK_NB) < 0) return -errno;
    // Whoever swept in between has unlinked what was locked just now.
    if (inode_of(fd, "") == inode_of(AT_FDCWD, path.c_str())) {
      return owned.release();
    }
  }
}

void remove_semaphore(uint32_t key) {
  const int semaphore = ::semget(static_cast<key_t>(key), 1, 0);
  if (semaphore >= 0) ::semctl(semaphore, 0, IPC_RMID);
}

Status change(int semaphore, short by, Operation operation) {
  sembuf step{0, by, IPC_NOWAIT};  // never waits, also where somebody else has counted it down
  TRY(checked(operation, {}, [&] { return ::semop(semaphore, &step, 1); }));
  return Nothing{};
}

}  // namespace

int sweep_udev_cookies() {
  int swept = 0;
  each_name(kDirectory, [&](const char* name) {
    const uint32_t key = key_in(name);
    if (key >> 16 != kMagic) return;
    const int fd = lock_key(key, 0);
    if (fd < 0) return;
    const UniqueFd lock(fd);
    remove_semaphore(key);
    ::unlink(lock_path(key).c_str());
    ++swept;
  });
  return swept;
}

UdevCookie::UdevCookie(uint32_t key, int semaphore, UniqueFd lock)
    : key_(key), semaphore_(semaphore), lock_(std::move(lock)) {}

UdevCookie::UdevCookie(UdevCookie&& other) noexcept
    : key_(other.key_), semaphore_(std::exchange(other.semaphore_, -1)), lock_(std::move(other.lock_)) {}

UdevCookie::~UdevCookie() { remove(); }

Result<UdevCookie> UdevCookie::begin() {
  ::mkdir(kDirectory, 0700);
  sweep_udev_cookies();
  for (int tries = 0; tries < kTries; ++tries) {
    uint16_t base = 0;
    if (::getrandom(&base, sizeof base, 0) != sizeof base || base == 0) continue;
    const uint32_t key = kMagic << 16 | base;
    const int lock = lock_key(key, O_CREAT);
    if (lock == -EWOULDBLOCK) continue;  // another process's
    if (lock < 0) return failed("lock cookie", -lock, lock_path(key));
    UniqueFd held(lock);
    const int semaphore = system_call(
        "semget", [&] { return ::semget(static_cast<key_t>(key), 1, 0600 | IPC_CREAT | IPC_EXCL); });
    if (semaphore < 0) {
      ::unlink(lock_path(key).c_str());
      if (semaphore == -EEXIST) continue;  // libdevmapper's
      return failed("semget", -semaphore, {}, "for a udev transaction");
    }
    UdevCookie made(key, semaphore, std::move(held));
    // One for the waiter itself, so that it does not reach zero before the last step has been taken.
    semun one{1};
    TRY(checked("semctl", {}, [&] { return ::semctl(semaphore, 0, SETVAL, one); }));
    return made;
  }
  return failed("semget", EEXIST, {}, "no free cookie for a udev transaction");
}

Status UdevCookie::expect() { return change(semaphore_, 1, "expect uevent"); }

Status UdevCookie::unexpect() { return change(semaphore_, -1, "unexpect uevent"); }

Status UdevCookie::wait(int64_t limit_ms, Cancel& cancel) {
  auto ours = change(semaphore_, -1, "unexpect uevent");
  if (!ours) {
    // Counted down or taken away by somebody else (`dmsetup udevcomplete_all`): there is nothing left to wait
    // for.
    const int error = ours.failure().error;
    remove();
    if (error == EAGAIN || error == EIDRM || error == EINVAL) return Nothing{};
    return ours;
  }
  const int64_t end = now_ns() + limit_ms * kNsPerMillisecond;
  for (;;) {
    if (cancel.requested()) {
      remove();
      return cancelled("wait for udev");
    }
    const int64_t left = end - now_ns();
    sembuf zero{0, 0, 0};
    timespec time{left > 0 ? left / 1'000'000'000 : 0, left > 0 ? left % 1'000'000'000 : 0};
    const int result =
        system_call("wait for udev", [&] { return ::semtimedop(semaphore_, &zero, 1, &time); });
    if (result == -EINTR) continue;
    const bool done =
        result >= 0 || result == -EIDRM || result == -EINVAL;  // somebody took it away: done, too
    remove();
    if (done) return Nothing{};
    return failed("wait for udev", result == -EAGAIN ? ETIMEDOUT : -result);
  }
}

void UdevCookie::remove() {
  if (semaphore_ < 0) return;
  ::semctl(semaphore_, 0, IPC_RMID);
  semaphore_ = -1;
  ::unlink(lock_path(key_).c_str());
  lock_.reset();
}

}  // namespace dmthin
