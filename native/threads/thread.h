// Threads, mutexes and conditions on plain pthreads. std::thread and std::condition_variable would raise the
// oldest glibc and libstdc++ that the shipped binary loads on (see test/package/binary-floor.test.ts).
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>

#include "system/operation.h"

namespace dmthin {

class Mutex {
 public:
  Mutex() = default;
  ~Mutex() { pthread_mutex_destroy(&mutex_); }
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void lock() { pthread_mutex_lock(&mutex_); }
  void unlock() { pthread_mutex_unlock(&mutex_); }

 private:
  friend class Condition;
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
};

class Locked {
 public:
  explicit Locked(Mutex& mutex) : mutex_(mutex) { mutex_.lock(); }
  ~Locked() { mutex_.unlock(); }
  Locked(const Locked&) = delete;
  Locked& operator=(const Locked&) = delete;

 private:
  Mutex& mutex_;
};

class Condition {
 public:
  Condition();
  ~Condition() { pthread_cond_destroy(&condition_); }
  Condition(const Condition&) = delete;
  Condition& operator=(const Condition&) = delete;

  void wait(Mutex& mutex) { pthread_cond_wait(&condition_, &mutex.mutex_); }
  void wait_until(Mutex& mutex, int64_t deadline_ns);
  void wake_one() { pthread_cond_signal(&condition_); }
  void wake_all() { pthread_cond_broadcast(&condition_); }

 private:
  pthread_cond_t condition_;
};

/// Lets one waiting thread go on for each post(). Unlike with a condition, whoever waits holds no mutex, so
/// that nobody waits for its release. While posts are frequent, and there are several processors, one
/// thread looks for the next post for a moment before it sleeps.
class Semaphore {
 public:
  Semaphore() = default;
  Semaphore(const Semaphore&) = delete;
  Semaphore& operator=(const Semaphore&) = delete;

  void post();
  /// Returns true when it was posted, or false after so long without a post. Looks for the next post for a
  /// moment only if `may_spin`.
  bool wait_for(int64_t ns, bool may_spin);

 private:
  bool take();
  void spin();

  std::atomic<uint32_t> posts_{0};
  std::atomic<uint32_t> waiting_{0};
  std::atomic<bool> spinning_{false};
  std::atomic<bool> frequent_{false};  // the last two posts came soon after each other
  std::atomic<int64_t> last_post_{0};
};

/// The operation of the failure if a thread cannot be started.
constexpr Operation kStartThread = "pthread_create";

/// Starts a detached thread with a small stack and all signals blocked but the wake signal. Returns false if
/// the system has no thread left.
bool start_thread(void* (*run)(void*), void* argument);

}  // namespace dmthin
