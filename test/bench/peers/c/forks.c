// A live thin volume forked: the least that a program pays which calls the device mapper itself. The first
// snapshot is one of the suspended origin, the others are snapshots of the first, so that the origin is
// suspended once.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "dm.h"
#include "io.h"
#include "plan.h"

static const char* const live = "dmthinbench-c-live";
static int* disks;

static void open_item(uint32_t index, struct plan* plan) {
  char name[64];
  name_of(index, name, sizeof(name));
  disks[index] = open_node(activate_id(plan, name, plan->first + index));
}

static void fork_item(uint32_t index, void* context) {
  struct plan* plan = context;
  if (index > 0) message(plan, "create_snap %u %u", plan->first + index, plan->first);
  open_item(index, plan);
}

static void gone_item(uint32_t index, void* context) {
  struct plan* plan = context;
  close(disks[index]);
  remove_item(index, plan);
  drop(plan, index);
}

static uint64_t fork_all(struct plan* plan) {
  uint64_t start = now_ns();
  if (dm_suspend(plan->control, live) < 0) die("suspend", live);
  snap(plan, 0);
  if (dm_resume(plan->control, live, NULL) < 0) die("resume", live);
  gang_run(plan->threads, plan->count, fork_item, plan);
  return now_ns() - start;
}

static uint64_t end_all(struct plan* plan) {
  uint64_t start = now_ns();
  gang_run(plan->threads, plan->count, gone_item, plan);
  commit(plan);
  return now_ns() - start;
}

static void begin(struct plan* plan) {
  allow_descriptors(plan->count);
  disks = calloc(plan->count, sizeof(*disks));
  if (!disks) die("calloc", "disks");
  read_transaction(plan);
}

void fork_thin(struct plan* plan) {
  struct samples* list[] = {samples_new("fork-1000"), samples_new("fork-gone"),
                            samples_new("fork-first-write")};
  begin(plan);
  plan->origin = plan->first - 1;
  message(plan, "create_thin %u", plan->origin, 0);
  int fd = open_node(activate_id(plan, live, plan->origin));
  write_pieces(plan, fd);
  for (uint32_t repeat = 0; repeat < plan->repeats; repeat++) {
    samples_add(list[0], fork_all(plan) / plan->count);
    first_writes(plan, list[2], disks);
    samples_add(list[1], end_all(plan) / plan->count);
  }
  close(fd);
  if (dm_remove(plan->control, live) < 0) die("remove", live);
  message(plan, "delete %u", plan->origin, 0);
  samples_print(list, 3);
}

// The origins are the thin ids 0, 1, 2 of a pool made for this.
static void extents(struct plan* plan, int first, int end) {
  struct samples* list[EXTENT_ROWS];
  plan->count = 1;
  begin(plan);
  for (int row = first; row < end; row++) {
    list[row - first] = samples_new(extent_rows[row].metric);
    plan->origin = (uint32_t)row;
    int fd = open_node(activate_id(plan, live, plan->origin));
    for (uint32_t repeat = 0; repeat < plan->repeats; repeat++) {
      samples_add(list[row - first], fork_all(plan));
      end_all(plan);
    }
    close(fd);
    if (dm_remove(plan->control, live) < 0) die("remove", live);
  }
  samples_print(list, end - first);
}

// Gives a device that stays open the content of the origin: a new snapshot, one new table, the end of the former.
static void reset_item(uint32_t index, void* context) {
  struct plan* plan = context;
  char params[64];
  snprintf(params, sizeof(params), "%s %u", plan->pool_dev, plan->first + index);
  if (dm_suspend(plan->control, live) < 0) die("suspend", live);
  snap(plan, index);
  if (dm_load(plan->control, live, plan->sectors, "thin", params) < 0) die("load", live);
  if (dm_resume(plan->control, live, NULL) < 0) die("resume", live);
  drop(plan, index - 1);
  commit(plan);
}

void reset_thin(struct plan* plan) {
  struct samples* list[] = {samples_new("fork-reset")};
  static char block[4096];
  read_transaction(plan);
  snap(plan, 0);
  int fd = open_node(activate_id(plan, live, plan->first));
  for (uint32_t i = 1; i <= plan->count; i++) {
    if (pwrite(fd, block, sizeof(block), (off_t)i * 65536) < 0 || fsync(fd) < 0) die("write", live);
    timed(plan, list[0], reset_item, i);
  }
  close(fd);
  if (dm_remove(plan->control, live) < 0) die("remove", live);
  drop(plan, plan->count);
  samples_print(list, 1);
}

void fork_extents(struct plan* plan) { extents(plan, 0, EXTENT_ROWS - 1); }
void fork_most_extents(struct plan* plan) { extents(plan, EXTENT_ROWS - 1, EXTENT_ROWS); }
