// What stands before an activation: the lock of its thin id, and the refusal of a volume that another program
// has active. One guard serves all activations of one call: looking costs the kernel a list of all devices.
#pragma once

#include <pthread.h>

#include <string>
#include <unordered_set>
#include <vector>

#include "dm/active_thins.h"
#include "dm/control.h"
#include "dm/pool_lock.h"

namespace dmthin {

class ActivationGuard {
 public:
  /// For one activation, or for many of one call, which share the lock file.
  enum class For { kOne, kMany };

  /// Makes a guard. The pool's name names the lock. With device 0 only the pool's lock is taken.
  ActivationGuard(KnownPool pool, std::string own_prefix, For number);
  ~ActivationGuard();
  ActivationGuard(const ActivationGuard&) = delete;
  ActivationGuard& operator=(const ActivationGuard&) = delete;

  /// Returns the lock, which the activation holds to its end. Whoever comes first looks; a look that failed
  /// is tried again by the next. EBUSY says "double activation" as its operation and names the other device.
  /// Callable from many threads.
  Result<ThinLock> admit(Control& control, uint32_t thin_id, const std::string& name, Cancel& cancel);

 private:
  Status look(Control& control, Cancel& cancel);
  Result<ThinLock> lock_among_many(uint32_t thin_id, const std::string& name, Cancel& cancel);

  const KnownPool pool_;
  const std::string own_prefix_;
  const For number_;
  pthread_mutex_t looking_ = PTHREAD_MUTEX_INITIALIZER;
  ThinLockFile file_;                   // of many
  std::unordered_set<uint32_t> begun_;  // of many: their lock file does not exclude them from each other
  bool looked_ = false;
  std::vector<ActiveThin> foreign_;
};

}  // namespace dmthin
