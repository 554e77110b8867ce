// What a worker thread runs.
#pragma once

#include <cstdint>
#include <optional>

#include "system/cancel.h"

namespace dmthin {

/// The kinds of jobs; those of one share threads. No job waits for the threads of another kind.
enum class Kind {
  kQuick,    // answers at once
  kFrees,    // ends the waits of others: resume, thaw, close
  kChanges,  // makes, changes or removes devices and those below them
  kWaits,    // waits for data, file systems or locks
  kEndless,  // may wait for good
};

class Job {
 public:
  Job() = default;
  virtual ~Job() = default;
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  /// Runs on a worker thread. A value means: not yet, run again after so many milliseconds. A job that was
  /// cancelled or refused before its turn came must return at once.
  virtual std::optional<int> run() = 0;

  Cancel cancel;
  uint32_t cancel_id = 0;  // 0: cannot be named by a canceller
  Kind kind = Kind::kQuick;
  bool refused = false;  // there was no thread for it
  bool silent = false;   // set by run(): its end is not reported, and it is destroyed on the worker
};

}  // namespace dmthin
