// A pool of threads for tests, whose jobs are lambdas.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "threads/worker_pool.h"

namespace dmthin::test {

using Body = std::function<std::optional<int>(Job&)>;

class Lambda final : public Job {
 public:
  Lambda(Body body, Kind of, uint32_t id) : body_(std::move(body)) {
    kind = of;
    cancel_id = id;
  }
  std::optional<int> run() override { return body_(*this); }

 private:
  Body body_;
};

/// A pool, and how many of its jobs have ended.
class Pool {
 public:
  explicit Pool(size_t most, int64_t no_thread_ns = kNoThreadNs)
      : pool_(most, [this] { ++told_; }, no_thread_ns) {}
  void add(Body body, Kind kind = Kind::kWaits, uint32_t id = 0) {
    pool_.submit(std::make_unique<Lambda>(std::move(body), kind, id));
  }
  void cancel(uint32_t id) { pool_.cancel(id); }
  void stop() { pool_.stop(); }
  int told() const { return told_; }
  size_t take(size_t max_waits = SIZE_MAX) {
    bool more = false;
    const size_t taken = pool_.take_done(max_waits, &more).size();
    more_ = more;
    return taken;
  }
  bool more() const { return more_; }
  void wait_for(size_t jobs) {
    for (size_t ended = 0; ended < jobs;) {
      ended += take();
      std::this_thread::yield();
    }
  }

 private:
  std::atomic<int> told_{0};
  bool more_ = false;
  WorkerPool pool_;
};

}  // namespace dmthin::test
