// What a write waits for while something else goes on: each to a new block of a random disk, past the page
// cache.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "io.h"
#include "plan.h"

#define BLOCK 65536
#define WRITE 4096
#define INTERVAL_NS 500000u

struct disk {
  int fd;
  off_t next;
};

// The paths are lines of a file.
static uint32_t open_disks(const char* list, off_t first, struct disk** disks) {
  char line[256];
  uint32_t count = 0;
  FILE* file = fopen(list, "re");
  if (!file) die("open", list);
  *disks = NULL;
  while (fgets(line, sizeof(line), file)) {
    line[strcspn(line, "\n")] = 0;
    *disks = realloc(*disks, (count + 1) * sizeof(**disks));
    if (!*disks) die("realloc", "disks");
    allow_descriptors(count + 1);
    (*disks)[count] = (struct disk){.fd = open(line, O_WRONLY | O_DIRECT | O_CLOEXEC), .next = first};
    if ((*disks)[count++].fd < 0) die("open", line);
  }
  fclose(file);
  return count;
}

// Returns when the write began that is due at `due`. The timer wakes too late by itself, which is no time of
// a write.
static uint64_t await(uint64_t due) {
  uint64_t now = now_ns();
  if (now >= due) return due;
  struct timespec left = {.tv_nsec = (long)(due - now)};
  nanosleep(&left, NULL);
  return now_ns();
}

void latency(struct plan* plan) {
  struct samples* list[] = {samples_new("write")};
  struct disk* disks;
  uint32_t count = open_disks(plan->path, (off_t)plan->first * BLOCK, &disks), seed = 1;
  char* bytes = aligned_alloc(WRITE, WRITE);
  if (!bytes) die("aligned_alloc", "");
  memset(bytes, 0x3c, WRITE);
  uint64_t start = now_ns();
  for (uint32_t i = 0; i < plan->count; i++, start = await(start + INTERVAL_NS)) {
    seed = seed * 1664525u + 1013904223u;
    struct disk* disk = &disks[(seed >> 8) % count];
    if (pwrite(disk->fd, bytes, WRITE, disk->next) != WRITE) die("pwrite", "");
    samples_add(list[0], now_ns() - start);
    disk->next += BLOCK;
  }
  samples_print(list, 1);
}
