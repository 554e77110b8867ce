#include "metadata/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <sys/auxv.h>
#endif

namespace dmthin {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;  // reflected
constexpr uint32_t kInitial = 0xffffffff;
constexpr size_t kTables = 8;

/// Table `i` is of a byte that `i` other bytes follow, so that one step takes eight bytes.
constexpr std::array<std::array<uint32_t, 256>, kTables> make_tables() {
  std::array<std::array<uint32_t, 256>, kTables> tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    tables[0][byte] = crc;
  }
  for (size_t i = 1; i < kTables; ++i) {
    for (size_t byte = 0; byte < 256; ++byte) {
      const uint32_t before = tables[i - 1][byte];
      tables[i][byte] = (before >> 8) ^ tables[0][before & 0xff];
    }
  }
  return tables;
}

constexpr auto kTable = make_tables();

uint64_t word_at(const uint8_t* bytes) {
  uint64_t word;
  memcpy(&word, bytes, sizeof word);
  return word;
}

using Checksum = uint32_t (*)(const uint8_t* bytes, size_t length);

#if defined(__x86_64__) || defined(__aarch64__)

/// The bytes of each of three streams. The instruction takes three cycles and one can be started in each, so
/// that three streams side by side take as long as one. Three of these are a block of metadata without its
/// checksum.
constexpr size_t kStream = 1360;

/// Table `i` has the effect of kStream zero bytes on a checksum, for the values of its byte `i`.
constexpr std::array<std::array<uint32_t, 256>, 4> make_stream_tables() {
  std::array<uint32_t, 32> of_bit{};
  for (size_t bit = 0; bit < of_bit.size(); ++bit) {
    uint32_t crc = uint32_t{1} << bit;
    for (size_t zero = 0; zero < kStream; ++zero) crc = (crc >> 8) ^ kTable[0][crc & 0xff];
    of_bit[bit] = crc;
  }
  std::array<std::array<uint32_t, 256>, 4> tables{};
  for (size_t i = 0; i < tables.size(); ++i) {
    for (size_t byte = 0; byte < 256; ++byte) {
      for (size_t bit = 0; bit < 8; ++bit)
        if ((byte >> bit & 1) != 0) tables[i][byte] ^= of_bit[8 * i + bit];
    }
  }
  return tables;
}

constexpr auto kPastStream = make_stream_tables();

/// Returns the checksum that `crc` becomes by kStream zero bytes. The checksum is linear: that of two
/// streams, one after the other, is this of the first, combined by exclusive or with that of the second from
/// 0.
uint32_t past_stream(uint32_t crc) {
  return kPastStream[0][crc & 0xff] ^ kPastStream[1][crc >> 8 & 0xff] ^ kPastStream[2][crc >> 16 & 0xff] ^
         kPastStream[3][crc >> 24];
}

#endif

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) uint32_t crc32c_native(const uint8_t* bytes, size_t length) {
  uint64_t crc = kInitial;
  for (; length >= 3 * kStream; bytes += 3 * kStream, length -= 3 * kStream) {
    uint64_t second = 0;
    uint64_t third = 0;
    for (size_t i = 0; i < kStream; i += 8) {
      crc = _mm_crc32_u64(crc, word_at(bytes + i));
      second = _mm_crc32_u64(second, word_at(bytes + kStream + i));
      third = _mm_crc32_u64(third, word_at(bytes + 2 * kStream + i));
    }
    crc = past_stream(static_cast<uint32_t>(crc)) ^ second;
    crc = past_stream(static_cast<uint32_t>(crc)) ^ third;
  }
  for (; length >= 8; bytes += 8, length -= 8) crc = _mm_crc32_u64(crc, word_at(bytes));
  auto low = static_cast<uint32_t>(crc);
  for (; length > 0; ++bytes, --length) low = _mm_crc32_u8(low, *bytes);
  return low;
}

Checksum fastest() { return __builtin_cpu_supports("sse4.2") ? crc32c_native : crc32c_portable; }

#elif defined(__aarch64__)

#ifndef HWCAP_CRC32
#define HWCAP_CRC32 (1 << 7)
#endif

__attribute__((target("+crc"))) uint32_t crc32c_native(const uint8_t* bytes, size_t length) {
  uint32_t crc = kInitial;
  for (; length >= 3 * kStream; bytes += 3 * kStream, length -= 3 * kStream) {
    uint32_t second = 0;
    uint32_t third = 0;
    for (size_t i = 0; i < kStream; i += 8) {
      crc = __crc32cd(crc, word_at(bytes + i));
      second = __crc32cd(second, word_at(bytes + kStream + i));
      third = __crc32cd(third, word_at(bytes + 2 * kStream + i));
    }
    crc = past_stream(past_stream(crc) ^ second) ^ third;
  }
  for (; length >= 8; bytes += 8, length -= 8) crc = __crc32cd(crc, word_at(bytes));
  for (; length > 0; ++bytes, --length) crc = __crc32cb(crc, *bytes);
  return crc;
}

Checksum fastest() { return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0 ? crc32c_native : crc32c_portable; }

#else

Checksum fastest() { return crc32c_portable; }

#endif

}  // namespace

uint32_t crc32c_portable(const uint8_t* bytes, size_t length) {
  uint32_t crc = kInitial;
  for (; length >= 8; bytes += 8, length -= 8) {
    const uint64_t word = word_at(bytes) ^ crc;
    crc = 0;
    for (size_t i = 0; i < kTables; ++i) crc ^= kTable[kTables - 1 - i][(word >> (8 * i)) & 0xff];
  }
  for (; length > 0; ++bytes, --length) crc = (crc >> 8) ^ kTable[0][(crc ^ *bytes) & 0xff];
  return crc;
}

uint32_t crc32c(const uint8_t* bytes, size_t length) {
  static const Checksum checksum = fastest();
  return checksum(bytes, length);
}

}  // namespace dmthin
