#include "napi/from_js.h"

#include <cmath>
#include <cstdint>

namespace dmthin {

void throw_wrong_type(const Napi::Value& value, const char* wanted) {
  throw Napi::TypeError::New(value.Env(), std::string("the native part was given no ") + wanted);
}

void from_js(const Napi::Value& value, std::string& text) {
  if (!value.IsString()) throw_wrong_type(value, "string");
  text = value.As<Napi::String>().Utf8Value();
}

void from_js(const Napi::Value& value, uint64_t& number) {
  constexpr double kMax = 9007199254740991;  // Number.MAX_SAFE_INTEGER
  const auto given = value_of<double>(value);
  if (!(given >= 0 && given <= kMax) || given != std::trunc(given)) throw_wrong_type(value, "whole number");
  number = static_cast<uint64_t>(given);
}

void from_js(const Napi::Value& value, uint32_t& number) {
  const auto given = value_of<uint64_t>(value);
  if (given > UINT32_MAX) throw_wrong_type(value, "number of 32 bits");
  number = static_cast<uint32_t>(given);
}

void from_js(const Napi::Value& value, int& number) {
  const auto given = value_of<uint64_t>(value);
  if (given > INT32_MAX) throw_wrong_type(value, "number of 31 bits");
  number = static_cast<int>(given);
}

void from_js(const Napi::Value& value, double& number) {
  if (!value.IsNumber()) throw_wrong_type(value, "number");
  number = value.As<Napi::Number>().DoubleValue();
}

void from_js(const Napi::Value& value, bool& flag) {
  if (!value.IsBoolean()) throw_wrong_type(value, "boolean");
  flag = value.As<Napi::Boolean>().Value();
}

void from_js(const Napi::Value& value, Address& address) {
  FieldsOf(value)
      .get_if("name", address.name)
      .get_if("uuid", address.uuid)
      .get_if("device", address.device)
      .get_if("label", address.label);
}

void from_js(const Napi::Value& value, KnownPool& pool) {
  FieldsOf(value).get("device", pool.device).get("name", pool.name).get("uuid", pool.uuid);
}

void from_js(const Napi::Value& value, Target& line) {
  FieldsOf(value)
      .get("startSectors", line.start)
      .get("lengthSectors", line.length)
      .get("type", line.type)
      .get("parameters", line.parameters);
}

}  // namespace dmthin
