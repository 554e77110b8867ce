// Reads and writes of the trials of forks.
#ifndef DM_THIN_BENCH_IO_H
#define DM_THIN_BENCH_IO_H

#include <stdint.h>

#include "plan.h"

// Writes the disk's data: `pieces` of `piece` bytes, evenly spread over all sectors, on the disk when it
// returns.
void write_pieces(struct plan* plan, int fd);

// For some of these disks: 4 KiB at the start of a random piece, by pwrite and fdatasync.
void first_writes(struct plan* plan, struct samples* samples, const int* disks);

// Writes and reads the first 64 MiB of the disk at this path, after writing them once: fork-write, fork-read.
void steady_io(struct plan* plan, const char* path);

// Lets the process have a descriptor for each of `count` disks.
void allow_descriptors(uint32_t count);

#endif
