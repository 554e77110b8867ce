// Snapshots for JavaScript, and which volumes of a pool are active.
#include "dm/snapshot.h"

#include "dm/move_to_snapshot.h"
#include "napi/activation.h"
#include "napi/exports.h"
#include "napi/start_command.h"

namespace dmthin {
namespace {

SnapshotRequest snapshot_request(const Napi::Object& object) {
  SnapshotRequest request;
  request.pool = known_pool(object.Get("pool"));
  request.own_prefix = text(object.Get("ownPrefix"));
  request.origin_uuid = text(object.Get("originUuid"));
  request.origin_id = to_uint32(object.Get("originId"));
  request.ids = list_of(object.Get("ids"), to_uint32);
  request.event = to_uint32(object.Get("udevFlags")) << 16;
  request.committed = to_bool(object.Get("committed"));
  request.unwritten = bool_or(object.Get("unwritten"), false);
  const Napi::Value reserve = object.Get("reserve");
  if (reserve.IsObject()) {
    const auto wanted = reserve.As<Napi::Object>();
    request.reserve.percent = wanted.Get("percent").ToNumber().DoubleValue();
    request.reserve.data_blocks = wanted.Get("dataBlocks").ToNumber().DoubleValue();
    request.reserve.metadata_blocks = wanted.Get("metadataBlocks").ToNumber().DoubleValue();
  }
  return request;
}

Napi::Value snapshot_origin(Info info) {
  return start_command<SnapshotOutcome>(
      info, Kind::kWaits,
      [request = snapshot_request(info[0].As<Napi::Object>())](Control& control, Cancel& cancel) {
        return snapshot(control, request, cancel);
      });
}

/// (snapshot request of one id, guard, activation request, udev flags, cancel id)
Napi::Value snapshot_active(Info info) {
  auto activation =
      activate_request(activation_guard(info[1]), info[2].As<Napi::Object>(), to_uint32(info[3]));
  return start_command<ActiveSnapshot>(
      info, Kind::kWaits,
      [request = snapshot_request(info[0].As<Napi::Object>()), activation = std::move(activation)](
          Control& control, Cancel& cancel) {
        return snapshot_and_activate(control, request, activation, cancel);
      });
}

MoveRequest move_request(const Napi::Object& object) {
  MoveRequest request;
  request.pool = known_pool(object.Get("pool"));
  request.device = address(object.Get("device"));
  request.locked_id = to_uint32(object.Get("lockedId"));
  request.origin_id = to_uint32(object.Get("originId"));
  request.id = to_uint32(object.Get("id"));
  request.table = table(object.Get("table"));
  request.event = to_uint32(object.Get("udevFlags")) << 16;
  return request;
}

Napi::Value move_device(Info info) {
  return start_command<Nothing>(
      info, Kind::kWaits,
      [request = move_request(info[0].As<Napi::Object>())](Control& control, Cancel& cancel) {
        return move_to_snapshot(control, request, cancel);
      });
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

}  // namespace

void export_snapshot(Napi::Env env, Napi::Object exports) {
  const Exporter add{env, exports};
  add("snapshot", snapshot_origin);
  add("snapshotActive", snapshot_active);
  add("moveToSnapshot", move_device);
  add("activeThins", active_thins_of);
  add("foreignThins", foreign_thins_of);
}

}  // namespace dmthin
