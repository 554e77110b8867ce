// Threads for kernel waits, one set per environment. Never libuv's four: a call that waits in the kernel
// there would keep file reads and DNS from running, and process.exit() waits for it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "threads/job.h"
#include "threads/thread.h"

namespace dmthin {

/// The most threads of what waits and of what changes, each. 64 activations overlap in the kernel, with room
/// beside them for calls that wait longer than those.
constexpr size_t kMaxThreads = 96;
/// A job may wait for a lock that is held for a job behind it in the queue. While the system starts no
/// thread, only the refusal of the second ends that.
constexpr int64_t kNoThreadNs = 10'000'000'000;

class WorkerPool {
 public:
  /// Starts no thread yet. `most_threads` each for what waits and what changes. `on_done` is called, on any
  /// thread, when there are finished jobs and on_done was not called for any of them yet. While the system
  /// starts no thread, a job waits for the threads of its kind; it is refused if none of them has taken a job
  /// for `no_thread_ns`.
  WorkerPool(size_t most_threads, std::function<void()> on_done, int64_t no_thread_ns = kNoThreadNs);
  ~WorkerPool();

  void submit(std::unique_ptr<Job> job);
  /// Cancels jobs: one that waits its turn ends at once, one in the kernel is interrupted until it answers.
  void cancel(uint32_t cancel_id);
  /// Returns finished jobs, oldest first: as many as there are, but at most `max_waits` that were not quick.
  /// While some are left, `more` is set and `on_done` is not called again: the caller comes back by itself.
  std::vector<std::unique_ptr<Job>> take_done(size_t max_waits, bool* more);
  /// Cancels everything and waits until the last thread is out of the kernel. What is suspended is resumed.
  void stop();

 private:
  struct State;
  class Turn;
  static void* work(void* argument);
  static void* dispatch(void* argument);
  std::shared_ptr<State> state_;
};

}  // namespace dmthin
