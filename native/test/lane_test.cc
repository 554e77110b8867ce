// Which jobs of a queue may be taken, and what that has to know of the time.
#include "threads/lane.h"

#include "test/check.h"

using namespace dmthin;

namespace {

constexpr int64_t kLong = 3'600'000'000'000;

class Idle final : public Job {
 public:
  std::optional<int> run() override { return std::nullopt; }
};

void push(Lane& lane, size_t count) {
  for (size_t i = 0; i < count; ++i) lane.push(std::make_unique<Idle>());
}

}  // namespace

TEST(lane_test, a_lane_with_room_does_not_ask_the_clock) {
  Lane lane{{}, 2, kLong};
  Now now;
  CHECK_EQUAL(lane.takeable(now), 0U);
  push(lane, 3);
  CHECK_EQUAL(lane.takeable(now), 2U);
  CHECK(lane.pop() != nullptr);
  ++lane.running;
  CHECK_EQUAL(lane.takeable(now), 1U);
  CHECK(!now.asked());
}

TEST(lane_test, a_full_lane_takes_one_more_after_its_patience) {
  Lane lane{{}, 1, kLong};
  lane.running = 1;
  push(lane, 2);
  Now now;
  CHECK_EQUAL(lane.takeable(now), 0U);
  CHECK_EQUAL(lane.due(now), now.ns() + kLong);
  lane.waits_since = now.ns() - kLong;
  CHECK_EQUAL(lane.takeable(now), 1U);
  CHECK_EQUAL(lane.due(now), now.ns() + kLong);
  (void)lane.pop();
  CHECK_EQUAL(lane.takeable(now), 0U);  // the time begins anew with each job that is taken
}

TEST(lane_test, a_full_lane_without_patience_takes_none_and_does_not_ask_the_clock) {
  Lane lane{{}, 1, kNever};
  lane.running = 1;
  push(lane, 2);
  Now now;
  CHECK_EQUAL(lane.takeable(now), 0U);
  CHECK(lane.due(now) == kNever);
  CHECK(!now.asked());
}

TEST(lane_test, the_time_begins_anew_when_a_job_comes_to_an_empty_queue) {
  Lane lane{{}, 1, kLong};
  lane.running = 1;
  push(lane, 1);
  Now now;
  CHECK_EQUAL(lane.takeable(now), 0U);
  lane.waits_since = now.ns() - kLong;
  lane.queue.clear();
  push(lane, 1);
  CHECK_EQUAL(lane.takeable(now), 0U);
}
