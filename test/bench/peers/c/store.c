// What a layer store asks of the kernel, without a store: snapshots of an inactive volume, active at once;
// and their end. With commit=1 each is on the pool's disk too, as a store's are when it says that they are
// there.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "dm.h"
#include "plan.h"

static uint64_t transaction;

void read_transaction(struct plan* plan) {
  char line[256];
  if (dm_status(plan->control, plan->pool, line, sizeof(line)) < 0) die("status", plan->pool);
  if (sscanf(line, "%" SCNu64, &transaction) != 1) die("transaction id", line);
}

// A pool commits before it answers this.
void commit(struct plan* plan) {
  char text[64];
  snprintf(text, sizeof(text), "set_transaction_id %" PRIu64 " %" PRIu64, transaction, transaction + 1);
  if (dm_message(plan->control, plan->pool, text) < 0) die("message", text);
  transaction++;
}

static void prepare_item(uint32_t index, void* context) {
  struct plan* plan = context;
  snap(plan, index);
  activate_item(index, plan);
  if (plan->commit) commit(plan);
}

static void destroy_item(uint32_t index, void* context) {
  remove_item(index, context);
  drop(context, index);
}

void prepare_layers(struct plan* plan) {
  struct samples* list[] = {samples_new("prepare")};
  read_transaction(plan);
  if (plan->locks) open_record(plan);
  for (uint32_t i = 0; i < plan->count; i++) {
    uint64_t start = now_ns();
    if (plan->locks)
      recorded_layer(plan, i);
    else
      run_item(plan, prepare_item, i);
    samples_add(list[0], now_ns() - start);
  }
  for (uint32_t i = 0; i < plan->count; i++) destroy_item(i, plan);
  samples_print(list, 1);
}

// One thread is one after the other.
void prepare_many_layers(struct plan* plan) {
  struct samples* list[] = {samples_new("prepare-100"), samples_new("remove-100"),
                            samples_new("remove-100-gone")};
  item_fn make = plan->locks ? locked_volume_item : prepare_item;
  if (plan->locks) {
    read_transaction(plan);
    open_record(plan);
  }
  for (uint32_t repeat = 0; repeat < plan->repeats; repeat++) {
    uint64_t made = gang_run(plan->threads, plan->count, make, plan);
    uint64_t start = now_ns();
    if (plan->locks) record_together(plan);
    samples_add(list[0], (made + now_ns() - start) / plan->count);
    uint64_t each = gang_run(plan->threads, plan->count, destroy_item, plan) / plan->count;
    samples_add(list[1], each);
    samples_add(list[2], each);
  }
  samples_print(list, plan->locks ? 1 : 3);
}

// What a layer that is ready beforehand still needs: its record.
void record_layers(struct plan* plan) {
  struct samples* list[] = {samples_new("fork-warm")};
  open_record(plan);
  for (uint32_t i = 0; i < plan->count; i++) {
    uint64_t start = now_ns();
    record_item(i, plan);
    samples_add(list[0], now_ns() - start);
  }
  samples_print(list, 1);
}
