// Threads for kernel waits, one set per environment. Never libuv's four: a call that waits in the kernel
// there would keep file reads and DNS from running, and process.exit() waits for it.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "abi/cancel.h"
#include "run/thread.h"

namespace dmthin {

class Job {
 public:
  Job() = default;
  virtual ~Job() = default;
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  /// On a worker thread. An answer means: not yet, run again after so many milliseconds.
  virtual std::optional<int> run() = 0;

  Cancel cancel;
  uint32_t cancel_id = 0;  // 0: cannot be named by a canceller
  bool waits = false;      // expected to wait in the kernel: gets a thread of its own at once
  bool endless = false;    // may wait for good: its thread does not count among the most
  bool silent = false;     // set by run(): its end is not told to anybody, it is destroyed on the worker

 private:
  friend class WorkerPool;
  int64_t queued_at_ = 0;
};

class WorkerPool {
 public:
  /// `on_done` is called on a worker thread when there are finished jobs and nobody has been told of any yet.
  WorkerPool(size_t most_threads, std::function<void()> on_done);
  ~WorkerPool();

  void submit(std::unique_ptr<Job> job);
  /// Gives up a job: one that waits its turn ends at once, one in the kernel is interrupted until it answers.
  void cancel(uint32_t cancel_id);
  /// Finished jobs, oldest first: as many as there are, but at most `most_waits` of those that waited in the
  /// kernel. While some are left, `more` is set and `on_done` is not called again: the caller comes back by
  /// itself.
  std::vector<std::unique_ptr<Job>> take_done(size_t most_waits, bool* more);
  /// Cancels everything and waits until the last thread is out of the kernel. What is suspended is resumed.
  void stop();

 private:
  struct State;
  static void* work(void* argument);
  static void* keep_waking(void* argument);
  std::shared_ptr<State> state_;
};

}  // namespace dmthin
