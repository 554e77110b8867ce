// What to compare with: the library's work by another program. Linked with dm.c it is raw ioctls with
// nothing in between, the floor; linked with libdm.c every command goes through libdevmapper.
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
//   events  event-latency: from `count` events of a device until the list that tells of each is read
//   raise   raises those events for whoever listens (see events.c)
//   list    list-10k: all devices, `repeats` times; `make` and `unmake` make and remove `count` of them
//   prepare  prepare: `count` snapshots of an inactive origin, each active at once, one after the other
//   prepare-100  prepare-100, remove-100, remove-100-gone: `count` of them on `threads` threads,
//           `repeats` times; wall time / count
//   fork    fork-1000, fork-gone, fork-first-write: `count` forks of a disk that is open and has `pieces` of
//   data
//   fork-clones  the same by FICLONE in `directory` and loop devices
//   warm    fork-warm: the record of a layer, without a volume; needs no pool
//   reset   fork-reset: an open device gets the content of the origin, by one new table
//   noop    noop-async, noop-async-64: one cheap ioctl, FIONREAD on a pipe; needs no pool
// With locks=1 `layers`, `ready`, `prepare` and `prepare-100` make the calls that a safe caller needs too
// (see locks.c). With async=1 each call of layers, ready, prepare, warm, events and noop is handed to another
// thread (see handoff.h).
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "dm.h"
#include "plan.h"

static void noop_item(uint32_t index, void* context) {
  struct plan* plan = context;
  (void)index;
  int waiting;
  if (ioctl(plan->pipe_read, FIONREAD, &waiting) < 0) die("ioctl", "FIONREAD");
}

static void noop(struct plan* plan) {
  struct samples* found[] = {samples_new("noop-async"), samples_new("noop-async-64")};
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) die("pipe2", "");
  plan->pipe_read = ends[0];
  for (uint32_t i = 0; i < plan->count; i++) timed(plan, found[0], noop_item, i);
  for (uint32_t repeat = 0; !plan->async && repeat < plan->repeats; repeat++)
    samples_add(found[1], gang_run(plan->threads, plan->count, noop_item, plan) / plan->count);
  samples_print(found, plan->async ? 1 : 2);
}

static const struct {
  const char* name;
  void (*run)(struct plan* plan);
  int alone;  // needs no pool
} trials[] = {
    {"layers", layers},
    {"ready", ready},
    {"status", status},
    {"wide", wide},
    {"events", events},
    {"raise", raise_events},
    {"make", make_many},
    {"unmake", unmake_many},
    {"list", list},
    {"prepare", prepare_layers},
    {"prepare-100", prepare_many_layers},
    {"warm", record_layers, 1},
    {"noop", noop, 1},
    {"fork", fork_thin},
    {"fork-clones", fork_clones, 1},
    {"fork-cow", fork_cow},
    {"reset", reset_thin},
    {"extents", fork_extents},
    {"extents-clones", fork_extents_clones, 1},
    {"most-extents", fork_most_extents},
    {"most-extents-clones", fork_most_extents_clones, 1},
    {"steady", steady, 1},
    {"steady-clones", steady_clone, 1},
    {"steady-cow", steady_cow},
    {"latency", latency, 1},
};

static void open_pool(struct plan* plan) {
  uint64_t dev;
  plan->control = dm_open();
  if (plan->control < 0) die("open", "/dev/mapper/control");
  if (dm_info(plan->control, plan->pool, &dev) < 0) die("pool", plan->pool);
  dm_dev_text(dev, plan->pool_dev, sizeof(plan->pool_dev));
}

int main(int argc, char** argv) {
  struct plan plan = {.pool = "",
                      .directory = "",
                      .backing = "",
                      .path = "",
                      .first = 1000,
                      .count = 1,
                      .threads = 1,
                      .repeats = 1,
                      .sectors = 2097152,
                      .control = -1};
  const char* trial = argc > 1 ? argv[1] : "";
  for (int i = 2; i < argc; i++) plan_read(&plan, argv[i]);
  for (size_t i = 0; i < sizeof(trials) / sizeof(*trials); i++) {
    if (strcmp(trial, trials[i].name) != 0) continue;
    if (!trials[i].alone) open_pool(&plan);
    return trials[i].run(&plan), 0;
  }
  errno = EINVAL;
  die("unknown trial", trial);
}
