// The kernel's own reason for a refused table: a target's `ti->error` reaches nobody but the kernel log.
#pragma once

#include <cstdint>
#include <string>

#include "system/unique_fd.h"

namespace dmthin {

class KernelLog {
 public:
  /// Opens the log. Without the right to read /dev/kmsg there is no reason, and no error.
  KernelLog();
  /// Remembers where the log ends now.
  void begin();
  /// Returns what the device mapper has logged about this device since begin(); empty when it said nothing.
  std::string reason(uint64_t device);

 private:
  UniqueFd fd_;
};

}  // namespace dmthin
