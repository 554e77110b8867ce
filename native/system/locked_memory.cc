#include "system/locked_memory.h"

#include <link.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <new>

namespace dmthin {
namespace {

constexpr uintptr_t kPage = 4096;  // a multiple of it is not needed: mlock rounds down to the system's own
constexpr size_t kStackRoom = size_t{16} * 1024;

/// Makes the pages present if they cannot be locked.
void lock_range(const void* start, size_t size) {
  if (::mlock(start, size) != 0) ::madvise(const_cast<void*>(start), size, MADV_WILLNEED);
}

/// Locks the segments of the shared object that `address` lies in.
int lock_object_of(dl_phdr_info* object, size_t, void* address) {
  const auto wanted = reinterpret_cast<uintptr_t>(address);
  const auto start_of = [&](const ElfW(Phdr) & each) { return object->dlpi_addr + each.p_vaddr; };
  bool found = false;
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const ElfW(Phdr)& each = object->dlpi_phdr[i];
    if (each.p_type == PT_LOAD && wanted - start_of(each) < each.p_memsz) found = true;
  }
  if (!found) return 0;
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const ElfW(Phdr)& each = object->dlpi_phdr[i];
    if (each.p_type != PT_LOAD) continue;
    const uintptr_t start = start_of(each) & ~(kPage - 1);
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the loader gives addresses as numbers.
    lock_range(reinterpret_cast<const void*>(start), start_of(each) + each.p_memsz - start);
  }
  return 1;
}

int lock_code() {
  dl_iterate_phdr(lock_object_of, reinterpret_cast<void*>(&lock_code_and_stack));
  dl_iterate_phdr(lock_object_of, reinterpret_cast<void*>(&::ioctl));
  return 0;
}

}  // namespace

LockedMemory::LockedMemory(size_t size) : size_(size) {
  void* memory =
      ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  data_ = static_cast<uint8_t*>(memory);
  (void)!::mlock(memory, size);
}

LockedMemory::~LockedMemory() { ::munmap(data_, size_); }

void lock_code_and_stack() {
  static const int locked = lock_code();
  (void)locked;
  volatile char room[kStackRoom];  // what the calls of a critical section will use of the stack
  for (size_t at = 0; at < kStackRoom; at += 1024) room[at] = 0;
  (void)!::mlock(const_cast<char*>(room), kStackRoom);
}

}  // namespace dmthin
