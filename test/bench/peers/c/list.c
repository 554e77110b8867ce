// Many devices, and the list of them.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dm.h"
#include "plan.h"

#define PREFIX "dmthinbench-l-"

static void names_of(uint32_t index, char* name, char* uuid, size_t size) {
  snprintf(name, size, PREFIX "%05u", index);
  snprintf(uuid, size, "DMTHINBENCH-L-%05u", index);
}

static void make_item(uint32_t index, void* context) {
  struct plan* plan = context;
  char name[64], uuid[64];
  names_of(index, name, uuid, sizeof(name));
  if (dm_create(plan->control, name, uuid) < 0) die("create", name);
}

static void unmake_item(uint32_t index, void* context) {
  struct plan* plan = context;
  char name[64], uuid[64];
  names_of(index, name, uuid, sizeof(name));
  // Also what an interrupted `make` left: there are gaps.
  if (dm_remove(plan->control, name) < 0 && errno != ENXIO) die("remove", name);
}

// Without tables: a device costs the kernel less so, and the list is the same.
void make_many(struct plan* plan) {
  gang_run(plan->threads, plan->count, make_item, plan);
  samples_print(NULL, 0);
}

void unmake_many(struct plan* plan) {
  gang_run(plan->threads, plan->count, unmake_item, plan);
  samples_print(NULL, 0);
}

// Each of the made devices is there once, under its name and its uuid.
static void check(const struct plan* plan, const struct dm_listing* list) {
  char name[64], uuid[64];
  uint8_t* seen = calloc(plan->count, 1);
  uint32_t own = 0;
  if (!seen) die("calloc", "");
  for (uint32_t i = 0; i < list->count; i++) {
    const struct dm_entry* entry = &list->entries[i];
    if (strncmp(entry->name, PREFIX, strlen(PREFIX)) != 0) continue;
    uint32_t index = (uint32_t)strtoul(entry->name + strlen(PREFIX), NULL, 10);
    names_of(index, name, uuid, sizeof(name));
    errno = EBADMSG;
    if (index >= plan->count || seen[index]++ || strcmp(uuid, entry->uuid) != 0 || entry->event != 0)
      die("listed", entry->name);
    own++;
  }
  errno = ENOENT;
  if (own != plan->count) die("listed", "too few");
  free(seen);
}

void list(struct plan* plan) {
  struct samples* found[] = {samples_new("list-10k")};
  for (uint32_t repeat = 0; repeat < plan->repeats; repeat++) {
    struct dm_listing list;
    uint64_t start = now_ns();
    if (dm_list_devices(plan->control, &list) < 0) die("list", "");
    samples_add(found[0], now_ns() - start);
    check(plan, &list);
    dm_listing_free(&list);
  }
  samples_print(found, 1);
}
