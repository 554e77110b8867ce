// Time, samples, and many threads let go at once.
#ifndef DM_THIN_BENCH_MEASURE_H
#define DM_THIN_BENCH_MEASURE_H

#include <stdint.h>

#define MAX_SAMPLES 200000

struct samples {
  const char* name;
  uint32_t count;
  uint64_t* ns;
};

uint64_t now_ns(void);

struct samples* samples_new(const char* name);
void samples_add(struct samples* samples, uint64_t ns);

// One JSON object, { "name": [ns per operation, …], … }, on standard output.
void samples_print(struct samples** list, int count);

typedef void (*item_fn)(uint32_t index, void* context);

// Runs fn for 0 … items-1 on `threads` threads that are made and waiting before the clock starts;
// returns the wall time from the start signal until the last one is done.
uint64_t gang_run(uint32_t threads, uint32_t items, item_fn fn, void* context);

// Ends the program with the operation's name and errno: a benchmark that goes on after an error
// lies.
void die(const char* what, const char* detail);

#endif
