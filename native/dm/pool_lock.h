// A lock file per pool, /run/dm-thin/NAME.lock. Compound calls hold it shared while a device of the pool is
// half-made or suspended; what makes, repairs, grows or removes the pool holds it exclusively. The lock is
// the kernel's (flock): it ends with its holder. Devices and files below pools have lock files of their own.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "system/cancel.h"
#include "system/result.h"
#include "system/unique_fd.h"

namespace dmthin {

enum class LockMode { kShared, kExclusive };

/// Waits; a cancellation ends the wait. flock alone lets shared locks pass one that waits for the exclusive
/// lock; so whoever waits for that holds a gate until it has it, and whoever comes later waits at the gate.
/// Calls that have looked at the gate just before still pass, once.
Result<UniqueFd> lock_pool(const std::string& key, LockMode mode, Cancel& cancel);

/// The lock file of a pool with the pool's lock, shared. Calls for many volumes open one for all.
struct ThinLockFile {
  std::shared_ptr<const UniqueFd> fd;
  bool of_machine = false;  // else other processes are not excluded
};

/// Takes the exclusive lock if nobody has it or waits for it; otherwise returns nothing. Does not wait.
Result<std::optional<UniqueFd>> try_lock_pool(const std::string& key);

/// A thin id, locked until this is destroyed.
class ThinLock {
 public:
  ThinLock() = default;
  ThinLock(ThinLockFile file, uint32_t id) : file_(std::move(file)), id_(id) {}
  ThinLock(ThinLock&& other) noexcept : file_(std::exchange(other.file_, {})), id_(other.id_) {}
  ThinLock& operator=(ThinLock&& other) noexcept {
    std::swap(file_, other.file_);
    std::swap(id_, other.id_);
    return *this;
  }
  ThinLock(const ThinLock&) = delete;
  ThinLock& operator=(const ThinLock&) = delete;
  ~ThinLock();

  bool of_machine() const { return file_.of_machine; }

 private:
  ThinLockFile file_;
  uint32_t id_ = 0;
};

/// Opens the lock file; if /run cannot be written, a file that only this process has.
Result<ThinLockFile> open_thin_locks(const std::string& pool_name, Cancel& cancel);
/// Excludes whoever has opened another file. Waits; a cancellation ends the wait.
Result<ThinLock> lock_thin(const ThinLockFile& file, uint32_t id, Cancel& cancel);

/// Locks a thin id that is to be created, until the file is closed. Does not wait: if another call has the lock,
/// it returns false, and the id exists or another call creates it. Whoever creates an id has its lock until the
/// id is committed. The kernel finds an id only after that: a second create_snap or create_thin that comes
/// before it takes the mappings away from the first volume, and fails with EEXIST only then
/// (dm-thin-metadata.c __create_snap, __create_thin).
Result<bool> try_lock_new_thin(const ThinLockFile& file, uint32_t id);

/// Opens the lock file for try_lock_new_thin() without the pool's lock; if /run cannot be written, a file that
/// only this process has.
Result<ThinLockFile> open_new_thin_locks(const std::string& pool_name);

/// Takes the pool's lock shared, and one thin id of the pool exclusively, until the descriptor is closed.
/// Waits; a cancellation ends the wait. Where /run cannot be written, only the threads of this process
/// exclude each other.
///
/// Activations and snapshots of one thin id exclude each other. Of two snapshots the second would find the
/// origin suspended by the first and send its message to an origin that the first has resumed; an origin that
/// is activated while its snapshot is made would not be suspended for it; and of two activations the second
/// would find a device that has no table yet.
Result<ThinLock> lock_thin(const std::string& pool_name, uint32_t id, Cancel& cancel);

/// Locks the thin id without the pool's lock, which the caller's caller may hold, until the descriptor is
/// closed.
Result<UniqueFd> lock_thin_alone(const std::string& pool_name, uint32_t id, Cancel& cancel);

/// Does the same, shared: excludes whoever suspends or removes the volume.
Result<UniqueFd> lock_thin_shared(const std::string& pool_name, uint32_t id, Cancel& cancel);

/// Does the same for a resize of the volume's file system, of which there is one at a time. It may wait for
/// the pool to grow or for the volume to be resumed, so the calls that do this never wait for it.
Result<UniqueFd> lock_thin_to_resize(const std::string& pool_name, uint32_t id, Cancel& cancel);

/// Takes the pool's lock shared; where /run cannot be written, a file that only this process has.
Result<UniqueFd> lock_pool_shared(const std::string& pool_name, Cancel& cancel);

}  // namespace dmthin
