#include "napi/to_js.h"

#include <cstring>

namespace dmthin {

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
      .set("openCount", info.open_count)
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

Napi::Value to_js(Napi::Env env, const std::vector<double>& numbers) {
  auto array = Napi::Float64Array::New(env, numbers.size());
  if (!numbers.empty()) memcpy(array.Data(), numbers.data(), array.ByteLength());
  return array;
}

}  // namespace dmthin
