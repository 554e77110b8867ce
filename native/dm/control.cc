#include "dm/control.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cstring>

#include "system/scope_guard.h"
#include "system/system_call.h"

namespace dmthin {

namespace {

constexpr const char* kControlNode = "/dev/mapper/control";
// The kernel copies the whole buffer in and out, so it is as large as the
// answer usually is, and grows.
constexpr size_t kListRoom = size_t{16} * 1024;
// With the header less than a kilobyte: a larger buffer costs the C library a
// lock.
constexpr size_t kLineRoom = 704;
// A message that filled its buffer has run and cannot be repeated. Those that
// begin with "@stats_" go to dm-stats, which answers with a line for each area
// of a device; other targets answer with a few words.
constexpr size_t kMessageRoom = 1024;
constexpr size_t kStatisticsRoom = size_t{64} * 1024;
constexpr size_t kLargestRoom =
    size_t{1024} * 1024 * 1024;  // the kernel's own limit (dm-ioctl.c copy_params)

bool starts_with(const std::string& text, const std::string& prefix) {
  return text.compare(0, prefix.size(), prefix) == 0;
}

size_t first_room(const Call& call) {
  if (call.command.request == DM_TARGET_MSG) return kMessageRoom;
  if (!call.command.grows) return 0;
  const auto lists = {DM_LIST_DEVICES, DM_LIST_VERSIONS};
  return std::find(lists.begin(), lists.end(), call.command.request) == lists.end() ? kLineRoom : kListRoom;
}

}  // namespace

Result<int> Control::descriptor() {
  const MutexLock locked(opening_);
  if (!fd_) {
    // A failure is not remembered: the module may be loaded later in the life
    // of the process.
    const int fd =
        TRY(checked("open control", kControlNode, [] { return ::open(kControlNode, O_RDWR | O_CLOEXEC); }));
    fd_.reset(fd);
  }
  return fd_.get();
}

Result<Reply> Control::run(const Call& call, Cancel& cancel, size_t room) {
  const auto fd = TRY(descriptor());
  room = std::max(room, first_room(call));
  for (;;) {
    if (cancel.requested()) return cancelled(call.command.name, described(call.address));
    // Packed again for each attempt: after a success the kernel has overwritten
    // the request, and with DM_SECURE_DATA_FLAG it has zeroed it even when it
    // failed.
    auto bytes = TRY(pack(call, room));
    const int result =
        system_call(call.command.name, [&] { return ::ioctl(fd, call.command.request, bytes.data()); });
    // The kernel wipes our buffer as it reads it, but not where it refused the
    // request before.
    if (result < 0 && (call.flags & DM_SECURE_DATA_FLAG) != 0) explicit_bzero(bytes.data(), bytes.size());
    if (result == -EINTR) continue;
    if (result < 0) return failed(call.command.name, -result, described(call.address));
    Reply reply(std::move(bytes));
    if (!reply.buffer_full()) return reply;
    if (!call.command.grows || room >= kLargestRoom) {
      return failed(call.command.name, ENOBUFS, described(call.address),
                    "the answer is larger than the buffer");
    }
    room *= 2;
  }
}

namespace {
Result<DeviceInfo> info_of(Result<Reply> reply) {
  if (!reply) return reply.failure();
  return reply->info();
}
}  // namespace

Result<std::vector<uint32_t>> Control::version(Cancel& cancel) {
  const auto reply = TRY(run({command::kVersion, {}}, cancel));
  const dm_ioctl& header = reply.header();
  return std::vector<uint32_t>{header.version[0], header.version[1], header.version[2]};
}

Result<std::vector<Listed>> Control::list_devices(const Address& filter, Cancel& cancel) {
  std::vector<Listed> found;
  TRY(each_device(filter, cancel, [&found](const Listed& each) { found.push_back(each); }));
  return found;
}

Status Control::each_device(const Address& filter, Cancel& cancel,
                            const std::function<void(const Listed&)>& tell) {
  // For a list that does not fit the kernel walks all devices for nothing; so
  // the next whole one gets the room that this one took, and some more.
  const bool whole = filter.name.empty() && filter.uuid.empty();
  const size_t room = whole ? list_room_.load() : 0;
  const auto reply = TRY(run({command::kListDevices, filter, DM_UUID_FLAG}, cancel, room));
  const auto size = TRY(reply.each_device([&](const Listed& each) {
    if (starts_with(each.name, filter.name) && starts_with(each.uuid, filter.uuid)) tell(each);
  }));
  if (whole) list_room_ = size + size / 8;
  return Nothing{};
}

Result<std::vector<TargetVersion>> Control::list_versions(Cancel& cancel) {
  const auto reply = TRY(run({command::kListVersions, {}}, cancel));
  return reply.versions();
}

Result<TargetVersion> Control::target_version(const std::string& type, Cancel& cancel) {
  const auto reply = TRY(run({command::kGetTargetVersion, {type, {}, 0}}, cancel));
  auto versions = TRY(reply.versions());
  if (versions.size() != 1) return failed(command::kGetTargetVersion.name, EBADMSG, type);
  return std::move(versions.front());
}

Status Control::remove_all(uint32_t flags, Cancel& cancel) {
  TRY(run({command::kRemoveAll, {}, flags}, cancel));
  return Nothing{};
}

Status Control::arm_poll(Cancel& cancel) {
  TRY(run({command::kArmPoll, {}}, cancel));
  return Nothing{};
}

Status Control::poll_events(Cancel& cancel) {
  const auto fd = TRY(descriptor());
  pollfd waiting{fd, POLLIN, 0};
  for (;;) {
    if (cancel.requested()) return cancelled("poll events", kControlNode);
    const int result = system_call("poll events", [&] { return ::poll(&waiting, 1, -1); });
    if (result > 0) return Nothing{};
    if (result < 0 && result != -EINTR) return failed("poll events", -result, kControlNode);
  }
}

Result<DeviceInfo> Control::create(const std::string& name, const std::string& uuid, Cancel& cancel,
                                   uint32_t flags, uint64_t device) {
  return info_of(run({command::kCreate, {name, uuid, device}, flags}, cancel));
}

namespace {
/// Returns the device as it is now, and whether the renaming itself raised a uevent. It
/// is renamed: that it was cancelled no longer counts.
Result<DeviceInfo> renamed(Control& control, const DeviceInfo& answer, const std::string& name) {
  Cancel never;
  auto now = control.status({name, {}, 0}, never);
  if (now) now->flags |= answer.flags & DM_UEVENT_GENERATED_FLAG;
  return now;
}
}  // namespace

Result<DeviceInfo> Control::rename(const std::string& name, const std::string& to, uint32_t event,
                                   Cancel& cancel) {
  Call call{command::kRename, {name, {}, 0}, 0, event};
  call.payload = pack_string(to);
  const auto reply = TRY(run(call, cancel));
  return renamed(*this, reply.info(), to);
}

Result<DeviceInfo> Control::set_uuid(const std::string& name, const std::string& uuid, uint32_t event,
                                     Cancel& cancel) {
  Call call{command::kRename, {name, {}, 0}, DM_UUID_FLAG, event};
  call.payload = pack_string(uuid);
  const auto reply = TRY(run(call, cancel));
  return renamed(*this, reply.info(), name);
}

Status Control::set_geometry(const Address& address, const std::string& geometry, Cancel& cancel) {
  Call call{command::kSetGeometry, address};
  call.payload = pack_string(geometry);
  TRY(run(call, cancel));
  return Nothing{};
}

Result<Control::DeviceLines> Control::wait(const Address& address, uint32_t event_number, uint32_t flags,
                                           Cancel& cancel) {
  const auto reply = TRY(run({command::kWait, address, flags, event_number}, cancel));
  auto targets = TRY(reply.targets());
  return DeviceLines{reply.info(), std::move(targets)};
}

Result<DeviceInfo> Control::remove(const Address& address, uint32_t event, uint32_t flags, Cancel& cancel) {
  return info_of(run({command::kRemove, address, flags, event}, cancel));
}

Result<DeviceInfo> Control::suspend(const Address& address, uint32_t flags, Cancel& cancel) {
  return info_of(run({command::kSuspend, address, flags | DM_SUSPEND_FLAG}, cancel));
}

Result<DeviceInfo> Control::resume(const Address& address, uint32_t event, uint32_t flags, Cancel& cancel) {
  return info_of(run({command::kResume, address, flags, event}, cancel));
}

Result<DeviceInfo> Control::status(const Address& address, Cancel& cancel, uint32_t flags) {
  return info_of(run({command::kDeviceStatus, address, flags}, cancel));
}

Result<DeviceInfo> Control::table_load(const Address& address, const std::vector<Target>& table,
                                       uint32_t flags, Cancel& cancel) {
  auto payload = TRY(pack_table(table));
  Call call{command::kTableLoad, address, flags};
  call.target_count = static_cast<uint32_t>(table.size());
  call.payload = std::move(payload);
  auto loaded = info_of(run(call, cancel));
  if ((flags & DM_SECURE_DATA_FLAG) != 0) explicit_bzero(call.payload.data(), call.payload.size());
  return loaded;
}

Result<DeviceInfo> Control::table_clear(const Address& address, Cancel& cancel) {
  return info_of(run({command::kTableClear, address}, cancel));
}

Result<std::vector<uint64_t>> Control::table_deps(const Address& address, Cancel& cancel, uint32_t flags) {
  const auto reply = TRY(run({command::kTableDeps, address, flags}, cancel));
  return reply.dependencies();
}

Result<std::vector<Target>> Control::table_status(Address address, uint32_t flags, Cancel& cancel) {
  const auto reply = TRY(run({command::kTableStatus, std::move(address), flags}, cancel));
  return reply.targets();
}

Result<Control::DeviceLines> Control::device_lines(const Address& address, uint32_t flags, Cancel& cancel) {
  const auto reply = TRY(run({command::kTableStatus, address, flags}, cancel));
  auto targets = TRY(reply.targets());
  DeviceInfo info = reply.info();
  info.flags &= ~flags;  // the kernel gives back those of the request
  return DeviceLines{std::move(info), std::move(targets)};
}

Result<Control::Answer> Control::target_message(const Address& address, uint64_t sector,
                                                const std::string& text, Cancel& cancel, uint32_t flags) {
  Call call{command::kTargetMessage, address, flags};
  call.payload = pack_message(sector, text);
  auto reply = run(call, cancel, starts_with(text, "@stats_") ? kStatisticsRoom : kMessageRoom);
  if (!reply) {
    reply.failure().detail = text;
    return reply.failure();
  }
  auto answer = TRY(reply->message_reply());
  return Answer{reply->info(), std::move(answer)};
}

}  // namespace dmthin
