#include "handoff.h"

#include <errno.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct {
  pthread_mutex_t mutex;
  pthread_cond_t called;
  item_fn fn;
  uint32_t index;
  void* context;
  int done;   // eventfd
  int epoll;  // 0: not started
} handoff = {.mutex = PTHREAD_MUTEX_INITIALIZER, .called = PTHREAD_COND_INITIALIZER};

static void* worker(void* argument) {
  const uint64_t one = 1;
  pthread_mutex_lock(&handoff.mutex);
  for (;;) {
    while (!handoff.fn) pthread_cond_wait(&handoff.called, &handoff.mutex);
    item_fn fn = handoff.fn;
    handoff.fn = NULL;
    pthread_mutex_unlock(&handoff.mutex);
    fn(handoff.index, handoff.context);
    if (write(handoff.done, &one, sizeof(one)) < 0) die("write", "eventfd");
    pthread_mutex_lock(&handoff.mutex);
  }
  return argument;
}

static void start(void) {
  pthread_t thread;
  struct epoll_event event = {.events = EPOLLIN};
  handoff.done = eventfd(0, EFD_CLOEXEC);
  handoff.epoll = epoll_create1(EPOLL_CLOEXEC);
  if (handoff.done < 0 || handoff.epoll < 0) die("eventfd", "");
  if (epoll_ctl(handoff.epoll, EPOLL_CTL_ADD, handoff.done, &event) < 0) die("epoll_ctl", "");
  errno = pthread_create(&thread, NULL, worker, NULL);
  if (errno) die("pthread_create", "");
}

void handoff_run(item_fn fn, uint32_t index, void* context) {
  struct epoll_event event;
  uint64_t count;
  if (!handoff.epoll) start();
  pthread_mutex_lock(&handoff.mutex);
  handoff.fn = fn;
  handoff.index = index;
  handoff.context = context;
  pthread_cond_signal(&handoff.called);
  pthread_mutex_unlock(&handoff.mutex);
  while (epoll_wait(handoff.epoll, &event, 1, -1) < 1) continue;
  if (read(handoff.done, &count, sizeof(count)) < 0) die("read", "eventfd");
}
