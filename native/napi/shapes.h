// Objects with the same fields, made by one JavaScript function: Node-API takes several times as long to set
// the fields of an object one by one, and has no reference to a string that could keep their names.
#pragma once

#include <napi.h>

#include <map>
#include <typeindex>

namespace dmthin {

/// The functions of one environment that make objects.
class Shapes {
 public:
  /// Returns an object with `count` fields. All objects of a `type` have the same names in the same order.
  Napi::Value make(Napi::Env env, std::type_index type, const char* const* names, const napi_value* values,
                   size_t count);

 private:
  std::map<std::type_index, Napi::FunctionReference> makers_;
};

}  // namespace dmthin
