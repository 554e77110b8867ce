// The device mapper for JavaScript: each command. The compound calls are in
// sections.cc.
#include <string>

#include "block/backing_file.h"
#include "dm/activate.h"
#include "dm/commit.h"
#include "napi/device_list.h"
#include "napi/exports.h"
#include "napi/start_command.h"
#include "napi/udev.h"

namespace dmthin {
namespace {

Napi::Value version(Info info) {
  return start_command<std::vector<uint32_t>>(
      info, Kind::kQuick, [](Control& control, Cancel& cancel) { return control.version(cancel); });
}

Napi::Value list_devices(Info info) {
  return start_command<DeviceList>(info, Kind::kQuick,
                                   [filter = address(info[0])](Control& control, Cancel& cancel) {
                                     return device_list(control, filter, cancel);
                                   });
}

Napi::Value list_versions(Info info) {
  return start_command<std::vector<TargetVersion>>(
      info, Kind::kQuick, [](Control& control, Cancel& cancel) { return control.list_versions(cancel); });
}

Napi::Value target_version(Info info) {
  return start_command<TargetVersion>(info, Kind::kChanges,
                                      [type = text(info[0])](Control& control, Cancel& cancel) {
                                        return control.target_version(type, cancel);
                                      });
}

Napi::Value remove_all(Info info) {
  return start_command<Nothing>(info, Kind::kChanges,
                                [flags = to_uint32(info[0])](Control& control, Cancel& cancel) {
                                  return control.remove_all(flags, cancel);
                                });
}

/// (name, uuid, flags, device)
Napi::Value create(Info info) {
  return start_command<DeviceInfo>(
      info, Kind::kChanges,
      [name = text(info[0]), uuid = text(info[1]), flags = to_uint32(info[2]), device = number(info[3])](
          Control& control, Cancel& cancel) { return control.create(name, uuid, cancel, flags, device); });
}

/// (name, new name, udev flags, udev transaction or 0)
Napi::Value rename_device(Info info) {
  return start_command<DeviceInfo>(
      info, Kind::kChanges,
      [name = text(info[0]), to = text(info[1]), udev = to_uint32(info[2]),
       cookie = udev_cookie(info.Env(), to_uint32(info[3]))](Control& control, Cancel& cancel) {
        return announced(cookie, udev,
                         [&](uint32_t event) { return control.rename(name, to, event, cancel); });
      });
}

/// (name, uuid, udev flags, udev transaction or 0)
Napi::Value set_uuid(Info info) {
  return start_command<DeviceInfo>(
      info, Kind::kChanges,
      [name = text(info[0]), uuid = text(info[1]), udev = to_uint32(info[2]),
       cookie = udev_cookie(info.Env(), to_uint32(info[3]))](Control& control, Cancel& cancel) {
        return announced(cookie, udev,
                         [&](uint32_t event) { return control.set_uuid(name, uuid, event, cancel); });
      });
}

Napi::Value set_geometry(Info info) {
  return start_command<Nothing>(
      info, Kind::kChanges,
      [who = address(info[0]), geometry = text(info[1])](Control& control, Cancel& cancel) {
        return control.set_geometry(who, geometry, cancel);
      });
}

Napi::Value suspend(Info info) {
  return start_command<DeviceInfo>(
      info, Kind::kWaits,
      [who = address(info[0]), flags = to_uint32(info[1])](Control& control, Cancel& cancel) {
        return control.suspend(who, flags, cancel);
      });
}

/// (address, udev flags, flags, udev transaction or 0)
Napi::Value resume(Info info) {
  return start_command<DeviceInfo>(
      info, Kind::kFrees,
      [who = address(info[0]), udev = to_uint32(info[1]), flags = to_uint32(info[2]),
       cookie = udev_cookie(info.Env(), to_uint32(info[3]))](Control& control, Cancel& cancel) {
        return announced(cookie, udev,
                         [&](uint32_t event) { return control.resume(who, event, flags, cancel); });
      });
}

Napi::Value device_status(Info info) {
  return start_command<DeviceInfo>(
      info, Kind::kQuick,
      [who = address(info[0]), flags = to_uint32(info[1])](Control& control, Cancel& cancel) {
        return control.status(who, cancel, flags);
      });
}

/// (address, event number, flags). On a thread of its own: it may never return.
Napi::Value wait_for_event(Info info) {
  return start_command<Control::DeviceLines>(
      info, Kind::kEndless,
      [who = address(info[0]), event = to_uint32(info[1]), flags = to_uint32(info[2])](
          Control& control, Cancel& cancel) { return control.wait(who, event, flags, cancel); });
}

Napi::Value table_load(Info info) {
  return start_command<DeviceInfo>(
      info, Kind::kChanges,
      [who = address(info[0]), lines = table(info[1]), flags = to_uint32(info[2])](
          Control& control, Cancel& cancel) { return load_with_reason(control, who, lines, flags, cancel); });
}

Napi::Value table_clear(Info info) {
  return start_command<DeviceInfo>(info, Kind::kChanges,
                                   [who = address(info[0])](Control& control, Cancel& cancel) {
                                     return control.table_clear(who, cancel);
                                   });
}

Napi::Value table_deps(Info info) {
  return start_command<std::vector<uint64_t>>(
      info, Kind::kQuick,
      [who = address(info[0]), flags = to_uint32(info[1])](Control& control, Cancel& cancel) {
        return control.table_deps(who, cancel, flags);
      });
}

Napi::Value table_status(Info info) {
  return start_command<std::vector<Target>>(
      info, Kind::kQuick,
      [who = address(info[0]), flags = to_uint32(info[1])](Control& control, Cancel& cancel) {
        return control.table_status(who, flags, cancel);
      });
}

/// (address, flags) → the device and the lines
Napi::Value device_lines(Info info) {
  return start_command<Control::DeviceLines>(
      info, Kind::kQuick,
      [who = address(info[0]), flags = to_uint32(info[1])](Control& control, Cancel& cancel) {
        return control.device_lines(who, flags, cancel);
      });
}

struct PoolLines {
  std::vector<Target> table;
  std::vector<Target> status;
  std::vector<uint8_t> superblock;  // empty if it cannot be read
};

/// (address, path of the metadata)
Napi::Value pool_status(Info info) {
  constexpr uint32_t kMetadataBlockBytes = 4096;
  return start<PoolLines>(
      info, Kind::kWaits,
      [control = Environment::of(info.Env()).shared_control(), who = address(info[0]),
       path = text(info[1])](Work& work) -> Result<PoolLines> {
        auto table = control->table_status(who, DM_STATUS_TABLE_FLAG | DM_NOFLUSH_FLAG, work.cancel());
        if (!table) return table.failure();
        auto status = control->table_status(who, DM_NOFLUSH_FLAG, work.cancel());
        if (!status) return status.failure();
        PoolLines lines{std::move(*table), std::move(*status), {}};
        auto superblock = read_blocks(path, {0}, kMetadataBlockBytes, false);
        if (superblock) lines.superblock = std::move(superblock->front());
        return lines;
      },
      [](Napi::Env env, PoolLines& lines) -> Napi::Value {
        auto object = Napi::Object::New(env);
        object.Set("table", to_js(env, lines.table));
        object.Set("status", to_js(env, lines.status));
        if (!lines.superblock.empty()) object.Set("superblock", to_js(env, lines.superblock));
        return object;
      });
}

Result<std::string> send_message(Control& control, const Address& who, uint64_t sector,
                                 const std::string& text, uint32_t flags, bool committed, Cancel& cancel) {
  if (committed) return committed_message(control, who, sector, text, cancel);
  auto sent = control.target_message(who, sector, text, cancel, flags);
  if (!sent) return sent.failure();
  return std::move(sent->text);
}

/// (address, sector, message, flags, whether it must have been committed)
Napi::Value target_message(Info info) {
  return start_command<std::string>(
      info, Kind::kChanges,
      [who = address(info[0]), sector = number(info[1]), message = text(info[2]), flags = to_uint32(info[3]),
       committed = to_bool(info[4])](Control& control, Cancel& cancel) {
        return send_message(control, who, sector, message, flags, committed, cancel);
      });
}

/// (address)
Napi::Value commit_pool(Info info) {
  return start_command<Nothing>(
      info, Kind::kChanges,
      [who = address(info[0])](Control& control, Cancel& cancel) { return commit(control, who, cancel); });
}

/// (address, sector, messages, whether each must have been committed, cancel
/// id) → per message 0, or its failure. One after the other, as the kernel
/// takes them.
Napi::Value target_messages(Info info) {
  using Outcomes = std::vector<Status>;
  return start<Outcomes>(
      info, Kind::kChanges,
      [control = Environment::of(info.Env()).shared_control(), who = address(info[0]),
       sector = number(info[1]), messages = list_of(info[2], text),
       committed = to_bool(info[3])](Work& work) -> Result<Outcomes> {
        Outcomes outcomes;
        for (const std::string& each : messages) {
          const auto sent = send_message(*control, who, sector, each, 0, committed, work.cancel());
          outcomes.push_back(sent ? Status(Nothing{}) : Status(sent.failure()));
        }
        return outcomes;
      },
      by_type);
}

}  // namespace

void export_dm(Napi::Env env, Napi::Object exports) {
  const Exporter add{env, exports};
  add("version", version);
  add("listDevices", list_devices);
  add("listVersions", list_versions);
  add("targetVersion", target_version);
  add("removeAll", remove_all);
  add("create", create);
  add("rename", rename_device);
  add("setUuid", set_uuid);
  add("setGeometry", set_geometry);
  add("suspend", suspend);
  add("resume", resume);
  add("deviceStatus", device_status);
  add("wait", wait_for_event);
  add("tableLoad", table_load);
  add("tableClear", table_clear);
  add("tableDeps", table_deps);
  add("tableStatus", table_status);
  add("deviceLines", device_lines);
  add("poolStatus", pool_status);
  add("targetMessage", target_message);
  add("targetMessages", target_messages);
  add("commit", commit_pool);
}

}  // namespace dmthin
