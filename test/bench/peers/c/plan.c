#include "plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "handoff.h"

void plan_read(struct plan* plan, const char* argument) {
  const char* equals = strchr(argument, '=');
  const char* value = equals ? equals + 1 : "";
  size_t length = equals ? (size_t)(equals - argument) : 0;
  struct {
    const char* key;
    uint32_t* number;
  } numbers[] = {{"origin", &plan->origin},   {"first", &plan->first},     {"count", &plan->count},
                 {"threads", &plan->threads}, {"repeats", &plan->repeats}, {"async", &plan->async},
                 {"commit", &plan->commit},   {"locks", &plan->locks},     {"pieces", &plan->pieces},
                 {"piece", &plan->piece}};
  for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
    if (length != strlen(numbers[i].key) || strncmp(argument, numbers[i].key, length) != 0) continue;
    *numbers[i].number = (uint32_t)strtoul(value, NULL, 10);
    return;
  }
  struct {
    const char* key;
    const char** text;
  } texts[] = {{"pool", &plan->pool},
               {"directory", &plan->directory},
               {"backing", &plan->backing},
               {"path", &plan->path}};
  for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
    if (length != strlen(texts[i].key) || strncmp(argument, texts[i].key, length) != 0) continue;
    *texts[i].text = value;
    return;
  }
  if (strncmp(argument, "sectors=", 8) != 0) {
    errno = EINVAL;
    die("unknown option", argument);
  }
  plan->sectors = strtoull(value, NULL, 10);
}

const struct extent_row extent_rows[EXTENT_ROWS] = {
    {"fork-extents-1", 1}, {"fork-extents-10k", 10000}, {"fork-extents-1m", 1u << 20}};

void run_item(struct plan* plan, item_fn fn, uint32_t index) {
  if (plan->async)
    handoff_run(fn, index, plan);
  else
    fn(index, plan);
}

void timed(struct plan* plan, struct samples* samples, item_fn fn, uint32_t index) {
  uint64_t start = now_ns();
  run_item(plan, fn, index);
  samples_add(samples, now_ns() - start);
}

void name_of(uint32_t index, char* name, size_t size) { snprintf(name, size, "dmthinbench-c-%u", index); }
