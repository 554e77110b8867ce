#include "threads/thread.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <ctime>

#include "system/cancel.h"
#include "system/clock.h"
#include "system/system_call.h"

// glibc 2.34 moved these into libc.so under new versions. The old versions are still there and mean the same;
// asking for them keeps the binary loadable on glibc 2.28, the oldest that Node 20 runs on.
#if defined(__GLIBC__) && defined(__x86_64__)
__asm__(".symver pthread_create,pthread_create@GLIBC_2.2.5");
__asm__(".symver pthread_attr_setstacksize,pthread_attr_setstacksize@GLIBC_2.2.5");
__asm__(".symver pthread_condattr_setclock,pthread_condattr_setclock@GLIBC_2.3.3");
#elif defined(__GLIBC__) && defined(__aarch64__)
__asm__(".symver pthread_create,pthread_create@GLIBC_2.17");
__asm__(".symver pthread_attr_setstacksize,pthread_attr_setstacksize@GLIBC_2.17");
__asm__(".symver pthread_condattr_setclock,pthread_condattr_setclock@GLIBC_2.17");
#endif

namespace dmthin {
namespace {
constexpr size_t kStackBytes = size_t{256} * 1024;
constexpr int64_t kSecond = 1'000'000'000;

timespec time_of(int64_t ns) {
  timespec time = {};
  time.tv_sec = static_cast<time_t>(ns / kSecond);
  time.tv_nsec = static_cast<long>(ns % kSecond);
  return time;
}

// A thread that is woken by the kernel comes after about as long as it spins here. What comes more rarely
// than the other number is not worth the processor's time.
constexpr int64_t kSpinNs = 50'000;
constexpr int64_t kFrequentNs = 200'000;

/// Returns whether there are several processors. On a single one a spinning thread would only keep away the
/// one that it waits for.
bool several_processors() {
  static const bool several = [] {
    cpu_set_t mine;
    return sched_getaffinity(0, sizeof(mine), &mine) == 0 && CPU_COUNT(&mine) > 1;
  }();
  return several;
}

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}
}  // namespace

Condition::Condition() {
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);  // a set clock must not stretch a retry
  pthread_cond_init(&condition_, &attributes);
  pthread_condattr_destroy(&attributes);
}

void Condition::wait_until(Mutex& mutex, int64_t deadline_ns) {
  const timespec time = time_of(deadline_ns);
  pthread_cond_timedwait(&condition_, &mutex.mutex_, &time);
}

bool Semaphore::take() {
  uint32_t posts = posts_.load();
  while (posts > 0) {
    if (posts_.compare_exchange_weak(posts, posts - 1)) return true;
  }
  return false;
}

void Semaphore::post() {
  const uint32_t posts = ++posts_;
  if (several_processors()) {
    const int64_t now = now_ns();
    frequent_ = now - last_post_.exchange(now) < kFrequentNs;
    // Whoever spins takes one post, and no more: it stops spinning before it takes it.
    if (posts == 1 && spinning_) return;
  }
  if (waiting_ > 0) syscall(SYS_futex, &posts_, FUTEX_WAKE_PRIVATE, 1);
}

void Semaphore::spin() {
  if (!several_processors() || !frequent_ || spinning_.exchange(true)) return;
  const int64_t end = now_ns() + kSpinNs;
  while (posts_ == 0 && now_ns() < end) relax();
  spinning_ = false;
}

// sem_clockwait would raise the oldest glibc that the binary loads on, and sem_timedwait keeps the time of
// day, which can be set. The time is relative, so that nobody asks the clock for it: on some machines that is
// a system call. It begins again if another thread has taken the post.
bool Semaphore::wait_for(int64_t ns, bool may_spin) {
  if (may_spin) spin();
  const timespec time = time_of(ns);
  for (bool over = false; !take();) {
    if (over) return false;
    ++waiting_;
    const long result = syscall(SYS_futex, &posts_, FUTEX_WAIT_PRIVATE, 0, &time, nullptr, 0);
    over = result != 0 && errno == ETIMEDOUT;
    --waiting_;
  }
  return true;
}

bool start_thread(void* (*run)(void*), void* argument) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, kStackBytes);
  // Signals meant for the program belong to its own threads; ours only gets the wake signal.
  sigset_t all_but_wake, before;
  sigfillset(&all_but_wake);
  if (wake_signal() != 0) sigdelset(&all_but_wake, wake_signal());
  sigprocmask(SIG_SETMASK, &all_but_wake, &before);
  pthread_t thread;
  const int started = system_call(kStartThread, [&] {
    const int error = pthread_create(&thread, &attributes, run, argument);
    errno = error;
    return error == 0 ? 0 : -1;
  });
  sigprocmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  return started == 0;
}

}  // namespace dmthin
