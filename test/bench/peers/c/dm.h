// What the peer needs of the device mapper, and no more: one function per ioctl, errno on failure. dm.c does
// it by raw ioctls, libdm.c by libdevmapper.
#ifndef DM_THIN_BENCH_DM_H
#define DM_THIN_BENCH_DM_H

#include <linux/dm-ioctl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

// Opens the control node; -1 with errno when this kernel has none.
int dm_open(void);

// Each returns 0, or -1 with errno set. A device number comes back in *dev where one is asked for.
int dm_create(int control, const char* name, const char* uuid);  // uuid: "" for none
// A table of one target.
int dm_load(int control, const char* name, uint64_t sectors, const char* type, const char* params);
int dm_resume(int control, const char* name, uint64_t* dev);
int dm_suspend(int control, const char* name);
// Of a device that nobody has open: waits until the worker of its pool has left it.
int dm_suspend_without_flush(int control, const char* name);
int dm_remove(int control, const char* name);
int dm_info(int control, const char* name, uint64_t* dev);
int dm_rename(int control, const char* name, const char* to);
int dm_message(int control, const char* name, const char* message);
// From now on the descriptor becomes readable with the next event of any device.
int dm_arm_poll(int control);

// The status line of the first target, without a commit (noflush).
int dm_status(int control, const char* name, char* line, size_t line_size);

struct dm_entry {
  const char* name;
  const char* uuid;  // "" for none
  uint64_t dev;
  uint32_t event;
};

struct dm_listing {
  uint32_t count;
  struct dm_entry* entries;
  void* memory;  // what the names and uuids lie in
};

// All devices. Called by one thread at a time.
int dm_list_devices(int control, struct dm_listing* list);
void dm_listing_free(struct dm_listing* list);

static inline uint32_t dm_minor(uint64_t dev) { return (uint32_t)((dev & 0xff) | ((dev >> 12) & 0xfff00)); }

// "major:minor" of a device number as the kernel packs it in the ioctl header.
static inline void dm_dev_text(uint64_t dev, char* text, size_t size) {
  snprintf(text, size, "%u:%u", (uint32_t)((dev >> 8) & 0xfff), dm_minor(dev));
}

#endif
