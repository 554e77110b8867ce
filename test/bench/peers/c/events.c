// How long an event takes from the kernel to whoever listens. One process raises it, another hears of it;
// both read the same clock.
//
// A device that is renamed has an event of its own (dm-ioctl.c dm_hash_rename): its number rises, and the
// poll descriptor becomes readable. Of all events this is the cheapest to raise.
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dm.h"
#include "plan.h"

#define PREFIX "dmthinbench-e-"
// So long the listener is left alone, so that it sleeps when the event comes.
#define QUIET_US 20000

// For each byte on standard input one event. At its end, when the last has been heard of, a line for each on
// standard output: when it was raised.
void raise_events(struct plan* plan) {
  const char* names[] = {PREFIX "0", PREFIX "1"};
  uint64_t* raised = calloc(plan->count, sizeof(*raised));
  if (!raised) die("calloc", "");
  activate_id(plan, names[0], plan->origin);
  uint32_t done = 0;
  for (char go; read(STDIN_FILENO, &go, 1) == 1 && done < plan->count; done++) {
    usleep(QUIET_US);
    raised[done] = now_ns();
    if (dm_rename(plan->control, names[done % 2], names[(done + 1) % 2]) < 0) die("rename", names[done % 2]);
  }
  if (dm_remove(plan->control, names[done % 2]) < 0) die("remove", names[done % 2]);
  for (uint32_t i = 0; i < done; i++) printf("%llu\n", (unsigned long long)raised[i]);
  free(raised);
}

struct listener {
  int control;  // nobody else's: arming takes the events from all who poll the descriptor
  uint32_t seen;
  uint32_t raised;
};

static void look(struct listener* listener) {
  struct dm_listing list;
  if (dm_arm_poll(listener->control) < 0) die("arm", "poll");
  if (dm_list_devices(listener->control, &list) < 0) die("list", "");
  for (uint32_t i = 0; i < list.count; i++)
    if (strncmp(list.entries[i].name, PREFIX, strlen(PREFIX)) == 0) listener->raised = list.entries[i].event;
  dm_listing_free(&list);
}

static struct listener listener;

static void next_item(uint32_t index, void* context) {
  struct pollfd waiting = {.fd = listener.control, .events = POLLIN};
  (void)index;
  (void)context;
  if (poll(&waiting, 1, -1) < 0) die("poll", "");
  look(&listener);
}

// The raiser as a child of this process, its standard input and output in our hands.
static pid_t start_raiser(struct plan* plan, FILE** go, FILE** raised) {
  int in[2], out[2];
  if (pipe(in) < 0 || pipe(out) < 0) die("pipe", "");
  pid_t child = fork();
  if (child < 0) die("fork", "");
  if (child == 0) {
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    close(in[1]);
    raise_events(plan);
    fflush(stdout);
    _exit(0);
  }
  close(in[0]);
  close(out[1]);
  *go = fdopen(in[1], "w");
  *raised = fdopen(out[0], "r");
  return child;
}

void events(struct plan* plan) {
  struct samples* found[] = {samples_new("event-latency")};
  uint64_t* heard = calloc(plan->count, sizeof(*heard));
  FILE *go, *raised;
  if (!heard) die("calloc", "");
  listener.control = dm_open();
  if (listener.control < 0) die("open", "/dev/mapper/control");
  pid_t child = start_raiser(plan, &go, &raised);
  look(&listener);
  for (uint32_t i = 0; i < plan->count; i++) {
    fputc('.', go);
    fflush(go);
    while (listener.raised == listener.seen) run_item(plan, next_item, 0);
    heard[i] = now_ns();
    listener.seen = listener.raised;
  }
  fclose(go);
  for (uint32_t i = 0; i < plan->count; i++) {
    unsigned long long at;
    if (fscanf(raised, "%llu", &at) != 1) die("read", "the raiser's times");
    samples_add(found[0], heard[i] - at);
  }
  waitpid(child, NULL, 0);
  samples_print(found, 1);
}
