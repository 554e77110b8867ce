// Preloaded into the programs of a guest of User-Mode Linux while tests run, where two things are dear that
// cost nothing elsewhere. Tests of one second spend a third of it on them.
//
// - To read the clock is a system call, 7 us, and V8 reads it four times for each function that it compiles.
// Here the
//   processor's counter continues the kernel's clock, for a millisecond at a time.
// - The first use of a page costs some 20 us: a signal, a call of the machine's kernel, two switches. Here
// the pages that
//   V8 has just been given are brought in together, for 2 us each.
#define _GNU_SOURCE
#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define NS_PER_S 1000000000LL
#define CONTINUED_NS 1000000LL
// Some 100 us: a system call takes 10.
#define TOGETHER 300000LL
// V8 is given 256 KiB at a time. Stacks, of 8 MiB, are hardly used.
#define LARGEST (2UL << 20)
#define PAGE 4096UL

struct reading {
  int64_t ns;
  int64_t ticks;
};

static atomic_flag in_use = ATOMIC_FLAG_INIT;
static struct reading first, last;
static double ns_per_tick;
// The clock must not go back where the kernel's is a little behind what was told.
static int64_t told;

static int kernel_clock(clockid_t id, struct timespec* time) {
  return (int)syscall(SYS_clock_gettime, id, time);
}

// Reads the clock and the counter. Returns the counter 0, from which nothing continues, if another process
// ran in between.
static struct reading read_both(void) {
  struct timespec time;
  const int64_t before = (int64_t)__rdtsc();
  kernel_clock(CLOCK_MONOTONIC, &time);
  const int64_t after = (int64_t)__rdtsc();
  return (struct reading){time.tv_sec * NS_PER_S + time.tv_nsec, after - before < TOGETHER ? before : 0};
}

static int64_t monotonic(void) {
  const int64_t since = (int64_t)(((int64_t)__rdtsc() - last.ticks) * ns_per_tick);
  if (last.ticks != 0 && ns_per_tick != 0 && since >= 0 && since < CONTINUED_NS) return last.ns + since;
  last = read_both();
  if (first.ticks == 0) first = last;
  if (last.ticks != 0 && last.ns - first.ns > CONTINUED_NS) {
    ns_per_tick = (double)(last.ns - first.ns) / (double)(last.ticks - first.ticks);
  }
  return last.ns;
}

int clock_gettime(clockid_t id, struct timespec* time) {
  // Another thread, or what a signal has interrupted, is in here: the kernel answers.
  if (id != CLOCK_MONOTONIC || atomic_flag_test_and_set_explicit(&in_use, memory_order_acquire)) {
    return kernel_clock(id, time);
  }
  const int64_t now = monotonic();
  if (now > told) told = now;
  time->tv_sec = told / NS_PER_S;
  time->tv_nsec = told % NS_PER_S;
  atomic_flag_clear_explicit(&in_use, memory_order_release);
  return 0;
}

int mprotect(void* start, size_t length, int protection) {
  const int result = (int)syscall(SYS_mprotect, start, length, protection);
  if (result == 0 && (protection & PROT_WRITE) && length > PAGE && length <= LARGEST) {
    const int before = errno;
    syscall(SYS_madvise, start, length, MADV_POPULATE_WRITE);
    errno = before;
  }
  return result;
}

void* mmap(void* start, size_t length, int protection, int flags, int file, off_t offset) {
  const int blank = MAP_ANONYMOUS | MAP_PRIVATE;
  if ((flags & blank) == blank && (protection & PROT_WRITE) && length <= LARGEST) flags |= MAP_POPULATE;
  return (void*)syscall(SYS_mmap, start, length, protection, flags, file, offset);
}

void* mmap64(void*, size_t, int, int, int, off_t) __attribute__((alias("mmap")));
