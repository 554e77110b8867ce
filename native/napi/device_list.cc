#include "napi/device_list.h"

#include <cstring>

#include "napi/to_js.h"

namespace dmthin {
namespace {
constexpr size_t kPiece = 2048;
}

Result<DeviceList> device_list(Control& control, const Address& filter, Cancel& cancel) {
  DeviceList list;
  const auto listed = control.each_device(filter, cancel, [&list](const Listed& each) {
    if (list.texts.empty() || list.texts.back().size() >= kPiece) {
      list.texts.emplace_back().reserve(kPiece + DM_NAME_LEN + DM_UUID_LEN);
    }
    std::string& text = list.texts.back();
    text.append(each.name).push_back('\0');
    text.append(each.uuid).push_back('\0');
    list.numbers.push_back(static_cast<double>(each.device));
    list.numbers.push_back(each.event_number ? *each.event_number : -1.0);
  });
  if (!listed) return listed.failure();
  return list;
}

Napi::Value to_js(Napi::Env env, const DeviceList& list) {
  auto numbers = Napi::Float64Array::New(env, list.numbers.size());
  if (!list.numbers.empty()) memcpy(numbers.Data(), list.numbers.data(), numbers.ByteLength());
  auto object = Napi::Object::New(env);
  object.Set("texts", to_js(env, list.texts));
  object.Set("numbers", numbers);
  return object;
}

}  // namespace dmthin
