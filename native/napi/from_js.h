// Values of JavaScript to plain ones. A value of another type throws a TypeError: what is missing never
// counts as 0 or "".
#pragma once

#include <napi.h>

#include <optional>
#include <string>
#include <vector>

#include "dm/active_thins.h"
#include "dm/ioctl_data.h"

namespace dmthin {

/// Throws a TypeError: `value` is not what was `wanted`.
[[noreturn]] void throw_wrong_type(const Napi::Value& value, const char* wanted);

void from_js(const Napi::Value& value, std::string& text);
/// Reads a whole number from 0 to 2^53 - 1.
void from_js(const Napi::Value& value, uint64_t& number);
/// Reads flags, ids, handles and other numbers of 32 bits.
void from_js(const Napi::Value& value, uint32_t& number);
/// Reads descriptors, numbers of loop devices, and other numbers from 0 to 2^31 - 1.
void from_js(const Napi::Value& value, int& number);
void from_js(const Napi::Value& value, double& number);
void from_js(const Napi::Value& value, bool& flag);
void from_js(const Napi::Value& value, Address& address);
void from_js(const Napi::Value& value, KnownPool& pool);
void from_js(const Napi::Value& value, Target& line);
template <class T>
void from_js(const Napi::Value& value, std::vector<T>& list);

template <class T>
void from_js(const Napi::Value& value, std::optional<T>& present) {
  from_js(value, present.emplace());
}

template <class T>
T value_of(const Napi::Value& value) {
  T read{};
  from_js(value, read);
  return read;
}

/// Reads an array.
template <class T>
void from_js(const Napi::Value& value, std::vector<T>& list) {
  const auto array = value.As<Napi::Array>();
  const uint32_t length = array.Length();
  list.reserve(length);
  for (uint32_t i = 0; i < length; ++i) {
    const Napi::HandleScope scope(value.Env());
    from_js(array.Get(i), list.emplace_back());
  }
}

/// The fields of an object.
class FieldsOf {
 public:
  explicit FieldsOf(const Napi::Value& value) : object_(value.As<Napi::Object>()) {}

  template <class T>
  const FieldsOf& get(const char* name, T& to) const {
    from_js(object_.Get(name), to);
    return *this;
  }
  /// Reads a field that may be missing: `to` keeps its value then.
  template <class T>
  const FieldsOf& get_if(const char* name, T& to) const {
    const Napi::Value value = object_.Get(name);
    if (!value.IsUndefined()) from_js(value, to);
    return *this;
  }
  template <class T>
  const FieldsOf& get_if(const char* name, std::optional<T>& to) const {
    const Napi::Value value = object_.Get(name);
    if (!value.IsUndefined()) from_js(value, to.emplace());
    return *this;
  }

 private:
  Napi::Object object_;
};

}  // namespace dmthin
