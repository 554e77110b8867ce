#include "threads/worker_pool.h"

#include <algorithm>
#include <array>
#include <deque>
#include <utility>

#include "system/clock.h"
#include "threads/lane.h"

namespace dmthin {
namespace {

constexpr int64_t kAtOnce = 0;  // for the dispatcher, in place of the time
constexpr int64_t kMillisecond = 1'000'000;
constexpr int64_t kStalledNs = kMillisecond;
constexpr int64_t kWakeAgainNs = 2 * kMillisecond;
constexpr int64_t kStartAgainNs = 100 * kMillisecond;
constexpr int64_t kIdleNs = 10'000 * kMillisecond;
// Cheap calls are done by two threads: more would only fight for the lock.
constexpr size_t kQuickThreads = 2;
constexpr size_t kFreeingThreads = 8;

}  // namespace

// One thread, the dispatcher, starts the others, keeps the time and sends the wake signals. It runs no job
// that enters the kernel, so that there is always one thread to answer for a job that no thread can be
// started for.
struct WorkerPool::State {
  struct Running {
    Waker* thread;
    Job* job;
  };
  struct Delayed {
    int64_t due;
    std::unique_ptr<Job> job;
  };

  State(size_t most, int64_t no_thread)  // in the order of Kind
      : no_thread_ns(no_thread),
        lanes{{{{}, kQuickThreads, kStalledNs},
               {{}, kFreeingThreads, kStalledNs},
               {{}, most, kNever},
               {{}, most, kNever},
               {{}, SIZE_MAX, 0}}} {}

  const int64_t no_thread_ns;
  Mutex mutex;
  Semaphore call_worker;
  Condition call_dispatcher;
  Condition dispatcher_ended;
  std::function<void()> on_done;
  std::array<Lane, 5> lanes;
  std::vector<Delayed> delayed;
  std::vector<std::unique_ptr<Job>> given_up;  // cancelled or refused before their turn
  std::vector<Running> running;
  std::deque<std::unique_ptr<Job>> done;
  bool told = false;  // of the finished jobs that are there
  size_t threads = 0;
  size_t idle = 0;
  size_t woken = 0;     // idle threads that have been called and have not come yet
  size_t starting = 0;  // new threads that have not come yet
  bool dispatching = false;
  int64_t dispatcher_due = kNever;  // when it comes by itself
  bool stopping = false;
  // Who is to be woken by unlock(): a thread that is woken while the mutex is held only waits for it.
  size_t workers_called = 0;
  bool dispatcher_called = false;
  bool to_tell = false;  // on_done is to be called

  void lock() { mutex.lock(); }
  void unlock() {
    const size_t workers = std::exchange(workers_called, 0);
    const bool dispatcher = std::exchange(dispatcher_called, false);
    const bool tell = std::exchange(to_tell, false);
    mutex.unlock();
    for (size_t i = 0; i < workers; ++i) call_worker.post();
    if (dispatcher) call_dispatcher.wake_one();
    // The pool still exists: it waits for its threads.
    if (tell) on_done();
  }
  /// Wakes everybody who is to be woken. The caller has to look at what others have changed during that.
  void wake_called() {
    if (workers_called == 0 && !dispatcher_called && !to_tell) return;
    unlock();
    lock();
  }

  Lane& lane_of(const Job& job) { return lanes[static_cast<size_t>(job.kind)]; }

  /// Returns whether more jobs could be taken right now than threads are on their way.
  bool short_of_threads(Now& now) {
    size_t takeable = 0;
    for (Lane& lane : lanes) takeable += lane.takeable(now);
    return takeable > woken + starting;
  }

  /// Has the dispatcher look at everything no later than `due`.
  void dispatch_at(int64_t due) {
    if (due >= dispatcher_due) return;
    dispatcher_due = due;
    dispatcher_called = true;
  }

  /// Wakes an idle thread. False if no thread is idle.
  bool wake_idle() {
    if (idle <= woken) return false;
    ++woken;
    ++workers_called;
    return true;
  }

  void queue(std::unique_ptr<Job> job, Now& now) {
    Lane& lane = lane_of(*job);
    lane.push(std::move(job));
    watch(lane, now);
  }

  /// Has the dispatcher look for a stalled lane. While there is room for one more thread, whoever finishes or
  /// is called takes the job, and nobody needs to look.
  void watch(Lane& lane, Now& now) {
    if (lane.running >= lane.most) dispatch_at(lane.due(now));
  }

  std::unique_ptr<Job> pick(Now& now) {
    for (Lane& lane : lanes) {
      if (lane.takeable(now) == 0) continue;
      auto job = lane.pop();
      ++lane.running;
      watch(lane, now);
      return job;
    }
    return nullptr;
  }

  void move_due() {
    Now now;
    for (size_t i = 0; i < delayed.size();) {
      if (delayed[i].due > now.ns()) {
        ++i;
        continue;
      }
      queue(std::move(delayed[i].job), now);
      delayed.erase(delayed.begin() + static_cast<long>(i));
    }
  }

  std::optional<int> run(Job& job) {
    unlock();
    const auto again = job.run();
    lock();
    return again;
  }

  void finish(std::unique_ptr<Job> job) {
    if (job->silent) {
      unlock();
      job.reset();
      lock();
      return;
    }
    done.push_back(std::move(job));
    if (told || stopping) return;
    told = to_tell = true;
  }

  void end_given_up() {
    while (!given_up.empty()) {
      auto job = std::move(given_up.back());
      given_up.pop_back();
      run(*job);
      finish(std::move(job));
    }
  }

  /// Gives up a job for want of a thread, where none is there to take it later, or none has for long. False
  /// if there is no such job.
  bool refuse_one(Now& now) {
    for (Lane& lane : lanes) {
      if (lane.takeable(now) == 0) continue;
      if (lane.running > 0 && !lane.stalled(now) && !lane.waited(now, no_thread_ns)) continue;
      auto job = lane.pop();
      job->refused = true;
      given_up.push_back(std::move(job));
      return true;
    }
    return false;
  }

  /// Sends the wake signal to each thread whose job was cancelled. False if there was none.
  bool wake_cancelled() {
    bool any = false;
    for (const Running& each : running) {
      if (stopping) each.job->cancel.request();
      if (!each.job->cancel.requested()) continue;
      each.thread->wake();
      any = true;
    }
    return any;
  }

  int64_t next_due(Now& now) {
    if (!given_up.empty()) return kAtOnce;
    int64_t due = kNever;
    for (const Delayed& each : delayed) due = std::min(due, each.due);
    for (Lane& lane : lanes) due = std::min(due, lane.due(now));
    return due;
  }
};

/// Holds the state's mutex.
class WorkerPool::Turn {
 public:
  explicit Turn(State& state) : state_(state) { state_.lock(); }
  ~Turn() { state_.unlock(); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  State& state_;
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

}  // namespace

WorkerPool::WorkerPool(size_t most_threads, std::function<void()> on_done, int64_t no_thread_ns)
    : state_(std::make_shared<State>(most_threads, no_thread_ns)) {
  state_->on_done = std::move(on_done);
}

WorkerPool::~WorkerPool() { stop(); }

void* WorkerPool::work(void* argument) {
  const std::unique_ptr<std::shared_ptr<State>> share(static_cast<std::shared_ptr<State>*>(argument));
  State& state = **share;
  Waker self;
  const Turn turn(state);
  --state.starting;
  for (;;) {
    Now now;
    auto job = state.pick(now);
    if (!job) {
      if (state.stopping) break;
      ++state.idle;
      // Of many calls at once, those that come while a thread wakes are finished in one turn of the event
      // loop. A thread that spins takes them one by one, which needs more turns and more time.
      const bool may_spin = state.done.size() <= 1;
      // Not with the mutex: on_done leads to take_done(), which takes it.
      state.unlock();
      const bool posted = state.call_worker.wait_for(kIdleNs, may_spin);
      state.lock();
      --state.idle;
      const bool called = state.woken > 0;
      if (called) --state.woken;
      if (!called && !posted) break;
      continue;
    }
    Lane& lane = state.lane_of(*job);
    state.running.push_back({&self, job.get()});
    // Each thread calls up to two more before it goes to work, so that 64 waits begin after six steps and not
    // after 64. Threads are started by the dispatcher.
    for (int i = 0; i < 2 && state.short_of_threads(now); ++i) {
      if (!state.wake_idle()) state.dispatch_at(kAtOnce);
    }
    const auto again = state.run(*job);
    --lane.running;
    state.running.erase(std::find_if(state.running.begin(), state.running.end(),
                                     [&](const State::Running& each) { return each.job == job.get(); }));
    if (again && !state.stopping && job->cancel.requested()) {  // cancelled since it has looked
      state.given_up.push_back(std::move(job));
      state.dispatch_at(kAtOnce);
    } else if (again && !state.stopping) {
      const int64_t due = now_ns() + *again * kMillisecond;
      state.delayed.push_back({due, std::move(job)});
      state.dispatch_at(due);
    } else {
      state.finish(std::move(job));
    }
  }
  if (--state.threads == 0) state.dispatch_at(kAtOnce);
  return nullptr;
}

// The wake signal that arrives just before a thread enters its call is lost, so it is sent again until the
// job ends.
void* WorkerPool::dispatch(void* argument) {
  const std::unique_ptr<std::shared_ptr<State>> share(static_cast<std::shared_ptr<State>*>(argument));
  const std::shared_ptr<State>& owner = *share;
  State& state = *owner;
  const Turn turn(state);
  while (!state.stopping || state.threads > 0) {
    state.move_due();
    state.end_given_up();
    bool no_thread = false;
    for (Now now; state.short_of_threads(now); now = Now()) {
      if (state.wake_idle()) continue;
      ++state.threads;
      ++state.starting;
      state.unlock();
      const bool started = start(work, owner);
      state.lock();
      if (started) continue;
      --state.threads;
      --state.starting;
      no_thread = !state.refuse_one(now);
      if (no_thread) break;
    }
    if (state.stopping) state.workers_called = state.idle;
    Now now;
    const bool again = state.wake_cancelled() || state.stopping;
    state.dispatcher_due = std::min(state.next_due(now), again ? now.ns() + kWakeAgainNs : kNever);
    if (no_thread) state.dispatcher_due = std::min(state.dispatcher_due, now.ns() + kStartAgainNs);
    state.wake_called();  // who takes the mutex during that brings `dispatcher_due` forward
    state.call_dispatcher.wait_until(state.mutex, state.dispatcher_due);
    state.dispatcher_due = INT64_MIN;  // it looks at everything before it waits again
  }
  state.dispatching = false;
  state.dispatcher_ended.wake_all();
  return nullptr;
}

void WorkerPool::submit(std::unique_ptr<Job> job) {
  State& state = *state_;
  Now now;
  const Turn turn(state);
  if (!state.dispatching && !(state.dispatching = start(dispatch, state_))) {
    job->refused = true;
    state.run(*job);
    state.finish(std::move(job));
    return;
  }
  state.queue(std::move(job), now);
  // One thread on its way is enough: it calls the others.
  if (state.woken + state.starting > 0 || !state.short_of_threads(now)) return;
  if (!state.wake_idle()) state.dispatch_at(kAtOnce);
}

void WorkerPool::cancel(uint32_t cancel_id) {
  State& state = *state_;
  const Turn turn(state);
  for (State::Running& each : state.running) {
    if (each.job->cancel_id == cancel_id) each.job->cancel.request();
  }
  const auto give_up = [&](std::unique_ptr<Job>& job) {
    if (job->cancel_id != cancel_id) return false;
    job->cancel.request();
    state.given_up.push_back(std::move(job));
    return true;
  };
  for (Lane& lane : state.lanes) std::erase_if(lane.queue, give_up);
  std::erase_if(state.delayed, [&](State::Delayed& each) { return give_up(each.job); });
  state.dispatch_at(kAtOnce);
}

std::vector<std::unique_ptr<Job>> WorkerPool::take_done(size_t max_waits, bool* more) {
  State& state = *state_;
  const Turn turn(state);
  std::vector<std::unique_ptr<Job>> taken;
  for (size_t waits = 0; !state.done.empty() && waits < max_waits;) {
    if (state.done.front()->kind != Kind::kQuick) ++waits;
    taken.push_back(std::move(state.done.front()));
    state.done.pop_front();
  }
  *more = state.told = !state.done.empty();
  return taken;
}

void WorkerPool::stop() {
  State& state = *state_;
  const Turn turn(state);
  state.stopping = true;
  for (Lane& lane : state.lanes) lane.queue.clear();
  state.delayed.clear();
  state.given_up.clear();
  state.dispatch_at(kAtOnce);
  state.wake_called();
  while (state.dispatching) state.dispatcher_ended.wait(state.mutex);
  state.done.clear();
}

}  // namespace dmthin
