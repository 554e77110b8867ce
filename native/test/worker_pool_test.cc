// The threads: waits overlap, growth has a bound, and a job can be given up wherever it is. What does not
// happen here never ends, and ctest's limit says so.
#include "run/worker_pool.h"

#include <atomic>
#include <thread>

#include "test/check.h"
#include "test/waits.h"

using namespace dmthin;
using dmthin::test::Meeting;
using dmthin::test::Pipe;

namespace {

using Body = std::function<std::optional<int>(Job&)>;

class Lambda final : public Job {
 public:
  Lambda(Body body, bool slow, uint32_t id) : body_(std::move(body)) {
    waits = slow;
    cancel_id = id;
  }
  std::optional<int> run() override { return body_(*this); }

 private:
  Body body_;
};

/// A pool, and how many of its jobs have ended.
class Pool {
 public:
  explicit Pool(size_t most) : pool_(most, [this] { ++told_; }) {}
  void add(Body body, bool slow = true, uint32_t id = 0) {
    pool_.submit(std::make_unique<Lambda>(std::move(body), slow, id));
  }
  void cancel(uint32_t id) { pool_.cancel(id); }
  void stop() { pool_.stop(); }
  int told() const { return told_; }
  size_t take(size_t most_waits = SIZE_MAX) {
    bool more = false;
    const size_t taken = pool_.take_done(most_waits, &more).size();
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

}  // namespace

TEST(worker_pool_test, sixty_four_waits_overlap) {
  Meeting all(64);
  Pool pool(96);
  for (int i = 0; i < 64; ++i) pool.add([&](Job&) { return all.arrive(), std::nullopt; });
  pool.wait_for(64);
  CHECK_EQUAL(all.here(), 64);
}

TEST(worker_pool_test, never_more_threads_than_allowed) {
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  Pool pool(4);
  for (int i = 0; i < 200; ++i) {
    pool.add([&](Job&) {
      const int now = ++inside;
      for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) continue;
      std::this_thread::yield();
      --inside;
      return std::nullopt;
    });
  }
  pool.wait_for(200);
  CHECK(most <= 4);
}

TEST(worker_pool_test, quick_jobs_are_not_held_up_by_waits) {
  Pipe never;
  Pool pool(96);
  for (int i = 0; i < 8; ++i) {
    pool.add([&](Job& job) { return (void)never.read(job.cancel), std::nullopt; });
  }
  for (int i = 0; i < 100; ++i) pool.add([](Job&) { return std::nullopt; }, false);
  pool.wait_for(100);
  pool.stop();
}

TEST(worker_pool_test, quick_jobs_that_wait_after_all_are_joined_by_a_third) {
  Meeting three(3);
  Pool pool(96);
  for (int i = 0; i < 3; ++i) pool.add([&](Job&) { return three.arrive(), std::nullopt; }, false);
  for (size_t others = 0; three.here() < 3; ++others) {
    pool.add([](Job&) { return std::nullopt; }, false);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  pool.stop();
  CHECK_EQUAL(three.here(), 3);
}

TEST(worker_pool_test, giving_up_a_job_in_the_kernel) {
  Pipe pipe;
  Meeting started(2);
  Pool pool(2);
  std::atomic<int> given_up{0};
  const auto block = [&](Job& job) {
    started.arrive();
    if (!pipe.read(job.cancel)) ++given_up;
    return std::nullopt;
  };
  pool.add(block, true, 5);
  started.arrive();
  pool.cancel(4);  // somebody else's
  pool.cancel(5);
  pool.wait_for(1);
  CHECK_EQUAL(given_up, 1);
}

TEST(worker_pool_test, giving_up_a_job_that_waits_its_turn) {
  Pipe pipe;
  Pool pool(1);
  std::atomic<int> given_up{0};
  pool.add([&](Job& job) { return (void)pipe.read(job.cancel), std::nullopt; });
  pool.add([&](Job& job) { return given_up += job.cancel.requested() ? 1 : 0, std::nullopt; }, true, 6);
  pool.cancel(6);
  pipe.write();
  pool.wait_for(2);
  CHECK_EQUAL(given_up, 1);
}

TEST(worker_pool_test, giving_up_a_job_between_two_tries) {
  constexpr int kAnHour = 3'600'000;
  Meeting tried(2);
  Pool pool(1);
  int runs = 0;
  pool.add(
      [&](Job& job) -> std::optional<int> {
        ++runs;
        if (job.cancel.requested()) return std::nullopt;
        tried.arrive();
        return kAnHour;
      },
      true, 7);
  tried.arrive();
  pool.cancel(7);
  pool.wait_for(1);
  CHECK_EQUAL(runs, 2);
}

TEST(worker_pool_test, tries_again_after_its_delay) {
  Pool pool(2);
  int runs = 0;
  pool.add([&](Job&) { return ++runs < 5 ? std::optional<int>(1) : std::nullopt; });
  pool.wait_for(1);
  CHECK_EQUAL(runs, 5);
}

TEST(worker_pool_test, stops_with_work_in_every_state) {
  Pipe never;
  Meeting started(9);
  std::atomic<int> given_up{0};
  Pool pool(8);
  for (int i = 0; i < 8; ++i) {
    pool.add([&](Job& job) {
      started.arrive();
      given_up += never.read(job.cancel) ? 0 : 1;
      return std::nullopt;
    });
  }
  started.arrive();
  for (int i = 0; i < 20; ++i) pool.add([](Job&) { return std::optional<int>(3'600'000); });
  for (int i = 0; i < 20; ++i) pool.add([](Job&) { return std::nullopt; }, false);
  pool.stop();
  CHECK_EQUAL(given_up, 8);
  CHECK_EQUAL(pool.take(), 0u);
}

TEST(worker_pool_test, stop_waits_for_a_shielded_section) {
  Meeting suspended(2);
  Pool pool(2);
  bool heard = false;
  bool resumed = false;
  pool.add([&](Job& job) {
    Section section(job.cancel);
    section.shield();
    suspended.arrive();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    heard = job.cancel.requested();
    resumed = true;
    return std::nullopt;
  });
  suspended.arrive();
  pool.stop();
  CHECK(resumed);
  CHECK(!heard);
}

TEST(worker_pool_test, is_told_once_and_takes_in_portions) {
  Meeting all(11);
  Pool pool(16);
  for (int i = 0; i < 10; ++i) pool.add([&](Job&) { return all.arrive(), std::nullopt; });
  all.arrive();
  size_t taken = 0;
  while (taken < 10) {
    const size_t portion = pool.take(4);
    CHECK(portion <= 4);
    taken += portion;
  }
  CHECK(!pool.more());
  CHECK(pool.told() >= 1);
}

TEST(worker_pool_test, pools_come_and_go_with_work_under_way) {
  for (int round = 0; round < 50; ++round) {
    Pipe never;
    Pool pool(8);
    for (int i = 0; i < 12; ++i) {
      pool.add([&](Job& job) { return (void)never.read(job.cancel), std::nullopt; }, i % 3 != 0);
    }
    if (round % 2 == 0) std::this_thread::yield();
  }
}
