// A live disk that is a file behind a loop device, forked by FICLONE: each fork is a clone of the file behind
// a loop device of its own. `directory` is on a file system that shares extents.
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "io.h"
#include "loops.h"
#include "plan.h"

static int live_file;
static int* disks;

static int create(struct plan* plan, const char* name, uint32_t index, int flags) {
  char path[512];
  snprintf(path, sizeof(path), "%s/%s-%u", plan->directory, name, index);
  int fd = open(path, O_RDWR | O_CLOEXEC | flags, 0600);
  if (fd < 0) die("open", path);
  return fd;
}

static void clone_item(uint32_t index, void* context) {
  struct plan* plan = context;
  int file = create(plan, "fork", index, O_CREAT | O_EXCL);
  if (ioctl(file, FICLONE, live_file) < 0) die("FICLONE", plan->directory);
  disks[index] = loop_attach(FIRST_LOOP + index, file);
}

static void gone_item(uint32_t index, void* context) {
  struct plan* plan = context;
  char path[512];
  snprintf(path, sizeof(path), "%s/fork-%u", plan->directory, index);
  loop_detach(FIRST_LOOP + index, disks[index]);
  if (unlink(path) < 0) die("unlink", path);
}

// What the live disk has in the page cache of its device gets into the file first: a clone has no part in
// that cache.
static uint64_t fork_all(struct plan* plan, int live) {
  uint64_t start = now_ns();
  if (fsync(live) < 0) die("fsync", "the live disk");
  gang_run(plan->threads, plan->count, clone_item, plan);
  return now_ns() - start;
}

static uint64_t end_all(struct plan* plan) {
  uint64_t start = now_ns();
  gang_run(plan->threads, plan->count, gone_item, plan);
  if (syncfs(live_file) < 0) die("syncfs", plan->directory);
  return now_ns() - start;
}

void fork_clones(struct plan* plan) {
  struct samples* list[] = {samples_new("fork-1000"), samples_new("fork-gone"),
                            samples_new("fork-first-write")};
  allow_descriptors(plan->count);
  disks = calloc(plan->count, sizeof(*disks));
  if (!disks) die("calloc", "disks");
  live_file = create(plan, "live", 0, O_CREAT | O_TRUNC);
  if (ftruncate(live_file, (off_t)plan->sectors * 512) < 0) die("ftruncate", plan->directory);
  int live = loop_attach(FIRST_LOOP + plan->count, dup(live_file));
  write_pieces(plan, live);
  for (uint32_t repeat = 0; repeat < plan->repeats; repeat++) {
    samples_add(list[0], fork_all(plan, live) / plan->count);
    first_writes(plan, list[2], disks);
    samples_add(list[1], end_all(plan) / plan->count);
  }
  loop_detach(FIRST_LOOP + plan->count, live);
  close(live_file);
  samples_print(list, 3);
}
