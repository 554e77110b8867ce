#include "system/critical_section.h"

#include <pthread.h>

#include <csignal>
#include <cstdlib>
#include <ctime>

namespace dmthin {
namespace {

// Plain pthread objects: they have no destructor, so a thread may still use them while the process exits.
pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t left = PTHREAD_COND_INITIALIZER;
CriticalSection* sections = nullptr;
bool exiting = false;

void mask_wake_signal(int how) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, wake_signal());
  // Per thread on Linux; pthread_sigmask does the same but raises the lowest glibc that the binary loads on.
  sigprocmask(how, &set, nullptr);
}

}  // namespace

// process.exit() ends all threads without running Node's clean-up hooks, but it runs exit handlers. This one
// holds the process until nothing is between suspend and resume, and lets nothing new in. What waits for a
// suspend that has not happened yet is cancelled; the signal is sent again because it can arrive just before
// the thread enters its call.
void end_sections_at_exit() {
  pthread_mutex_lock(&gate);
  exiting = true;
  while (sections != nullptr) {
    for (CriticalSection* each = sections; each != nullptr; each = each->next_) {
      each->cancel_.request();
      if (!each->cancel_.shielded()) each->waker_.wake();
    }
    timespec until = {};
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 5'000'000;
    if (until.tv_nsec >= 1'000'000'000) until.tv_sec += 1, until.tv_nsec -= 1'000'000'000;
    pthread_cond_timedwait(&left, &gate, &until);
  }
  pthread_mutex_unlock(&gate);
}

CriticalSection::CriticalSection(Cancel& cancel) : cancel_(cancel) {
  static const int registered = std::atexit(end_sections_at_exit);
  (void)registered;
  pthread_mutex_lock(&gate);
  // The process is on its way out and nothing is suspended yet: this thread stops here and ends with it.
  while (exiting) pthread_cond_wait(&left, &gate);
  next_ = sections;
  sections = this;
  pthread_mutex_unlock(&gate);
}

void CriticalSection::shield() {
  if (wake_signal() != 0) {
    mask_wake_signal(SIG_BLOCK);
    signal_blocked_ = true;
  }
  cancel_.shielded_.store(true, std::memory_order_release);
}

CriticalSection::~CriticalSection() {
  cancel_.shielded_.store(false, std::memory_order_release);
  if (signal_blocked_) mask_wake_signal(SIG_UNBLOCK);
  pthread_mutex_lock(&gate);
  for (CriticalSection** link = &sections; *link != nullptr; link = &(*link)->next_) {
    if (*link == this) {
      *link = next_;
      break;
    }
  }
  if (sections == nullptr) pthread_cond_broadcast(&left);
  pthread_mutex_unlock(&gate);
}

}  // namespace dmthin
