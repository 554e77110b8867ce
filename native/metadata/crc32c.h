// The checksum of metadata blocks.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dmthin {

/// Returns the CRC-32C (Castagnoli) from 0xFFFFFFFF and without the final inversion. By the processor's own
/// instruction if it has one.
uint32_t crc32c(const uint8_t* bytes, size_t length);

/// Returns the same without that instruction.
uint32_t crc32c_portable(const uint8_t* bytes, size_t length);

}  // namespace dmthin
