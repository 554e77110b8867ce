// Memory that O_DIRECT takes.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace dmthin {

constexpr size_t kDirectAlignment = 4096;

struct FreeMemory {
  void operator()(void* memory) const { ::free(memory); }
};
using Aligned = std::unique_ptr<uint8_t, FreeMemory>;

/// Zeros, or nothing where there is no memory.
inline Aligned aligned(size_t size) {
  void* memory = nullptr;
  if (::posix_memalign(&memory, kDirectAlignment, size) != 0) return nullptr;
  memset(memory, 0, size);
  return Aligned(static_cast<uint8_t*>(memory));
}

}  // namespace dmthin
