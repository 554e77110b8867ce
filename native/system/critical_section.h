// The steps from before a device is suspended until after it is resumed. Once shielded, they are not ended
// by cancellation, and the process does not exit while one is open.
#pragma once

#include "system/cancel.h"

namespace dmthin {

class CriticalSection {
 public:
  explicit CriticalSection(Cancel& cancel);
  ~CriticalSection();
  CriticalSection(const CriticalSection&) = delete;
  CriticalSection& operator=(const CriticalSection&) = delete;

  /// Ignores cancellation from here to the end: something is suspended.
  void shield();

 private:
  friend void end_sections_at_exit();
  Cancel& cancel_;
  Waker waker_;
  bool signal_blocked_ = false;
  CriticalSection* next_ = nullptr;
};

}  // namespace dmthin
