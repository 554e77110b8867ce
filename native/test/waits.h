// What the tests of threads wait with: a pipe that a job blocks in, as it would in the kernel, and a meeting
// point.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <mutex>

#include "system/cancel.h"

namespace dmthin::test {

class Pipe {
 public:
  Pipe() {
    if (::pipe(ends_) != 0) ends_[0] = ends_[1] = -1;
  }
  ~Pipe() {
    ::close(ends_[0]);
    ::close(ends_[1]);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  void write() { (void)!::write(ends_[1], "x", 1); }
  /// Blocks in read(2). False when it was given up.
  bool read(const Cancel& cancel) {
    for (;;) {
      if (cancel.requested()) return false;
      char byte = 0;
      const ssize_t size = ::read(ends_[0], &byte, 1);
      if (size == 1) return true;
      if (size == 0 || errno != EINTR) return false;
    }
  }

 private:
  int ends_[2];
};

/// Nobody goes on before `wanted` have arrived.
class Meeting {
 public:
  explicit Meeting(int wanted) : wanted_(wanted) {}
  void arrive() {
    std::unique_lock<std::mutex> locked(mutex_);
    if (++here_ >= wanted_) changed_.notify_all();
    changed_.wait(locked, [this] { return here_ >= wanted_; });
  }
  int here() {
    const std::lock_guard<std::mutex> locked(mutex_);
    return here_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int wanted_;
  int here_ = 0;
};

}  // namespace dmthin::test
