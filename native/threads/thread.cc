#include "threads/thread.h"

#include <csignal>
#include <ctime>

#include "system/cancel.h"
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
}  // namespace

Condition::Condition() {
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);  // a set clock must not stretch a retry
  pthread_cond_init(&condition_, &attributes);
  pthread_condattr_destroy(&attributes);
}

void Condition::wait_until(Mutex& mutex, int64_t deadline_ns) {
  timespec time = {};
  time.tv_sec = static_cast<time_t>(deadline_ns / kSecond);
  time.tv_nsec = static_cast<long>(deadline_ns % kSecond);
  pthread_cond_timedwait(&condition_, &mutex.mutex_, &time);
}

bool start_thread(void* (*run)(void*), void* argument) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, kStackBytes);
  // Signals meant for the program belong to its own threads; ours only hears the wake signal.
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
