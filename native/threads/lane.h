// The queue of the jobs of one kind, and when a thread may take the next.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <utility>

#include "system/clock.h"
#include "threads/job.h"

namespace dmthin {

constexpr int64_t kNever = INT64_MAX;

/// The jobs of one kind that wait for a thread, and how many threads may work on them.
struct Lane {
  std::deque<std::unique_ptr<Job>> queue;
  size_t most;
  int64_t patience;  // after so long without a job taken, one thread more than `most` joins
  size_t running = 0;
  std::optional<int64_t> waits_since = {};  // of the queue, from the first look at it after it has changed

  bool stalled(Now& now) { return patience != kNever && waited(now, patience); }
  /// Returns whether no job has been taken for `ns`.
  bool waited(Now& now, int64_t ns) {
    if (!waits_since) waits_since = now.ns();
    return now.ns() - *waits_since >= ns;
  }
  size_t takeable(Now& now) {
    if (queue.empty()) return 0;
    const size_t room = most > running ? most - running : stalled(now) ? 1 : 0;
    return std::min(queue.size(), room);
  }
  void push(std::unique_ptr<Job> job) {
    if (queue.empty()) waits_since.reset();
    queue.push_back(std::move(job));
  }
  std::unique_ptr<Job> pop() {
    auto job = std::move(queue.front());
    queue.pop_front();
    waits_since.reset();
    return job;
  }
  /// Returns when the dispatcher has to look at it again.
  int64_t due(Now& now) {
    if (queue.empty() || patience == 0 || patience == kNever) return kNever;
    return patience + (stalled(now) ? now.ns() : *waits_since);
  }
};

}  // namespace dmthin
