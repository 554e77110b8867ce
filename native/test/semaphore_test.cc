// The semaphore of the idle threads: no post is lost, whether its thread sleeps or spins. A lost one is
// waited for without end, and ctest's limit says so.
#include <atomic>
#include <chrono>
#include <random>
#include <thread>
#include <vector>

#include "test/check.h"
#include "threads/thread.h"

using namespace dmthin;

namespace {

constexpr int64_t kFar = 3'600'000'000'000;

/// Threads that wait, and how many posts they have been let go by. A thread that was let go waits for the
/// others of its round, as a job may wait in the kernel for another.
class Waiters {
 public:
  explicit Waiters(size_t count) {
    for (size_t i = 0; i < count; ++i) threads_.emplace_back([this] { take(); });
  }
  ~Waiters() {
    ending_ = true;
    for (size_t i = 0; i < threads_.size(); ++i) semaphore_.post();
    for (std::thread& thread : threads_) thread.join();
  }
  void post(uint64_t count) {
    posted_ += count;
    for (uint64_t i = 0; i < count; ++i) semaphore_.post();
  }
  void wait_until_taken() const {
    while (taken_ < posted_) std::this_thread::yield();
  }
  uint64_t taken() const { return taken_; }

 private:
  void take() {
    for (uint64_t turn = 0;; ++turn) {
      const bool may_spin = turn % 3 != 0;
      semaphore_.wait_for(kFar, may_spin);
      if (ending_) return;
      const uint64_t round = posted_;  // the next one begins when all of this one are taken
      ++taken_;
      while (taken_ < round) std::this_thread::yield();
    }
  }

  Semaphore semaphore_;
  std::atomic<uint64_t> taken_{0};
  std::atomic<uint64_t> posted_{0};
  std::atomic<bool> ending_{false};
  std::vector<std::thread> threads_;
};

TEST(semaphore_test, no_post_is_lost_at_any_distance) {
  std::mt19937 random(7);
  for (const size_t threads : {size_t{1}, size_t{3}}) {
    Waiters waiters(threads);
    uint64_t posts = 0;
    for (int round = 0; round < 2000; ++round) {
      const uint64_t count = 1 + random() % threads;
      waiters.post(count);
      posts += count;
      waiters.wait_until_taken();
      // From at once to later than anyone spins.
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 5 == 0 ? random() % 300 : 0));
    }
    CHECK_EQUAL(waiters.taken(), posts);
  }
}

}  // namespace
