// One call on another thread, its end told through epoll: the least that a call pays which may not block the
// thread that makes it.
#ifndef DM_THIN_BENCH_HANDOFF_H
#define DM_THIN_BENCH_HANDOFF_H

#include "measure.h"

// Runs fn(index, context) on a thread that is started by the first call, and sleeps in epoll_wait until it is
// done.
void handoff_run(item_fn fn, uint32_t index, void* context);

#endif
