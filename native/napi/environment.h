// The state of one Node environment (the main thread or a worker): its threads, its control node, the things
// that handles name, and the one thread-safe function by which promises are settled in batches.
#pragma once

#include <napi.h>

#include <functional>
#include <map>
#include <memory>
#include <typeindex>
#include <utility>
#include <vector>

#include "dm/control.h"
#include "napi/shapes.h"
#include "threads/worker_pool.h"

namespace dmthin {

using Info = const Napi::CallbackInfo&;

class SettlingJob;

/// A thing that a handle names.
struct Held {
  std::shared_ptr<void> thing;
  std::type_index type;
};

class Environment {
 public:
  explicit Environment(Napi::Env env);
  static Environment& of(Napi::Env env);

  std::shared_ptr<Control> shared_control() { return control_; }
  Shapes& shapes() { return shapes_; }
  void submit(std::unique_ptr<Job> job);
  /// Submits jobs of which exactly one reports its end. The process stays alive until then.
  void submit_batch(std::vector<std::unique_ptr<Job>> jobs);
  void cancel(uint32_t id) { pool_->cancel(id); }

  /// Keeps a thing until take() or the end of the environment. Returns the handle that names it.
  template <class T>
  uint32_t hold(std::shared_ptr<T> thing) {
    const uint32_t handle = next_handle_++;
    held_.emplace(handle, Held{std::move(thing), typeid(T)});
    return handle;
  }
  /// Returns the thing that a handle names; null if it names none, or one of another type.
  template <class T>
  std::shared_ptr<T> held(uint32_t handle) const {
    const auto found = held_.find(handle);
    if (found == held_.end() || found->second.type != typeid(T)) return nullptr;
    return std::static_pointer_cast<T>(found->second.thing);
  }
  /// Returns the thing that a handle names, null if none, and ends the handle. Destroy it on a worker: the
  /// last close of a device waits until its cache is written.
  std::shared_ptr<void> take(uint32_t handle) {
    auto found = held_.extract(handle);
    return found ? std::move(found.mapped().thing) : nullptr;
  }

 private:
  static void settle_done(napi_env env, napi_value, void* context, void*);
  static void clean_up(void* argument);
  void settle_all(napi_env env);
  static void settle_one(napi_env env, SettlingJob& job);

  napi_env env_;
  std::shared_ptr<Control> control_ = std::make_shared<Control>();
  std::unique_ptr<WorkerPool> pool_;
  napi_threadsafe_function settle_ = nullptr;
  Napi::FunctionReference set_immediate_;  // that of the load: tests replace it by mocks
  Napi::FunctionReference settle_more_;
  Shapes shapes_;
  std::map<uint32_t, Held> held_;
  uint32_t next_handle_ = 1;
  size_t pending_ = 0;
};

/// A job that settles its promise on the JS thread.
class SettlingJob : public Job {
 public:
  virtual void settle(Napi::Env env) = 0;
  /// Rejects the promise, after settle() threw.
  virtual void reject(const Napi::Value& reason) = 0;
  /// Returns true if its call has ended, after settle().
  virtual bool last() const { return true; }
};

}  // namespace dmthin
