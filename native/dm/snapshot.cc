#include "dm/snapshot.h"

#include <cerrno>

#include "dm/commit.h"
#include "dm/pool_lock.h"
#include "dm/prepared_calls.h"
#include "system/critical_section.h"
#include "system/scope_guard.h"

namespace dmthin {
namespace {

struct Origin {
  Address address;
  bool active = false;
  bool was_suspended = false;
};

Result<Origin> find_origin(Control& control, const SnapshotRequest& request, Cancel& cancel) {
  Origin origin;
  const auto own = control.status({{}, request.origin_uuid, 0}, cancel);
  if (own) {
    origin.address = {{}, request.origin_uuid, 0};
    origin.active = true;
    origin.was_suspended = (own->flags & DM_SUSPEND_FLAG) != 0;
    return origin;
  }
  if (own.failure().error != ENXIO) return own.failure();
  const auto others = TRY(foreign_thins(control, request.pool.device, request.own_prefix, cancel));
  for (const ActiveThin& other : others) {
    if (other.id != request.origin_id) continue;
    const Address address{{}, other.uuid, other.uuid.empty() ? other.device : 0, other.name};
    const auto info = control.status(address, cancel);
    origin.address = address;
    origin.active = true;
    origin.was_suspended = info && (info->flags & DM_SUSPEND_FLAG) != 0;
  }
  return origin;
}

Call message(const SnapshotRequest& request, const std::string& text) {
  Call call{command::kTargetMessage, request.pool.address()};
  call.payload = pack_message(0, text);
  return call;
}

std::string deletion_of(uint32_t id) { return "delete " + std::to_string(id); }

/// The messages of one snapshot call, and their undoing. Everything is packed
/// before the first is sent.
class SnapshotCalls {
 public:
  SnapshotCalls(Control& control, const SnapshotRequest& request, const DeviceInfo& pool)
      : calls_(control), request_(request), pool_(pool) {}

  /// Packs all calls. Without an origin nothing will be suspended.
  Status prepare(const Origin& origin) {
    auto added = Result<size_t>(0);
    for (const uint32_t id : request_.ids) {
      const std::string create =
          "create_snap " + std::to_string(id) + " " + std::to_string(request_.origin_id);
      if (added) added = calls_.add(message(request_, create));
      if (added) added = calls_.add(message(request_, deletion_of(id)));
    }
    suspend_ = 2 * request_.ids.size();
    if (added && origin.active) {
      added = calls_.add({command::kSuspend, origin.address, DM_SUSPEND_FLAG});
      if (added) added = calls_.add({command::kResume, origin.address, 0, request_.event});
    }
    if (!added) return added.failure();
    items.reserve(request_.ids.size());
    undone_.assign(request_.ids.size(), kMade);
    locked_.assign(request_.ids.size(), false);
    return Nothing{};
  }

  /// Locks the ids. One that another call has locked is not created: it exists, or that call creates it.
  Status lock_ids(const ThinLockFile& file) {
    for (size_t i = 0; i < request_.ids.size(); ++i) locked_[i] = TRY(try_lock_new_thin(file, request_.ids[i]));
    return Nothing{};
  }

  /// Sends one create_snap for each id.
  void send_all(Cancel& cancel) {
    for (size_t i = 0; i < request_.ids.size(); ++i) {
      items.push_back({request_.ids[i], locked_[i] ? calls_.send(2 * i, cancel) : EEXIST, {}});
      if (items.back().error != 0) continue;
      const dm_ioctl answer = calls_.answer();
      is_committed_ = shows_commit(answer.event_nr, answer.flags | pool_.flags, pool_.event_number);
    }
  }

  Status suspend(Cancel& cancel) {
    calls_.lock();
    const int error = calls_.send(suspend_, cancel);
    if (error != 0) return calls_.failure(suspend_, error);
    return Nothing{};
  }

  /// Resumes the origin. Returns 0 or errno.
  int resume() noexcept { return calls_.undo(suspend_ + 1, while_there); }

  /// Deletes what send_all() made, newest first.
  void undo() noexcept {
    for (size_t i = items.size(); i-- > 0;) {
      if (items[i].error == 0 && undone_[i] == kMade) undone_[i] = calls_.undo(2 * i + 1, never_again);
    }
  }

  /// Returns the failure of the call if the origin could not be resumed and undo() has
  /// run.
  Failure not_resumed(int error) const { return with_undone(calls_.failure(suspend_ + 1, error)); }

  /// Names the failed call of each item, and asks whether the kernel has
  /// committed what the others made, unless its answer to the last of them
  /// shows it. After a failed commit the pool takes no message, so that the one
  /// it belongs to is the last that was taken.
  Status verify(Control& control) {
    SnapshotItem* last = nullptr;
    for (SnapshotItem& item : items) {
      if (item.error == 0)
        last = &item;
      else
        item.operation = command::kTargetMessage.name;
    }
    if (last == nullptr || !request_.committed || is_committed_) return Nothing{};
    const auto looked =
        verify_commit(control, request_.pool.address(), "create_snap " + std::to_string(last->id));
    if (looked) return Nothing{};
    if (looked.failure().operation != kCommit) return looked.failure();
    last->error = looked.failure().error;
    last->operation = kCommit;
    return Nothing{};
  }

  /// Returns `failure` with what undo() did.
  Failure with_undone(Failure failure) const {
    for (size_t i = items.size(); i-- > 0;) {
      if (items[i].error == 0)
        failure.rollback.push_back({deletion_of(items[i].id), request_.pool.name, undone_[i]});
    }
    return failure;
  }

  std::vector<SnapshotItem> items;

 private:
  static constexpr int kMade = -1;  // not undone

  PreparedCalls calls_;
  const SnapshotRequest& request_;
  const DeviceInfo& pool_;     // before the first message
  bool is_committed_ = false;  // as the answer to the last message that was taken shows
  size_t suspend_ = 0;
  std::vector<bool> locked_;
  std::vector<int> undone_;  // of each item: kMade, 0, or the errno of its deletion
};

/// Returns the pool. With a reserve, checks its space too, in the same command.
Result<DeviceInfo> look_at_pool(Control& control, const SnapshotRequest& request, Cancel& cancel) {
  if (request.reserve.percent == 0) return pool_device(control, request.pool, cancel);
  const auto lines = TRY(pool_lines(control, request.pool, cancel));
  // Of a pool that has failed the message says so.
  const auto space = lines.targets.empty() ? std::nullopt : space_of(lines.targets.front());
  if (space && !request.reserve.leaves(*space)) return failed("reserve", ENOSPC, request.pool.name);
  return lines.info;
}

/// Makes the snapshots under the lock of the origin: it is neither activated during that nor
/// suspended by another snapshot of it. `file` has the locks of the new ids until it is closed.
Result<SnapshotOutcome> snapshot_locked(Control& control, const SnapshotRequest& request,
                                        const ThinLockFile& file, Cancel& cancel) {
  const auto pool = TRY(look_at_pool(control, request, cancel));
  // Open by nobody: nothing of this pool is active.
  const bool inactive = request.unwritten || pool.open_count == 0;
  const auto origin = TRY(inactive ? Result<Origin>(Origin{}) : find_origin(control, request, cancel));
  const bool suspends = origin.active && !origin.was_suspended;
  // Suspending a thin of a suspended pool would wait until somebody resumes the
  // pool.
  if (suspends && (pool.flags & DM_SUSPEND_FLAG) != 0) {
    return failed(command::kSuspend.name, EAGAIN, request.pool.name, "the pool is suspended");
  }

  SnapshotCalls calls(control, request, pool);
  TRY(calls.prepare(origin));
  TRY(calls.lock_ids(file));
  ScopeGuard made([&] { calls.undo(); });
  const auto verified = [&](bool was_suspended) -> Result<SnapshotOutcome> {
    const auto looked = calls.verify(control);
    if (!looked) {
      calls.undo();
      return calls.with_undone(looked.failure());
    }
    made.dismiss();
    return SnapshotOutcome{std::move(calls.items), was_suspended};
  };
  const auto made_inactive = [&] {
    calls.send_all(cancel);
    return verified(false);
  };
  if (!suspends) return made_inactive();
  CriticalSection section(cancel);
  const auto suspended = calls.suspend(cancel);
  if (!suspended) {
    // Deactivated since it was looked up, which takes no lock. An activation
    // would wait for the lock of its id.
    if (suspended.failure().error == ENXIO) return made_inactive();
    return suspended.failure();
  }
  int error = 0;
  {
    const ScopeGuard resume([&] { error = calls.resume(); });
    section.shield();  // from here to the resume nothing may give up
    calls.send_all(cancel);
  }
  if (error != 0) {
    calls.undo();
    return calls.not_resumed(error);
  }
  return verified(true);
}

}  // namespace

Result<SnapshotOutcome> snapshot(Control& control, const SnapshotRequest& request, Cancel& cancel) {
  const auto file = TRY(open_thin_locks(request.pool.name, cancel));
  const auto origin = TRY(lock_thin(file, request.origin_id, cancel));
  return snapshot_locked(control, request, file, cancel);
}

Result<ActiveSnapshot> snapshot_and_activate(Control& control, const SnapshotRequest& request,
                                             const ActivateRequest& activation, Cancel& cancel) {
  ThinLockFile file = TRY(open_thin_locks(request.pool.name, cancel));
  auto made = TRY([&]() -> Result<SnapshotOutcome> {
    if (request.unwritten) return snapshot_locked(control, request, file, cancel);
    const auto origin = TRY(lock_thin(file, request.origin_id, cancel));
    return snapshot_locked(control, request, file, cancel);
  }());
  ActiveSnapshot active{std::move(made), std::nullopt};
  if (active.outcome.items.size() != 1 || active.outcome.items.front().error != 0) return active;
  // The lock of the origin is not kept for it: other snapshots of the origin
  // need not wait for the activation, and nobody waits for one thin id with the
  // lock of another.
  CriticalSection section(cancel);
  const auto own = lock_thin(file, activation.thin_id, cancel);
  file = {};  // `own` has it
  active.activated = own ? activate_locked(control, activation, *own, cancel) : own.failure();
  return active;
}

}  // namespace dmthin
