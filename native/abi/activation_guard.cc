#include "abi/activation_guard.h"

#include <cerrno>
#include <utility>

#include "abi/section_lock.h"

namespace dmthin {

ActivationGuard::ActivationGuard(KnownPool pool, std::string own_prefix)
    : pool_(std::move(pool)), own_prefix_(std::move(own_prefix)) {}

ActivationGuard::~ActivationGuard() { pthread_mutex_destroy(&preparing_); }

Status ActivationGuard::prepare(Control& control, Cancel& cancel) {
  if (!lock_) {
    auto locked = lock_sections(pool_.name, LockMode::kShared, cancel);
    // A read-only /run takes away the mending of leftovers by `open`, not the call itself.
    if (locked) lock_ = std::move(*locked);
    if (!locked && locked.failure().cancelled) return locked.failure();
  }
  if (pool_.device != 0) {
    const auto pool = pool_device(control, pool_, cancel);
    if (!pool) return pool.failure();
    auto others = foreign_thins(control, *pool, own_prefix_, cancel);
    if (!others) return others.failure();
    foreign_ = std::move(*others);
  }
  prepared_ = true;
  return Nothing{};
}

Status ActivationGuard::admit(Control& control, uint32_t thin_id, const std::string& name, Cancel& cancel) {
  pthread_mutex_lock(&preparing_);
  auto ready = prepared_ ? Status(Nothing{}) : prepare(control, cancel);
  pthread_mutex_unlock(&preparing_);
  if (!ready) return ready;
  for (const ActiveThin& other : foreign_) {
    if (other.id == thin_id) return failed("double activation", EBUSY, name, other.name);
  }
  return Nothing{};
}

}  // namespace dmthin
