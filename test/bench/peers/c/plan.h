// What a peer is asked to do, and what its trials have in common.
#ifndef DM_THIN_BENCH_PLAN_H
#define DM_THIN_BENCH_PLAN_H

#include <stddef.h>
#include <stdint.h>

#include "measure.h"

struct plan {
  const char* pool;
  const char* directory;  // where the peer's own files are
  const char* backing;    // where the pool's files are
  const char* path;
  char pool_dev[32];
  int control;
  uint32_t origin;
  uint32_t first;
  uint32_t count;
  uint32_t threads;
  uint32_t repeats;
  uint64_t sectors;
  uint32_t async;
  uint32_t commit;
  uint32_t locks;   // also the calls that make it safe (see locks.c)
  uint32_t pieces;  // how often the live disk has data, evenly spread
  uint32_t piece;   // the bytes of each
  int pipe_read;
  int node;
};

// Takes one key=value; ends the program at one that it does not know.
void plan_read(struct plan* plan, const char* argument);

// Runs one item, here or on another thread (see handoff.h).
void run_item(struct plan* plan, item_fn fn, uint32_t index);

// The same, timed.
void timed(struct plan* plan, struct samples* samples, item_fn fn, uint32_t index);

void name_of(uint32_t index, char* name, size_t size);

// Makes a thin volume's device and gives its number. Ends the program where it cannot.
uint64_t activate_id(struct plan* plan, const char* name, uint32_t id);
void remove_item(uint32_t index, void* context);
void activate_item(uint32_t index, void* context);
// The snapshot of the origin with this number, made and deleted; its device is another matter.
void snap(struct plan* plan, uint32_t index);
void drop(struct plan* plan, uint32_t index);
// The parts of `ready`: a snapshot of the origin, which is active and suspended meanwhile, and its device.
void snap_of_active(struct plan* plan, uint32_t index);
void look_at_origin(struct plan* plan);
void open_snap(struct plan* plan, uint32_t index);

// The same with the locks that a safe call takes.
void locked_snap_item(uint32_t index, void* context);
void locked_activate_item(uint32_t index, void* context);
void locked_ready_item(uint32_t index, void* context);
void locked_volume_item(uint32_t index, void* context);
// Records on a disk, in a file that open_record() has opened: one record, a layer with its record, and all
// records of layers that were made at once.
void open_record(struct plan* plan);
void record_item(uint32_t index, void* context);
void recorded_layer(struct plan* plan, uint32_t index);
void record_together(struct plan* plan);

// Sends a message with one or two numbers to the pool.
void message(struct plan* plan, const char* format, uint32_t a, uint32_t b);
// The node of a mapped device, open for reading and writing.
int open_node(uint64_t dev);
// Commits the pool, by its transaction id, which is read once before.
void read_transaction(struct plan* plan);
void commit(struct plan* plan);

// Disks with this many extents, each the origin with this number for thin volumes.
#define EXTENT_ROWS 3
extern const struct extent_row {
  const char* metric;
  uint32_t extents;
} extent_rows[EXTENT_ROWS];

// The trials.
void layers(struct plan* plan);
void ready(struct plan* plan);
void status(struct plan* plan);
void wide(struct plan* plan);
void raise_events(struct plan* plan);
void events(struct plan* plan);
void make_many(struct plan* plan);
void unmake_many(struct plan* plan);
void list(struct plan* plan);
void prepare_layers(struct plan* plan);
void prepare_many_layers(struct plan* plan);
void record_layers(struct plan* plan);
void fork_thin(struct plan* plan);
void fork_clones(struct plan* plan);
void fork_extents(struct plan* plan);
void fork_extents_clones(struct plan* plan);
void fork_most_extents(struct plan* plan);
void fork_most_extents_clones(struct plan* plan);
void fork_cow(struct plan* plan);
void reset_thin(struct plan* plan);
void steady(struct plan* plan);
void steady_clone(struct plan* plan);
void steady_cow(struct plan* plan);
void latency(struct plan* plan);

#endif
