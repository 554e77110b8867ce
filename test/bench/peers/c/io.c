#include "io.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define ALIGNMENT 65536u
#define WRITE 4096u
#define FIRST_WRITES 64u
#define STEADY (64u << 20)

static uint64_t place_of(const struct plan* plan, uint32_t piece) {
  uint64_t stride = plan->sectors * 512 / plan->pieces / ALIGNMENT * ALIGNMENT;
  return piece * stride;
}

static void write_at(int fd, const void* bytes, size_t length, uint64_t at) {
  if (pwrite(fd, bytes, length, (off_t)at) != (ssize_t)length) die("pwrite", "");
}

void write_pieces(struct plan* plan, int fd) {
  char* bytes = malloc(plan->piece);
  if (!bytes) die("malloc", "piece");
  memset(bytes, 0x5a, plan->piece);
  for (uint32_t i = 0; i < plan->pieces; i++) write_at(fd, bytes, plan->piece, place_of(plan, i));
  if (fsync(fd) < 0) die("fsync", "the disk");
  free(bytes);
}

void first_writes(struct plan* plan, struct samples* samples, const int* disks) {
  static char bytes[WRITE];
  uint32_t writes = plan->count < FIRST_WRITES ? plan->count : FIRST_WRITES;
  uint32_t seed = 1;
  memset(bytes, 0xa5, sizeof(bytes));
  for (uint32_t i = 0; i < writes; i++) {
    int fd = disks[i * (plan->count / writes)];
    seed = seed * 1664525u + 1013904223u;
    uint64_t at = place_of(plan, (seed >> 8) % plan->pieces);
    uint64_t start = now_ns();
    write_at(fd, bytes, sizeof(bytes), at);
    if (fdatasync(fd) < 0) die("fdatasync", "");
    samples_add(samples, now_ns() - start);
  }
}

void allow_descriptors(uint32_t count) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) die("getrlimit", "");
  if (limit.rlim_max < count + 64) limit.rlim_max = count + 64;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) < 0) die("setrlimit", "");
}

// One after the other, past the page cache.
static uint64_t pass(int fd, char* bytes, int write) {
  uint64_t start = now_ns();
  for (off_t at = 0; at < STEADY; at += ALIGNMENT) {
    ssize_t moved = write ? pwrite(fd, bytes, ALIGNMENT, at) : pread(fd, bytes, ALIGNMENT, at);
    if (moved != ALIGNMENT) die(write ? "pwrite" : "pread", "");
  }
  return now_ns() - start;
}

void steady_io(struct plan* plan, const char* path) {
  struct samples* list[] = {samples_new("fork-write"), samples_new("fork-read")};
  char* bytes = aligned_alloc(WRITE, ALIGNMENT);
  int fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
  if (fd < 0) die("open", path);
  if (!bytes) die("aligned_alloc", "");
  memset(bytes, 0x3c, ALIGNMENT);
  pass(fd, bytes, 1);
  for (uint32_t repeat = 0; repeat < plan->repeats; repeat++) {
    samples_add(list[0], pass(fd, bytes, 1));
    samples_add(list[1], pass(fd, bytes, 0));
  }
  close(fd);
  free(bytes);
  samples_print(list, 2);
}

void steady(struct plan* plan) { steady_io(plan, plan->path); }
