// Open descriptors of the kernel log, kept for the next call: each activation needs one, and few fail.
#pragma once

#include <pthread.h>

#include <memory>
#include <utility>
#include <vector>

#include "dm/kernel_log.h"
#include "system/scope_guard.h"

namespace dmthin {

class KernelLogs {
 public:
  KernelLogs() = default;
  KernelLogs(const KernelLogs&) = delete;
  KernelLogs& operator=(const KernelLogs&) = delete;

  struct Release {
    KernelLogs* logs;
    void operator()(KernelLog* log) const noexcept {
      std::unique_ptr<KernelLog> owned(log);
      const MutexLock locked(logs->mutex_);
      if (logs->idle_.size() < logs->idle_.capacity()) logs->idle_.push_back(std::move(owned));
    }
  };

  /// Returns a log for this caller alone, which begins at its end. It is released with the pointer.
  std::unique_ptr<KernelLog, Release> acquire() {
    std::unique_ptr<KernelLog, Release> log(take(), Release{this});
    log->begin();
    return log;
  }

 private:
  KernelLog* take() {
    const MutexLock locked(mutex_);
    if (idle_.empty()) {
      idle_.reserve(++made_);  // a release does not allocate
      return new KernelLog;
    }
    KernelLog* const log = idle_.back().release();
    idle_.pop_back();
    return log;
  }

  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
  size_t made_ = 0;
  std::vector<std::unique_ptr<KernelLog>> idle_;
};

}  // namespace dmthin
