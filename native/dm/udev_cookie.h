// A udev transaction as libdevmapper's rules know it: a System V semaphore that each uevent's rules count
// down. Its key is 0x0D4D and a cookie of 16 bits, which travels with the ioctl and comes to udev as
// DM_COOKIE.
//
// The semaphore outlives its maker, and there are few of them on a machine. So each has a lock file in
// /run/dm-thin, held by the process that waits: where the lock is free its process is dead, and the next to
// begin a transaction takes the semaphore away.
#pragma once

#include <cstdint>

#include "system/cancel.h"
#include "system/result.h"
#include "system/unique_fd.h"

namespace dmthin {

class UdevCookie {
 public:
  /// Sweeps what dead processes left, then makes a semaphore that nobody has.
  static Result<UdevCookie> begin();
  UdevCookie(UdevCookie&& other) noexcept;
  UdevCookie& operator=(UdevCookie&&) = delete;
  UdevCookie(const UdevCookie&) = delete;
  ~UdevCookie();

  /// Returns the low half of dm_ioctl.event_nr. Never 0.
  uint16_t cookie() const { return static_cast<uint16_t>(key_ & 0xffff); }
  /// Counts one uevent more, before an ioctl that will raise it.
  Status expect();
  /// Counts one uevent less, after an ioctl that raised none.
  Status unexpect();
  /// Waits until udev has gone through the rules of all that was expected; ETIMEDOUT after `limit_ms`. The
  /// semaphore is gone afterwards, whatever the outcome.
  Status wait(int64_t limit_ms, Cancel& cancel);

 private:
  UdevCookie(uint32_t key, int semaphore, UniqueFd lock);
  void remove();

  uint32_t key_;
  int semaphore_;
  UniqueFd lock_;
};

/// Takes away the semaphores of dead processes; answers how many there were.
int sweep_udev_cookies();

}  // namespace dmthin
