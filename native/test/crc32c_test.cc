// CRC-32C: the vectors of RFC 3720, and the processor's own instruction against the tables.
#include "metadata/crc32c.h"

#include <string>
#include <vector>

#include "test/check.h"

using namespace dmthin;

namespace {

const uint8_t* bytes_of(const std::string& text) { return reinterpret_cast<const uint8_t*>(text.data()); }

/// With the final inversion, as the RFC has it.
uint32_t inverted(const std::string& text) { return ~crc32c(bytes_of(text), text.size()); }

}  // namespace

TEST(crc32c_test, the_vectors_of_the_rfc) {
  CHECK_EQUAL(inverted("123456789"), 0xe3069283u);
  CHECK_EQUAL(inverted(std::string(32, '\0')), 0x8a9136aau);
  CHECK_EQUAL(inverted(std::string(32, '\xff')), 0x62a8ab43u);
  std::string ascending;
  for (char byte = 0; byte < 32; ++byte) ascending.push_back(byte);
  CHECK_EQUAL(inverted(ascending), 0x46dd794eu);
}

TEST(crc32c_test, both_ways_agree_for_every_length_and_alignment) {
  std::vector<uint8_t> bytes(3 * 4096);
  uint32_t state = 1;
  for (uint8_t& byte : bytes) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<uint8_t>(state >> 24);
  }
  for (size_t start = 0; start < 8; ++start) {
    for (const size_t length : {0, 1, 7, 8, 9, 63, 64, 4079, 4080, 4081, 4091, 4092, 4096, 8159, 8160, 9000})
      CHECK_EQUAL(crc32c(bytes.data() + start, length), crc32c_portable(bytes.data() + start, length));
  }
}
