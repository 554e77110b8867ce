// The trials on thin volumes: snapshots made, activated, asked for their status, removed.
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "dm.h"
#include "plan.h"

void message(struct plan* plan, const char* format, uint32_t a, uint32_t b) {
  char text[64];
  snprintf(text, sizeof(text), format, a, b);
  if (dm_message(plan->control, plan->pool, text) < 0) die("message", text);
}

void snap(struct plan* plan, uint32_t index) {
  message(plan, "create_snap %u %u", plan->first + index, plan->origin);
}

static void snap_item(uint32_t index, void* context) { snap(context, index); }

void drop(struct plan* plan, uint32_t index) { message(plan, "delete %u", plan->first + index, 0); }

uint64_t activate_id(struct plan* plan, const char* name, uint32_t id) {
  char params[64];
  uint64_t dev = 0;
  snprintf(params, sizeof(params), "%s %u", plan->pool_dev, id);
  if (dm_create(plan->control, name, "") < 0) die("create", name);
  if (dm_load(plan->control, name, plan->sectors, "thin", params) < 0) die("load", name);
  if (dm_resume(plan->control, name, &dev) < 0) die("resume", name);
  return dev;
}

void activate_item(uint32_t index, void* context) {
  struct plan* plan = context;
  char name[64];
  name_of(index, name, sizeof(name));
  activate_id(plan, name, plan->first + index);
}

void remove_item(uint32_t index, void* context) {
  struct plan* plan = context;
  char name[64];
  name_of(index, name, sizeof(name));
  if (dm_suspend_without_flush(plan->control, name) < 0) die("suspend", name);
  if (dm_remove(plan->control, name) < 0) die("remove", name);
}

void layers(struct plan* plan) {
  struct samples* list[] = {samples_new("message"), samples_new("activate"), samples_new("remove")};
  item_fn make = plan->locks ? locked_snap_item : snap_item;
  item_fn activate = plan->locks ? locked_activate_item : activate_item;
  for (uint32_t i = 0; i < plan->count; i++) timed(plan, list[0], make, i);
  for (uint32_t i = 0; i < plan->count; i++) timed(plan, list[1], activate, i);
  for (uint32_t i = 0; i < plan->count; i++) timed(plan, list[2], remove_item, i);
  for (uint32_t i = 0; i < plan->count; i++) drop(plan, i);
  samples_print(list, 3);
}

// devtmpfs makes the node before the ioctl returns; the loop is for a kernel where it does not.
int open_node(uint64_t dev) {
  char path[32];
  snprintf(path, sizeof(path), "/dev/dm-%u", dm_minor(dev));
  for (uint64_t limit = now_ns() + 1000000000u; now_ns() < limit; sched_yield()) {
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd >= 0) return fd;
    if (errno != ENOENT) break;
  }
  die("open", path);
  return -1;
}

static const char* const origin = "dmthinbench-c-origin";

void snap_of_active(struct plan* plan, uint32_t index) {
  if (dm_suspend(plan->control, origin) < 0) die("suspend", origin);
  snap(plan, index);
  if (dm_resume(plan->control, origin, NULL) < 0) die("resume", origin);
}

void look_at_origin(struct plan* plan) {
  uint64_t dev;
  if (dm_info(plan->control, origin, &dev) < 0) die("info", origin);
}

void open_snap(struct plan* plan, uint32_t index) {
  char name[64];
  name_of(index, name, sizeof(name));
  plan->node = open_node(activate_id(plan, name, plan->first + index));
}

static void ready_item(uint32_t index, void* context) {
  snap_of_active(context, index);
  open_snap(context, index);
}

void ready(struct plan* plan) {
  struct samples* list[] = {samples_new("snapshot-ready")};
  item_fn make = plan->locks ? locked_ready_item : ready_item;
  activate_id(plan, origin, plan->origin);
  for (uint32_t i = 0; i < plan->count; i++) {
    timed(plan, list[0], make, i);
    close(plan->node);
  }
  gang_run(plan->threads, plan->count, remove_item, plan);
  if (dm_remove(plan->control, origin) < 0) die("remove", origin);
  for (uint32_t i = 0; i < plan->count; i++) drop(plan, i);
  samples_print(list, 1);
}

void status(struct plan* plan) {
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

void wide(struct plan* plan) {
  struct samples* list[] = {samples_new("activate-64"), samples_new("remove-64")};
  for (uint32_t i = 0; i < plan->count; i++) snap(plan, i);
  for (uint32_t repeat = 0; repeat < plan->repeats; repeat++) {
    samples_add(list[0], gang_run(plan->threads, plan->count, activate_item, plan) / plan->count);
    samples_add(list[1], gang_run(plan->threads, plan->count, remove_item, plan) / plan->count);
  }
  for (uint32_t i = 0; i < plan->count; i++) drop(plan, i);
  samples_print(list, 2);
}
