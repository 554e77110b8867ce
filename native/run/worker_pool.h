// Threads for kernel waits, one set per environment. Never libuv's four: a call that waits in the kernel
// there would keep file reads and DNS from running, and process.exit() waits for it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "abi/cancel.h"
#include "run/thread.h"

namespace dmthin {

/// Which jobs share threads. No job waits for the threads of another kind.
enum class Kind {
  kQuick,    // answers at once
  kFrees,    // ends the waits of others: resume, thaw, close
  kChanges,  // makes, changes or removes devices and what they stand on
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
  bool silent = false;   // set by run(): its end is not told to anybody, it is destroyed on the worker
};

class WorkerPool {
 public:
  /// `most_threads` each for what waits and what changes. `on_done` is called, on any thread, when there are
  /// finished jobs and nobody has been told of any yet.
  WorkerPool(size_t most_threads, std::function<void()> on_done);
  ~WorkerPool();

  void submit(std::unique_ptr<Job> job);
  /// Cancels jobs: one that waits its turn ends at once, one in the kernel is interrupted until it answers.
  void cancel(uint32_t cancel_id);
  /// Finished jobs, oldest first: as many as there are, but at most `most_waits` that were not quick. While
  /// some are left, `more` is set and `on_done` is not called again: the caller comes back by itself.
  std::vector<std::unique_ptr<Job>> take_done(size_t most_waits, bool* more);
  /// Cancels everything and waits until the last thread is out of the kernel. What is suspended is resumed.
  void stop();

 private:
  struct State;
  static void* work(void* argument);
  static void* dispatch(void* argument);
  std::shared_ptr<State> state_;
};

}  // namespace dmthin
