#include "dm/activate.h"

#include <cerrno>

#include "dm/prepared_calls.h"
#include "system/critical_section.h"
#include "system/scope_guard.h"

namespace dmthin {
namespace {

/// Removes a device without a table, which an activation of a dead process has left, or a creation that the
/// kernel reports as failed. Whoever lives and is between the two has the lock of the thin id, as the caller
/// has it now.
bool remove_half_made(Control& control, const ActivateRequest& request, Cancel& cancel) {
  const Address own{{}, request.uuid, 0};
  const auto info = control.status(own, cancel);
  if (!info || info->name != request.name || (info->flags & DM_ACTIVE_PRESENT_FLAG) != 0) return false;
  return static_cast<bool>(control.remove(own, request.event, 0, cancel));
}

uint32_t load_flags(const ActivateRequest& request) { return request.read_only ? DM_READONLY_FLAG : 0; }

/// Returns why the kernel has refused the table of a thin. It is loaded once more, so that nothing has to be
/// remembered of the log before each table that is not refused.
std::string reason_asked_again(Control& control, const ActivateRequest& request, uint64_t device,
                               Cancel& cancel) {
  const auto log = control.logs().acquire();
  (void)control.table_load({request.name, {}, 0}, request.table, load_flags(request), cancel);
  return log->reason(device);
}

}  // namespace

Result<DeviceInfo> activate(Control& control, const ActivateRequest& request, Cancel& cancel) {
  // Not shielded: it can be given up at each step. But process.exit() waits until it has been undone.
  CriticalSection section(cancel);
  ThinLock lock;
  if (request.guard) {
    lock = TRY(request.guard->admit(control, request.thin_id, request.name, cancel));
  }
  return activate_locked(control, request, lock, cancel);
}

Result<DeviceInfo> activate_locked(Control& control, const ActivateRequest& request, const ThinLock& lock,
                                   Cancel& cancel) {
  PreparedCalls calls(control);
  const Address address{request.name, {}, 0};
  const auto create = calls.add({command::kCreate, {request.name, request.uuid, 0}});
  const auto remove = create ? calls.add({command::kRemove, address, 0, request.event}) : create;
  if (!remove) {
    Failure failure = remove.failure();
    failure.detail = request.uuid;
    return failure;
  }
  int error = calls.send(*create, cancel);
  if (error == EBUSY && lock.of_machine() && remove_half_made(control, request, cancel))
    error = calls.send(*create, cancel);
  if (error != 0) {
    if (error != EBUSY && lock.of_machine()) (void)remove_half_made(control, request, cancel);
    Failure failure = calls.failure(*create, error);
    failure.detail = request.uuid;
    return failure;
  }
  // udev may hold a new node for a moment.
  const auto undo = [&] { return calls.undo(*remove, while_busy); };
  ScopeGuard half_made(undo);
  const uint64_t device = calls.answer().dev;
  const bool is_volume = request.guard != nullptr;
  const auto log = is_volume ? nullptr : control.logs().acquire();
  auto done = control.table_load(address, request.table, load_flags(request), cancel);
  const bool loaded = static_cast<bool>(done);
  if (loaded) done = control.resume(address, request.event, 0, cancel);
  if (done) {
    half_made.dismiss();
    return done;
  }
  Failure& failure = done.failure();
  if (!request.table.empty())
    failure.detail = request.table.front().type + " " + request.table.front().parameters;
  if (log)
    failure.kernel_reason = log->reason(device);
  else if (!loaded)
    failure.kernel_reason = reason_asked_again(control, request, device, cancel);
  failure.rollback.push_back({command::kRemove.name, request.name, 0});
  half_made.dismiss();
  failure.rollback.back().error = undo();
  return done;
}

Result<DeviceInfo> load_with_reason(Control& control, const Address& address,
                                    const std::vector<Target>& table, uint32_t flags, Cancel& cancel) {
  const auto log = control.logs().acquire();
  auto loaded = control.table_load(address, table, flags, cancel);
  if (loaded) return loaded;
  const auto info = control.status(address, cancel);
  if (info) loaded.failure().kernel_reason = log->reason(info->device);
  return loaded;
}

}  // namespace dmthin
