// The queue of the jobs of one kind, and when a thread may take the next.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>

#include "threads/job.h"

namespace dmthin {

constexpr int64_t kNever = INT64_MAX;

/// The jobs of one kind that wait for a thread, and how many threads may work on them.
struct Lane {
  std::deque<std::unique_ptr<Job>> queue;
  size_t most;
  int64_t patience;  // after so long without a job taken, one thread more than `most` joins
  size_t running = 0;
  int64_t moved = 0;  // when a job was taken last, or came to an empty queue

  bool stalled(int64_t now) const { return patience != kNever && now - moved >= patience; }
  size_t takeable(int64_t now) const {
    const size_t room = most > running ? most - running : stalled(now) ? 1 : 0;
    return std::min(queue.size(), room);
  }
  void push(std::unique_ptr<Job> job, int64_t now) {
    if (queue.empty()) moved = now;
    queue.push_back(std::move(job));
  }
  std::unique_ptr<Job> pop(int64_t now) {
    auto job = std::move(queue.front());
    queue.pop_front();
    moved = now;
    return job;
  }
  /// When the dispatcher has to look at it again.
  int64_t due(int64_t now) const {
    if (queue.empty() || patience == 0 || patience == kNever) return kNever;
    return stalled(now) ? now + patience : moved + patience;
  }
};

}  // namespace dmthin
