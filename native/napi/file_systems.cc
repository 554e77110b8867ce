// Mounts, mounted file systems, and who holds them, for JavaScript.
#include "dm/pool_lock.h"
#include "fs/detached_mount.h"
#include "fs/freeze_trim.h"
#include "fs/holders.h"
#include "fs/mounts.h"
#include "napi/call.h"
#include "napi/exports.h"

namespace dmthin {

void from_js(const Napi::Value& value, MountRequest& request) {
  FieldsOf(value)
      .get("source", request.source)
      .get("target", request.target)
      .get("type", request.type)
      .get("flags", request.flags)
      .get("data", request.data);
}

void from_js(const Napi::Value& value, RemountRequest& request) {
  FieldsOf(value)
      .get("target", request.target)
      .get("set", request.set)
      .get("clear", request.clear)
      .get("mountAlone", request.mount_alone)
      .get("data", request.data);
}

void from_js(const Napi::Value& value, BindRequest& request) {
  FieldsOf(value)
      .get("source", request.source)
      .get("target", request.target)
      .get("recursive", request.recursive)
      .get("readOnly", request.read_only);
}

void from_js(const Napi::Value& value, TrimRequest& request) {
  FieldsOf(value)
      .get("path", request.path)
      .get("offsetBytes", request.offset)
      .get_if("lengthBytes", request.length)
      .get("minimumBytes", request.least_extent);
}

Napi::Value to_js(Napi::Env env, const Holder& holder) {
  return Fields<Holder>(env).set("kind", holder.kind).set("path", holder.path).set("pid", holder.pid).done();
}

Napi::Value to_js(Napi::Env env, const Grown& grown) {
  return Fields<Grown>(env)
      .set("type", grown.type)
      .set("deviceBytes", grown.device_bytes)
      .set("beforeBytes", grown.before_bytes)
      .set("afterBytes", grown.after_bytes)
      .done();
}

template <>
struct HandleOf<Frozen> {
  static std::shared_ptr<Frozen> closed() { return nullptr; }
};

/// A mount without a target.
struct DetachedRequest {
  MountRequest mount;
};

void from_js(const Napi::Value& value, DetachedRequest& request) {
  FieldsOf(value)
      .get("source", request.mount.source)
      .get("type", request.mount.type)
      .get("flags", request.mount.flags)
      .get("data", request.mount.data);
}

struct DetachedMount {
  UniqueFd fd;  // whose close unmounts it
};

/// Returns a handle, and the path of the mount for this process.
Napi::Value to_js(Napi::Env env, DetachedMount& mounted) {
  const std::string path = "/proc/self/fd/" + std::to_string(mounted.fd.get());
  return Fields<DetachedMount>(env).set("path", path).set("handle", mounted.fd).done();
}

namespace {

Result<DetachedMount> mount_device_detached(const DetachedRequest& request) {
  auto mounted = mount_detached(request.mount);
  if (!mounted) return mounted.failure();
  return DetachedMount{std::move(*mounted)};
}

Status thaw_frozen(const std::shared_ptr<Frozen>& frozen) { return frozen ? frozen->thaw() : Nothing{}; }

/// Takes the handle of a freeze, or a path.
Napi::Value thaw(Info info) {
  if (info[0].IsString()) return call<thaw_file_system, Kind::kFrees>(info);
  return call<thaw_frozen, Kind::kFrees>(info);
}

/// Excludes a snapshot, which suspends the volume: ext4 ends its protection against a freeze, and then starts
/// one more transaction (ext4_resize_end in EXT4_IOC_RESIZE_FS).
Result<Grown> grow_volume_file_system(const std::string& path, const std::string& pool, uint32_t thin_id,
                                      Cancel& cancel) {
  const auto lock = lock_thin_to_resize(pool, thin_id, cancel);
  if (!lock) return lock.failure();
  return grow_file_system(path);
}

}  // namespace

Exports file_system_exports() {
  static constexpr Export kRows[] = {
      {"mount", call<mount_file_system, Kind::kWaits>},
      {"mountDetached", call<mount_device_detached, Kind::kWaits>},
      {"remount", call<remount_file_system, Kind::kWaits>},
      {"bindMount", call<bind_mount, Kind::kWaits>},
      {"setPropagation", call<set_propagation, Kind::kWaits>},
      {"unmount", call<unmount_file_system, Kind::kWaits>},
      {"holders", call<holders, Kind::kWaits>},
      {"holdersOfMount", call<holders_of_mount, Kind::kWaits>},
      {"freeze", call<freeze_file_system, Kind::kWaits>},
      {"thaw", thaw},
      {"syncFileSystem", call<sync_file_system, Kind::kWaits>},
      {"allocateFile", call<allocate_file, Kind::kWaits>},
      {"trim", call<trim_file_system, Kind::kWaits>},
      {"growFileSystem", call<grow_file_system, Kind::kWaits>},
      {"growVolumeFileSystem", call<grow_volume_file_system, Kind::kWaits>},
  };
  return kRows;
}

}  // namespace dmthin
