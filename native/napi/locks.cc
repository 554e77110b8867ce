// Locks for JavaScript: a handle holds one until release().
#include "block/node_lock.h"
#include "dm/pool_lock.h"
#include "napi/exports.h"
#include "napi/start_command.h"

namespace dmthin {
namespace {

/// The exclusive side of a lock, as a handle for release(). Waits.
Napi::Value lock_pool(Info info) {
  return start<UniqueFd>(
      info, Kind::kChanges,
      [key = text(info[0])](Work& work) { return lock_pool(key, LockMode::kExclusive, work.cancel()); },
      as_handle);
}

/// The same without waiting: undefined if somebody has the lock or waits for it.
Napi::Value lock_pool_if_free(Info info) {
  return start<std::optional<UniqueFd>>(
      info, Kind::kQuick, [key = text(info[0])](Work&) { return try_lock_pool(key); },
      [](Napi::Env env, auto& lock) -> Napi::Value {
        if (!lock) return env.Undefined();
        return as_handle(env, *lock);
      });
}

/// (name of the pool, thin id, cancel id) The shared side of a thin id's lock.
Napi::Value lock_thin_of_pool(Info info) {
  return start<UniqueFd>(
      info, Kind::kChanges,
      [name = text(info[0]), thin = to_uint32(info[1])](Work& work) {
        return lock_thin_shared(name, thin, work.cancel());
      },
      as_handle);
}

Napi::Value lock_block_node(Info info) {
  return start<UniqueFd>(
      info, Kind::kChanges, [path = text(info[0])](Work& work) { return lock_node(path, work.cancel()); },
      as_handle);
}

}  // namespace

void export_locks(Napi::Env env, Napi::Object exports) {
  const Exporter add{env, exports};
  add("lockPool", lock_pool);
  add("tryLockPool", lock_pool_if_free);
  add("lockThin", lock_thin_of_pool);
  add("lockNode", lock_block_node);
}

}  // namespace dmthin
