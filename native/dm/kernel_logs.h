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

  struct GiveBack {
    KernelLogs* logs;
    void operator()(KernelLog* log) const noexcept {
      std::unique_ptr<KernelLog> owned(log);
      const MutexLock locked(logs->mutex_);
      if (logs->idle_.size() < logs->idle_.capacity()) logs->idle_.push_back(std::move(owned));
    }
  };

  /// A log that is this caller's alone, from its end on. It comes back when the pointer goes.
  std::unique_ptr<KernelLog, GiveBack> borrow() {
    std::unique_ptr<KernelLog, GiveBack> log(take(), GiveBack{this});
    log->begin();
    return log;
  }

 private:
  KernelLog* take() {
    const MutexLock locked(mutex_);
    if (idle_.empty()) {
      idle_.reserve(++made_);  // giving back does not allocate
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
