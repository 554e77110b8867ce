// Plain values to JavaScript. Those of one subject alone are beside its functions.
#pragma once

#include <napi.h>

#include <array>
#include <concepts>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "dm/control.h"
#include "napi/environment.h"
#include "system/result.h"
#include "system/unique_fd.h"

namespace dmthin {

Napi::Value to_js(Napi::Env env, const Failure& failure);
Napi::Value to_js(Napi::Env env, const RollbackStep& step);
Napi::Value to_js(Napi::Env env, const DeviceInfo& info);
Napi::Value to_js(Napi::Env env, const Target& target);

inline Napi::Value to_js(Napi::Env env, Nothing) { return env.Undefined(); }
inline Napi::Value to_js(Napi::Env env, const std::string& text) { return Napi::String::New(env, text); }
// The template accepts no pointer.
inline Napi::Value to_js(Napi::Env env, std::same_as<bool> auto flag) {
  return Napi::Boolean::New(env, flag);
}
inline Napi::Value to_js(Napi::Env env, int number) { return Napi::Number::New(env, number); }
inline Napi::Value to_js(Napi::Env env, uint32_t number) { return Napi::Number::New(env, number); }
inline Napi::Value to_js(Napi::Env env, uint64_t number) {
  return Napi::Number::New(env, static_cast<double>(number));  // sizes and device numbers, all below 2^53
}

/// Returns 0, or the failure.
inline Napi::Value to_js(Napi::Env env, const Status& outcome) {
  return outcome ? to_js(env, 0U) : to_js(env, outcome.failure());
}
/// Returns a Buffer.
inline Napi::Value to_js(Napi::Env env, const std::vector<uint8_t>& bytes) {
  return Napi::Buffer<uint8_t>::Copy(env, bytes.data(), bytes.size());
}
/// Returns a Float64Array.
Napi::Value to_js(Napi::Env env, const std::vector<double>& numbers);

/// Keeps something open. Returns the handle that names it.
template <class T>
Napi::Value to_js(Napi::Env env, std::shared_ptr<T>& thing) {
  return to_js(env, Environment::of(env).hold(std::move(thing)));
}
inline Napi::Value to_js(Napi::Env env, UniqueFd& fd) {
  auto shared = std::make_shared<UniqueFd>(std::move(fd));
  return to_js(env, shared);
}

template <class T>
Napi::Value to_js(Napi::Env env, std::optional<T>& value) {
  return value ? to_js(env, *value) : env.Undefined();
}

template <class T>
Napi::Value to_js(Napi::Env env, const std::vector<T>& list) {
  auto array = Napi::Array::New(env, list.size());
  for (size_t i = 0; i < list.size(); ++i) {
    const Napi::HandleScope scope(env);
    array.Set(static_cast<uint32_t>(i), to_js(env, list[i]));
  }
  return array;
}

/// An object for a `T`. Its fields are always the same, set in the same order.
template <class T>
class Fields {
 public:
  explicit Fields(Napi::Env env) : env_(env) {}

  /// Sets a field. A value that a handle names is moved to the environment.
  template <class Field>
  Fields& set(const char* name, Field&& value) {
    return add(name, to_js(env_, value));
  }
  /// Sets a field to a BigInt: overlayfs uses all 64 bits of an inode number.
  Fields& inode(const char* name, uint64_t value) { return add(name, Napi::BigInt::New(env_, value)); }
  Napi::Object done() const {
    return Environment::of(env_)
        .shapes()
        .make(env_, typeid(T), names_.data(), values_.data(), count_)
        .template As<Napi::Object>();
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

}  // namespace dmthin
