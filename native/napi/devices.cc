// Mapped devices for JavaScript: the commands of the device mapper, their events, udev transactions.
#include <string>

#include "block/backing_file.h"
#include "dm/activate.h"
#include "dm/commit.h"
#include "napi/exports.h"
#include "napi/packed_list.h"
#include "napi/udev.h"

namespace dmthin {

Napi::Value to_js(Napi::Env env, const TargetVersion& version) {
  const std::vector<uint32_t> numbers(version.version, version.version + 3);
  return Fields<TargetVersion>(env).set("name", version.name).set("version", numbers).done();
}

Napi::Value to_js(Napi::Env env, const Control::DeviceLines& lines) {
  return Fields<Control::DeviceLines>(env).set("info", lines.info).set("targets", lines.targets).done();
}

/// Returns { texts, numbers }: name and uuid; device, and event number or -1 if the kernel reports none.
Napi::Value to_js(Napi::Env env, const PackedList& list) {
  return Fields<PackedList>(env).set("texts", list.texts).set("numbers", list.numbers).done();
}

/// Keeps the transaction, which release() ends.
Napi::Value to_js(Napi::Env env, UdevCookie& cookie) {
  auto shared = std::make_shared<UdevCookie>(std::move(cookie));
  return to_js(env, shared);
}

struct PoolLines {
  std::vector<Target> table;
  std::vector<Target> status;
  std::vector<uint8_t> superblock;  // empty if it cannot be read
};

Napi::Value to_js(Napi::Env env, const PoolLines& lines) {
  auto object = Fields<PoolLines>(env).set("table", lines.table).set("status", lines.status).done();
  if (!lines.superblock.empty()) object.Set("superblock", to_js(env, lines.superblock));
  return object;
}

/// A listener for events: a control node of its own, which is armed, listed and polled.
struct Events : Control {};

template <>
struct HandleOf<Events> {
  /// Returns a node that is not armed, which reports each event.
  static std::shared_ptr<Events> closed() { return std::make_shared<Events>(); }
};

namespace {

Result<PackedList> list_packed(Control& control, const Address& filter, Cancel& cancel) {
  PackedList list;
  const auto listed = control.each_device(filter, cancel, [&list](const Listed& each) {
    const double event_number = each.event_number ? *each.event_number : -1.0;
    list.add({each.name, each.uuid}, {static_cast<double>(each.device), event_number});
  });
  if (!listed) return listed.failure();
  return list;
}

Result<DeviceInfo> rename_device(Control& control, const std::string& name, const std::string& to,
                                 uint32_t udev, const SharedCookie& cookie, Cancel& cancel) {
  return announced(cookie, udev, [&](uint32_t event) { return control.rename(name, to, event, cancel); });
}

Result<DeviceInfo> give_uuid(Control& control, const std::string& name, const std::string& uuid,
                             uint32_t udev, const SharedCookie& cookie, Cancel& cancel) {
  return announced(cookie, udev, [&](uint32_t event) { return control.set_uuid(name, uuid, event, cancel); });
}

Result<DeviceInfo> resume_device(Control& control, const Address& device, uint32_t udev, uint32_t flags,
                                 const SharedCookie& cookie, Cancel& cancel) {
  return announced(cookie, udev,
                   [&](uint32_t event) { return control.resume(device, event, flags, cancel); });
}

Result<PoolLines> pool_status(Control& control, const Address& pool, const std::string& metadata_path,
                              Cancel& cancel) {
  constexpr uint32_t kMetadataBlockBytes = 4096;
  auto table = control.table_status(pool, DM_STATUS_TABLE_FLAG | DM_NOFLUSH_FLAG, cancel);
  if (!table) return table.failure();
  auto status = control.table_status(pool, DM_NOFLUSH_FLAG, cancel);
  if (!status) return status.failure();
  PoolLines lines{std::move(*table), std::move(*status), {}};
  auto superblock = read_blocks(metadata_path, {0}, kMetadataBlockBytes, false);
  if (superblock) lines.superblock = std::move(superblock->front());
  return lines;
}

/// Sends a message to a target. If `committed`, it fails if the pool did not commit the change.
Result<std::string> send_message(Control& control, const Address& device, uint64_t sector,
                                 const std::string& message, uint32_t flags, bool committed, Cancel& cancel) {
  if (committed) return committed_message(control, device, sector, message, cancel);
  auto sent = control.target_message(device, sector, message, cancel, flags);
  if (!sent) return sent.failure();
  return std::move(sent->text);
}

/// Sends messages one after the other, as the kernel takes them. Returns the outcome of each.
std::vector<Status> send_messages(Control& control, const Address& device, uint64_t sector,
                                  const std::vector<std::string>& messages, bool committed, Cancel& cancel) {
  std::vector<Status> outcomes;
  for (const std::string& each : messages) {
    const auto sent = send_message(control, device, sector, each, 0, committed, cancel);
    outcomes.push_back(sent ? Status(Nothing{}) : Status(sent.failure()));
  }
  return outcomes;
}

Napi::Value open_events(Info info) {
  auto events = std::make_shared<Events>();
  return to_js(info.Env(), events);
}

Status arm_events(Events& events, Cancel& cancel) { return events.arm_poll(cancel); }

Status poll_events(Events& events, Cancel& cancel) { return events.poll_events(cancel); }

/// Polls if asked to, arms, lists: in the order that misses no event.
Result<PackedList> next_list(Events& events, const Address& filter, bool poll, Cancel& cancel) {
  if (poll) {
    auto polled = events.poll_events(cancel);
    if (!polled) return polled.failure();
  }
  auto armed = events.arm_poll(cancel);
  if (!armed) return armed.failure();
  return list_packed(events, filter, cancel);
}

Status wait_for_udev(const SharedCookie& cookie, uint64_t limit_ms, Cancel& cancel) {
  if (!cookie) return Nothing{};
  return cookie->wait(static_cast<int64_t>(limit_ms), cancel);
}

}  // namespace

Exports device_exports() {
  static constexpr Export kRows[] = {
      {"version", call<&Control::version, Kind::kQuick>},
      {"listDevices", call<list_packed, Kind::kQuick>},
      {"listVersions", call<&Control::list_versions, Kind::kQuick>},
      {"targetVersion", call<&Control::target_version, Kind::kChanges>},
      {"removeAll", call<&Control::remove_all, Kind::kChanges>},
      {"create", call<&Control::create, Kind::kChanges>},
      {"rename", call<rename_device, Kind::kChanges>},
      {"setUuid", call<give_uuid, Kind::kChanges>},
      {"setGeometry", call<&Control::set_geometry, Kind::kChanges>},
      {"suspend", call<&Control::suspend, Kind::kWaits>},
      {"resume", call<resume_device, Kind::kFrees>},
      {"deviceStatus", call<&Control::status, Kind::kQuick>},
      {"wait", call<&Control::wait, Kind::kEndless>},
      {"tableLoad", call<load_with_reason, Kind::kChanges>},
      {"tableClear", call<&Control::table_clear, Kind::kChanges>},
      {"tableDeps", call<&Control::table_deps, Kind::kQuick>},
      {"tableStatus", call<&Control::table_status, Kind::kQuick>},
      {"deviceLines", call<&Control::device_lines, Kind::kQuick>},
      {"poolStatus", call<pool_status, Kind::kWaits>},
      {"targetMessage", call<send_message, Kind::kChanges>},
      {"targetMessages", call<send_messages, Kind::kChanges>},
      {"commit", call<commit, Kind::kChanges>},
      {"openEvents", open_events},
      {"armEvents", call<arm_events, Kind::kQuick>},
      {"pollEvents", call<poll_events, Kind::kEndless>},
      {"nextList", call<next_list, Kind::kEndless>},
      {"udevBegin", call<UdevCookie::begin, Kind::kQuick>},
      {"udevWait", call<wait_for_udev, Kind::kEndless>},
      {"udevSweep", call<sweep_udev_cookies, Kind::kQuick>},
  };
  return kRows;
}

}  // namespace dmthin
