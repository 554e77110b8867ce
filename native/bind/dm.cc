// The device mapper for JavaScript: each command, and the compound calls.
#include "abi/section_lock.h"
#include "bind/batch_job.h"
#include "bind/functions.h"
#include "bind/promise_job.h"

namespace dmthin {
namespace {

using Info = const Napi::CallbackInfo&;

/// Converts by the to_js() of the type.
const auto plainly = [](Napi::Env env, auto& value) { return to_js(env, value); };

/// One command, run with the environment's control node. The node is shared with the job: it must outlive it.
template <class T, class Command>
Napi::Value start_command(Info info, Kind kind, const Command& command) {
  auto control = Environment::of(info.Env()).shared_control();
  return start<T>(
      info, kind, [control, command](Work& work) { return command(*control, work.cancel()); }, plainly);
}

Napi::Value version(Info info) {
  return start_command<std::vector<uint32_t>>(
      info, Kind::kQuick, [](Control& control, Cancel& cancel) { return control.version(cancel); });
}

Napi::Value list_devices(Info info) {
  return start_command<std::vector<Listed>>(info, Kind::kQuick,
                                            [filter = address(info[0])](Control& control, Cancel& cancel) {
                                              return control.list_devices(filter, cancel);
                                            });
}

Napi::Value list_versions(Info info) {
  return start_command<std::vector<TargetVersion>>(
      info, Kind::kQuick, [](Control& control, Cancel& cancel) { return control.list_versions(cancel); });
}

Napi::Value create(Info info) {
  return start_command<DeviceInfo>(
      info, Kind::kWaits, [name = text(info[0]), uuid = text(info[1])](Control& control, Cancel& cancel) {
        return control.create(name, uuid, cancel);
      });
}

Napi::Value suspend(Info info) {
  return start_command<DeviceInfo>(
      info, Kind::kWaits,
      [who = address(info[0]), flags = static_cast<uint32_t>(number(info[1]))](
          Control& control, Cancel& cancel) { return control.suspend(who, flags, cancel); });
}

Napi::Value resume(Info info) {
  return start_command<DeviceInfo>(
      info, Kind::kWaits,
      [who = address(info[0]), udev = static_cast<uint32_t>(number(info[1]))](
          Control& control, Cancel& cancel) { return control.resume(who, udev, 0, cancel); });
}

Napi::Value device_status(Info info) {
  return start_command<DeviceInfo>(
      info, Kind::kQuick,
      [who = address(info[0])](Control& control, Cancel& cancel) { return control.status(who, cancel); });
}

Napi::Value table_load(Info info) {
  return start_command<DeviceInfo>(info, Kind::kWaits,
                                   [who = address(info[0]), lines = table(info[1]),
                                    read_only = truth(info[2])](Control& control, Cancel& cancel) {
                                     return load_with_reason(control, who, lines, read_only, cancel);
                                   });
}

Napi::Value table_clear(Info info) {
  return start_command<DeviceInfo>(info, Kind::kWaits,
                                   [who = address(info[0])](Control& control, Cancel& cancel) {
                                     return control.table_clear(who, cancel);
                                   });
}

Napi::Value table_deps(Info info) {
  return start_command<std::vector<uint64_t>>(
      info, Kind::kQuick,
      [who = address(info[0])](Control& control, Cancel& cancel) { return control.table_deps(who, cancel); });
}

Napi::Value table_status(Info info) {
  return start_command<std::vector<Target>>(
      info, Kind::kQuick,
      [who = address(info[0]), flags = static_cast<uint32_t>(number(info[1]))](
          Control& control, Cancel& cancel) { return control.table_status(who, flags, cancel); });
}

/// The status lines of many thins, whose uuids are a prefix and their id, in one job and as one string: per
/// thin a line of errno, length in sectors, and the kernel's text. A JavaScript object for each would cost
/// more than the kernel's answer does.
Napi::Value status_many(Info info) {
  const auto array = info[1].As<Napi::Uint32Array>();
  const std::vector<uint32_t> ids(array.Data(), array.Data() + array.ElementLength());
  return start_command<std::string>(
      info, Kind::kQuick,
      [prefix = text(info[0]), ids](Control& control, Cancel& cancel) -> Result<std::string> {
        std::string lines;
        for (const uint32_t id : ids) {
          const auto status =
              control.table_status({{}, prefix + std::to_string(id), 0}, DM_NOFLUSH_FLAG, cancel);
          if (!status && status.failure().cancelled) return status.failure();
          const bool found = status && !status->empty();
          const int error = found ? 0 : status ? ENXIO : status.failure().error;
          lines += std::to_string(error) + ' ' + std::to_string(found ? status->front().length : 0) + ' ';
          if (found) lines += status->front().parameters;
          lines += '\n';
        }
        return lines;
      });
}

Napi::Value target_message(Info info) {
  return start_command<std::string>(
      info, Kind::kWaits,
      [who = address(info[0]), sector = number(info[1]), message = text(info[2])](
          Control& control, Cancel& cancel) { return control.target_message(who, sector, message, cancel); });
}

using DeviceTask = TaskOf<DeviceInfo>;
using SharedControl = std::shared_ptr<Control>;

/// { lock, pool, ownPrefix }; none where the device is no volume.
std::shared_ptr<ActivationGuard> activation_guard(const Napi::Value& value) {
  if (!value.IsObject()) return nullptr;
  const auto object = value.As<Napi::Object>();
  return std::make_shared<ActivationGuard>(text(object.Get("lock")), number(object.Get("pool")),
                                           text(object.Get("ownPrefix")));
}

DeviceTask activation(const SharedControl& control, const std::shared_ptr<ActivationGuard>& guard,
                      const Napi::Object& object, uint32_t udev) {
  ActivateRequest request;
  request.guard = guard;
  request.udev = udev;
  request.name = text(object.Get("name"));
  request.uuid = text(object.Get("uuid"));
  request.table = table(object.Get("table"));
  request.read_only = truth(object.Get("readOnly"));
  request.thin_id = static_cast<uint32_t>(number(object.Get("thinId")));
  return [control, request](Work& work) { return activate(*control, request, work.cancel()); };
}

/// (guard or null, request, udev flags, cancel id)
Napi::Value activate_device(Info info) {
  const auto control = Environment::of(info.Env()).shared_control();
  const auto udev = static_cast<uint32_t>(number(info[2]));
  return start<DeviceInfo>(
      info, Kind::kWaits,
      activation(control, activation_guard(info[0]), info[1].As<Napi::Object>(), udev), plainly);
}

/// (guard, requests, udev flags, progress or null, cancel id) → per item the device number, or its failure.
Napi::Value activate_many(Info info) {
  const auto control = Environment::of(info.Env()).shared_control();
  const auto guard = activation_guard(info[0]);
  const auto requests = info[1].As<Napi::Array>();
  const auto udev = static_cast<uint32_t>(number(info[2]));
  std::vector<DeviceTask> tasks;
  for (uint32_t i = 0; i < requests.Length(); ++i) {
    const Napi::HandleScope scope(info.Env());
    tasks.push_back(activation(control, guard, requests.Get(i).As<Napi::Object>(), udev));
  }
  return start_batch(info, std::move(tasks), info[3]);
}

Napi::Value snapshot_origin(Info info) {
  const auto object = info[0].As<Napi::Object>();
  SnapshotRequest request;
  request.pool = number(object.Get("pool"));
  request.pool_name = text(object.Get("poolName"));
  request.own_prefix = text(object.Get("ownPrefix"));
  request.origin_uuid = text(object.Get("originUuid"));
  request.origin_id = static_cast<uint32_t>(number(object.Get("originId")));
  request.ids = ids(object.Get("ids"));
  request.udev = static_cast<uint32_t>(number(object.Get("udevFlags")));
  return start_command<SnapshotOutcome>(info, Kind::kWaits, [request](Control& control, Cancel& cancel) {
    return snapshot(control, request, cancel);
  });
}

/// Removal, tried again on EBUSY only, until `limit_ms` are over. Between tries no thread is kept.
DeviceTask removal(const SharedControl& control, const RemoveRequest& request, uint64_t limit_ms) {
  struct Progress {
    int64_t started = 0;
    uint32_t tries = 0;
  };
  const auto progress = std::make_shared<Progress>();
  const int64_t limit_ns = static_cast<int64_t>(limit_ms) * 1'000'000;
  return [control, progress, request, limit_ns](Work& work) -> Result<DeviceInfo> {
    if (progress->started == 0) progress->started = now_ns();
    ++progress->tries;
    auto removed = remove_once(*control, request, work.cancel());
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

Napi::Value remove_device(Info info) {
  const auto control = Environment::of(info.Env()).shared_control();
  const RemoveRequest request{address(info[0]), static_cast<uint32_t>(number(info[1])), truth(info[2])};
  return start<DeviceInfo>(info, Kind::kWaits, removal(control, request, number(info[3])), plainly);
}

/// (addresses, udev flags, limit in ms, progress or null, cancel id) → per item the device number, or its
/// failure.
Napi::Value remove_many(Info info) {
  const auto control = Environment::of(info.Env()).shared_control();
  const auto addresses = info[0].As<Napi::Array>();
  const auto udev = static_cast<uint32_t>(number(info[1]));
  std::vector<DeviceTask> tasks;
  for (uint32_t i = 0; i < addresses.Length(); ++i) {
    const Napi::HandleScope scope(info.Env());
    tasks.push_back(removal(control, {address(addresses.Get(i)), udev, false}, number(info[2])));
  }
  return start_batch(info, std::move(tasks), info[3]);
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

/// The exclusive side of the section lock, as a handle for release(); EWOULDBLOCK when somebody is inside.
Napi::Value lock_pool(Info info) {
  auto* environment = &Environment::of(info.Env());
  return start<UniqueFd>(
      info, Kind::kQuick,
      [pool = text(info[0])](Work& work) {
        return lock_sections(pool, LockMode::kExclusiveNow, work.cancel());
      },
      [environment](Napi::Env env, UniqueFd& fd) { return to_js(env, environment->hold(std::move(fd))); });
}

}  // namespace

void export_dm(Napi::Env env, Napi::Object exports) {
  const auto add = [&](const char* name, Napi::Value (*function)(Info)) {
    exports.Set(name, Napi::Function::New(env, function, name));
  };
  add("version", version);
  add("listDevices", list_devices);
  add("listVersions", list_versions);
  add("create", create);
  add("remove", remove_device);
  add("removeMany", remove_many);
  add("suspend", suspend);
  add("resume", resume);
  add("deviceStatus", device_status);
  add("tableLoad", table_load);
  add("tableClear", table_clear);
  add("tableDeps", table_deps);
  add("tableStatus", table_status);
  add("statusMany", status_many);
  add("targetMessage", target_message);
  add("activate", activate_device);
  add("activateMany", activate_many);
  add("snapshot", snapshot_origin);
  add("activeThins", active_thins_of);
  add("foreignThins", foreign_thins_of);
  add("lockPool", lock_pool);
}

}  // namespace dmthin
