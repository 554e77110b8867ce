// A hostile or broken kernel: answers of every kind with random bytes changed, cut and joined. Under
// AddressSanitizer a step outside the buffer ends the run; what is checked besides is that it always comes
// back.
//   DM_THIN_FUZZ_RUNS=10000000 native_tests reply_fuzz_test    more than the bounded run of the tests
#include <cstdlib>
#include <cstring>

#include "abi/dm_message.h"
#include "test/check.h"

using namespace dmthin;

namespace {

using Bytes = std::vector<uint8_t>;
constexpr uint64_t kBoundedRuns = 200'000;

/// xorshift64*: the same in every run, so that a failure can be looked at again.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 2685821657736338717u;
  }
  size_t below(size_t limit) { return static_cast<size_t>(next() % limit); }

 private:
  uint64_t state_;
};

template <class T>
void put(Bytes& bytes, const T& value) {
  const auto* data = reinterpret_cast<const uint8_t*>(&value);
  bytes.insert(bytes.end(), data, data + sizeof value);
}

void put_text(Bytes& bytes, const char* text) {
  bytes.insert(bytes.end(), text, text + strlen(text) + 1);
  bytes.resize((bytes.size() + 7) & ~size_t{7});
}

Bytes device_list() {
  Bytes bytes;
  for (uint32_t i = 0; i < 3; ++i) {
    put(bytes, uint64_t{64768 + i});
    put(bytes, uint32_t{i < 2 ? 48u : 0u});
    put_text(bytes, "name");
    put(bytes, uint32_t{i});
    put(bytes, uint32_t{DM_NAME_LIST_FLAG_HAS_UUID});
    put_text(bytes, "a-uuid-of-it");
  }
  return bytes;
}

Bytes target_list() {
  Bytes bytes;
  for (uint32_t i = 0; i < 3; ++i) {
    dm_target_spec spec = {};
    spec.sector_start = i * 8;
    spec.length = 8;
    spec.next = (i + 1) * (sizeof spec + 24);
    memcpy(spec.target_type, "linear", 6);
    put(bytes, spec);
    put_text(bytes, "253:0 123456789 and");
  }
  return bytes;
}

Bytes version_list() {
  Bytes bytes;
  for (uint32_t i = 0; i < 3; ++i) {
    for (const uint32_t number : {i < 2 ? 32u : 0u, 1u, 23u, 0u}) put(bytes, number);
    put_text(bytes, "thin-pool");
  }
  return bytes;
}

Bytes dependency_list() {
  Bytes bytes;
  put(bytes, uint32_t{3});
  put(bytes, uint32_t{0});
  for (uint64_t i = 0; i < 3; ++i) put(bytes, uint64_t{1792 + i});
  return bytes;
}

Reply reply(const Bytes& payload, Random& random) {
  dm_ioctl header = {};
  header.data_start = sizeof header;
  header.data_size = static_cast<uint32_t>(sizeof header + payload.size());
  header.target_count = 3;
  header.flags = DM_UUID_FLAG | DM_DATA_OUT_FLAG;
  memcpy(header.name, "name", 4);
  Bytes bytes;
  put(bytes, header);
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  for (size_t changes = random.below(6); changes > 0; --changes) {
    // Half of the changes hit the header and half what follows it; small numbers are likelier to be believed.
    const size_t range = random.below(2) == 0 ? sizeof header : bytes.size();
    const size_t at = random.below(range);
    switch (random.below(4)) {
      case 0:
        bytes[at] = static_cast<uint8_t>(random.next());
        break;
      case 1:
        bytes[at] = static_cast<uint8_t>(random.below(8));
        break;
      case 2:
        bytes[at] = 0xff;
        break;
      default:
        bytes[at] ^= static_cast<uint8_t>(1u << random.below(8));
        break;
    }
  }
  if (random.below(4) == 0) bytes.resize(random.below(bytes.size() + 1));
  bytes.shrink_to_fit();
  return Reply(std::move(bytes));
}

}  // namespace

TEST(reply_fuzz_test, answers_with_random_changes_are_read_within_their_buffer) {
  const char* wanted = getenv("DM_THIN_FUZZ_RUNS");
  const uint64_t runs = wanted == nullptr ? kBoundedRuns : strtoull(wanted, nullptr, 10);
  const Bytes payloads[] = {device_list(), target_list(), version_list(), dependency_list(), {}};
  Random random(20);
  uint64_t read = 0;
  for (uint64_t run = 0; run < runs; ++run) {
    const Reply answer = reply(payloads[random.below(5)], random);
    answer.info();
    read += answer.devices() ? 1 : 0;
    read += answer.targets() ? 1 : 0;
    read += answer.versions() ? 1 : 0;
    read += answer.dependencies() ? 1 : 0;
    read += answer.message_reply() ? 1 : 0;
  }
  // Some must be well formed, or the changes would be so many that only the first check is ever reached.
  CHECK(read > runs / 2);
}
