// The floor to compare with: the library's work as raw ioctls, no library in between.
//
//   peer TRIAL [key=value …]
//
// works on an existing pool and prints { "metric": [ns per operation, …] }. What a trial makes it
// deletes again, outside the timing. Trials and their metrics:
//   layers  message, activate, remove: `count` snapshots of an inactive origin, one after the other
//   ready   snapshot-ready: snapshot of an active origin, activated, its node opened
//   status  status-batch: the status of `count` volumes, `repeats` times
//   wide    activate-64, remove-64: `count` volumes on `threads` threads, `repeats` times;
//           wall time / count
//   noop    noop-async, noop-async-64: one cheap ioctl, FIONREAD on a pipe; needs no pool
// With async=1 each call of layers, ready and noop is handed to another thread (see handoff.h).
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "dm.h"
#include "handoff.h"
#include "measure.h"

struct plan {
  const char* pool;
  char pool_dev[32];
  int control;
  uint32_t origin;
  uint32_t first;
  uint32_t count;
  uint32_t threads;
  uint32_t repeats;
  uint64_t sectors;
  uint32_t async;
  int pipe_read;
  int node;
};

// Times one call, made here or on another thread.
static void timed(struct plan* plan, struct samples* samples, item_fn fn, uint32_t index) {
  uint64_t start = now_ns();
  if (plan->async)
    handoff_run(fn, index, plan);
  else
    fn(index, plan);
  samples_add(samples, now_ns() - start);
}

static void name_of(uint32_t index, char* name, size_t size) {
  snprintf(name, size, "dmthinbench-c-%u", index);
}

static void message(struct plan* plan, const char* format, uint32_t a, uint32_t b) {
  char text[64];
  snprintf(text, sizeof(text), format, a, b);
  if (dm_message(plan->control, plan->pool, text) < 0) die("message", text);
}

static void snap(struct plan* plan, uint32_t index) {
  message(plan, "create_snap %u %u", plan->first + index, plan->origin);
}

static void snap_item(uint32_t index, void* context) { snap(context, index); }

static void drop(struct plan* plan, uint32_t index) { message(plan, "delete %u", plan->first + index, 0); }

static uint64_t activate_id(struct plan* plan, const char* name, uint32_t id) {
  uint64_t dev = 0;
  if (dm_create(plan->control, name) < 0) die("create", name);
  if (dm_load_thin(plan->control, name, plan->sectors, plan->pool_dev, id) < 0) die("load", name);
  if (dm_resume(plan->control, name, &dev) < 0) die("resume", name);
  return dev;
}

static void activate_item(uint32_t index, void* context) {
  struct plan* plan = context;
  char name[64];
  name_of(index, name, sizeof(name));
  activate_id(plan, name, plan->first + index);
}

static void remove_item(uint32_t index, void* context) {
  struct plan* plan = context;
  char name[64];
  name_of(index, name, sizeof(name));
  if (dm_remove(plan->control, name) < 0) die("remove", name);
}

static void layers(struct plan* plan) {
  struct samples* list[] = {samples_new("message"), samples_new("activate"), samples_new("remove")};
  for (uint32_t i = 0; i < plan->count; i++) timed(plan, list[0], snap_item, i);
  for (uint32_t i = 0; i < plan->count; i++) timed(plan, list[1], activate_item, i);
  for (uint32_t i = 0; i < plan->count; i++) timed(plan, list[2], remove_item, i);
  for (uint32_t i = 0; i < plan->count; i++) drop(plan, i);
  samples_print(list, 3);
}

// devtmpfs makes the node before the ioctl returns; the loop is for a kernel where it does not.
static int open_node(uint64_t dev) {
  char path[32];
  snprintf(path, sizeof(path), "/dev/dm-%u", dm_minor(dev));
  for (uint64_t limit = now_ns() + 1000000000u; now_ns() < limit; sched_yield()) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) return fd;
    if (errno != ENOENT) break;
  }
  die("open", path);
  return -1;
}

static const char* const origin = "dmthinbench-c-origin";

static void ready_item(uint32_t index, void* context) {
  struct plan* plan = context;
  char name[64];
  name_of(index, name, sizeof(name));
  if (dm_suspend(plan->control, origin) < 0) die("suspend", origin);
  snap(plan, index);
  if (dm_resume(plan->control, origin, NULL) < 0) die("resume", origin);
  plan->node = open_node(activate_id(plan, name, plan->first + index));
}

static void ready(struct plan* plan) {
  struct samples* list[] = {samples_new("snapshot-ready")};
  activate_id(plan, origin, plan->origin);
  for (uint32_t i = 0; i < plan->count; i++) {
    timed(plan, list[0], ready_item, i);
    close(plan->node);
  }
  gang_run(plan->threads, plan->count, remove_item, plan);
  if (dm_remove(plan->control, origin) < 0) die("remove", origin);
  for (uint32_t i = 0; i < plan->count; i++) drop(plan, i);
  samples_print(list, 1);
}

static void status(struct plan* plan) {
  struct samples* list[] = {samples_new("status-batch")};
  char name[64], line[256];
  for (uint32_t i = 0; i < plan->count; i++) snap(plan, i);
  gang_run(plan->threads, plan->count, activate_item, plan);
  for (uint32_t repeat = 0; repeat < plan->repeats; repeat++) {
    uint64_t start = now_ns();
    for (uint32_t i = 0; i < plan->count; i++) {
      name_of(i, name, sizeof(name));
      if (dm_status(plan->control, name, line, sizeof(line)) < 0) die("status", name);
    }
    samples_add(list[0], now_ns() - start);
  }
  gang_run(plan->threads, plan->count, remove_item, plan);
  for (uint32_t i = 0; i < plan->count; i++) drop(plan, i);
  samples_print(list, 1);
}

static void wide(struct plan* plan) {
  struct samples* list[] = {samples_new("activate-64"), samples_new("remove-64")};
  for (uint32_t i = 0; i < plan->count; i++) snap(plan, i);
  for (uint32_t repeat = 0; repeat < plan->repeats; repeat++) {
    samples_add(list[0], gang_run(plan->threads, plan->count, activate_item, plan) / plan->count);
    samples_add(list[1], gang_run(plan->threads, plan->count, remove_item, plan) / plan->count);
  }
  for (uint32_t i = 0; i < plan->count; i++) drop(plan, i);
  samples_print(list, 2);
}

static void noop_item(uint32_t index, void* context) {
  struct plan* plan = context;
  (void)index;
  int waiting;
  if (ioctl(plan->pipe_read, FIONREAD, &waiting) < 0) die("ioctl", "FIONREAD");
}

static void noop(struct plan* plan) {
  struct samples* list[] = {samples_new("noop-async"), samples_new("noop-async-64")};
  for (uint32_t i = 0; i < plan->count; i++) timed(plan, list[0], noop_item, i);
  for (uint32_t repeat = 0; !plan->async && repeat < plan->repeats; repeat++)
    samples_add(list[1], gang_run(plan->threads, plan->count, noop_item, plan) / plan->count);
  samples_print(list, plan->async ? 1 : 2);
}

static void read_option(struct plan* plan, const char* argument) {
  const char* equals = strchr(argument, '=');
  const char* value = equals ? equals + 1 : "";
  size_t length = equals ? (size_t)(equals - argument) : 0;
#define IS(key) (length == strlen(key) && strncmp(argument, key, length) == 0)
  if (IS("pool"))
    plan->pool = value;
  else if (IS("origin"))
    plan->origin = (uint32_t)strtoul(value, NULL, 10);
  else if (IS("first"))
    plan->first = (uint32_t)strtoul(value, NULL, 10);
  else if (IS("count"))
    plan->count = (uint32_t)strtoul(value, NULL, 10);
  else if (IS("threads"))
    plan->threads = (uint32_t)strtoul(value, NULL, 10);
  else if (IS("repeats"))
    plan->repeats = (uint32_t)strtoul(value, NULL, 10);
  else if (IS("async"))
    plan->async = (uint32_t)strtoul(value, NULL, 10);
  else if (IS("sectors"))
    plan->sectors = strtoull(value, NULL, 10);
  else {
    errno = EINVAL;
    die("unknown option", argument);
  }
#undef IS
}

int main(int argc, char** argv) {
  struct plan plan = {
      .pool = "", .first = 1000, .count = 1, .threads = 1, .repeats = 1, .sectors = 2097152, .control = -1};
  const char* trial = argc > 1 ? argv[1] : "";
  for (int i = 2; i < argc; i++) read_option(&plan, argv[i]);

  if (strcmp(trial, "noop") == 0) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) die("pipe2", "");
    plan.pipe_read = ends[0];
    return noop(&plan), 0;
  }
  uint64_t dev;
  plan.control = dm_open();
  if (plan.control < 0) die("open", "/dev/mapper/control");
  if (dm_info(plan.control, plan.pool, &dev) < 0) die("pool", plan.pool);
  dm_dev_text(dev, plan.pool_dev, sizeof(plan.pool_dev));
  if (strcmp(trial, "layers") == 0) return layers(&plan), 0;
  if (strcmp(trial, "ready") == 0) return ready(&plan), 0;
  if (strcmp(trial, "status") == 0) return status(&plan), 0;
  if (strcmp(trial, "wide") == 0) return wide(&plan), 0;
  errno = EINVAL;
  die("unknown trial", trial);
}
