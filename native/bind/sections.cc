// The compound calls for JavaScript: several steps of the kernel's in one hop.
#include "abi/section_lock.h"
#include "bind/batch_job.h"
#include "bind/functions.h"
#include "bind/start_command.h"
#include "bind/udev.h"

namespace dmthin {
namespace {

using DeviceTask = TaskOf<DeviceInfo>;
/// One removal. Of a volume only while its pool runs, for another pool's could have its uuid by then.
struct RemoveRequest {
  Address address;
  uint32_t udev = 0;
  bool deferred = false;
  std::optional<KnownPool> pool;
};

using SharedControl = std::shared_ptr<Control>;

/// { device, name, uuid }
KnownPool known_pool(const Napi::Value& value) {
  const auto object = value.As<Napi::Object>();
  return {number(object.Get("device")), text(object.Get("name")), text(object.Get("uuid"))};
}

/// { pool, ownPrefix }; null where the device is no volume.
std::shared_ptr<ActivationGuard> activation_guard(const Napi::Value& value) {
  if (value.IsNull()) return nullptr;
  const auto object = value.As<Napi::Object>();
  return std::make_shared<ActivationGuard>(known_pool(object.Get("pool")), text(object.Get("ownPrefix")));
}

DeviceTask activation(const SharedControl& control, const std::shared_ptr<ActivationGuard>& guard,
                      const Napi::Object& object, uint32_t udev) {
  ActivateRequest request;
  request.guard = guard;
  request.event = udev << 16;
  request.name = text(object.Get("name"));
  request.uuid = text(object.Get("uuid"));
  request.table = table(object.Get("table"));
  request.read_only = truth_or(object.Get("readOnly"));
  request.thin_id = static_cast<uint32_t>(number_or(object.Get("thinId")));
  return [control, request](Work& work) { return activate(*control, request, work.cancel()); };
}

/// (guard or null, request, udev flags, cancel id)
Napi::Value activate_device(Info info) {
  const auto control = Environment::of(info.Env()).shared_control();
  const auto udev = bits(info[2]);
  return start<DeviceInfo>(info, Kind::kWaits,
                           activation(control, activation_guard(info[0]), info[1].As<Napi::Object>(), udev),
                           plainly);
}

/// (guard, requests, udev flags, progress or null, cancel id) → per item the device number, or its failure.
Napi::Value activate_many(Info info) {
  const auto control = Environment::of(info.Env()).shared_control();
  const auto guard = activation_guard(info[0]);
  const auto requests = info[1].As<Napi::Array>();
  const auto udev = bits(info[2]);
  std::vector<DeviceTask> tasks;
  for (uint32_t i = 0; i < requests.Length(); ++i) {
    const Napi::HandleScope scope(info.Env());
    tasks.push_back(activation(control, guard, requests.Get(i).As<Napi::Object>(), udev));
  }
  return start_batch(info, Kind::kWaits, std::move(tasks), info[3]);
}

Napi::Value snapshot_origin(Info info) {
  const auto object = info[0].As<Napi::Object>();
  SnapshotRequest request;
  request.pool = known_pool(object.Get("pool"));
  request.own_prefix = text(object.Get("ownPrefix"));
  request.origin_uuid = text(object.Get("originUuid"));
  request.origin_id = bits(object.Get("originId"));
  request.ids = ids(object.Get("ids"));
  request.event = bits(object.Get("udevFlags")) << 16;
  request.committed = truth(object.Get("committed"));
  return start_command<SnapshotOutcome>(info, Kind::kWaits, [request](Control& control, Cancel& cancel) {
    return snapshot(control, request, cancel);
  });
}

/// Removal, tried again on EBUSY only, until `limit_ms` are over. Between tries no thread is kept.
DeviceTask removal(const SharedControl& control, const RemoveRequest& request, uint64_t limit_ms,
                   const std::shared_ptr<UdevCookie>& cookie = nullptr) {
  struct Progress {
    int64_t started = 0;
    uint32_t tries = 0;
  };
  const auto progress = std::make_shared<Progress>();
  const int64_t limit_ns = static_cast<int64_t>(limit_ms) * 1'000'000;
  return [control, progress, request, limit_ns, cookie](Work& work) -> Result<DeviceInfo> {
    if (progress->started == 0) progress->started = now_ns();
    ++progress->tries;
    if (request.pool) {
      const auto pool = pool_device(*control, *request.pool, work.cancel());
      if (!pool) return pool.failure();
    }
    auto removed = announced(cookie, request.udev, [&](uint32_t event) {
      return control->remove(request.address, event, request.deferred ? DM_DEFERRED_REMOVE : 0,
                             work.cancel());
    });
    if (removed) return removed;
    removed.failure().tries = progress->tries;
    const bool over = now_ns() - progress->started >= limit_ns;
    if (removed.failure().error == EBUSY && !over) {
      // Most holders are udev's own, gone within milliseconds; later tries are spaced out to 100 ms.
      work.again_after(static_cast<int>(progress->tries < 8 ? 1 << progress->tries : 100));
    }
    return removed;
  };
}

/// (address, udev flags, deferred, limit in ms, udev transaction or 0, cancel id)
Napi::Value remove_device(Info info) {
  const auto control = Environment::of(info.Env()).shared_control();
  const RemoveRequest request{address(info[0]), bits(info[1]), truth(info[2]), {}};
  const auto cookie = udev_cookie(info.Env(), bits(info[4]));
  return start<DeviceInfo>(info, Kind::kChanges, removal(control, request, number(info[3]), cookie), plainly);
}

/// (pool, address, udev flags, limit in ms, cancel id)
Napi::Value deactivate(Info info) {
  const auto control = Environment::of(info.Env()).shared_control();
  const RemoveRequest request{address(info[1]), bits(info[2]), false, known_pool(info[0])};
  return start<DeviceInfo>(info, Kind::kChanges, removal(control, request, number(info[3])), plainly);
}

/// (pool, addresses, udev flags, limit in ms, progress or null, cancel id) → per item the device number, or
/// its failure.
Napi::Value deactivate_many(Info info) {
  const auto control = Environment::of(info.Env()).shared_control();
  const auto pool = known_pool(info[0]);
  const auto addresses = info[1].As<Napi::Array>();
  const auto udev = bits(info[2]);
  std::vector<DeviceTask> tasks;
  for (uint32_t i = 0; i < addresses.Length(); ++i) {
    const Napi::HandleScope scope(info.Env());
    const RemoveRequest request{address(addresses.Get(i)), udev, false, pool};
    tasks.push_back(removal(control, request, number(info[3])));
  }
  return start_batch(info, Kind::kChanges, std::move(tasks), info[4]);
}

Napi::Value active_thins_of(Info info) {
  return start_command<std::vector<ActiveThin>>(info, Kind::kQuick,
                                                [pool = number(info[0])](Control& control, Cancel& cancel) {
                                                  return active_thins(control, pool, cancel);
                                                });
}

Napi::Value foreign_thins_of(Info info) {
  return start_command<std::vector<ActiveThin>>(
      info, Kind::kQuick, [pool = number(info[0]), prefix = text(info[1])](Control& control, Cancel& cancel) {
        return foreign_thins(control, pool, prefix, cancel);
      });
}

/// The exclusive side of a lock, as a handle for release(). Waits.
Napi::Value lock_pool(Info info) {
  auto* environment = &Environment::of(info.Env());
  return start<UniqueFd>(
      info, Kind::kChanges,
      [key = text(info[0])](Work& work) { return lock_sections(key, LockMode::kExclusive, work.cancel()); },
      [environment](Napi::Env env, UniqueFd& fd) { return to_js(env, environment->hold(std::move(fd))); });
}

}  // namespace

void export_sections(Napi::Env env, Napi::Object exports) {
  const Exporter add{env, exports};
  add("activate", activate_device);
  add("activateMany", activate_many);
  add("remove", remove_device);
  add("deactivate", deactivate);
  add("deactivateMany", deactivate_many);
  add("snapshot", snapshot_origin);
  add("activeThins", active_thins_of);
  add("foreignThins", foreign_thins_of);
  add("lockPool", lock_pool);
}

}  // namespace dmthin
