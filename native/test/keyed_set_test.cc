// Pairs by their keyed hashes: the hash is SipHash, and what was added is found, within the bytes.
#include "tree/keyed_set.h"

#include <string>

#include "test/check.h"

using namespace dmthin;

namespace {

constexpr HashKey kKey = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};

std::string numbered(int number) { return "name-" + std::to_string(number); }

}  // namespace

// The vector of the paper, "SipHash: a fast short-input PRF", appendix A.
TEST(keyed_set_test, the_hash_is_siphash_2_4) {
  CHECK_EQUAL(keyed_hash(kKey, 0x0706050403020100u, "\x08\x09\x0a\x0b\x0c\x0d\x0e"), 0xa129ca6149be45e5u);
}

TEST(keyed_set_test, another_key_is_another_hash_and_keys_are_random) {
  const auto one = random_hash_key();
  const auto other = random_hash_key();
  CHECK(one && other && *one != *other);
  CHECK(keyed_hash(*one, 1, "name") != keyed_hash(*other, 1, "name"));
}

TEST(keyed_set_test, what_was_added_is_found_and_nothing_else) {
  KeyedSet set(kKey, 1 << 20);
  for (int i = 0; i < 20'000; ++i) CHECK(set.add(7, numbered(i)));
  for (int i = 0; i < 20'000; ++i) CHECK(set.add(7, numbered(i)));
  for (int i = 0; i < 20'000; ++i) {
    CHECK(set.has(7, numbered(i)));
    CHECK(!set.has(8, numbered(i)));
  }
  CHECK(set.bytes() <= size_t{20'000} * 12);
}

TEST(keyed_set_test, beyond_the_most_bytes_nothing_is_added) {
  KeyedSet set(kKey, 10'000);
  int added = 0;
  while (set.add(1, numbered(added))) ++added;
  CHECK(added > 500);
  CHECK(set.bytes() <= 10'000);
  CHECK(set.has(1, numbered(added - 1)));
  CHECK(!set.has(1, numbered(added)));
  KeyedSet none(kKey, 0);
  CHECK(!none.add(1, "name") && !none.has(1, "name"));
}
