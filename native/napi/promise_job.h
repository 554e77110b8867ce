// From a call in JavaScript to a promise: arguments are read on the JS thread, the work runs on a worker
// thread, its result becomes a JavaScript value on the JS thread again.
#pragma once

#include <napi.h>

#include <cerrno>
#include <exception>
#include <functional>
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

template <class T>
using TaskOf = std::function<Result<T>(Work&)>;

/// One try of a job's task, on a worker. An answer means: not yet, try again after so many milliseconds.
template <class T>
std::optional<int> run_task(Job& job, const TaskOf<T>& task, std::optional<Result<T>>& result) {
  Work work(job);
  if (job.refused) {
    result.emplace(failed(kStartThread, EAGAIN));
    return std::nullopt;
  }
  if (job.cancel.requested()) {  // before its turn came: nothing has been done since the last try
    if (!result) result.emplace(failed(Operation::none(), EINTR));
    if (!*result) result->failure().cancelled = true;
    return std::nullopt;
  }
  try {
    result.emplace(task(work));
  } catch (const std::bad_alloc&) {
    result.emplace(failed("allocate", ENOMEM));
  } catch (const std::exception& fault) {  // nothing that leaves a job may end the process
    result.emplace(failed("native", EIO, {}, fault.what()));
  }
  return work.again();
}

template <class T>
class PromiseJob final : public SettlingJob {
 public:
  using Task = TaskOf<T>;
  using Convert = std::function<Napi::Value(Napi::Env, T&)>;

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
  auto job =
      std::make_unique<PromiseJob<T>>(info.Env(), kind, cancel_id(info), std::move(task), std::move(convert));
  const Napi::Value promise = job->promise();
  Environment::of(info.Env()).submit(std::move(job));
  return promise;
}

}  // namespace dmthin
