#include "napi/shapes.h"

#include <string>

namespace dmthin {
namespace {

/// Returns the function (_name, _uuid, …) => ({name: _name, uuid: _uuid, …}).
Napi::Function maker(Napi::Env env, const char* const* names, size_t count) {
  std::string parameters;
  std::string fields;
  for (size_t i = 0; i < count; ++i) {
    if (i > 0) {
      parameters.append(", ");
      fields.append(", ");
    }
    parameters.append("_").append(names[i]);
    fields.append(names[i]).append(": _").append(names[i]);
  }
  return env.RunScript("(" + parameters + ") => ({" + fields + "})").As<Napi::Function>();
}

}  // namespace

Napi::Value Shapes::make(Napi::Env env, std::type_index type, const char* const* names,
                         const napi_value* values, size_t count) {
  auto found = makers_.find(type);
  if (found == makers_.end()) found = makers_.emplace(type, Napi::Persistent(maker(env, names, count))).first;
  return found->second.Value().Call(env.Undefined(), count, values);
}

}  // namespace dmthin
