// What the peer needs of the device mapper, and no more: one function per ioctl, errno on failure.
#ifndef DM_THIN_BENCH_DM_H
#define DM_THIN_BENCH_DM_H

#include <linux/dm-ioctl.h>
#include <stddef.h>
#include <stdint.h>

// Opens the control node; -1 with errno when this kernel has none.
int dm_open(void);

// Each returns 0, or -1 with errno set. A device number comes back in *dev where one is asked for.
int dm_create(int control, const char* name);
int dm_load_thin(int control, const char* name, uint64_t sectors, const char* pool_dev, uint32_t id);
int dm_resume(int control, const char* name, uint64_t* dev);
int dm_suspend(int control, const char* name);
int dm_remove(int control, const char* name);
int dm_info(int control, const char* name, uint64_t* dev);
int dm_message(int control, const char* name, const char* message);

// The status line of the first target, without a commit (noflush).
int dm_status(int control, const char* name, char* line, size_t line_size);

// "major:minor" of a device number as the kernel packs it in the ioctl header.
void dm_dev_text(uint64_t dev, char* text, size_t size);
uint32_t dm_minor(uint64_t dev);

#endif
