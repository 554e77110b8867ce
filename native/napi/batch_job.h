// One call for many devices: a job for each, so that their waits overlap, and one promise for all, so that
// JavaScript runs once and not once per device.
#pragma once

#include <napi.h>

#include <atomic>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "napi/from_js.h"
#include "napi/promise_job.h"

namespace dmthin {

/// The part that the jobs of one call share. Each job writes its own result, on a worker. The last one reads
/// them all, on the JS thread.
struct Batch {
  Batch(Napi::Env env, size_t count)
      : deferred(Napi::Promise::Deferred::New(env)), results(count), left(count) {}

  Napi::Promise::Deferred deferred;
  Napi::FunctionReference progress;  // empty if the caller passed none
  std::vector<std::optional<Result<DeviceInfo>>> results;
  std::atomic<size_t> left;
  // Of the JS thread:
  size_t settled = 0;
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
    task_.reset();  // and its share of the guard, before the JS thread settles
    const bool quiet = batch_->progress.IsEmpty();
    const bool all_done = batch_->left.fetch_sub(1) == 1;
    silent = quiet && !all_done;
    return std::nullopt;
  }

  /// Is called for each job if there is progress to report, else for the last one only.
  void settle(Napi::Env env) override {
    Batch& batch = *batch_;
    batch.settled = batch.progress.IsEmpty() ? batch.results.size() : batch.settled + 1;
    if (batch.rejected) return;
    if (!batch.progress.IsEmpty())
      batch.progress.Call({Napi::Number::New(env, static_cast<double>(batch.settled))});
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

  bool last() const override { return batch_->settled == batch_->results.size(); }

 private:
  std::shared_ptr<Batch> batch_;
  size_t index_;
  std::optional<Task> task_;
};

/// Starts a job for each of `items`. `task_for(item)` returns its task, which returns a Result<DeviceInfo>
/// for a Work&. Returns a promise of the device numbers and failures, in the order of the items. `progress`
/// is null or a function, which is called with the number of finished items. If it throws, the promise
/// rejects with that, and the jobs go on.
template <class Item, class TaskFor>
Napi::Value start_batch(Info info, Kind kind, std::vector<Item>& items, const TaskFor& task_for,
                        const Napi::Value& progress) {
  if (!progress.IsFunction() && !progress.IsNull()) throw_wrong_type(progress, "function and no null");
  const auto batch = std::make_shared<Batch>(info.Env(), items.size());
  if (items.empty()) {
    batch->deferred.Resolve(Napi::Array::New(info.Env()));
    return batch->deferred.Promise();
  }
  if (progress.IsFunction()) batch->progress = Napi::Persistent(progress.As<Napi::Function>());
  std::vector<std::unique_ptr<Job>> jobs;
  jobs.reserve(items.size());
  for (Item& item : items) {
    using Task = decltype(task_for(item));
    jobs.push_back(
        std::make_unique<BatchJob<Task>>(kind, batch, jobs.size(), cancel_id(info), task_for(item)));
  }
  const Napi::Value promise = batch->deferred.Promise();
  Environment::of(info.Env()).submit_batch(std::move(jobs));
  return promise;
}

}  // namespace dmthin
