// Removals for JavaScript. A busy device is tried again here, without a thread between tries.
#include "napi/batch_job.h"
#include "napi/exports.h"
#include "napi/start_command.h"
#include "napi/udev.h"
#include "system/clock.h"

namespace dmthin {
namespace {

using SharedControl = std::shared_ptr<Control>;

/// One removal; of a volume, if its uuid or number may be that of another pool's by then, only while its pool
/// runs.
struct RemoveRequest {
  Address address;
  uint32_t udev = 0;
  bool deferred = false;
  std::optional<KnownPool> pool;
};

/// Removal, tried again on EBUSY only, until `limit_ms` are over. Between tries no thread is kept.
auto removal(const SharedControl& control, RemoveRequest request, uint64_t limit_ms,
             std::shared_ptr<UdevCookie> cookie = nullptr) {
  const int64_t limit_ns = static_cast<int64_t>(limit_ms) * 1'000'000;
  return [control, request = std::move(request), limit_ns, cookie = std::move(cookie), started = int64_t{0},
          tries = 0U](Work& work) mutable -> Result<DeviceInfo> {
    if (started == 0) started = now_ns();
    ++tries;
    if (request.pool) {
      const auto pool = pool_device(*control, *request.pool, work.cancel());
      if (!pool) return pool.failure();
    }
    auto removed = announced(cookie, request.udev, [&](uint32_t event) {
      return control->remove(request.address, event, request.deferred ? DM_DEFERRED_REMOVE : 0,
                             work.cancel());
    });
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
  const auto control = Environment::of(info.Env()).shared_control();
  RemoveRequest request{address(info[0]), to_uint32(info[1]), to_bool(info[2]), {}};
  auto cookie = udev_cookie(info.Env(), to_uint32(info[4]));
  auto task = removal(control, std::move(request), number(info[3]), std::move(cookie));
  return start<DeviceInfo>(info, Kind::kChanges, std::move(task), by_type);
}

std::optional<KnownPool> pool_to_look_at(const Napi::Value& value) {
  if (value.IsNull()) return std::nullopt;
  return known_pool(value);
}

/// (pool or null, address, udev flags, limit in ms, cancel id)
Napi::Value deactivate(Info info) {
  const auto control = Environment::of(info.Env()).shared_control();
  RemoveRequest request{address(info[1]), to_uint32(info[2]), false, pool_to_look_at(info[0])};
  auto task = removal(control, std::move(request), number(info[3]));
  return start<DeviceInfo>(info, Kind::kChanges, std::move(task), by_type);
}

/// (pool or null, addresses, udev flags, limit in ms, progress or null, cancel id) → per item the device
/// number, or its failure.
Napi::Value deactivate_many(Info info) {
  const auto control = Environment::of(info.Env()).shared_control();
  const auto pool = pool_to_look_at(info[0]);
  const auto udev = to_uint32(info[2]);
  const uint64_t limit_ms = number(info[3]);
  auto tasks = list_of(info[1], [&](const Napi::Value& each) {
    return removal(control, {address(each), udev, false, pool}, limit_ms);
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
