// The device mapper by libdevmapper, as a program uses it that neither waits for udev nor wants nodes under
// /dev/mapper: without cookies, and with no node to be made. One task for each command; that is what the
// library offers. It keeps its state in globals, so its callers have one thread.
#include <errno.h>
#include <libdevmapper.h>
#include <stdio.h>
#include <stdlib.h>

#include "dm.h"

// There is no descriptor to hand out; the library opens its own with the first command.
int dm_open(void) {
  dm_udev_set_sync_support(0);
  return 0;
}

static struct dm_task* task_for(int type, const char* name) {
  struct dm_task* task = dm_task_create(type);
  if (task && !dm_task_set_name(task, name)) {
    dm_task_destroy(task);
    return NULL;
  }
  return task;
}

static uint64_t packed(uint32_t major, uint32_t minor) {
  return (minor & 0xff) | (uint64_t)major << 8 | (uint64_t)(minor & ~0xffu) << 12;
}

// Runs the task where it could be made and `ready` says that its arguments were taken, and ends it.
static int run(struct dm_task* task, int ready, uint64_t* dev) {
  struct dm_info info;
  if (!task) return errno = ENOMEM, -1;
  int done = ready && dm_task_run(task) && (!dev || (dm_task_get_info(task, &info) && info.exists));
  int error = done ? 0 : dm_task_get_errno(task);
  if (done && dev) *dev = packed(info.major, info.minor);
  dm_task_destroy(task);
  if (!done) errno = error ? error : ENXIO;
  return done ? 0 : -1;
}

int dm_create(int control, const char* name, const char* uuid) {
  (void)control;
  struct dm_task* task = task_for(DM_DEVICE_CREATE, name);
  int with_uuid = task && (!*uuid || dm_task_set_uuid(task, uuid));
  return run(task, with_uuid && dm_task_set_add_node(task, DM_ADD_NODE_ON_RESUME), NULL);
}

int dm_load(int control, const char* name, uint64_t sectors, const char* type, const char* params) {
  (void)control;
  struct dm_task* task = task_for(DM_DEVICE_RELOAD, name);
  return run(task, task && dm_task_add_target(task, 0, sectors, type, params), NULL);
}

int dm_resume(int control, const char* name, uint64_t* dev) {
  (void)control;
  struct dm_task* task = task_for(DM_DEVICE_RESUME, name);
  return run(task, task && dm_task_set_add_node(task, DM_ADD_NODE_ON_CREATE), dev);
}

int dm_suspend(int control, const char* name) {
  (void)control;
  return run(task_for(DM_DEVICE_SUSPEND, name), 1, NULL);
}

int dm_suspend_without_flush(int control, const char* name) {
  (void)control;
  struct dm_task* task = task_for(DM_DEVICE_SUSPEND, name);
  return run(task, task && dm_task_no_flush(task) && dm_task_skip_lockfs(task), NULL);
}

int dm_remove(int control, const char* name) {
  (void)control;
  return run(task_for(DM_DEVICE_REMOVE, name), 1, NULL);
}

int dm_info(int control, const char* name, uint64_t* dev) {
  (void)control;
  return run(task_for(DM_DEVICE_INFO, name), 1, dev);
}

int dm_rename(int control, const char* name, const char* to) {
  (void)control;
  struct dm_task* task = task_for(DM_DEVICE_RENAME, name);
  return run(task, task && dm_task_set_newname(task, to), NULL);
}

int dm_message(int control, const char* name, const char* message) {
  (void)control;
  struct dm_task* task = task_for(DM_DEVICE_TARGET_MSG, name);
  return run(task, task && dm_task_set_sector(task, 0) && dm_task_set_message(task, message), NULL);
}

int dm_status(int control, const char* name, char* line, size_t line_size) {
  (void)control;
  uint64_t start, length;
  char *type = NULL, *params = NULL;
  struct dm_task* task = task_for(DM_DEVICE_STATUS, name);
  int done = task && dm_task_no_flush(task) && dm_task_run(task);
  if (done) dm_get_next_target(task, NULL, &start, &length, &type, &params);
  if (params) snprintf(line, line_size, "%s", params);
  if (task) dm_task_destroy(task);
  return params ? 0 : (errno = ENXIO, -1);
}

// What it arms is its own descriptor, which a caller cannot poll; and in its list are neither uuids nor event
// numbers.
int dm_arm_poll(int control) {
  (void)control;
  return errno = ENOSYS, -1;
}

int dm_list_devices(int control, struct dm_listing* list) {
  (void)control;
  (void)list;
  return errno = ENOSYS, -1;
}

void dm_listing_free(struct dm_listing* list) { (void)list; }
