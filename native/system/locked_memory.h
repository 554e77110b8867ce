// Memory that the kernel does not page out. While a device is suspended, a page fault on a file or swap area
// that lies on it would wait for the resume, which would then never be reached.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dmthin {

/// Pages of its own, present from the start, and locked where RLIMIT_MEMLOCK or CAP_IPC_LOCK lets them be.
class LockedMemory {
 public:
  /// Throws std::bad_alloc.
  explicit LockedMemory(size_t size);
  ~LockedMemory();
  LockedMemory(const LockedMemory&) = delete;
  LockedMemory& operator=(const LockedMemory&) = delete;

  uint8_t* data() const { return data_; }

 private:
  uint8_t* data_;
  size_t size_;
};

/// Locks the code and data of this library and of libc, once for the process, and the part of the calling
/// thread's stack that a critical section uses. Does what it can: without the right to lock, the pages are
/// only made present.
void lock_code_and_stack();

}  // namespace dmthin
