// The volumes of a pool for JavaScript: activation, deactivation, snapshots, which of them are active.
#include "dm/activate.h"
#include "dm/commit.h"
#include "dm/move_to_snapshot.h"
#include "dm/remove_volume.h"
#include "dm/snapshot.h"
#include "napi/batch_job.h"
#include "napi/busy_tries.h"
#include "napi/exports.h"
#include "napi/packed_list.h"
#include "napi/udev.h"

namespace dmthin {

using SharedGuard = std::shared_ptr<ActivationGuard>;

/// Reads { pool, ownPrefix }, or null if the device is no volume.
SharedGuard guard_from_js(const Napi::Value& value, ActivationGuard::For number) {
  if (value.IsNull()) return nullptr;
  KnownPool pool;
  std::string own_prefix;
  FieldsOf(value).get("pool", pool).get("ownPrefix", own_prefix);
  return std::make_shared<ActivationGuard>(std::move(pool), std::move(own_prefix), number);
}

void from_js(const Napi::Value& value, SharedGuard& guard) {
  guard = guard_from_js(value, ActivationGuard::For::kOne);
}

/// Reads all but the guard and the event.
void from_js(const Napi::Value& value, ActivateRequest& request) {
  FieldsOf(value)
      .get("name", request.name)
      .get("uuid", request.uuid)
      .get("table", request.table)
      .get_if("readOnly", request.read_only)
      .get_if("thinId", request.thin_id);
}

/// Reads { pool, looks }. The rest is of the volume.
void from_js(const Napi::Value& value, RemoveVolumeRequest& request) {
  FieldsOf(value).get("pool", request.pool).get("looks", request.verifies_pool);
}

void from_js(const Napi::Value& value, Reserve& reserve) {
  FieldsOf(value)
      .get("percent", reserve.percent)
      .get("dataBlocks", reserve.data_blocks)
      .get("metadataBlocks", reserve.metadata_blocks);
}

void from_js(const Napi::Value& value, SnapshotRequest& request) {
  uint32_t udev = 0;
  FieldsOf(value)
      .get("pool", request.pool)
      .get("ownPrefix", request.own_prefix)
      .get("originUuid", request.origin_uuid)
      .get("originId", request.origin_id)
      .get("ids", request.ids)
      .get("udevFlags", udev)
      .get("committed", request.committed)
      .get_if("unwritten", request.unwritten)
      .get_if("reserve", request.reserve);
  request.event = udev << 16;
}

void from_js(const Napi::Value& value, CreateThinRequest& request) {
  FieldsOf(value)
      .get("pool", request.pool)
      .get("id", request.id)
      .get_if("originId", request.origin_id)
      .get("committed", request.committed);
}

void from_js(const Napi::Value& value, MoveRequest& request) {
  uint32_t udev = 0;
  FieldsOf(value)
      .get("pool", request.pool)
      .get("device", request.device)
      .get("lockedId", request.locked_id)
      .get("originId", request.origin_id)
      .get("id", request.id)
      .get("table", request.table)
      .get("udevFlags", udev);
  request.event = udev << 16;
}

Napi::Value to_js(Napi::Env env, const ActiveThin& thin) {
  return Fields<ActiveThin>(env)
      .set("name", thin.name)
      .set("uuid", thin.uuid)
      .set("device", thin.device)
      .set("id", thin.id)
      .done();
}

Napi::Value to_js(Napi::Env env, const SnapshotItem& item) {
  return Fields<SnapshotItem>(env)
      .set("id", item.id)
      .set("errno", item.error)
      .set("operation", item.operation)
      .done();
}

Napi::Object to_js(Napi::Env env, const SnapshotOutcome& outcome) {
  return Fields<SnapshotOutcome>(env).set("suspended", outcome.suspended).set("items", outcome.items).done();
}

Napi::Value to_js(Napi::Env env, const ActiveSnapshot& snapshot) {
  auto object = to_js(env, snapshot.outcome);
  if (!snapshot.activated) return object;
  const auto& activated = *snapshot.activated;
  object.Set("activated", activated ? to_js(env, activated->device) : to_js(env, activated.failure()));
  return object;
}

struct ActiveVolume {
  Address address;
  uint32_t thin_id = 0;
};

void from_js(const Napi::Value& value, ActiveVolume& volume) {
  FieldsOf(value).get("address", volume.address).get("thinId", volume.thin_id);
}

struct PackedInventory {
  DeviceInfo pool;
  std::vector<Target> table;
  std::vector<Target> status;
  /// Name, uuid and parameters of each thin; its device, id, flags, open count, and the length of its table,
  /// or -1 if it has none.
  PackedList thins;
};

Napi::Value to_js(Napi::Env env, const PackedInventory& inventory) {
  return Fields<PackedInventory>(env)
      .set("pool", inventory.pool)
      .set("table", inventory.table)
      .set("status", inventory.status)
      .set("texts", inventory.thins.texts)
      .set("numbers", inventory.thins.numbers)
      .done();
}

struct ThinIds {
  std::vector<uint32_t> list;
};

void from_js(const Napi::Value& value, ThinIds& ids) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint32_array)
    throw_wrong_type(value, "Uint32Array");
  const auto array = value.As<Napi::Uint32Array>();
  ids.list.assign(array.Data(), array.Data() + array.ElementLength());
}

namespace {

Result<DeviceInfo> activate_volume(Control& control, const SharedGuard& guard, ActivateRequest& request,
                                   uint32_t udev, Cancel& cancel) {
  request.guard = guard;
  request.event = udev << 16;
  return activate(control, request, cancel);
}

/// (guard, requests, udev flags, progress or null, cancel id) → for each the device number, or its failure.
Napi::Value activate_many(Info info) {
  Arguments arguments(info);
  const auto control = arguments.environment().shared_control();
  const auto guard = guard_from_js(arguments.next(), ActivationGuard::For::kMany);
  auto requests = arguments.next<std::vector<ActivateRequest>>();
  const auto udev = arguments.next<uint32_t>();
  const auto task = [&](ActivateRequest& request) {
    return [control, guard, request = std::move(request), udev](Work& work) mutable {
      return activate_volume(*control, guard, request, udev, work.cancel());
    };
  };
  return start_batch(info, Kind::kWaits, requests, task, arguments.next());
}

/// Most holders are udev's own, which take milliseconds.
int removal_delay_ms(uint32_t tries) { return tries < 8 ? 1 << tries : 100; }

Result<DeviceInfo> remove_device(Control& control, const Address& device, uint32_t udev, bool deferred,
                                 uint64_t limit_ms, const SharedCookie& cookie, BusyTries& tries,
                                 Work& work) {
  return tries.again_if_busy(limit_ms, removal_delay_ms, work, [&] {
    return announced(cookie, udev, [&](uint32_t event) {
      return control.remove(device, event, deferred ? DM_DEFERRED_REMOVE : 0U, work.cancel());
    });
  });
}

Result<DeviceInfo> deactivate(Control& control, RemoveVolumeRequest& request, const Address& device,
                              uint32_t thin_id, uint32_t udev, uint64_t limit_ms, BusyTries& tries,
                              Work& work) {
  request.device = device;
  request.thin_id = thin_id;
  request.event = udev << 16;
  return tries.again_if_busy(limit_ms, removal_delay_ms, work,
                             [&] { return remove_volume(control, request, work.cancel()); });
}

/// (guard, volumes, udev flags, limit in ms, progress or null, cancel id) → for each the device number, or
/// its failure.
Napi::Value deactivate_many(Info info) {
  Arguments arguments(info);
  const auto control = arguments.environment().shared_control();
  const auto request = arguments.next<RemoveVolumeRequest>();
  auto volumes = arguments.next<std::vector<ActiveVolume>>();
  const auto udev = arguments.next<uint32_t>();
  const auto limit_ms = arguments.next<uint64_t>();
  const auto task = [&](ActiveVolume& volume) {
    return [control, request = request, volume = std::move(volume), udev, limit_ms,
            tries = BusyTries()](Work& work) mutable {
      return deactivate(*control, request, volume.address, volume.thin_id, udev, limit_ms, tries, work);
    };
  };
  return start_batch(info, Kind::kChanges, volumes, task, arguments.next());
}

Result<ActiveSnapshot> snapshot_active(Control& control, const SnapshotRequest& request,
                                       const SharedGuard& guard, ActivateRequest& activation, uint32_t udev,
                                       Cancel& cancel) {
  activation.guard = guard;
  activation.event = udev << 16;
  return snapshot_and_activate(control, request, activation, cancel);
}

Result<std::vector<ActiveThin>> foreign_thins_of(Control& control, uint64_t pool,
                                                 const std::string& own_prefix, Cancel& cancel) {
  return foreign_thins(control, pool, own_prefix, cancel);
}

Result<PackedInventory> packed_inventory(Control& control, const Address& pool, Cancel& cancel) {
  auto found = inventory(control, pool, cancel);
  if (!found) return found.failure();
  PackedInventory packed{std::move(found->pool), std::move(found->table), std::move(found->status), {}};
  for (const ActiveThin& thin : found->thins) {
    const double length = thin.line.type.empty() ? -1.0 : static_cast<double>(thin.line.length);
    packed.thins.add({thin.name, thin.uuid, thin.line.parameters},
                     {static_cast<double>(thin.device), static_cast<double>(thin.id),
                      static_cast<double>(thin.flags), static_cast<double>(thin.open_count), length});
  }
  return packed;
}

/// Returns for each volume its state, its length, its mapped sectors, and the highest mapped sector or -1.
Result<std::vector<double>> status_many(Control& control, const std::string& uuid_prefix, const ThinIds& ids,
                                        Cancel& cancel) {
  const auto found = status_of_thins(control, uuid_prefix, ids.list, cancel);
  if (!found) return found.failure();
  std::vector<double> numbers;
  for (const ThinStatus& each : *found) {
    const double highest = each.highest ? static_cast<double>(*each.highest) : -1.0;
    numbers.insert(numbers.end(), {static_cast<double>(each.state), static_cast<double>(each.length),
                                   static_cast<double>(each.mapped), highest});
  }
  return numbers;
}

}  // namespace

Exports volume_exports() {
  static constexpr Export kRows[] = {
      {"activate", call<activate_volume, Kind::kWaits>},
      {"activateMany", activate_many},
      {"remove", call<remove_device, Kind::kChanges>},
      {"deactivate", call<deactivate, Kind::kChanges>},
      {"deactivateMany", deactivate_many},
      {"createThin", call<create_thin, Kind::kChanges>},
      {"snapshot", call<snapshot, Kind::kWaits>},
      {"snapshotActive", call<snapshot_active, Kind::kWaits>},
      {"moveToSnapshot", call<move_to_snapshot, Kind::kWaits>},
      {"activeThins", call<active_thins, Kind::kQuick>},
      {"foreignThins", call<foreign_thins_of, Kind::kQuick>},
      {"inventory", call<packed_inventory, Kind::kWaits>},
      {"statusMany", call<status_many, Kind::kQuick>},
  };
  return kRows;
}

}  // namespace dmthin
