// Waiting for a lock of a file, which a signal interrupts.
#pragma once

#include <cerrno>
#include <string>

#include "system/cancel.h"
#include "system/result.h"
#include "system/system_call.h"

namespace dmthin {

/// Repeats `attempt` after signals, until it has the lock or the call was cancelled. `file` is for messages.
template <typename Attempt>
Status wait_for_lock(Operation operation, const std::string& file, Cancel& cancel, Attempt attempt) {
  for (;;) {
    if (cancel.requested()) return cancelled(operation, file);
    const int result = system_call(operation, attempt);
    if (result >= 0) return Nothing{};
    if (result != -EINTR) return failed(operation, -result, file);
  }
}

}  // namespace dmthin
