// Removals for JavaScript. A busy device is tried again here, without a thread between tries.
#include "dm/remove_volume.h"
#include "napi/batch_job.h"
#include "napi/exports.h"
#include "napi/start_command.h"
#include "napi/udev.h"
#include "system/clock.h"

namespace dmthin {
namespace {

using SharedControl = std::shared_ptr<Control>;

/// `attempt` again on EBUSY only, until `limit_ms` are over. Between tries no thread is kept.
template <class Attempt>
auto while_busy_again(uint64_t limit_ms, Attempt attempt) {
  const int64_t limit_ns = static_cast<int64_t>(limit_ms) * 1'000'000;
  return [limit_ns, attempt = std::move(attempt), started = int64_t{0},
          tries = 0U](Work& work) mutable -> Result<DeviceInfo> {
    if (started == 0) started = now_ns();
    ++tries;
    auto removed = attempt(work.cancel());
    if (removed) return removed;
    removed.failure().tries = tries;
    const bool over = now_ns() - started >= limit_ns;
    if (removed.failure().error == EBUSY && !over) {
      // Most holders are udev's own, gone within milliseconds; later tries are spaced out to 100 ms.
      work.again_after(static_cast<int>(tries < 8 ? 1 << tries : 100));
    }
    return removed;
  };
}

/// (address, udev flags, deferred, limit in ms, udev transaction or 0, cancel id)
Napi::Value remove_device(Info info) {
  auto attempt = [control = Environment::of(info.Env()).shared_control(), device = address(info[0]),
                  udev = to_uint32(info[1]), flags = to_bool(info[2]) ? DM_DEFERRED_REMOVE : 0U,
                  cookie = udev_cookie(info.Env(), to_uint32(info[4]))](Cancel& cancel) {
    return announced(cookie, udev,
                     [&](uint32_t event) { return control->remove(device, event, flags, cancel); });
  };
  return start<DeviceInfo>(info, Kind::kChanges, while_busy_again(number(info[3]), std::move(attempt)),
                           by_type);
}

/// The guard: { pool, looks }.
auto volume_removal(const SharedControl& control, const Napi::Object& guard, const Napi::Value& device,
                    const Napi::Value& thin_id, uint32_t udev, uint64_t limit_ms) {
  RemoveVolumeRequest request{known_pool(guard.Get("pool")), to_bool(guard.Get("looks")), address(device),
                              to_uint32(thin_id), udev << 16};
  return while_busy_again(limit_ms, [control, request = std::move(request)](Cancel& cancel) {
    return remove_volume(*control, request, cancel);
  });
}

/// (guard, address, thin id, udev flags, limit in ms, cancel id)
Napi::Value deactivate(Info info) {
  auto task = volume_removal(Environment::of(info.Env()).shared_control(), info[0].As<Napi::Object>(),
                             info[1], info[2], to_uint32(info[3]), number(info[4]));
  return start<DeviceInfo>(info, Kind::kChanges, std::move(task), by_type);
}

/// (guard, { address, thinId } of each, udev flags, limit in ms, progress or null, cancel id) → per item the
/// device number, or its failure.
Napi::Value deactivate_many(Info info) {
  const auto control = Environment::of(info.Env()).shared_control();
  const auto guard = info[0].As<Napi::Object>();
  auto tasks = list_of(info[1], [&](const Napi::Value& each) {
    const auto volume = each.As<Napi::Object>();
    return volume_removal(control, guard, volume.Get("address"), volume.Get("thinId"), to_uint32(info[2]),
                          number(info[3]));
  });
  return start_batch(info, Kind::kChanges, std::move(tasks), info[4]);
}

}  // namespace

void export_remove(Napi::Env env, Napi::Object exports) {
  const Exporter add{env, exports};
  add("remove", remove_device);
  add("deactivate", deactivate);
  add("deactivateMany", deactivate_many);
}

}  // namespace dmthin
