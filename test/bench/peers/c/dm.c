// Raw device mapper ioctls. Buffers live on the stack and are as small as the command allows, so
// that nothing but the kernel's own time is in the figures.
#include "dm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

// The header with room for one target and a short line of parameters or a short message.
struct request {
  struct dm_ioctl header;
  char payload[712];
} __attribute__((aligned(8)));

int dm_open(void) { return open("/dev/mapper/control", O_RDWR | O_CLOEXEC); }

// The version sent is the lowest that knows the command: an older kernel refuses a newer one.
static void prepare(struct request* request, const char* name, uint32_t minor, uint32_t payload) {
  memset(request, 0, sizeof(request->header));
  request->header.version[0] = 4;
  request->header.version[1] = minor;
  request->header.data_start = sizeof(struct dm_ioctl);
  request->header.data_size = sizeof(struct dm_ioctl) + payload;
  snprintf(request->header.name, sizeof(request->header.name), "%s", name);
}

static int call(int control, unsigned long command, struct request* request) {
  int rc;
  do {
    rc = ioctl(control, command, request);
  } while (rc < 0 && errno == EINTR);
  return rc < 0 ? -1 : 0;
}

static int simple(int control, unsigned long command, const char* name, uint32_t flags, uint64_t* dev) {
  struct request request;
  prepare(&request, name, 0, 0);
  request.header.flags = flags;
  if (call(control, command, &request) < 0) return -1;
  if (dev) *dev = request.header.dev;
  return 0;
}

int dm_create(int control, const char* name, const char* uuid) {
  struct request request;
  prepare(&request, name, 0, 0);
  snprintf(request.header.uuid, sizeof(request.header.uuid), "%s", uuid);
  return call(control, DM_DEV_CREATE, &request);
}

int dm_load(int control, const char* name, uint64_t sectors, const char* type, const char* params) {
  struct request request;
  struct dm_target_spec* spec = (struct dm_target_spec*)request.payload;
  uint32_t size = (uint32_t)((sizeof(*spec) + strlen(params) + 1 + 7) & ~(size_t)7);

  if (size > sizeof(request.payload)) return errno = E2BIG, -1;
  memset(spec, 0, sizeof(*spec));
  strcpy(request.payload + sizeof(*spec), params);
  spec->length = sectors;
  spec->next = size;
  strcpy(spec->target_type, type);

  prepare(&request, name, 0, size);
  request.header.target_count = 1;
  return call(control, DM_TABLE_LOAD, &request);
}

// DM_DEV_SUSPEND is both: with the flag it suspends, without it resumes.
int dm_resume(int control, const char* name, uint64_t* dev) {
  return simple(control, DM_DEV_SUSPEND, name, 0, dev);
}

int dm_suspend(int control, const char* name) {
  return simple(control, DM_DEV_SUSPEND, name, DM_SUSPEND_FLAG, NULL);
}

int dm_suspend_without_flush(int control, const char* name) {
  return simple(control, DM_DEV_SUSPEND, name, DM_SUSPEND_FLAG | DM_NOFLUSH_FLAG | DM_SKIP_LOCKFS_FLAG, NULL);
}

int dm_remove(int control, const char* name) { return simple(control, DM_DEV_REMOVE, name, 0, NULL); }

int dm_info(int control, const char* name, uint64_t* dev) {
  return simple(control, DM_DEV_STATUS, name, 0, dev);
}

int dm_rename(int control, const char* name, const char* to) {
  struct request request;
  prepare(&request, name, 0, (uint32_t)strlen(to) + 1);
  strcpy(request.payload, to);
  return call(control, DM_DEV_RENAME, &request);
}

int dm_message(int control, const char* name, const char* message) {
  struct request request;
  struct dm_target_msg* body = (struct dm_target_msg*)request.payload;
  size_t length = strlen(message) + 1;

  if (sizeof(*body) + length > sizeof(request.payload)) {
    errno = E2BIG;
    return -1;
  }
  body->sector = 0;
  memcpy(body->message, message, length);
  prepare(&request, name, 2, (uint32_t)(sizeof(*body) + length));
  return call(control, DM_TARGET_MSG, &request);
}

int dm_status(int control, const char* name, char* line, size_t line_size) {
  struct request request;
  prepare(&request, name, 0, sizeof(request.payload));
  request.header.flags = DM_NOFLUSH_FLAG;
  if (call(control, DM_TABLE_STATUS, &request) < 0) return -1;
  if (request.header.flags & DM_BUFFER_FULL_FLAG) {
    errno = ENOBUFS;
    return -1;
  }
  const char* text = (const char*)&request + request.header.data_start;
  snprintf(line, line_size, "%s", text + sizeof(struct dm_target_spec));
  return 0;
}

int dm_arm_poll(int control) {
  struct request request;
  prepare(&request, "", 37, 0);
  return call(control, DM_DEV_ARM_POLL, &request);
}

// What the last list took, and some more: the next one fits at once.
#define SMALLEST_LIST (16u * 1024)
static uint32_t list_room = SMALLEST_LIST;

// The header and the whole list; NULL with errno.
static struct dm_ioctl* read_list(int control) {
  for (;; list_room *= 2) {
    struct request empty;
    struct dm_ioctl* header = malloc(sizeof(empty.header) + list_room);
    if (!header) return NULL;
    prepare(&empty, "", 0, list_room);
    empty.header.flags = DM_UUID_FLAG;
    *header = empty.header;
    int rc = call(control, DM_LIST_DEVICES, (struct request*)header);
    if (rc == 0 && !(header->flags & DM_BUFFER_FULL_FLAG)) return header;
    free(header);
    if (rc < 0) return NULL;
  }
}

static uintptr_t aligned(uintptr_t at) { return (at + 7) & ~(uintptr_t)7; }

int dm_list_devices(int control, struct dm_listing* list) {
  struct dm_ioctl* header = read_list(control);
  if (!header) return -1;
  uint32_t room = (header->data_size - header->data_start) / 24 + 1;  // no entry is smaller
  *list = (struct dm_listing){.entries = malloc(room * sizeof(*list->entries)), .memory = header};
  if (!list->entries) return free(header), -1;
  const struct dm_name_list* at = (const void*)((const char*)header + header->data_start);
  uintptr_t end = (uintptr_t)at;
  while (at->dev) {
    // After the name, aligned: the event number, flags, the uuid.
    const uint32_t* more = (const uint32_t*)aligned((uintptr_t)at->name + strlen(at->name) + 1);
    const char* uuid = more[1] & DM_NAME_LIST_FLAG_HAS_UUID ? (const char*)(more + 2) : "";
    list->entries[list->count++] = (struct dm_entry){at->name, uuid, at->dev, more[0]};
    end = (uintptr_t)(more + 2) + strlen(uuid) + 1;
    if (!at->next) break;
    at = (const void*)((const char*)at + at->next);
  }
  uint32_t size = (uint32_t)(end - (uintptr_t)header);
  list_room = size + size / 8 < SMALLEST_LIST ? SMALLEST_LIST : size + size / 8;
  return 0;
}

void dm_listing_free(struct dm_listing* list) {
  free(list->entries);
  free(list->memory);
}
