#include "tree/keyed_set.h"

#include <sys/random.h>

#include <bit>
#include <cstring>

#include "system/system_call.h"

namespace dmthin {
namespace {

struct SipState {
  uint64_t a, b, c, d;

  explicit SipState(const HashKey& key)
      : a(key[0] ^ 0x736f6d6570736575u),
        b(key[1] ^ 0x646f72616e646f6du),
        c(key[0] ^ 0x6c7967656e657261u),
        d(key[1] ^ 0x7465646279746573u) {}

  void round() {
    a += b;
    c += d;
    b = std::rotl(b, 13) ^ a;
    d = std::rotl(d, 16) ^ c;
    a = std::rotl(a, 32);
    c += b;
    a += d;
    b = std::rotl(b, 17) ^ c;
    d = std::rotl(d, 21) ^ a;
    c = std::rotl(c, 32);
  }

  void take(uint64_t word) {
    d ^= word;
    round();
    round();
    a ^= word;
  }
};

/// Returns where the search for a hash begins: the whole range of hashes, laid out over the slots.
size_t first_slot(uint64_t hash, size_t slots) {
  return static_cast<size_t>((static_cast<unsigned __int128>(hash) * slots) >> 64);
}

/// Returns the slot that has the hash, or the free one where it belongs.
size_t slot_of(const std::vector<uint64_t>& slots, uint64_t hash) {
  size_t at = first_slot(hash, slots.size());
  while (slots[at] != 0 && slots[at] != hash) at = at + 1 == slots.size() ? 0 : at + 1;
  return at;
}

}  // namespace

uint64_t keyed_hash(const HashKey& key, uint64_t number, std::string_view text) {
  SipState state(key);
  state.take(number);
  const uint64_t length = sizeof number + text.size();
  for (; text.size() >= sizeof(uint64_t); text.remove_prefix(sizeof(uint64_t))) {
    uint64_t word = 0;
    memcpy(&word, text.data(), sizeof word);
    state.take(word);
  }
  uint64_t last = length << 56;
  for (size_t i = 0; i < text.size(); ++i) last |= uint64_t{static_cast<uint8_t>(text[i])} << (8 * i);
  state.take(last);
  state.c ^= 0xff;
  for (int i = 0; i < 4; ++i) state.round();
  return state.a ^ state.b ^ state.c ^ state.d;
}

Result<HashKey> random_hash_key() {
  HashKey key = {};
  const int got = TRY(checked("getrandom", {}, [&] { return ::getrandom(key.data(), sizeof key, 0); }));
  if (static_cast<size_t>(got) != sizeof key) return failed("getrandom", EIO);
  return key;
}

uint64_t KeyedSet::hash_of(uint64_t number, std::string_view text) const {
  const uint64_t hash = keyed_hash(key_, number, text);
  return hash == 0 ? 1 : hash;
}

bool KeyedSet::has(uint64_t number, std::string_view text) const {
  const uint64_t hash = hash_of(number, text);
  const std::vector<uint64_t>& slots = parts_[hash % kParts].slots;
  return !slots.empty() && slots[slot_of(slots, hash)] != 0;
}

bool KeyedSet::add(uint64_t number, std::string_view text) {
  const uint64_t hash = hash_of(number, text);
  Part& part = parts_[hash % kParts];
  if (!part.slots.empty() && part.slots[slot_of(part.slots, hash)] != 0) return true;
  // At most four of five are taken: a search meets a free one soon.
  if ((part.used + 1) * 5 > part.slots.size() * 4 && !grow(part)) return false;
  part.slots[slot_of(part.slots, hash)] = hash;
  ++part.used;
  return true;
}

bool KeyedSet::grow(Part& part) {
  const size_t more = part.slots.size() / 4 + 8;
  if (more * sizeof(uint64_t) > max_bytes_ - bytes_) return false;
  std::vector<uint64_t> larger(part.slots.size() + more);
  for (const uint64_t hash : part.slots) {
    if (hash != 0) larger[slot_of(larger, hash)] = hash;
  }
  part.slots = std::move(larger);
  bytes_ += more * sizeof(uint64_t);
  return true;
}

}  // namespace dmthin
