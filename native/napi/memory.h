// A caller's memory, kept from the garbage collector until the job that uses it is gone. Jobs are made and
// destroyed on the JS thread, as a reference needs.
#pragma once

#include <napi.h>

#include <cstdint>
#include <string_view>

#include "napi/from_js.h"

namespace dmthin {

struct Memory {
  std::string_view view() const { return {reinterpret_cast<const char*>(bytes), length}; }

  Napi::ObjectReference kept;
  uint8_t* bytes = nullptr;
  uint64_t length = 0;
};

inline void from_js(const Napi::Value& value, Memory& memory) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
    throw_wrong_type(value, "Uint8Array");
  auto array = value.As<Napi::Uint8Array>();
  memory.kept = Napi::Persistent(array.As<Napi::Object>());
  memory.bytes = array.Data();
  memory.length = array.ByteLength();
}

}  // namespace dmthin
