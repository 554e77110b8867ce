// The stretch in which something is suspended: it does not hear of cancellation, and the process does not
// exit in it.
#include "system/critical_section.h"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "test/check.h"
#include "test/waits.h"

using namespace dmthin;
using dmthin::test::Meeting;
using dmthin::test::Pipe;

namespace {

constexpr int kLeft = 3;     // what a section's thread lets the process exit with, through `code`
constexpr int kNotLeft = 4;  // exit came before it had left

std::atomic<int> code{kNotLeft};
bool in_child = false;

// Registered before any section's handler, so it runs after them.
const int registered = std::atexit([] {
  if (in_child) _exit(code.load());
});

/// Runs `body`, which calls exit(), in a process of its own. Gives the code that was right at the very end.
int exit_code_of(void (*body)()) {
  const pid_t child = fork();
  if (child == 0) {
    in_child = true;
    body();
    _exit(99);
  }
  (void)registered;
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

TEST(critical_section_test, cancellation_is_heard_outside_only) {
  Cancel cancel;
  CHECK(!cancel.requested());
  {
    CriticalSection section(cancel);
    cancel.request();
    CHECK(cancel.requested());  // nothing is suspended yet
    section.shield();
    CHECK(!cancel.requested());
  }
  CHECK(cancel.requested());
}

TEST(critical_section_test, the_wake_signal_is_blocked_while_shielded_only) {
  CHECK(wake_signal() >= SIGRTMIN);
  const auto blocked = [] {
    sigset_t set;
    pthread_sigmask(SIG_BLOCK, nullptr, &set);
    return sigismember(&set, wake_signal()) == 1;
  };
  Waker waker;
  Cancel cancel;
  CHECK(!blocked());
  {
    CriticalSection section(cancel);
    CHECK(!blocked());
    section.shield();
    CHECK(blocked());
    waker.wake();
  }
  CHECK(!blocked());
}

TEST(critical_section_test, exit_waits_for_a_shielded_section) {
  CHECK_EQUAL(exit_code_of([] {
                static auto* inside = new Meeting(2);
                std::thread([] {
                  static Cancel cancel;
                  CriticalSection section(cancel);
                  section.shield();
                  inside->arrive();
                  std::this_thread::sleep_for(std::chrono::milliseconds(100));
                  code = kLeft;
                }).detach();
                inside->arrive();
                exit(0);
              }),
              kLeft);
}

TEST(critical_section_test, exit_gives_up_what_is_not_suspended_yet) {
  CHECK_EQUAL(exit_code_of([] {
                static auto* inside = new Meeting(2);
                static auto* never = new Pipe;  // exit must not close it
                std::thread([] {
                  static Cancel cancel;
                  CriticalSection section(cancel);
                  inside->arrive();
                  if (!never->read(cancel)) code = kLeft;
                }).detach();
                inside->arrive();
                exit(0);
              }),
              kLeft);
}

TEST(critical_section_test, nothing_new_is_suspended_once_the_process_exits) {
  CHECK_EQUAL(exit_code_of([] {
                static auto* inside = new Meeting(2);
                std::thread([] {
                  inside->arrive();
                  for (;;) {
                    static Cancel cancel;
                    code = kNotLeft;
                    CriticalSection section(cancel);
                    code = kLeft;  // the last to be seen: no section begins after exit
                    section.shield();
                    std::this_thread::sleep_for(std::chrono::milliseconds(1));
                  }
                }).detach();
                inside->arrive();
                std::this_thread::sleep_for(std::chrono::milliseconds(20));
                exit(0);
              }),
              kNotLeft);
}
