#include "napi/environment.h"

#include <exception>

#include "system/clock.h"

namespace dmthin {
namespace {

// How long the end of an environment waits for its handles to be closed.
constexpr int64_t kClosingNs = 1'000'000'000;
// Results of kernel waits that are settled in one turn of the event loop.
constexpr size_t kMaxSettled = 4;

using Handles = std::map<uint32_t, Held>;

/// Destroys handles on a thread that may wait in close(2) for longer than the environment lives.
struct Closing {
  Mutex mutex;
  Condition closed;
  bool done = false;
  Handles handles;

  static void* run(void* argument) {
    const std::unique_ptr<std::shared_ptr<Closing>> share(static_cast<std::shared_ptr<Closing>*>(argument));
    Closing& closing = **share;
    closing.handles.clear();
    const Locked locked(closing.mutex);
    closing.done = true;
    closing.closed.wake_all();
    return nullptr;
  }
};

void close_all(Handles handles) {
  if (handles.empty()) return;
  const auto closing = std::make_shared<Closing>();
  closing->handles = std::move(handles);
  auto share = std::make_unique<std::shared_ptr<Closing>>(closing);
  if (!start_thread(Closing::run, share.get())) return;  // they are closed on this thread
  (void)share.release();
  const int64_t limit = now_ns() + kClosingNs;
  const Locked locked(closing->mutex);
  while (!closing->done && now_ns() < limit) closing->closed.wait_until(closing->mutex, limit);
}

}  // namespace

Environment::Environment(Napi::Env env) : env_(env) {
  napi_value name = nullptr;
  napi_create_string_utf8(env, "dm-thin", NAPI_AUTO_LENGTH, &name);
  napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, this, settle_done,
                                  &settle_);
  napi_unref_threadsafe_function(env, settle_);  // an idle library does not keep the process alive
  pool_ = std::make_unique<WorkerPool>(
      kMaxThreads, [this] { napi_call_threadsafe_function(settle_, nullptr, napi_tsfn_nonblocking); });
  // Threads are stopped and the function released here and not in a finalizer of the instance data: on Node
  // 24 and later the function is gone by then, and the worker would never exit.
  napi_add_env_cleanup_hook(env, clean_up, this);
  settle_more_ = Napi::Persistent(Napi::Function::New(env, [this](Info info) { settle_all(info.Env()); }));
  set_immediate_ = Napi::Persistent(env.Global().Get("setImmediate").As<Napi::Function>());
}

Environment& Environment::of(Napi::Env env) { return *env.GetInstanceData<Environment>(); }

void Environment::submit(std::unique_ptr<Job> job) {
  if (pending_++ == 0) napi_ref_threadsafe_function(env_, settle_);
  pool_->submit(std::move(job));
}

void Environment::submit_batch(std::vector<std::unique_ptr<Job>> jobs) {
  if (pending_++ == 0) napi_ref_threadsafe_function(env_, settle_);
  for (auto& job : jobs) pool_->submit(std::move(job));
}

void Environment::settle_done(napi_env env, napi_value, void* context, void*) {
  if (env == nullptr) return;  // the function is being destroyed
  try {
    static_cast<Environment*>(context)->settle_all(env);
  } catch (const Napi::Error&) {
    // As in settle_one().
  }
}

// A conversion or a callback that throws rejects the promise of its own call.
void Environment::settle_one(napi_env env, SettlingJob& job) {
  try {
    try {
      job.settle(env);
    } catch (const Napi::Error& thrown) {
      job.reject(thrown.Value());
    } catch (const std::exception& fault) {
      job.reject(Napi::Error::New(env, fault.what()).Value());
    }
  } catch (const Napi::Error&) {
    // A worker that is being terminated runs no more JavaScript, and nothing waits for its promises.
  }
}

// The continuations of the promises run in this turn of the event loop. Settling 64 activations would block
// it for all of them; so a few are settled, and the rest after timers and I/O.
void Environment::settle_all(napi_env env) {
  bool more = false;
  for (auto& job : pool_->take_done(kMaxSettled, &more)) {
    Napi::HandleScope scope(env);
    auto* settling = static_cast<SettlingJob*>(job.get());
    settle_one(env, *settling);
    if (settling->last() && --pending_ == 0) napi_unref_threadsafe_function(env_, settle_);
  }
  if (more) set_immediate_.Call({settle_more_.Value()});
}

void Environment::clean_up(void* argument) {
  auto* self = static_cast<Environment*>(argument);
  self->pool_->stop();
  napi_release_threadsafe_function(self->settle_, napi_tsfn_abort);
  close_all(std::move(self->held_));
}

}  // namespace dmthin
