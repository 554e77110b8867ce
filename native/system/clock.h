#pragma once

#include <cstdint>
#include <ctime>
#include <optional>

namespace dmthin {

/// Returns nanoseconds of CLOCK_MONOTONIC.
inline int64_t now_ns() {
  timespec time = {};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

/// The time of one look at many things, asked for when it is first needed: on some machines that is a system
/// call.
class Now {
 public:
  int64_t ns() {
    if (!ns_) ns_ = now_ns();
    return *ns_;
  }
  bool asked() const { return ns_.has_value(); }

 private:
  std::optional<int64_t> ns_;
};

}  // namespace dmthin
