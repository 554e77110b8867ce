#include "loops.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "measure.h"

static int control(void) {
  static int fd = -1;
  if (fd < 0) fd = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
  if (fd < 0) die("open", "/dev/loop-control");
  return fd;
}

void loop_path(uint32_t number, char* path, size_t size) { snprintf(path, size, "/dev/loop%u", number); }

int loop_attach(uint32_t number, int file) {
  char path[32];
  struct loop_config config = {.fd = (uint32_t)file};
  loop_path(number, path, sizeof(path));
  if (ioctl(control(), LOOP_CTL_ADD, (long)number) < 0 && errno != EEXIST) die("LOOP_CTL_ADD", path);
  int device = open(path, O_RDWR | O_CLOEXEC);
  if (device < 0) die("open", path);
  if (ioctl(device, LOOP_CONFIGURE, &config) < 0) die("LOOP_CONFIGURE", path);
  close(file);
  return device;
}

void loop_detach(uint32_t number, int device) {
  char path[32];
  loop_path(number, path, sizeof(path));
  if (ioctl(device, LOOP_CLR_FD) < 0) die("LOOP_CLR_FD", path);
  close(device);
  // Detaching ends with the last descriptor, and that of a kernel thread may be the last.
  for (uint64_t limit = now_ns() + 10000000000u; now_ns() < limit; sched_yield()) {
    if (ioctl(control(), LOOP_CTL_REMOVE, (long)number) == 0 || errno == ENODEV) return;
    if (errno != EBUSY) break;
  }
  die("LOOP_CTL_REMOVE", path);
}
