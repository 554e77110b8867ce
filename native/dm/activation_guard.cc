#include "dm/activation_guard.h"

#include <cerrno>
#include <utility>

#include "system/scope_guard.h"

namespace dmthin {

ActivationGuard::ActivationGuard(KnownPool pool, std::string own_prefix)
    : pool_(std::move(pool)), own_prefix_(std::move(own_prefix)) {}

ActivationGuard::~ActivationGuard() { pthread_mutex_destroy(&looking_); }

Status ActivationGuard::look(Control& control, Cancel& cancel) {
  const MutexLock locked(looking_);
  if (looked_) return Nothing{};
  const auto pool = pool_device(control, pool_, cancel);
  if (!pool) return pool.failure();
  auto others = foreign_thins(control, *pool, own_prefix_, cancel);
  if (!others) return others.failure();
  foreign_ = std::move(*others);
  looked_ = true;
  return Nothing{};
}

Result<ThinLock> ActivationGuard::admit(Control& control, uint32_t thin_id, const std::string& name,
                                        Cancel& cancel) {
  if (pool_.device == 0) {
    auto file = lock_pool_shared(pool_.name, cancel);
    if (!file) return file.failure();
    return ThinLock{std::move(*file), false};
  }
  auto lock = lock_thin(pool_.name, thin_id, cancel);
  if (!lock) return lock;
  const auto looked = look(control, cancel);
  if (!looked) return looked.failure();
  for (const ActiveThin& other : foreign_) {
    if (other.id == thin_id) return failed("double activation", EBUSY, name, other.name);
  }
  return lock;
}

}  // namespace dmthin
