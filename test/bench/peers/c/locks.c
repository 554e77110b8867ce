// The least that a safe call pays: besides its commands, those calls of the library that let processes and
// threads overlap, and a record that outlives the machine. What the library takes more than that is its own.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "dm.h"
#include "plan.h"

#define GATE ((off_t)1 << 32)
#define PAGE 4096
#define STACK_ROOM (4 * PAGE)
// SQLite's for one row: locks of its files, and parts of its log.
#define RECORD_LOCKS 8
#define RECORD_WRITES 8

static int lock_byte(int fd, int command, short type, off_t at) {
  struct flock one = {.l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
  return fcntl(fd, command, &one);
}

// The pool's lock, shared with other calls, and that of one thin id.
static int lock(struct plan* plan, uint32_t index) {
  char path[256];
  snprintf(path, sizeof(path), "%s/dmthinbench-lock", plan->backing);
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) die("open", path);
  if (lock_byte(fd, F_OFD_GETLK, F_WRLCK, GATE) < 0) die("fcntl", path);
  if (flock(fd, LOCK_SH) < 0) die("flock", path);
  if (lock_byte(fd, F_OFD_SETLK, F_WRLCK, plan->first + index) < 0) die("fcntl", path);
  return fd;
}

// The pool is the same as before.
static void look_at_pool(struct plan* plan) {
  uint64_t dev;
  if (dm_info(plan->control, plan->pool, &dev) < 0) die("info", plan->pool);
}

void locked_snap_item(uint32_t index, void* context) {
  struct plan* plan = context;
  int fd = lock(plan, index);
  look_at_pool(plan);
  snap(plan, index);
  close(fd);
}

void locked_activate_item(uint32_t index, void* context) {
  struct plan* plan = context;
  struct dm_listing listing;
  int fd = lock(plan, index);
  if (dm_list_devices(plan->control, &listing) < 0) die("list", "devices");
  dm_listing_free(&listing);
  activate_item(index, plan);
  close(fd);
}

// While a disk is suspended, neither a fault of a page nor a signal may end or delay what resumes it.
static void shielded_snap(struct plan* plan, uint32_t index) {
  char stack[STACK_ROOM];
  sigset_t wake, before;
  void* requests =
      mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (requests == MAP_FAILED) die("mmap", "requests");
  mlock(requests, PAGE);
  mlock(stack, sizeof(stack));
  sigemptyset(&wake);
  sigaddset(&wake, SIGRTMIN);
  sigprocmask(SIG_BLOCK, &wake, &before);
  snap_of_active(plan, index);
  sigprocmask(SIG_SETMASK, &before, NULL);
  munmap(requests, PAGE);
}

// The lock of the origin, and then that of the snapshot.
void locked_ready_item(uint32_t index, void* context) {
  struct plan* plan = context;
  int fd = lock(plan, plan->count);
  look_at_pool(plan);
  look_at_origin(plan);
  shielded_snap(plan, index);
  if (lock_byte(fd, F_OFD_SETLK, F_UNLCK, plan->first + plan->count) < 0) die("fcntl", "origin");
  if (lock_byte(fd, F_OFD_SETLK, F_WRLCK, plan->first + index) < 0) die("fcntl", "snapshot");
  open_snap(plan, index);
  close(fd);
}

// A layer's volume, and the look at the space that is left.
void locked_volume_item(uint32_t index, void* context) {
  struct plan* plan = context;
  struct statfs space;
  int fd = lock(plan, index);
  snap(plan, index);
  activate_item(index, plan);
  if (statfs(plan->backing, &space) < 0) die("statfs", plan->backing);
  close(fd);
}

// A store commits by the pool's status, and these by its transaction id.
static void committed_volume_item(uint32_t index, void* context) {
  locked_volume_item(index, context);
  commit(context);
}

static void sync_item(uint32_t index, void* context) {
  struct plan* plan = context;
  (void)index;
  if (fdatasync(plan->node) < 0) die("fdatasync", "record");
}

static void write_record(struct plan* plan, uint32_t index) {
  static char page[PAGE];
  memset(page, (int)index, sizeof(page));
  for (int i = 0; i < RECORD_LOCKS; i++)
    if (lock_byte(plan->node, F_SETLK, i % 2 ? F_UNLCK : F_RDLCK, i) < 0) die("fcntl", "record");
  for (int i = 0; i < RECORD_WRITES; i++) {
    off_t at = (off_t)(index * RECORD_WRITES + (uint32_t)i) * PAGE;
    if (pwrite(plan->node, page, i % 2 ? PAGE : 24, at) < 0) die("pwrite", "record");
  }
}

// The record waits for its disk on another thread.
void record_item(uint32_t index, void* context) {
  write_record(context, index);
  run_item(context, sync_item, index);
}

// Two calls on another thread: the volume, and what waits for the disk of the records.
void recorded_layer(struct plan* plan, uint32_t index) {
  run_item(plan, committed_volume_item, index);
  record_item(index, plan);
}

// Layers that are made at once share the commit of the pool, and the wait for the disk of their records.
void record_together(struct plan* plan) {
  for (uint32_t i = 0; i < plan->count; i++) write_record(plan, i);
  commit(plan);
  sync_item(0, plan);
}

void open_record(struct plan* plan) {
  char path[256];
  snprintf(path, sizeof(path), "%s/dmthinbench-record-%d", plan->directory, getpid());
  plan->node = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (plan->node < 0) die("open", path);
  unlink(path);
}
