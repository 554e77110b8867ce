// The one place where the library enters the kernel for anything that can fail in an interesting way. In the
// test build (DM_THIN_FAULTS) each named operation can be made to fail, to throw std::bad_alloc, to wait for
// the test, or to be the process's last.
#pragma once

#include <cerrno>
#include <string>
#include <string_view>

#include "system/operation.h"
#include "system/result.h"

namespace dmthin {

#ifdef DM_THIN_FAULTS
enum class FaultKind { kFail, kFailAfter, kKillBefore, kKillAfter, kWait, kThrow, kHold };
/// Arms one fault: the `nth` (1-based) call of an operation from now on. `operations` is its name, several
/// names with a bar between two, or `*` for any. `value` is an errno; for kWait a number of the test's, with
/// which it asks whether the call waits, and releases it; for kHold a socket: the name of the operation is
/// written to it, and the call waits until a byte can be read from it.
void set_fault(const char* operations, int nth, FaultKind kind, int value);
/// Disarms all, and releases what waits; answers how many had not been reached, so that a test knows whether
/// its fault came up.
int clear_faults();
bool fault_reached(int stop);
void release_fault(int stop);
int fault_before(const char* operation);
int fault_after(const char* operation, int result);
#else
inline int fault_before(const char*) { return 0; }
inline int fault_after(const char*, int result) { return result; }
#endif

/// Runs `call`, which answers like a system call (-1 and errno on failure). The result is the call's own, or
/// -errno.
template <class Call>
int system_call(Operation operation, Call call) {
  if (const int injected = fault_before(operation.name())) return -injected;
  int result = static_cast<int>(call());
  if (result < 0) result = -errno;
  return fault_after(operation.name(), result);
}

/// Runs `call` as system_call() does, and returns its result, or a failure that names `device`.
template <typename Call>
Result<int> checked(Operation operation, std::string_view device, Call call, std::string_view detail = {}) {
  const int result = system_call(operation, call);
  if (result < 0) return failed(operation, -result, std::string(device), std::string(detail));
  return result;
}

}  // namespace dmthin
