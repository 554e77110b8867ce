#include "threads/side_by_side.h"

#include <vector>

#include "threads/thread.h"

namespace dmthin {
namespace {

struct Shared {
  const std::function<void(size_t)>& work;
  Mutex mutex;
  Condition ended;
  size_t running = 0;
};

struct Start {
  Shared* shared;
  size_t number;
};

void* run(void* argument) {
  const Start start = *static_cast<Start*>(argument);
  start.shared->work(start.number);
  const Locked locked(start.shared->mutex);
  // Under the mutex: the condition is destroyed when the count is seen to be 0.
  if (--start.shared->running == 0) start.shared->ended.wake_one();
  return nullptr;
}

}  // namespace

void side_by_side(size_t threads, const std::function<void(size_t)>& work) {
  Shared shared{work, {}, {}, 0};
  std::vector<Start> starts;
  for (size_t number = 1; number < threads; ++number) starts.push_back({&shared, number});
  for (Start& start : starts) {
    {
      const Locked locked(shared.mutex);
      ++shared.running;
    }
    if (start_thread(run, &start)) continue;
    const Locked locked(shared.mutex);
    --shared.running;
    break;
  }
  work(0);
  const Locked locked(shared.mutex);
  while (shared.running > 0) shared.ended.wait(shared.mutex);
}

}  // namespace dmthin
