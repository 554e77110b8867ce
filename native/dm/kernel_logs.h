// Open descriptors of the kernel log, kept for the next call: each activation needs one, and few fail.
#pragma once

#include <pthread.h>

#include <memory>
#include <vector>

#include "dm/kernel_log.h"
#include "system/scope_guard.h"

namespace dmthin {

class KernelLogs {
 public:
  KernelLogs() = default;
  KernelLogs(const KernelLogs&) = delete;
  KernelLogs& operator=(const KernelLogs&) = delete;

  /// A log that is this caller's alone, from its end on. It comes back when the pointer goes.
  auto borrow() {
    auto give_back = [this](KernelLog* log) {
      const MutexLock locked(mutex_);
      idle_.emplace_back(log);
    };
    std::unique_ptr<KernelLog, decltype(give_back)> log(take(), give_back);
    log->begin();
    return log;
  }

 private:
  KernelLog* take() {
    const MutexLock locked(mutex_);
    if (idle_.empty()) {
      idle_.reserve(++made_);  // so that giving back does not allocate
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
