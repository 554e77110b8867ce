// A set of (number, text) pairs of which somebody else chooses the texts: kept as hashes by a random key, so
// that nobody can choose two pairs with one hash, or many that are searched for one after the other.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "system/result.h"

namespace dmthin {

using HashKey = std::array<uint64_t, 2>;

/// Returns the SipHash-2-4 of the number's eight bytes, little-endian, and those of the text behind them.
uint64_t keyed_hash(const HashKey& key, uint64_t number, std::string_view text);
/// Returns a random key; ENOSYS and others of getrandom(2).
Result<HashKey> random_hash_key();

/// Two of 2^64 hashes are the same for 4 million pairs with a probability of one in two million.
class KeyedSet {
 public:
  KeyedSet(const HashKey& key, uint64_t max_bytes) : key_(key), max_bytes_(max_bytes) {}

  /// Adds a pair. Returns false, and adds nothing, if that took more than the most bytes.
  bool add(uint64_t number, std::string_view text);
  bool has(uint64_t number, std::string_view text) const;
  uint64_t bytes() const { return bytes_; }

 private:
  /// Grows on its own, so that only a small part of the set exists twice during that. A slot of 0 is free.
  struct Part {
    std::vector<uint64_t> slots;
    size_t used = 0;
  };
  static constexpr size_t kParts = 64;

  uint64_t hash_of(uint64_t number, std::string_view text) const;
  bool grow(Part& part);

  HashKey key_;
  uint64_t max_bytes_;
  uint64_t bytes_ = 0;
  std::array<Part, kParts> parts_;
};

}  // namespace dmthin
