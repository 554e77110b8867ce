// What an archive has done so far, as far as a later entry depends on it. By inode and not by path: two paths
// may lead to one place. An inode that was removed may come again as another directory of this archive: that
// one has nothing but the archive's own, so each mark is right of it too.
#pragma once

#include <cerrno>
#include <cstdint>
#include <string_view>

#include "system/result.h"
#include "tree/keyed_set.h"

namespace dmthin {

class WriteMarks {
 public:
  WriteMarks(const HashKey& key, uint64_t max_bytes) : max_bytes_(max_bytes), set_(key, max_bytes) {}

  /// Marks that the archive has made this name. Each of these three is E2BIG ("memory") beyond the most
  /// bytes.
  Status made(uint64_t directory, std::string_view name) { return mark(directory, name); }
  bool has_made(uint64_t directory, std::string_view name) const { return set_.has(directory, name); }

  /// Marks that the archive has given the directory its times.
  Status timed(uint64_t directory) { return mark(directory, kTimed); }
  bool has_timed(uint64_t directory) const { return set_.has(directory, kTimed); }

  /// Marks that nothing is in the directory, however deep, but what the archive has made and what leads
  /// there.
  Status emptied(uint64_t directory) { return mark(directory, kEmptied); }
  bool has_emptied(uint64_t directory) const { return set_.has(directory, kEmptied); }

  /// Returns how many bytes more may be kept.
  uint64_t left() const { return max_bytes_ - set_.bytes(); }

 private:
  // No names, for the slash in them.
  static constexpr std::string_view kTimed = "/t";
  static constexpr std::string_view kEmptied = "/e";

  Status mark(uint64_t directory, std::string_view text) {
    if (!set_.add(directory, text)) return failed("memory", E2BIG);
    return Nothing{};
  }

  uint64_t max_bytes_;
  KeyedSet set_;
};

}  // namespace dmthin
