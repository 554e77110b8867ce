// Activations for JavaScript.
#include "dm/activate.h"

#include "napi/activation.h"
#include "napi/batch_job.h"
#include "napi/exports.h"
#include "napi/start_command.h"

namespace dmthin {

/// { pool, ownPrefix }; null where the device is no volume.
std::shared_ptr<ActivationGuard> activation_guard(const Napi::Value& value, ActivationGuard::For number) {
  if (value.IsNull()) return nullptr;
  const auto object = value.As<Napi::Object>();
  return std::make_shared<ActivationGuard>(known_pool(object.Get("pool")), text(object.Get("ownPrefix")),
                                           number);
}

ActivateRequest activate_request(const std::shared_ptr<ActivationGuard>& guard, const Napi::Object& object,
                                 uint32_t udev) {
  ActivateRequest request;
  request.guard = guard;
  request.event = udev << 16;
  request.name = text(object.Get("name"));
  request.uuid = text(object.Get("uuid"));
  request.table = table(object.Get("table"));
  request.read_only = bool_or(object.Get("readOnly"));
  request.thin_id = static_cast<uint32_t>(number_or(object.Get("thinId")));
  return request;
}

namespace {

using SharedControl = std::shared_ptr<Control>;

auto activation(const SharedControl& control, const std::shared_ptr<ActivationGuard>& guard,
                const Napi::Object& object, uint32_t udev) {
  return [control, request = activate_request(guard, object, udev)](Work& work) {
    return activate(*control, request, work.cancel());
  };
}

/// (guard or null, request, udev flags, cancel id)
Napi::Value activate_device(Info info) {
  const auto control = Environment::of(info.Env()).shared_control();
  const auto udev = to_uint32(info[2]);
  return start<DeviceInfo>(info, Kind::kWaits,
                           activation(control, activation_guard(info[0]), info[1].As<Napi::Object>(), udev),
                           by_type);
}

/// (guard, requests, udev flags, progress or null, cancel id) → per item the device number, or its failure.
Napi::Value activate_many(Info info) {
  const auto control = Environment::of(info.Env()).shared_control();
  const auto guard = activation_guard(info[0], ActivationGuard::For::kMany);
  const auto udev = to_uint32(info[2]);
  auto tasks = list_of(info[1], [&](const Napi::Value& request) {
    return activation(control, guard, request.As<Napi::Object>(), udev);
  });
  return start_batch(info, Kind::kWaits, std::move(tasks), info[3]);
}

}  // namespace

void export_activate(Napi::Env env, Napi::Object exports) {
  const Exporter add{env, exports};
  add("activate", activate_device);
  add("activateMany", activate_many);
}

}  // namespace dmthin
