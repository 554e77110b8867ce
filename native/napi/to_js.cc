#include "napi/to_js.h"

#include <array>
#include <cmath>

#include "napi/environment.h"

namespace dmthin {
namespace {

/// The fields of a `T`, in the order in which they are set: the same for each.
template <class T>
class Fields {
 public:
  explicit Fields(Napi::Env env) : env_(env) {}
  template <class Field>
  Fields& set(const char* name, const Field& value) {
    return add(name, to_js(env_, value));
  }
  Fields& set(const char* name, bool value) { return add(name, Napi::Boolean::New(env_, value)); }
  Fields& set(const char* name, int value) { return add(name, Napi::Number::New(env_, value)); }
  /// overlayfs uses all 64 bits of an inode number.
  Fields& inode(const char* name, uint64_t value) { return add(name, Napi::BigInt::New(env_, value)); }
  Napi::Value done() const {
    return Environment::of(env_).shapes().make(env_, typeid(T), names_.data(), values_.data(), count_);
  }

 private:
  static constexpr size_t kMost = 16;
  Fields& add(const char* name, napi_value value) {
    names_.at(count_) = name;
    values_.at(count_++) = value;
    return *this;
  }

  Napi::Env env_;
  std::array<const char*, kMost> names_;
  std::array<napi_value, kMost> values_;
  size_t count_ = 0;
};

}  // namespace

Napi::Value to_js(Napi::Env env, const RollbackStep& step) {
  return Fields<RollbackStep>(env)
      .set("operation", step.operation)
      .set("device", step.device)
      .set("errno", step.error)
      .done();
}

Napi::Value to_js(Napi::Env env, const Failure& failure) {
  return Fields<Failure>(env)
      .set("operation", failure.operation)
      .set("errno", failure.error)
      .set("device", failure.device)
      .set("detail", failure.detail)
      .set("kernelReason", failure.kernel_reason)
      .set("cancelled", failure.cancelled)
      .set("tries", failure.tries)
      .set("rollback", failure.rollback)
      .done();
}

Napi::Value to_js(Napi::Env env, const DeviceInfo& info) {
  return Fields<DeviceInfo>(env)
      .set("name", info.name)
      .set("uuid", info.uuid)
      .set("device", info.device)
      .set("openCount", static_cast<int>(info.open_count))
      .set("targetCount", info.target_count)
      .set("eventNumber", info.event_number)
      .set("flags", info.flags)
      .done();
}

Napi::Value to_js(Napi::Env env, const Target& target) {
  return Fields<Target>(env)
      .set("startSectors", target.start)
      .set("lengthSectors", target.length)
      .set("type", target.type)
      .set("parameters", target.parameters)
      .done();
}

Napi::Value to_js(Napi::Env env, const TargetVersion& version) {
  const std::vector<uint32_t> numbers(version.version, version.version + 3);
  return Fields<TargetVersion>(env).set("name", version.name).set("version", numbers).done();
}

Napi::Value to_js(Napi::Env env, const ActiveThin& thin) {
  return Fields<ActiveThin>(env)
      .set("name", thin.name)
      .set("uuid", thin.uuid)
      .set("device", thin.device)
      .set("id", thin.id)
      .done();
}

Napi::Value to_js(Napi::Env env, const Control::DeviceLines& lines) {
  return Fields<Control::DeviceLines>(env).set("info", lines.info).set("targets", lines.targets).done();
}

Napi::Value to_js(Napi::Env env, const SnapshotItem& item) {
  return Fields<SnapshotItem>(env)
      .set("id", item.id)
      .set("errno", item.error)
      .set("operation", item.operation)
      .done();
}

Napi::Value to_js(Napi::Env env, const SnapshotOutcome& outcome) {
  return Fields<SnapshotOutcome>(env).set("suspended", outcome.suspended).set("items", outcome.items).done();
}

Napi::Value to_js(Napi::Env env, const ActiveSnapshot& snapshot) {
  auto object = to_js(env, snapshot.outcome).As<Napi::Object>();
  if (!snapshot.activated) return object;
  const auto& activated = *snapshot.activated;
  object.Set("activated", activated ? to_js(env, activated->device) : to_js(env, activated.failure()));
  return object;
}

Napi::Value to_js(Napi::Env env, const LoopStatus& loop) {
  return Fields<LoopStatus>(env)
      .set("number", loop.number)
      .set("file", loop.file)
      .set("backingDevice", loop.backing_device)
      .inode("backingInode", loop.backing_inode)
      .set("offsetBytes", loop.offset)
      .set("sizeLimitBytes", loop.size_limit)
      .set("sizeBytes", loop.size_bytes)
      .set("readOnly", loop.read_only)
      .set("autoclear", loop.autoclear)
      .set("directIo", loop.direct_io)
      .set("partitionScan", loop.partition_scan)
      .set("blockSizeBytes", loop.block_size)
      .set("reference", loop.reference)
      .done();
}

Napi::Value to_js(Napi::Env env, const FileIdentity& file) {
  return Fields<FileIdentity>(env)
      .set("device", file.device)
      .inode("inode", file.inode)
      .set("sizeBytes", file.size_bytes)
      .set("allocatedBytes", file.allocated_bytes)
      .set("regular", file.regular)
      .set("blockDevice", file.block_device)
      .set("targetDevice", file.target_device)
      .done();
}

Napi::Value to_js(Napi::Env env, const Holder& holder) {
  return Fields<Holder>(env).set("kind", holder.kind).set("path", holder.path).set("pid", holder.pid).done();
}

namespace {
Napi::Error wrong(const Napi::Value& value, const char* wanted) {
  return Napi::TypeError::New(value.Env(), std::string("the native part was given no ") + wanted);
}
}  // namespace

std::string text(const Napi::Value& value) {
  if (!value.IsString()) throw wrong(value, "string");
  return value.As<Napi::String>().Utf8Value();
}

uint64_t number(const Napi::Value& value) {
  constexpr double kMax = 9007199254740991;  // Number.MAX_SAFE_INTEGER
  if (!value.IsNumber()) throw wrong(value, "number");
  const double given = value.As<Napi::Number>().DoubleValue();
  if (!(given >= 0 && given <= kMax) || given != std::trunc(given)) throw wrong(value, "whole number");
  return static_cast<uint64_t>(given);
}

uint32_t to_uint32(const Napi::Value& value) {
  const uint64_t given = number(value);
  if (given > UINT32_MAX) throw wrong(value, "number of 32 bits");
  return static_cast<uint32_t>(given);
}

bool to_bool(const Napi::Value& value) {
  if (!value.IsBoolean()) throw wrong(value, "boolean");
  return value.As<Napi::Boolean>().Value();
}

std::string text_or(const Napi::Value& value, const char* otherwise) {
  return value.IsUndefined() ? otherwise : text(value);
}

uint64_t number_or(const Napi::Value& value, uint64_t otherwise) {
  return value.IsUndefined() ? otherwise : number(value);
}

bool bool_or(const Napi::Value& value, bool otherwise) {
  return value.IsUndefined() ? otherwise : to_bool(value);
}

Address address(const Napi::Value& value) {
  const auto object = value.As<Napi::Object>();
  return {text_or(object.Get("name")), text_or(object.Get("uuid")), number_or(object.Get("device")),
          text_or(object.Get("label"))};
}

KnownPool known_pool(const Napi::Value& value) {
  const auto object = value.As<Napi::Object>();
  return {number(object.Get("device")), text(object.Get("name")), text(object.Get("uuid"))};
}

std::vector<Target> table(const Napi::Value& value) {
  return list_of(value, [](const Napi::Value& each) -> Target {
    const auto line = each.As<Napi::Object>();
    return {number(line.Get("startSectors")), number(line.Get("lengthSectors")), text(line.Get("type")),
            text(line.Get("parameters"))};
  });
}

}  // namespace dmthin
