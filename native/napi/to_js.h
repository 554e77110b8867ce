// Plain values to JavaScript and back. A value of another type throws: what is missing is never taken for 0
// or "".
#pragma once

#include <napi.h>

#include <string>
#include <vector>

#include "block/backing_file.h"
#include "block/loop.h"
#include "dm/active_thins.h"
#include "dm/snapshot.h"
#include "fs/holders.h"

namespace dmthin {

Napi::Value to_js(Napi::Env env, const RollbackStep& step);
Napi::Value to_js(Napi::Env env, const Failure& failure);
Napi::Value to_js(Napi::Env env, const DeviceInfo& info);
Napi::Value to_js(Napi::Env env, const Target& target);
Napi::Value to_js(Napi::Env env, const TargetVersion& version);
Napi::Value to_js(Napi::Env env, const Control::DeviceLines& lines);
Napi::Value to_js(Napi::Env env, const ActiveThin& thin);
Napi::Value to_js(Napi::Env env, const SnapshotItem& item);
Napi::Value to_js(Napi::Env env, const SnapshotOutcome& outcome);
Napi::Value to_js(Napi::Env env, const ActiveSnapshot& snapshot);
Napi::Value to_js(Napi::Env env, const LoopStatus& loop);
Napi::Value to_js(Napi::Env env, const FileIdentity& file);
Napi::Value to_js(Napi::Env env, const Holder& holder);
inline Napi::Value to_js(Napi::Env env, const std::string& text) { return Napi::String::New(env, text); }
inline Napi::Value to_js(Napi::Env env, uint64_t number) {
  return Napi::Number::New(env, static_cast<double>(number));  // sizes and device numbers, all below 2^53
}
inline Napi::Value to_js(Napi::Env env, uint32_t number) { return Napi::Number::New(env, number); }
inline Napi::Value to_js(Napi::Env env, Nothing) { return env.Undefined(); }

/// 0, or why not.
inline Napi::Value to_js(Napi::Env env, const Status& outcome) {
  return outcome ? to_js(env, 0U) : to_js(env, outcome.failure());
}
inline Napi::Value to_js(Napi::Env env, const std::vector<uint8_t>& bytes) {
  return Napi::Buffer<uint8_t>::Copy(env, bytes.data(), bytes.size());
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

std::string text(const Napi::Value& value);
/// A whole number from 0 to 2^53 - 1.
uint64_t number(const Napi::Value& value);
/// Flags, ids and other 32 bits.
uint32_t to_uint32(const Napi::Value& value);
bool to_bool(const Napi::Value& value);
/// What may be left out, and its default.
std::string text_or(const Napi::Value& value, const char* otherwise = "");
uint64_t number_or(const Napi::Value& value, uint64_t otherwise = 0);
bool bool_or(const Napi::Value& value, bool otherwise = false);
/// An array, each of it by `convert`.
template <class Convert>
auto list_of(const Napi::Value& value, const Convert& convert) {
  const auto array = value.As<Napi::Array>();
  std::vector<decltype(convert(value))> list;
  list.reserve(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::HandleScope scope(value.Env());
    list.push_back(convert(array.Get(i)));
  }
  return list;
}

Address address(const Napi::Value& value);
/// { device, name, uuid }
KnownPool known_pool(const Napi::Value& value);
std::vector<Target> table(const Napi::Value& value);

}  // namespace dmthin
