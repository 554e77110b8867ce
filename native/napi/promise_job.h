// From a call in JavaScript to a promise: arguments are read on the JS thread, the work runs on a worker
// thread, and its result becomes a JavaScript value on the JS thread again.
#pragma once

#include <napi.h>

#include <cerrno>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <utility>

#include "napi/environment.h"
#include "napi/to_js.h"

namespace dmthin {

/// The job, as its task sees it.
class Work {
 public:
  explicit Work(Job& job) : job_(job) {}
  Cancel& cancel() { return job_.cancel; }
  /// Discards the result of this try: the task runs again after so many milliseconds.
  void again_after(int milliseconds) { again_ = milliseconds; }
  std::optional<int> again() const { return again_; }

 private:
  Job& job_;
  std::optional<int> again_;
};

/// Returns true if a job ends without a try: it was refused, or cancelled before its turn.
template <class T>
bool ends_untried(const Job& job, std::optional<Result<T>>& result) {
  if (job.refused) {
    result.emplace(failed(kStartThread, EAGAIN));
    return true;
  }
  if (!job.cancel.requested()) return false;
  if (!result) result.emplace(failed(Operation::none(), EINTR));  // there was no try yet
  if (!*result) result->failure().cancelled = true;
  return true;
}

/// Returns the failure for the exception that is being handled: none that leaves a job may end the process.
inline Failure failure_of_exception() {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return failed("allocate", ENOMEM);
  } catch (const std::exception& fault) {
    return failed("native", EIO, {}, fault.what());
  }
}

/// Tries a job's task, on a worker. Returns a number of milliseconds if the task is to run again after them.
template <class T, class Task>
std::optional<int> run_task(Job& job, Task& task, std::optional<Result<T>>& result) {
  if (ends_untried(job, result)) return std::nullopt;
  Work work(job);
  try {
    result.emplace(task(work));
  } catch (const std::exception&) {
    result.emplace(failure_of_exception());
  }
  return work.again();
}

/// A job that settles one promise. Its `Task` returns a Result of Task::Value for a Work&. The task lies in
/// the job: it is moved, never copied, so that it can own what cannot be copied, and it keeps its state
/// between two tries.
template <class Task>
class PromiseJob final : public SettlingJob {
 public:
  PromiseJob(Napi::Env env, Kind kind, uint32_t cancel_id, Task task)
      : deferred_(Napi::Promise::Deferred::New(env)), task_(std::move(task)) {
    this->kind = kind;
    this->cancel_id = cancel_id;
  }

  Napi::Value promise() const { return deferred_.Promise(); }

  std::optional<int> run() override { return run_task(*this, task_, result_); }

  void settle(Napi::Env env) override {
    if (*result_) {
      deferred_.Resolve(to_js(env, **result_));
    } else {
      deferred_.Reject(to_js(env, result_->failure()));
    }
  }

  void reject(const Napi::Value& reason) override { deferred_.Reject(reason); }

 private:
  Napi::Promise::Deferred deferred_;
  Task task_;
  std::optional<Result<typename Task::Value>> result_;
};

/// Returns the last argument of an asynchronous call: the number that names the call for `cancel`, or 0.
inline uint32_t cancel_id(Info info) {
  const Napi::Value last = info[info.Length() - 1];
  return last.IsNumber() ? last.As<Napi::Number>().Uint32Value() : 0;
}

/// Starts a task on a thread of `kind`. Returns its promise.
template <class Task>
Napi::Value start(Info info, Kind kind, Task task) {
  auto job = std::make_unique<PromiseJob<Task>>(info.Env(), kind, cancel_id(info), std::move(task));
  const Napi::Value promise = job->promise();
  Environment::of(info.Env()).submit(std::move(job));
  return promise;
}

}  // namespace dmthin
