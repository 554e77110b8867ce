// What one Node environment (the main thread or a worker) owns: its threads, its control descriptor, its held
// descriptors, and the one thread-safe function through which promises are settled in batches.
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
#include "system/unique_fd.h"
#include "threads/worker_pool.h"

namespace dmthin {

class SettlingJob;

struct Held {
  std::shared_ptr<void> thing;
  std::type_index type;
};

class Environment {
 public:
  explicit Environment(Napi::Env env);
  static Environment& of(Napi::Env env);

  Control& control() { return *control_; }
  std::shared_ptr<Control> shared_control() { return control_; }
  Shapes& shapes() { return shapes_; }
  void submit(std::unique_ptr<Job> job);
  /// Jobs of which exactly one will settle: the process is kept alive until it has.
  void submit_batch(std::vector<std::unique_ptr<Job>> jobs);
  void cancel(uint32_t id) { pool_->cancel(id); }

  /// Keeps something open until take() or the end of the environment; gives the handle that names it.
  template <class T>
  uint32_t hold(std::shared_ptr<T> thing) {
    const uint32_t handle = next_handle_++;
    held_.emplace(handle, Held{std::move(thing), typeid(T)});
    return handle;
  }
  uint32_t hold(UniqueFd fd) { return hold(std::make_shared<UniqueFd>(std::move(fd))); }
  /// What a handle names; nothing if it names nothing, or something of another type.
  template <class T>
  std::shared_ptr<T> held(uint32_t handle) const {
    const auto found = held_.find(handle);
    if (found == held_.end() || found->second.type != typeid(T)) return nullptr;
    return std::static_pointer_cast<T>(found->second.thing);
  }
  /// What a handle named, which it does no longer. To be destroyed on a worker: the last close of a device
  /// waits for what is still to be written to it.
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
  Napi::FunctionReference set_immediate_;  // as it was at load: tests put mocks in its place
  Shapes shapes_;
  std::map<uint32_t, Held> held_;
  uint32_t next_handle_ = 1;
  size_t pending_ = 0;
};

/// A job that ends on the JS thread, where it settles its promise.
class SettlingJob : public Job {
 public:
  virtual void settle(Napi::Env env) = 0;
  /// What is done if settle() threw.
  virtual void reject(const Napi::Value& reason) = 0;
  /// Whether nothing of its call is under way any more once it has settled.
  virtual bool last() const { return true; }
};

}  // namespace dmthin
