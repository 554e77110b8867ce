// The stretch from before a device is suspended until after it is resumed: once shielded it no longer hears
// of cancellation, and the process does not exit while one is open.
#pragma once

#include "system/cancel.h"

namespace dmthin {

class CriticalSection {
 public:
  explicit CriticalSection(Cancel& cancel);
  ~CriticalSection();
  CriticalSection(const CriticalSection&) = delete;
  CriticalSection& operator=(const CriticalSection&) = delete;

  /// From here to the end cancellation is not heard: something is suspended.
  void shield();

 private:
  friend void end_sections_at_exit();
  Cancel& cancel_;
  Waker waker_;
  bool signal_blocked_ = false;
  CriticalSection* next_ = nullptr;
};

}  // namespace dmthin
