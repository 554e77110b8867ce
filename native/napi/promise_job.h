// From a call in JavaScript to a promise: arguments are read on the JS thread, the work runs on a worker
// thread, its result becomes a JavaScript value on the JS thread again.
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

/// What the work may say beside its result.
class Work {
 public:
  explicit Work(Job& job) : job_(job) {}
  Cancel& cancel() { return job_.cancel; }
  /// The result does not count: run the work again after so many milliseconds.
  void again_after(int milliseconds) { again_ = milliseconds; }
  std::optional<int> again() const { return again_; }

 private:
  Job& job_;
  std::optional<int> again_;
};

/// Whether a job ends without a try: it was refused, or cancelled before its turn came.
template <class T>
bool ends_untried(const Job& job, std::optional<Result<T>>& result) {
  if (job.refused) {
    result.emplace(failed(kStartThread, EAGAIN));
    return true;
  }
  if (!job.cancel.requested()) return false;
  if (!result) result.emplace(failed(Operation::none(), EINTR));  // nothing has been done since the last try
  if (!*result) result->failure().cancelled = true;
  return true;
}

/// Of the exception that is being handled: nothing that leaves a job may end the process.
inline Failure failure_of_exception() {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return failed("allocate", ENOMEM);
  } catch (const std::exception& fault) {
    return failed("native", EIO, {}, fault.what());
  }
}

/// One try of a job's task, on a worker. An answer means: not yet, try again after so many milliseconds.
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

/// `Task` gives a Result<T> for a Work&, and `Convert` a JavaScript value for a T&. They lie in the job: they
/// are moved, never copied, so that they can own what cannot be copied, and keep a state between two tries.
template <class T, class Task, class Convert>
class PromiseJob final : public SettlingJob {
 public:
  PromiseJob(Napi::Env env, Kind kind, uint32_t cancel_id, Task task, Convert convert)
      : deferred_(Napi::Promise::Deferred::New(env)), task_(std::move(task)), convert_(std::move(convert)) {
    this->kind = kind;
    this->cancel_id = cancel_id;
  }

  Napi::Value promise() const { return deferred_.Promise(); }

  std::optional<int> run() override { return run_task(*this, task_, result_); }

  void settle(Napi::Env env) override {
    if (*result_) {
      deferred_.Resolve(convert_(env, **result_));
    } else {
      deferred_.Reject(to_js(env, result_->failure()));
    }
  }

  void reject(const Napi::Value& reason) override { deferred_.Reject(reason); }

 private:
  Napi::Promise::Deferred deferred_;
  Task task_;
  Convert convert_;
  std::optional<Result<T>> result_;
};

/// The last argument of every asynchronous function: the number by which `cancel` can name the call, or 0.
inline uint32_t cancel_id(const Napi::CallbackInfo& info) {
  const Napi::Value last = info[info.Length() - 1];
  return last.IsNumber() ? last.As<Napi::Number>().Uint32Value() : 0;
}

template <class T, class Task, class Convert>
Napi::Value start(const Napi::CallbackInfo& info, Kind kind, Task task, Convert convert) {
  auto job = std::make_unique<PromiseJob<T, Task, Convert>>(info.Env(), kind, cancel_id(info),
                                                            std::move(task), std::move(convert));
  const Napi::Value promise = job->promise();
  Environment::of(info.Env()).submit(std::move(job));
  return promise;
}

}  // namespace dmthin
