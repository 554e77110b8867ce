#include "dm/remove_volume.h"

#include <cerrno>

#include "dm/pool_lock.h"
#include "dm/prepared_calls.h"
#include "system/critical_section.h"

namespace dmthin {
namespace {

Failure busy(const Address& device) { return failed(command::kRemove.name, EBUSY, described(device)); }

/// Returns whether the worker may have the device. A device without a table has no thin. One that is
/// suspended already, or whose pool is, gets no requests; whoever suspended it may resume it.
bool worker_may_have(const DeviceInfo& info) {
  return (info.flags & DM_ACTIVE_PRESENT_FLAG) != 0 &&
         (info.flags & (DM_SUSPEND_FLAG | DM_INTERNAL_SUSPEND_FLAG)) == 0;
}

Status remove_suspended(Control& control, const RemoveVolumeRequest& request, Cancel& cancel) {
  PreparedCalls calls(control);
  const auto suspend = calls.add({command::kSuspend, request.device, DM_SUSPEND_FLAG | kWithoutFlush});
  const auto remove = suspend ? calls.add({command::kRemove, request.device, 0, request.event}) : suspend;
  const auto resume = TRY(remove ? calls.add({command::kResume, request.device, 0, request.event}) : remove);
  CriticalSection section(cancel);
  int error = calls.send(*suspend, cancel);
  if (error != 0) return calls.failure(*suspend, error);
  section.shield();  // from here to the removal or the resume nothing may give up
  const bool opened = calls.answer().open_count > 0;
  error = opened ? EBUSY : calls.undo(*remove, never_again);
  if (error == 0) return Nothing{};
  const int resumed = calls.undo(resume, while_there);  // first: what follows allocates
  Failure failure = calls.failure(*remove, error);
  if (resumed != 0) failure.rollback.push_back({command::kResume.name, described(request.device), resumed});
  return failure;
}

}  // namespace

Result<DeviceInfo> remove_volume(Control& control, const RemoveVolumeRequest& request, Cancel& cancel) {
  if (request.verifies_pool) TRY(pool_device(control, request.pool, cancel));
  auto info = TRY(control.status(request.device, cancel));
  if (info.open_count > 0) return busy(request.device);
  // Its holder may have the device suspended for a snapshot, which the resume of a failed removal would end.
  const auto lock = TRY(lock_thin_alone(request.pool.name, request.thin_id, cancel));
  if (!worker_may_have(info)) info = TRY(control.status(request.device, cancel));
  if (!worker_may_have(info)) return control.remove(request.device, request.event, 0, cancel);
  TRY(remove_suspended(control, request, cancel));
  return info;
}

}  // namespace dmthin
