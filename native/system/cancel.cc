#include "system/cancel.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <ctime>

namespace dmthin {
namespace {

void woken(int, siginfo_t* info, void*) {
  // The same signal may come from another process.
  if (info->si_code != SI_QUEUE || info->si_pid != getpid()) return;
  static_cast<std::atomic<bool>*>(info->si_value.sival_ptr)->store(false, std::memory_order_release);
}

int install_wake_signal() {
  // The first real-time signal that nobody has claimed: taking over another library's handler would break it.
  for (int number = SIGRTMIN + 5; number <= SIGRTMAX; ++number) {
    struct sigaction current = {};
    if (sigaction(number, nullptr, &current) != 0 || current.sa_handler != SIG_DFL) continue;
    struct sigaction wake = {};
    wake.sa_sigaction = woken;
    wake.sa_flags = SA_SIGINFO;
    sigemptyset(&wake.sa_mask);
    if (sigaction(number, &wake, nullptr) == 0) return number;
  }
  return 0;
}

}  // namespace

int wake_signal() {
  static const int number = install_wake_signal();
  return number;
}

namespace {
/// Returns the id of the thread, which is read once for each thread.
pid_t own_thread() {
  static thread_local const pid_t id = static_cast<pid_t>(syscall(SYS_gettid));
  return id;
}
}  // namespace

Waker::Waker() : thread_(own_thread()) {}

// A signal that was sent arrives at the latest when a system call of its thread returns: before the memory
// goes that it points to.
Waker::~Waker() {
  if (under_way_.load(std::memory_order_acquire)) sched_yield();
}

void Waker::wake() {
  const int number = wake_signal();
  if (number == 0 || under_way_.exchange(true, std::memory_order_acq_rel)) return;
  siginfo_t info = {};
  info.si_signo = number;
  info.si_code = SI_QUEUE;
  info.si_pid = getpid();
  info.si_uid = getuid();
  info.si_value.sival_ptr = &under_way_;
  if (syscall(SYS_rt_tgsigqueueinfo, getpid(), thread_, number, &info) != 0)
    under_way_.store(false, std::memory_order_release);
}

}  // namespace dmthin
