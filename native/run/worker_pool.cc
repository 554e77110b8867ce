#include "run/worker_pool.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

namespace dmthin {
namespace {

// Cheap calls are done by two threads: more would only fight for the lock. A third joins when one of the two
// turned out to wait after all.
constexpr size_t kQuickThreads = 2;
constexpr int64_t kStalledNs = 1'000'000;
constexpr int64_t kIdleNs = 10'000'000'000;
constexpr int64_t kWakeAgainNs = 2'000'000;
constexpr int64_t kMillisecond = 1'000'000;

}  // namespace

struct WorkerPool::State {
  struct Running {
    pid_t thread;
    Job* job;
  };
  struct Delayed {
    int64_t due;
    std::unique_ptr<Job> job;
  };

  Monitor monitor;
  size_t most_threads;
  std::function<void()> on_done;
  std::deque<std::unique_ptr<Job>> quick;
  std::deque<std::unique_ptr<Job>> waiting;
  std::vector<Delayed> delayed;
  std::vector<Running> running;
  std::deque<std::unique_ptr<Job>> done;
  bool told = false;  // of the finished jobs that are there
  size_t threads = 0;
  size_t idle = 0;
  size_t woken = 0;     // idle threads that have been called and have not come yet
  size_t starting = 0;  // new threads that have not come yet
  size_t quick_running = 0;
  bool waker = false;
  bool stopping = false;

  void move_due(int64_t now) {
    for (size_t i = 0; i < delayed.size();) {
      if (delayed[i].due > now && !delayed[i].job->cancel.requested()) {
        ++i;
        continue;
      }
      waiting.push_back(std::move(delayed[i].job));
      delayed.erase(delayed.begin() + static_cast<long>(i));
    }
  }

  bool may_take_quick(int64_t now) const {
    return !quick.empty() && (quick_running < kQuickThreads || now - quick.front()->queued_at_ > kStalledNs);
  }

  /// How many jobs further threads could take up right now.
  size_t takeable(int64_t now) const {
    return waiting.size() + (may_take_quick(now) ? std::min(quick.size(), kQuickThreads) : 0);
  }

  std::unique_ptr<Job> pick(int64_t now) {
    auto& queue = may_take_quick(now) ? quick : waiting;
    if (queue.empty()) return nullptr;
    auto job = std::move(queue.front());
    queue.pop_front();
    return job;
  }

  int64_t next_due(int64_t now) const {
    int64_t due = now + kIdleNs;
    for (const Delayed& each : delayed) due = std::min(due, each.due);
    return due;
  }

  void finish(std::unique_ptr<Job> job) {
    done.push_back(std::move(job));
    if (told || stopping) return;
    told = true;
    on_done();
  }
};

namespace {

/// A thread shares the state with the pool, so that its last step may come after the pool is gone.
template <class State>
bool start(void* (*run)(void*), const std::shared_ptr<State>& state) {
  auto* share = new std::shared_ptr<State>(state);
  if (start_thread(run, share)) return true;
  delete share;
  return false;
}

/// Calls an idle thread, or starts one, if there is more to do than threads on their way to it. Locked.
template <class State>
void call_one(void* (*run)(void*), const std::shared_ptr<State>& owner, int64_t now) {
  State& state = *owner;
  if (state.takeable(now) <= state.woken + state.starting) return;
  if (state.idle > state.woken) {
    ++state.woken;
    state.monitor.wake_one();
  } else if (state.threads < state.most_threads) {
    ++state.threads;
    ++state.starting;
    state.monitor.unlock();
    const bool started = start(run, owner);
    state.monitor.lock();
    if (started) return;
    --state.threads;
    --state.starting;
  }
}

}  // namespace

WorkerPool::WorkerPool(size_t most_threads, std::function<void()> on_done)
    : state_(std::make_shared<State>()) {
  state_->most_threads = most_threads;
  state_->on_done = std::move(on_done);
}

WorkerPool::~WorkerPool() { stop(); }

void* WorkerPool::work(void* argument) {
  const std::unique_ptr<std::shared_ptr<State>> share(static_cast<std::shared_ptr<State>*>(argument));
  const std::shared_ptr<State>& owner = *share;
  State& state = *owner;
  const auto self = static_cast<pid_t>(syscall(SYS_gettid));
  Locked locked(state.monitor);
  --state.starting;
  for (;;) {
    const int64_t now = now_ns();
    state.move_due(now);
    auto job = state.pick(now);
    if (!job) {
      if (state.stopping) break;
      ++state.idle;
      state.monitor.wait_until(state.next_due(now));
      --state.idle;
      const bool called = state.woken > 0;
      if (called) --state.woken;
      if (!called && state.delayed.empty() && now_ns() - now >= kIdleNs) break;
      continue;
    }
    const bool quick = !job->waits;
    const bool endless = job->endless;
    if (quick) ++state.quick_running;
    if (endless) ++state.most_threads;
    state.running.push_back({self, job.get()});
    // Growing is done here rather than in submit(): it takes time that the JS thread must not spend. Each
    // thread calls up to two more before it goes to work, so that 64 waits begin after six steps and not
    // after 64.
    call_one(work, owner, now);
    call_one(work, owner, now);
    state.monitor.unlock();
    const auto again = job->run();
    state.monitor.lock();
    if (quick) --state.quick_running;
    if (endless) --state.most_threads;
    state.running.erase(std::find_if(state.running.begin(), state.running.end(),
                                     [&](const State::Running& each) { return each.job == job.get(); }));
    if (again && !state.stopping) {
      state.delayed.push_back({now_ns() + *again * kMillisecond, std::move(job)});
    } else if (job->silent) {
      state.monitor.unlock();
      job.reset();
      state.monitor.lock();
    } else {
      state.finish(std::move(job));
    }
  }
  --state.threads;
  state.monitor.wake_all();
  return nullptr;
}

// A signal that arrives just before the thread enters its call is lost, so it is sent again until the job
// ends.
void* WorkerPool::keep_waking(void* argument) {
  const std::unique_ptr<std::shared_ptr<State>> share(static_cast<std::shared_ptr<State>*>(argument));
  const std::shared_ptr<State>& owner = *share;
  State& state = *owner;
  Locked locked(state.monitor);
  for (;;) {
    bool any = false;
    for (const State::Running& each : state.running) {
      if (!each.job->cancel.requested()) continue;
      wake_thread(each.thread);
      any = true;
    }
    if (!any) break;
    state.monitor.unlock();
    timespec pause{0, kWakeAgainNs};
    nanosleep(&pause, nullptr);
    state.monitor.lock();
  }
  state.waker = false;
  state.monitor.wake_all();
  return nullptr;
}

void WorkerPool::submit(std::unique_ptr<Job> job) {
  State& state = *state_;
  Locked locked(state.monitor);
  const int64_t now = now_ns();
  job->queued_at_ = now;
  (job->waits ? state.waiting : state.quick).push_back(std::move(job));
  // One thread on its way is enough: it calls the others.
  if (state.woken + state.starting == 0) call_one(work, state_, now);
}

void WorkerPool::cancel(uint32_t cancel_id) {
  State& state = *state_;
  Locked locked(state.monitor);
  for (auto* queue : {&state.quick, &state.waiting}) {
    for (auto& job : *queue) {
      // It still runs, on a worker, and finds at its first step that it was cancelled.
      if (job->cancel_id == cancel_id) job->cancel.request();
    }
  }
  for (State::Delayed& each : state.delayed) {
    if (each.job->cancel_id == cancel_id) each.job->cancel.request();
  }
  state.move_due(now_ns());
  call_one(work, state_, now_ns());
  for (State::Running& each : state.running) {
    if (each.job->cancel_id != cancel_id) continue;
    each.job->cancel.request();
    wake_thread(each.thread);
    if (state.waker) continue;
    state.waker = start(keep_waking, state_);
  }
}

std::vector<std::unique_ptr<Job>> WorkerPool::take_done(size_t most_waits, bool* more) {
  State& state = *state_;
  Locked locked(state.monitor);
  std::vector<std::unique_ptr<Job>> taken;
  for (size_t waits = 0; !state.done.empty() && waits < most_waits;) {
    if (state.done.front()->waits) ++waits;
    taken.push_back(std::move(state.done.front()));
    state.done.pop_front();
  }
  *more = state.told = !state.done.empty();
  return taken;
}

void WorkerPool::stop() {
  State& state = *state_;
  Locked locked(state.monitor);
  state.stopping = true;
  state.quick.clear();
  state.waiting.clear();
  state.delayed.clear();
  while (state.threads > 0 || state.waker) {
    for (State::Running& each : state.running) {
      each.job->cancel.request();
      wake_thread(each.thread);
    }
    state.monitor.wake_all();
    state.monitor.wait_until(now_ns() + kWakeAgainNs);
  }
  state.done.clear();
}

}  // namespace dmthin
