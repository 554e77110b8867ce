// The system has no thread left: jobs wait for the threads that exist or are refused, and none waits for
// good.
#include <atomic>
#include <cerrno>

#include "system/system_call.h"
#include "test/check.h"
#include "test/jobs.h"
#include "test/waits.h"

using namespace dmthin;
using dmthin::test::Meeting;
using dmthin::test::Pipe;
using dmthin::test::Pool;

TEST(no_thread_test, jobs_are_refused_while_no_thread_can_be_started) {
  for (const Kind kind : {Kind::kQuick, Kind::kFrees, Kind::kChanges, Kind::kWaits, Kind::kEndless}) {
    for (const int nth : {1, 2}) {  // the dispatcher, or the first worker
      std::atomic<int> refused{0};
      std::atomic<int> ran{0};
      Pool pool(4);
      const auto body = [&](Job& job) { return ++(job.refused ? refused : ran), std::nullopt; };
      set_fault(kStartThread.name(), nth, FaultKind::kFail, EAGAIN);
      pool.add(body, kind);
      pool.wait_for(1);
      CHECK_EQUAL(clear_faults(), 0);
      pool.add(body, kind);
      pool.wait_for(1);
      CHECK_EQUAL(refused, 1);
      CHECK_EQUAL(ran, 1);
    }
  }
}

TEST(no_thread_test, a_job_whose_kind_has_a_thread_waits_for_it_if_no_other_can_be_started) {
  Pipe pipe;
  Meeting started(2);
  std::atomic<int> refused{0};
  Pool pool(4);
  pool.add([&](Job& job) {
    started.arrive();
    return (void)pipe.read(job.cancel), std::nullopt;
  });
  started.arrive();
  for (int i = 0; i < 100; ++i) set_fault(kStartThread.name(), 1, FaultKind::kFail, EAGAIN);
  pool.add([&](Job& job) { return refused += job.refused ? 1 : 0, std::nullopt; });
  // One of another kind, whose kind has no thread, is refused: no thread can be started now.
  std::atomic<int> quick_refused{0};
  pool.add([&](Job& job) { return quick_refused += job.refused ? 1 : 0, std::nullopt; }, Kind::kQuick);
  pool.wait_for(1);
  CHECK_EQUAL(quick_refused, 1);
  CHECK(clear_faults() > 0);
  pipe.write();
  pool.wait_for(2);
  CHECK_EQUAL(refused, 0);
}

TEST(no_thread_test, a_job_is_refused_if_the_threads_of_its_kind_wait_for_it_and_no_other_can_be_started) {
  for (const Kind kind : {Kind::kFrees, Kind::kChanges, Kind::kWaits}) {
    Pipe lock_of_the_job;
    Meeting started(2);
    Pool pool(4, 10'000'000);
    pool.add(
        [&](Job& job) {
          started.arrive();
          return (void)lock_of_the_job.read(job.cancel), std::nullopt;
        },
        kind);
    started.arrive();
    for (int i = 0; i < 10'000; ++i) set_fault(kStartThread.name(), 1, FaultKind::kFail, EAGAIN);
    std::atomic<bool> refused{false};
    pool.add([&](Job& job) { return refused = job.refused, lock_of_the_job.write(), std::nullopt; }, kind);
    pool.wait_for(2);
    CHECK(refused);
    CHECK(clear_faults() > 0);
  }
}

TEST(no_thread_test, a_thread_is_started_for_a_job_once_the_system_has_threads_again) {
  Pipe lock_of_the_job;
  Meeting started(2);
  Pool pool(4);
  pool.add([&](Job& job) {
    started.arrive();
    return (void)lock_of_the_job.read(job.cancel), std::nullopt;
  });
  started.arrive();
  set_fault(kStartThread.name(), 1, FaultKind::kFail, EAGAIN);
  std::atomic<bool> refused{false};
  pool.add([&](Job& job) { return refused = job.refused, lock_of_the_job.write(), std::nullopt; });
  pool.wait_for(2);
  CHECK(!refused);
  CHECK_EQUAL(clear_faults(), 0);
}

TEST(no_thread_test, quick_jobs_behind_blocked_ones_are_refused_if_no_other_thread_can_be_started) {
  Pipe never;
  Meeting started(3);
  std::atomic<int> refused{0};
  Pool pool(4);
  for (int i = 0; i < 2; ++i) {
    pool.add(
        [&](Job& job) {
          started.arrive();
          return (void)never.read(job.cancel), std::nullopt;
        },
        Kind::kQuick);
  }
  started.arrive();
  set_fault(kStartThread.name(), 1, FaultKind::kFail, EAGAIN);
  pool.add([&](Job& job) { return refused += job.refused ? 1 : 0, std::nullopt; }, Kind::kQuick);
  pool.wait_for(1);
  CHECK_EQUAL(refused, 1);
}
