// Undo steps that run however a scope is left: by a return, a failure or an exception.
#pragma once

#include <pthread.h>

#include <utility>

namespace dmthin {

/// Runs `undo` at the end of its scope unless it is dismissed. `undo` must not throw.
template <class Undo>
class ScopeGuard {
 public:
  explicit ScopeGuard(Undo undo) : undo_(std::move(undo)) {}
  ~ScopeGuard() {
    if (armed_) undo_();
  }
  ScopeGuard(const ScopeGuard&) = delete;
  ScopeGuard& operator=(const ScopeGuard&) = delete;

  void dismiss() { armed_ = false; }

 private:
  Undo undo_;
  bool armed_ = true;
};

/// Holds a mutex for a scope. std::lock_guard needs std::mutex, which has a destructor: see
/// critical_section.cc.
class MutexLock {
 public:
  explicit MutexLock(pthread_mutex_t& mutex) : mutex_(mutex) { pthread_mutex_lock(&mutex_); }
  ~MutexLock() { pthread_mutex_unlock(&mutex_); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  pthread_mutex_t& mutex_;
};

}  // namespace dmthin
