#include "measure.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void die(const char* what, const char* detail) {
  fprintf(stderr, "peer: %s %s: %s (errno %d)\n", what, detail, strerror(errno), errno);
  exit(1);
}

uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

struct samples* samples_new(const char* name) {
  struct samples* samples = calloc(1, sizeof(*samples));
  if (!samples) die("calloc", name);
  samples->name = name;
  samples->ns = malloc(MAX_SAMPLES * sizeof(*samples->ns));
  if (!samples->ns) die("malloc", name);
  return samples;
}

void samples_add(struct samples* samples, uint64_t ns) {
  if (samples->count < MAX_SAMPLES) samples->ns[samples->count++] = ns;
}

void samples_print(struct samples** list, int count) {
  printf("{");
  for (int i = 0; i < count; i++) {
    printf("%s\"%s\":[", i ? "," : "", list[i]->name);
    for (uint32_t j = 0; j < list[i]->count; j++)
      printf("%s%llu", j ? "," : "", (unsigned long long)list[i]->ns[j]);
    printf("]");
  }
  printf("}\n");
}

struct gang {
  atomic_uint next;
  uint32_t items;
  item_fn fn;
  void* context;
  pthread_barrier_t start;
};

static void* gang_member(void* argument) {
  struct gang* gang = argument;
  pthread_barrier_wait(&gang->start);
  for (;;) {
    uint32_t index = atomic_fetch_add(&gang->next, 1);
    if (index >= gang->items) return NULL;
    gang->fn(index, gang->context);
  }
}

uint64_t gang_run(uint32_t threads, uint32_t items, item_fn fn, void* context) {
  struct gang gang = {.items = items, .fn = fn, .context = context};
  pthread_t* members = calloc(threads, sizeof(*members));
  if (!members) die("calloc", "threads");
  pthread_barrier_init(&gang.start, NULL, threads + 1);
  for (uint32_t i = 0; i < threads; i++) {
    errno = pthread_create(&members[i], NULL, gang_member, &gang);
    if (errno) die("pthread_create", "");
  }
  // The clock starts before the barrier opens: after it, this thread may be the last to get a
  // processor.
  uint64_t start = now_ns();
  pthread_barrier_wait(&gang.start);
  for (uint32_t i = 0; i < threads; i++) pthread_join(members[i], NULL);
  uint64_t wall = now_ns() - start;
  pthread_barrier_destroy(&gang.start);
  free(members);
  return wall;
}
