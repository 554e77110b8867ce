// Memory of JavaScript that the work on another thread uses.
#pragma once

#include <napi.h>

#include <cstdint>

namespace dmthin {

/// A caller's memory, kept from the garbage collector until the job that uses it is gone. Jobs begin and end
/// on the JS thread, which a reference needs.
struct Memory {
  explicit Memory(const Napi::Value& value) {
    auto array = value.As<Napi::Uint8Array>();
    kept = Napi::Persistent(array.As<Napi::Object>());
    bytes = array.Data();
    length = array.ByteLength();
  }
  Napi::ObjectReference kept;
  uint8_t* bytes = nullptr;
  uint64_t length = 0;
};

}  // namespace dmthin
