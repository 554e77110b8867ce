// How a blocked system call is given up: a canceller sets the flag and sends the wake signal to the thread;
// the call returns EINTR, and the loop around it looks at the flag.
#pragma once

#include <sys/types.h>

#include <atomic>

namespace dmthin {

class Cancel {
 public:
  void request() { requested_.store(true, std::memory_order_release); }
  /// Returns whether the call was cancelled; false while its critical section is shielded.
  bool requested() const { return requested_.load(std::memory_order_acquire) && !shielded(); }
  bool shielded() const { return shielded_.load(std::memory_order_acquire); }

 private:
  friend class CriticalSection;
  std::atomic<bool> requested_{false};
  std::atomic<bool> shielded_{false};
};

/// Returns the signal that interrupts a blocked call; 0 if none is free. Its handler is installed without
/// SA_RESTART, so that the call returns EINTR. Installed once for the process, on first use.
int wake_signal();

/// Sends the wake signal to one thread. A user's signals that have not arrived are counted by the kernel, and
/// at the limit other programs get none; so the next is sent only after the last has arrived.
class Waker {
 public:
  /// Makes one for the calling thread, which also destroys it.
  Waker();
  ~Waker();
  Waker(const Waker&) = delete;
  Waker& operator=(const Waker&) = delete;

  /// Sends the signal, on any thread.
  void wake();

 private:
  const pid_t thread_;
  std::atomic<bool> under_way_{false};
};

}  // namespace dmthin
