// Mounts, mounted file systems and who holds them, for JavaScript.
#include "dm/pool_lock.h"
#include "fs/detached_mount.h"
#include "fs/freeze_trim.h"
#include "fs/holders.h"
#include "fs/mounts.h"
#include "napi/exports.h"
#include "napi/start_command.h"

namespace dmthin {
namespace {

/// Without its target.
MountRequest mount_request(const Napi::Object& object) {
  MountRequest request;
  request.source = text(object.Get("source"));
  request.type = text(object.Get("type"));
  request.flags = number(object.Get("flags"));
  request.data = text(object.Get("data"));
  return request;
}

Napi::Value mount_device(Info info) {
  const auto object = info[0].As<Napi::Object>();
  MountRequest request = mount_request(object);
  request.target = text(object.Get("target"));
  return start<Nothing>(info, Kind::kWaits, [request](Work&) { return mount_file_system(request); }, by_type);
}

/// A handle, whose release unmounts it, and the path by which this process reaches it.
Napi::Value mount_device_detached(Info info) {
  return start<UniqueFd>(
      info, Kind::kWaits,
      [request = mount_request(info[0].As<Napi::Object>())](Work&) { return mount_detached(request); },
      [](Napi::Env env, UniqueFd& mounted) -> Napi::Value {
        auto object = Napi::Object::New(env);
        object.Set("path", to_js(env, "/proc/self/fd/" + std::to_string(mounted.get())));
        object.Set("handle", to_js(env, Environment::of(env).hold(std::move(mounted))));
        return object;
      });
}

Napi::Value unmount_path(Info info) {
  return start<Nothing>(
      info, Kind::kWaits,
      [target = text(info[0]), flags = static_cast<int>(number(info[1]))](Work&) {
        return unmount_file_system(target, flags);
      },
      by_type);
}

Napi::Value holders_of_device(Info info) {
  return start<std::vector<Holder>>(
      info, Kind::kWaits,
      [device = number(info[0])](Work&) -> Result<std::vector<Holder>> { return holders(device); }, by_type);
}

Napi::Value remount_path(Info info) {
  const auto object = info[0].As<Napi::Object>();
  RemountRequest request;
  request.target = text(object.Get("target"));
  request.set = number(object.Get("set"));
  request.clear = number(object.Get("clear"));
  request.mount_alone = to_bool(object.Get("mountAlone"));
  request.data = text(object.Get("data"));
  return start<Nothing>(
      info, Kind::kWaits, [request](Work&) { return remount_file_system(request); }, by_type);
}

Napi::Value bind_path(Info info) {
  const auto object = info[0].As<Napi::Object>();
  BindRequest request;
  request.source = text(object.Get("source"));
  request.target = text(object.Get("target"));
  request.recursive = to_bool(object.Get("recursive"));
  request.read_only = to_bool(object.Get("readOnly"));
  return start<Nothing>(info, Kind::kWaits, [request](Work&) { return bind_mount(request); }, by_type);
}

Napi::Value set_propagation_of(Info info) {
  return start<Nothing>(
      info, Kind::kWaits,
      [target = text(info[0]), flags = number(info[1])](Work&) { return set_propagation(target, flags); },
      by_type);
}

Napi::Value holders_of_mount_at(Info info) {
  return start<std::vector<Holder>>(
      info, Kind::kWaits, [target = text(info[0])](Work&) { return holders_of_mount(target); }, by_type);
}

Napi::Value freeze_path(Info info) {
  return start<std::shared_ptr<Frozen>>(
      info, Kind::kWaits,
      [path = text(info[0])](Work& work) { return freeze_file_system(path, work.cancel()); }, as_handle);
}

/// By the handle that froze it, or by path.
Napi::Value thaw_frozen(Info info) {
  if (info[0].IsString()) {
    return start<Nothing>(
        info, Kind::kFrees, [path = text(info[0])](Work&) { return thaw_file_system(path); }, by_type);
  }
  auto frozen = Environment::of(info.Env()).held<Frozen>(to_uint32(info[0]));
  return start<Nothing>(
      info, Kind::kFrees, [frozen](Work&) -> Status { return frozen ? frozen->thaw() : Nothing{}; }, by_type);
}

Napi::Value sync_open_file_system(Info info) {
  return start<Nothing>(
      info, Kind::kWaits,
      [file = static_cast<int>(to_uint32(info[0]))](Work&) { return sync_file_system(file); }, by_type);
}

Napi::Value allocate_path(Info info) {
  return start<Nothing>(
      info, Kind::kWaits, [path = text(info[0])](Work&) { return allocate_file(path); }, by_type);
}

Napi::Value trim_path(Info info) {
  const auto object = info[0].As<Napi::Object>();
  TrimRequest request;
  request.path = text(object.Get("path"));
  request.offset = number(object.Get("offsetBytes"));
  request.length = number_or(object.Get("lengthBytes"), request.length);
  request.least_extent = number(object.Get("minimumBytes"));
  return start<uint64_t>(
      info, Kind::kWaits, [request](Work& work) { return trim_file_system(request, work.cancel()); },
      by_type);
}

Napi::Value grown_to_js(Napi::Env env, Grown& grown) {
  auto object = Napi::Object::New(env);
  object.Set("type", grown.type);
  object.Set("deviceBytes", to_js(env, grown.device_bytes));
  object.Set("beforeBytes", to_js(env, grown.before_bytes));
  object.Set("afterBytes", to_js(env, grown.after_bytes));
  return object;
}

Napi::Value grow_path(Info info) {
  return start<Grown>(
      info, Kind::kWaits, [path = text(info[0])](Work&) { return grow_file_system(path); }, grown_to_js);
}

/// While no snapshot of the volume below suspends it: ext4 ends its protection against a freeze, and then
/// starts one more transaction (ext4_resize_end in EXT4_IOC_RESIZE_FS).
Napi::Value grow_path_of_volume(Info info) {
  return start<Grown>(
      info, Kind::kWaits,
      [path = text(info[0]), pool = text(info[1]), thin = to_uint32(info[2])](Work& work) -> Result<Grown> {
        const auto lock = lock_thin_to_resize(pool, thin, work.cancel());
        if (!lock) return lock.failure();
        return grow_file_system(path);
      },
      grown_to_js);
}

}  // namespace

void export_file_systems(Napi::Env env, Napi::Object exports) {
  const Exporter add{env, exports};
  add("mount", mount_device);
  add("mountDetached", mount_device_detached);
  add("remount", remount_path);
  add("bindMount", bind_path);
  add("setPropagation", set_propagation_of);
  add("unmount", unmount_path);
  add("holders", holders_of_device);
  add("holdersOfMount", holders_of_mount_at);
  add("freeze", freeze_path);
  add("thaw", thaw_frozen);
  add("syncFileSystem", sync_open_file_system);
  add("allocateFile", allocate_path);
  add("trim", trim_path);
  add("growFileSystem", grow_path);
  add("growVolumeFileSystem", grow_path_of_volume);
}

}  // namespace dmthin
