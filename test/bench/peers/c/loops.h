// Loop devices by number, one for each file.
#ifndef DM_THIN_BENCH_LOOPS_H
#define DM_THIN_BENCH_LOOPS_H

#include <stddef.h>
#include <stdint.h>

// The numbers of the peers start here: lower ones belong to the pool and to others.
#define FIRST_LOOP 1000u

void loop_path(uint32_t number, char* path, size_t size);
// Makes the device, attaches the file, and returns the open device. Takes the file's descriptor.
int loop_attach(uint32_t number, int file);
// Detaches the file and removes the device. Takes the device's descriptor.
void loop_detach(uint32_t number, int device);

#endif
