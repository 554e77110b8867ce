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

// The live disk: the file, and the device that has it open.
static int begin(struct plan* plan) {
  allow_descriptors(plan->count);
  disks = calloc(plan->count, sizeof(*disks));
  if (!disks) die("calloc", "disks");
  live_file = create(plan, "live", 0, O_CREAT | O_TRUNC);
  if (ftruncate(live_file, (off_t)plan->sectors * 512) < 0) die("ftruncate", plan->directory);
  return loop_attach(FIRST_LOOP + plan->count, dup(live_file));
}

static void end(struct plan* plan, int live) {
  loop_detach(FIRST_LOOP + plan->count, live);
  close(live_file);
}

void fork_clones(struct plan* plan) {
  struct samples* list[] = {samples_new("fork-1000"), samples_new("fork-gone"),
                            samples_new("fork-first-write")};
  int live = begin(plan);
  write_pieces(plan, live);
  for (uint32_t repeat = 0; repeat < plan->repeats; repeat++) {
    samples_add(list[0], fork_all(plan, live) / plan->count);
    first_writes(plan, list[2], disks);
    samples_add(list[1], end_all(plan) / plan->count);
  }
  end(plan, live);
  samples_print(list, 3);
}

void steady_clone(struct plan* plan) {
  char path[32];
  int live = begin(plan);
  write_pieces(plan, live);
  fork_all(plan, live);
  loop_path(FIRST_LOOP, path, sizeof(path));
  steady_io(plan, path);
  end_all(plan);
  end(plan, live);
}

#define EXTENT 4096u
#define WRITTEN_EXTENTS 16384u

// Extents of one block each with a hole after each. Of very many, the first ones are written and then cloned,
// within the file, so that they take no space.
static void write_extents(struct plan* plan, uint32_t count) {
  char bytes[EXTENT] = {0x5a};
  uint32_t written = count;
  while (written > WRITTEN_EXTENTS) written /= 2;
  for (uint32_t i = 0; i < written; i++)
    if (pwrite(live_file, bytes, EXTENT, (off_t)i * 2 * EXTENT) != EXTENT) die("pwrite", plan->directory);
  if (fsync(live_file) < 0) die("fsync", plan->directory);
  for (; written < count; written *= 2) {
    uint64_t length = (uint64_t)written * 2 * EXTENT;
    struct file_clone_range range = {.src_fd = live_file, .src_length = length, .dest_offset = length};
    if (ioctl(live_file, FICLONERANGE, &range) < 0) die("FICLONERANGE", plan->directory);
  }
  if (fsync(live_file) < 0) die("fsync", plan->directory);
}

// One fork at a time of disks with ever more extents. The first ones are as good as free, the last takes
// minutes.
static void extents(struct plan* plan, const struct extent_row* rows, int count) {
  struct samples* list[EXTENT_ROWS];
  plan->count = 1;
  plan->sectors = (uint64_t)rows[count - 1].extents * 2 * EXTENT / 512;
  int live = begin(plan);
  for (int row = 0; row < count; row++) {
    list[row] = samples_new(rows[row].metric);
    write_extents(plan, rows[row].extents);
    for (uint32_t repeat = 0; repeat < plan->repeats; repeat++) {
      samples_add(list[row], fork_all(plan, live));
      end_all(plan);
    }
  }
  end(plan, live);
  samples_print(list, count);
}

void fork_extents_clones(struct plan* plan) { extents(plan, extent_rows, EXTENT_ROWS - 1); }
void fork_most_extents_clones(struct plan* plan) { extents(plan, &extent_rows[EXTENT_ROWS - 1], 1); }
