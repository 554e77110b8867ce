// A call on a device that may be busy: it is tried again, without a thread between two tries.
#pragma once

#include <cerrno>
#include <cstdint>

#include "napi/call.h"
#include "system/clock.h"

namespace dmthin {

/// The tries of one call so far.
class BusyTries {
 public:
  /// Tries once. After EBUSY the job runs again in `delay(tries)` milliseconds, until `limit_ms` are over.
  template <class Attempt>
  auto again_if_busy(uint64_t limit_ms, int (*delay)(uint32_t tries), Work& work, const Attempt& attempt) {
    if (started_ == 0) started_ = now_ns();
    ++count_;
    auto outcome = attempt();
    if (outcome) return outcome;
    outcome.failure().tries = count_;
    if (outcome.failure().error != EBUSY) return outcome;
    outcome.failure().cancelled = work.cancel().requested();
    const bool over = now_ns() - started_ >= static_cast<int64_t>(limit_ms) * 1'000'000;
    if (!over && !outcome.failure().cancelled) work.again_after(delay(count_));
    return outcome;
  }

 private:
  int64_t started_ = 0;  // when the first try began
  uint32_t count_ = 0;
};

template <>
struct Argument<BusyTries> {
  explicit Argument(Arguments&) {}
  BusyTries& get(Work&) { return tries; }
  BusyTries tries;
};

}  // namespace dmthin
