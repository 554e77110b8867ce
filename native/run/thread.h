// Threads and a monitor on plain pthreads. std::thread and std::condition_variable would raise the oldest
// glibc and libstdc++ that the shipped binary loads on (see test/package/binary-floor.test.ts).
#pragma once

#include <pthread.h>

#include <cstdint>

namespace dmthin {

/// Nanoseconds of CLOCK_MONOTONIC.
int64_t now_ns();

class Monitor {
 public:
  Monitor();
  ~Monitor();
  Monitor(const Monitor&) = delete;
  Monitor& operator=(const Monitor&) = delete;

  void lock() { pthread_mutex_lock(&mutex_); }
  void unlock() { pthread_mutex_unlock(&mutex_); }
  void wait_until(int64_t deadline_ns);
  void wake_one() { pthread_cond_signal(&condition_); }
  void wake_all() { pthread_cond_broadcast(&condition_); }

 private:
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t condition_;
};

class Locked {
 public:
  explicit Locked(Monitor& monitor) : monitor_(monitor) { monitor_.lock(); }
  ~Locked() { monitor_.unlock(); }
  Locked(const Locked&) = delete;
  Locked& operator=(const Locked&) = delete;

 private:
  Monitor& monitor_;
};

/// Starts a detached thread with a small stack and all signals blocked but the wake signal. False when the
/// system has no thread left.
bool start_thread(void* (*run)(void*), void* argument);

}  // namespace dmthin
