// Locks for JavaScript. Each is a handle, whose release unlocks it.
#include "block/node_lock.h"
#include "dm/pool_lock.h"
#include "napi/call.h"
#include "napi/exports.h"

namespace dmthin {
namespace {

Result<UniqueFd> lock_pool_exclusively(const std::string& key, Cancel& cancel) {
  return lock_pool(key, LockMode::kExclusive, cancel);
}

}  // namespace

Exports lock_exports() {
  static constexpr Export kRows[] = {
      {"lockPool", call<lock_pool_exclusively, Kind::kChanges>},
      {"tryLockPool", call<try_lock_pool, Kind::kQuick>},
      {"lockThin", call<lock_thin_shared, Kind::kChanges>},
      {"lockNode", call<lock_node, Kind::kChanges>},
  };
  return kRows;
}

}  // namespace dmthin
