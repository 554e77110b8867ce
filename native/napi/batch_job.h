// One call for many devices: a job for each, so that their waits overlap, and one promise for all, so that
// JavaScript runs once and not once per device.
#pragma once

#include <napi.h>

#include <atomic>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "napi/promise_job.h"

namespace dmthin {

/// What the jobs of one call share. Results are written on workers, each by its own job, and read on the JS
/// thread by the last.
struct Batch {
  Batch(Napi::Env env, size_t count)
      : deferred(Napi::Promise::Deferred::New(env)), results(count), left(count) {}

  Napi::Promise::Deferred deferred;
  Napi::FunctionReference progress;  // empty where nobody wants to know
  std::vector<std::optional<Result<DeviceInfo>>> results;
  std::atomic<size_t> left;
  // On the JS thread:
  size_t told = 0;
  bool rejected = false;
};

template <class Task>
class BatchJob final : public SettlingJob {
 public:
  BatchJob(Kind kind, std::shared_ptr<Batch> batch, size_t index, uint32_t cancel_id, Task task)
      : batch_(std::move(batch)), index_(index), task_(std::move(task)) {
    this->kind = kind;
    this->cancel_id = cancel_id;
  }

  std::optional<int> run() override {
    const auto again = run_task(*this, *task_, batch_->results[index_]);
    if (again) return again;
    task_.reset();  // with it the section lock: not held until JavaScript has its turn
    const bool quiet = batch_->progress.IsEmpty();
    const bool all_done = batch_->left.fetch_sub(1) == 1;
    silent = quiet && !all_done;
    return std::nullopt;
  }

  /// Without progress the last of them all comes here, and only that one; with it, each does.
  void settle(Napi::Env env) override {
    Batch& batch = *batch_;
    batch.told = batch.progress.IsEmpty() ? batch.results.size() : batch.told + 1;
    if (batch.rejected) return;
    if (!batch.progress.IsEmpty())
      batch.progress.Call({Napi::Number::New(env, static_cast<double>(batch.told))});
    if (!last()) return;
    batch.progress.Reset();
    auto outcomes = Napi::Array::New(env, batch.results.size());
    for (size_t i = 0; i < batch.results.size(); ++i) {
      const Napi::HandleScope scope(env);
      auto& result = *batch.results[i];
      outcomes.Set(static_cast<uint32_t>(i),
                   result ? to_js(env, result->device) : to_js(env, result.failure()));
    }
    batch.deferred.Resolve(outcomes);
  }

  void reject(const Napi::Value& reason) override {
    batch_->rejected = true;
    batch_->deferred.Reject(reason);
  }

  bool last() const override { return batch_->told == batch_->results.size(); }

 private:
  std::shared_ptr<Batch> batch_;
  size_t index_;
  std::optional<Task> task_;
};

/// A task gives a Result<DeviceInfo> for a Work&. `progress` is a function that is given the number of
/// devices done; or null. If it throws, the promise rejects with that, and the devices go on.
template <class Task>
Napi::Value start_batch(const Napi::CallbackInfo& info, Kind kind, std::vector<Task> tasks,
                        const Napi::Value& progress) {
  if (!progress.IsFunction() && !progress.IsNull())
    throw Napi::TypeError::New(info.Env(), "the native part was given no function and no null");
  const auto batch = std::make_shared<Batch>(info.Env(), tasks.size());
  if (tasks.empty()) {
    batch->deferred.Resolve(Napi::Array::New(info.Env()));
    return batch->deferred.Promise();
  }
  if (progress.IsFunction()) batch->progress = Napi::Persistent(progress.As<Napi::Function>());
  std::vector<std::unique_ptr<Job>> jobs;
  jobs.reserve(tasks.size());
  for (size_t i = 0; i < tasks.size(); ++i) {
    jobs.push_back(std::make_unique<BatchJob<Task>>(kind, batch, i, cancel_id(info), std::move(tasks[i])));
  }
  const Napi::Value promise = batch->deferred.Promise();
  Environment::of(info.Env()).submit_batch(std::move(jobs));
  return promise;
}

}  // namespace dmthin
