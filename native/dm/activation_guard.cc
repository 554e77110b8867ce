#include "dm/activation_guard.h"

#include <cerrno>
#include <utility>

#include "system/scope_guard.h"

namespace dmthin {

ActivationGuard::ActivationGuard(KnownPool pool, std::string own_prefix, For number)
    : pool_(std::move(pool)), own_prefix_(std::move(own_prefix)), number_(number) {}

ActivationGuard::~ActivationGuard() { pthread_mutex_destroy(&looking_); }

Status ActivationGuard::look(Control& control, Cancel& cancel) {
  const MutexLock locked(looking_);
  if (looked_) return Nothing{};
  foreign_ = TRY(foreign_thins(control, pool_, own_prefix_, cancel));
  looked_ = true;
  return Nothing{};
}

Result<ThinLock> ActivationGuard::lock_among_many(uint32_t thin_id, const std::string& name, Cancel& cancel) {
  ThinLockFile file;
  {
    const MutexLock locked(looking_);
    if (!file_.fd) {
      file_ = TRY(open_thin_locks(pool_.name, cancel));
    }
    // The same volume twice in one call.
    if (!begun_.insert(thin_id).second) return failed("double activation", EBUSY, name, name);
    file = file_;
  }
  return lock_thin(file, thin_id, cancel);
}

Result<ThinLock> ActivationGuard::admit(Control& control, uint32_t thin_id, const std::string& name,
                                        Cancel& cancel) {
  if (pool_.device == 0) {
    auto file = TRY(lock_pool_shared(pool_.name, cancel));
    return ThinLock({std::make_shared<const UniqueFd>(std::move(file)), false}, 0);
  }
  auto lock =
      number_ == For::kOne ? lock_thin(pool_.name, thin_id, cancel) : lock_among_many(thin_id, name, cancel);
  if (!lock) return lock;
  TRY(look(control, cancel));
  for (const ActiveThin& other : foreign_) {
    if (other.id == thin_id) return failed("double activation", EBUSY, name, other.name);
  }
  return lock;
}

}  // namespace dmthin
