// The threads: waits overlap, growth has a bound, and a job can be given up wherever it is. What does not
// happen here never ends, and ctest's limit says so.
#include "threads/worker_pool.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <thread>

#include "system/critical_section.h"
#include "system/system_call.h"
#include "test/check.h"
#include "test/jobs.h"
#include "test/waits.h"

using namespace dmthin;
using dmthin::test::Meeting;
using dmthin::test::Pipe;
using dmthin::test::Pool;

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
  for (int i = 0; i < 100; ++i) pool.add([](Job&) { return std::nullopt; }, Kind::kQuick);
  pool.wait_for(100);
  pool.stop();
}

TEST(worker_pool_test, a_quick_job_behind_two_that_wait_gets_a_third_thread) {
  Meeting three(3);
  Pool pool(96);
  for (int i = 0; i < 3; ++i) pool.add([&](Job&) { return three.arrive(), std::nullopt; }, Kind::kQuick);
  pool.wait_for(3);
  CHECK_EQUAL(three.here(), 3);
}

TEST(worker_pool_test, what_ends_the_waits_of_a_full_lane_is_not_behind_them) {
  Pool pool(4);
  for (const Kind full : {Kind::kWaits, Kind::kChanges}) {
    for (const Kind ends : {Kind::kQuick, Kind::kFrees, Kind::kChanges, Kind::kEndless}) {
      if (full == ends) continue;
      Pipe pipe;
      for (int i = 0; i < 6; ++i)
        pool.add([&](Job& job) { return (void)pipe.read(job.cancel), std::nullopt; }, full);
      pool.add(
          [&](Job&) {
            for (int i = 0; i < 6; ++i) pipe.write();
            return std::nullopt;
          },
          ends);
      pool.wait_for(7);
    }
  }
}

TEST(worker_pool_test, what_frees_others_gets_a_thread_however_many_are_blocked) {
  Meeting all(40);
  Pool pool(1);
  for (int i = 0; i < 40; ++i) pool.add([&](Job&) { return all.arrive(), std::nullopt; }, Kind::kFrees);
  pool.wait_for(40);
  CHECK_EQUAL(all.here(), 40);
}

TEST(worker_pool_test, a_job_is_tried_again_while_the_threads_of_its_kind_are_blocked) {
  Pipe never;
  Meeting tried(2);
  Pool pool(2);
  int runs = 0;
  pool.add([&](Job&) {
    if (++runs == 1) tried.arrive();
    return runs < 3 ? std::optional<int>(1) : std::nullopt;
  });
  tried.arrive();
  pool.add([&](Job& job) { return (void)never.read(job.cancel), std::nullopt; });
  pool.wait_for(1);
  CHECK_EQUAL(runs, 3);
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
  pool.add(block, Kind::kWaits, 5);
  started.arrive();
  pool.cancel(4);  // somebody else's
  pool.cancel(5);
  pool.wait_for(1);
  CHECK_EQUAL(given_up, 1);
}

TEST(worker_pool_test, a_thread_that_takes_no_signal_is_sent_one) {
  Meeting blocked(2);
  Pool pool(2);
  int arrived = 0;
  pool.add(
      [&](Job&) {
        sigset_t wake;
        sigset_t pending;
        sigemptyset(&wake);
        sigaddset(&wake, wake_signal());
        pthread_sigmask(SIG_BLOCK, &wake, nullptr);  // as in an uninterruptible wait
        blocked.arrive();
        do sigpending(&pending);
        while (sigismember(&pending, wake_signal()) == 0);
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        const timespec none = {};
        while (sigtimedwait(&wake, nullptr, &none) > 0) ++arrived;
        return std::nullopt;
      },
      Kind::kWaits, 5);
  blocked.arrive();
  pool.cancel(5);
  pool.wait_for(1);
  CHECK_EQUAL(arrived, 1);
}

TEST(worker_pool_test, giving_up_a_job_that_waits_its_turn) {
  Pipe pipe;
  Pool pool(1);
  std::atomic<int> given_up{0};
  pool.add([&](Job& job) { return (void)pipe.read(job.cancel), std::nullopt; });
  pool.add([&](Job& job) { return given_up += job.cancel.requested() ? 1 : 0, std::nullopt; }, Kind::kWaits,
           6);
  pool.cancel(6);
  pool.wait_for(1);  // while the thread is still blocked
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
      Kind::kWaits, 7);
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
  for (int i = 0; i < 20; ++i) pool.add([](Job&) { return std::nullopt; }, Kind::kQuick);
  pool.stop();
  CHECK_EQUAL(given_up, 8);
  CHECK_EQUAL(pool.take(), 0u);
}

TEST(worker_pool_test, stops_when_its_work_is_done) {
  for (int round = 0; round < 500; ++round) {
    Pool pool(8);
    pool.add([](Job&) { return std::nullopt; }, Kind::kQuick);
    pool.wait_for(1);
  }
}

TEST(worker_pool_test, stop_waits_for_a_shielded_section) {
  Meeting suspended(2);
  Pool pool(2);
  bool heard = false;
  bool resumed = false;
  pool.add([&](Job& job) {
    CriticalSection section(job.cancel);
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
      pool.add([&](Job& job) { return (void)never.read(job.cancel), std::nullopt; },
               i % 3 != 0 ? Kind::kWaits : Kind::kQuick);
    }
    if (round % 2 == 0) std::this_thread::yield();
  }
}
