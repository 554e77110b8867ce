#include "abi/dm_sections.h"

#include <time.h>

#include <cerrno>
#include <optional>

#include "abi/commit.h"
#include "abi/kernel_log.h"
#include "abi/section_lock.h"
#include "abi/thin_activity.h"

namespace dmthin {
namespace {

constexpr int kUndoTries = 20;

/// Undo steps must run although the call was cancelled, so they have a flag of their own that nobody sets.
struct NotCancelled {
  Cancel flag;
};

void pause_ms(long milliseconds) {
  timespec time{milliseconds / 1000, (milliseconds % 1000) * 1'000'000};
  // A cancelled call hears the wake signal all through its undoing; its waits must not shrink for it.
  while (nanosleep(&time, &time) != 0 && errno == EINTR) continue;
}

/// Removes the half-made device. udev may hold a new node for a moment, hence the bounded retry on EBUSY.
void undo_create(Control& control, const std::string& name, uint32_t event, Failure& failure) {
  NotCancelled undo;
  Undone step{command::kRemove.name, name, 0};
  for (int tries = 0; tries < kUndoTries; ++tries) {
    const auto removed = control.remove({name, {}, 0}, event, 0, undo.flag);
    step.error = removed ? 0 : removed.failure().error;
    if (step.error != EBUSY) break;
    pause_ms(5);
  }
  failure.rollback.push_back(std::move(step));
}

}  // namespace

Result<DeviceInfo> activate(Control& control, const ActivateRequest& request, Cancel& cancel) {
  // Not shielded: it can be given up at each step. But process.exit() waits until it has been undone.
  Section section(cancel);
  if (request.guard) {
    auto admitted = request.guard->admit(control, request.thin_id, request.name, cancel);
    if (!admitted) return admitted.failure();
  }
  const auto created = control.create(request.name, request.uuid, cancel);
  if (!created) {
    Failure failure = created.failure();
    failure.detail = request.uuid;
    return failure;
  }
  KernelLog log;
  const Address address{request.name, {}, 0};
  auto loaded = control.table_load(address, request.table, request.read_only ? DM_READONLY_FLAG : 0, cancel);
  if (loaded) loaded = control.resume(address, request.event, 0, cancel);
  if (loaded) return loaded;
  Failure failure = loaded.failure();
  if (!request.table.empty())
    failure.detail = request.table.front().type + " " + request.table.front().parameters;
  failure.kernel_reason = log.reason(created->device);
  undo_create(control, request.name, request.event, failure);
  return failure;
}

Result<DeviceInfo> load_with_reason(Control& control, const Address& address,
                                    const std::vector<Target>& table, uint32_t flags, Cancel& cancel) {
  KernelLog log;
  auto loaded = control.table_load(address, table, flags, cancel);
  if (loaded) return loaded;
  const auto info = control.status(address, cancel);
  if (info) loaded.failure().kernel_reason = log.reason(info->device);
  return loaded;
}

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
  const auto others = foreign_thins(control, request.pool.device, request.own_prefix, cancel);
  if (!others) return others.failure();
  for (const ActiveThin& other : *others) {
    if (other.id != request.origin_id) continue;
    const Address address{{}, other.uuid, other.uuid.empty() ? other.device : 0, other.name};
    const auto info = control.status(address, cancel);
    origin.address = address;
    origin.active = true;
    origin.was_suspended = info && (info->flags & DM_SUSPEND_FLAG) != 0;
  }
  return origin;
}

std::string create_snap(uint32_t id, uint32_t origin) {
  return "create_snap " + std::to_string(id) + " " + std::to_string(origin);
}

SnapshotItem send(Control& control, const SnapshotRequest& request, uint32_t id, Cancel& cancel) {
  const Address pool = request.pool.address();
  const std::string text = create_snap(id, request.origin_id);
  const auto sent = request.committed ? committed_message(control, pool, 0, text, cancel)
                                      : control.target_message(pool, 0, text, cancel);
  if (sent) return {id, 0, {}};
  const Failure& failure = sent.failure();
  return {id, failure.cancelled ? ECANCELED : failure.error, failure.operation};
}

Failure undo_snapshots(Control& control, const SnapshotRequest& request, const SnapshotOutcome& outcome,
                       Failure failure) {
  NotCancelled undo;
  for (auto item = outcome.items.rbegin(); item != outcome.items.rend(); ++item) {
    if (item->error != 0) continue;
    const std::string text = "delete " + std::to_string(item->id);
    const auto deleted = control.target_message(request.pool.address(), 0, text, undo.flag);
    failure.rollback.push_back({text, request.pool.name, deleted ? 0 : deleted.failure().error});
  }
  return failure;
}

}  // namespace

Result<SnapshotOutcome> snapshot(Control& control, const SnapshotRequest& request, Cancel& cancel) {
  SnapshotOutcome outcome;
  const auto send_all = [&] {
    for (const uint32_t id : request.ids) outcome.items.push_back(send(control, request, id, cancel));
  };
  const auto pool = pool_device(control, request.pool, cancel);
  if (!pool) return pool.failure();
  if (pool->open_count == 0) {  // nothing of this pool is active
    send_all();
    return outcome;
  }
  auto locked = lock_sections(request.pool.name, LockMode::kShared, cancel);
  if (!locked && locked.failure().cancelled) return locked.failure();
  if (!locked) locked = lock_of_process();
  if (locked) {
    const auto alone = lock_thin(*locked, request.origin_id, cancel);
    if (!alone && alone.failure().cancelled) return alone.failure();
  }
  const auto origin = find_origin(control, request, cancel);
  if (!origin) return origin.failure();
  if (!origin->active || origin->was_suspended) {
    send_all();
    return outcome;
  }
  // Suspending a thin of a suspended pool would wait until somebody resumes the pool.
  if ((pool->flags & DM_SUSPEND_FLAG) != 0) {
    return failed(command::kSuspend.name, EAGAIN, request.pool.name, "the pool is suspended");
  }

  Section section(cancel);
  const auto suspended = control.suspend(origin->address, 0, cancel);
  if (!suspended) return suspended.failure();
  section.shield();  // from here to the resume nothing may give up
  outcome.suspended = true;
  send_all();
  auto resumed = control.resume(origin->address, request.event, 0, cancel);
  for (int tries = 1; !resumed && resumed.failure().error != ENXIO && tries < kUndoTries; ++tries) {
    pause_ms(5);
    resumed = control.resume(origin->address, request.event, 0, cancel);
  }
  if (!resumed) return undo_snapshots(control, request, outcome, resumed.failure());
  return outcome;
}

}  // namespace dmthin
