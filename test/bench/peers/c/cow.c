// A live disk forked by dm-snapshot: the disk is a snapshot-origin on a loop device, and each fork has a file
// of its own behind a loop device for what differs. The origin is suspended while the snapshots are made, as
// LVM does it.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "dm.h"
#include "io.h"
#include "loops.h"
#include "plan.h"

// The same 64 KiB as a block of the pool, in sectors.
#define CHUNK 128u

static const char* const live = "dmthinbench-c-live";
static char base[32];
static int base_device;
static int* disks;
static int* stores;

static int new_file(struct plan* plan, uint32_t index, char* path, size_t size) {
  snprintf(path, size, "%s/dmthinbench-cow-%u", plan->backing, index);
  int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0 || ftruncate(fd, (off_t)plan->sectors * 512) < 0) die("create", path);
  return fd;
}

static uint64_t make(struct plan* plan, const char* name, const char* type, const char* params) {
  uint64_t dev = 0;
  if (dm_create(plan->control, name, "") < 0) die("create", name);
  if (dm_load(plan->control, name, plan->sectors, type, params) < 0) die("load", name);
  if (dm_resume(plan->control, name, &dev) < 0) die("resume", name);
  return dev;
}

static void fork_item(uint32_t index, void* context) {
  struct plan* plan = context;
  char path[512], name[64], store[32], params[128];
  stores[index] = loop_attach(FIRST_LOOP + index, new_file(plan, index, path, sizeof(path)));
  loop_path(FIRST_LOOP + index, store, sizeof(store));
  snprintf(params, sizeof(params), "%s %s P %u", base, store, CHUNK);
  name_of(index, name, sizeof(name));
  disks[index] = open_node(make(plan, name, "snapshot", params));
}

static void gone_item(uint32_t index, void* context) {
  struct plan* plan = context;
  char path[512];
  close(disks[index]);
  remove_item(index, plan);
  loop_detach(FIRST_LOOP + index, stores[index]);
  snprintf(path, sizeof(path), "%s/dmthinbench-cow-%u", plan->backing, index);
  if (unlink(path) < 0) die("unlink", path);
}

static uint64_t fork_all(struct plan* plan) {
  uint64_t start = now_ns();
  if (dm_suspend(plan->control, live) < 0) die("suspend", live);
  gang_run(plan->threads, plan->count, fork_item, plan);
  if (dm_resume(plan->control, live, NULL) < 0) die("resume", live);
  return now_ns() - start;
}

static uint64_t end_all(struct plan* plan) {
  uint64_t start = now_ns();
  gang_run(plan->threads, plan->count, gone_item, plan);
  return now_ns() - start;
}

static int begin(struct plan* plan) {
  char path[512];
  allow_descriptors(2 * plan->count);
  disks = calloc(plan->count, sizeof(*disks));
  stores = calloc(plan->count, sizeof(*stores));
  if (!disks || !stores) die("calloc", "disks");
  base_device = loop_attach(FIRST_LOOP + plan->count, new_file(plan, plan->count, path, sizeof(path)));
  loop_path(FIRST_LOOP + plan->count, base, sizeof(base));
  int fd = open_node(make(plan, live, "snapshot-origin", base));
  write_pieces(plan, fd);
  return fd;
}

static void end(struct plan* plan, int fd) {
  char path[512];
  close(fd);
  if (dm_remove(plan->control, live) < 0) die("remove", live);
  loop_detach(FIRST_LOOP + plan->count, base_device);
  snprintf(path, sizeof(path), "%s/dmthinbench-cow-%u", plan->backing, plan->count);
  unlink(path);
}

void fork_cow(struct plan* plan) {
  struct samples* list[] = {samples_new("fork-1000"), samples_new("fork-gone"),
                            samples_new("fork-first-write")};
  int fd = begin(plan);
  for (uint32_t repeat = 0; repeat < plan->repeats; repeat++) {
    samples_add(list[0], fork_all(plan) / plan->count);
    first_writes(plan, list[2], disks);
    samples_add(list[1], end_all(plan) / plan->count);
  }
  end(plan, fd);
  samples_print(list, 3);
}

void steady_cow(struct plan* plan) {
  char path[32], name[64];
  uint64_t dev;
  int fd = begin(plan);
  fork_all(plan);
  name_of(0, name, sizeof(name));
  if (dm_info(plan->control, name, &dev) < 0) die("info", name);
  snprintf(path, sizeof(path), "/dev/dm-%u", dm_minor(dev));
  steady_io(plan, path);
  end_all(plan);
  end(plan, fd);
}
