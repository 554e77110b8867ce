// A caller's memory, kept from the garbage collector until the job that uses it is gone. Jobs begin and end
// on the JS thread, which a reference needs.
#pragma once

#include <napi.h>

#include <cstdint>
#include <string_view>

namespace dmthin {

struct Memory {
  explicit Memory(const Napi::Value& value) {
    if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
      throw Napi::TypeError::New(value.Env(), "the native part was given no Uint8Array");
    auto array = value.As<Napi::Uint8Array>();
    kept = Napi::Persistent(array.As<Napi::Object>());
    bytes = array.Data();
    length = array.ByteLength();
  }
  std::string_view view() const { return {reinterpret_cast<const char*>(bytes), length}; }

  Napi::ObjectReference kept;
  uint8_t* bytes = nullptr;
  uint64_t length = 0;
};

}  // namespace dmthin
