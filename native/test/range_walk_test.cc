// Walks over a small image of metadata: intact, and with bytes changed at random, which AddressSanitizer
// watches.
#include "metadata/range_walk.h"

#include <unistd.h>

#include <vector>

#include "metadata/usage.h"
#include "test/check.h"
#include "test/metadata_image.h"

using namespace dmthin;
using test::Image;

namespace {

constexpr uint64_t kBlocks = 16;
constexpr MetadataLimits kLimits = {kBlocks, 1000};

/// Volumes with the roots 1 and 5. They share leaf 2; leaf 3 and 6 differ in two mappings.
Image two_volumes() {
  Image image(kBlocks);
  image.node(1, false, {{0, 2}, {100, 3}});
  image.node(2, true, {{0, 10}, {1, 11}, {2, 12}});
  image.node(3, true, {{100, 20}, {101, 21}, {102, 22}});
  image.node(5, false, {{0, 2}, {100, 6}});
  image.node(6, true, {{100, 20}, {102, 30}, {103, 31}});
  return image;
}

/// The ranges of a walk, one after the other; or the failure.
Result<std::vector<double>> all_of(const std::shared_ptr<RangeWalk>& walk, uint64_t* nodes = nullptr) {
  Cancel cancel;
  std::vector<double> ranges;
  for (;;) {
    const auto batch = walk->next(cancel);
    if (!batch) return batch.failure();
    ranges.insert(ranges.end(), batch->begin() + kBatchHeader, batch->end());
    if (nodes != nullptr) *nodes = static_cast<uint64_t>((*batch)[1]);
    if ((*batch)[0] == 1) return ranges;
  }
}

RangeWalkOptions options(bool same = false) {
  RangeWalkOptions options;
  options.limits = kLimits;
  options.same = same;
  return options;
}

}  // namespace

TEST(range_walk_test, a_volume_has_its_mappings) {
  auto by_data = options();
  by_data.by_data = true;
  const auto ranges = all_of(mapping_walk(two_volumes().file(), 5, by_data));
  const std::vector<double> expected = {0, 0, 3, 10, 0, 0, 0, 0, 100, 1, 20, 0, 0, 0, 0, 102, 2, 30, 0, 0, 0};
  CHECK(ranges && *ranges == expected);
}

TEST(range_walk_test, a_delta_reads_the_nodes_that_differ) {
  uint64_t nodes = 0;
  const auto ranges = all_of(delta_walk(two_volumes().file(), 1, 5, options()), &nodes);
  const std::vector<double> expected = {1, 101, 1, 21, 0,   0, 0, 3, 102, 1, 22,
                                        0, 30,  0, 2,  103, 1, 0, 0, 31,  0};
  CHECK(ranges && *ranges == expected);
  // The two roots, the leaves that differ, and the shared leaf, whose depth is that of the tree.
  CHECK_EQUAL(nodes, 5u);
}

TEST(range_walk_test, a_cancelled_walk_ends) {
  Cancel cancel;
  cancel.request();
  const auto batch = delta_walk(two_volumes().file(), 1, 5, options())->next(cancel);
  CHECK(!batch && batch.failure().cancelled);
}

TEST(range_walk_test, usage_tells_shared_from_exclusive) {
  Cancel cancel;
  const auto usage = count_usage(two_volumes().file(), kLimits, {1, 5}, cancel);
  CHECK(usage && usage->volumes.size() == 2);
  CHECK_EQUAL(usage->volumes[0].mapped, 6u);
  CHECK_EQUAL(usage->volumes[0].exclusive, 2u);  // 21 and 22
  CHECK_EQUAL(usage->volumes[1].exclusive, 2u);  // 30 and 31
  CHECK_EQUAL(usage->data_blocks, 8u);
}

TEST(range_walk_test, a_file_that_ends_early_is_a_failure) {
  const auto file = two_volumes().file();
  CHECK(::ftruncate(file->fd.get(), 3 * kMetadataBlock) == 0);
  const auto ranges = all_of(mapping_walk(file, 1, options()));
  CHECK(!ranges && ranges.failure().error == EIO);
}

TEST(range_walk_test, changed_bytes_are_read_or_corrupt) {
  uint64_t state = 16;
  const auto below = [&](uint64_t end) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % end;
  };
  uint64_t read = 0;
  uint64_t corrupt = 0;
  for (int round = 0; round < 3000; ++round) {
    Image image = two_volumes();
    const uint64_t block = 1 + below(6);
    const size_t place = below(3) == 0   ? 4 * below(8)
                         : below(2) == 0 ? 32 + 8 * below(4)
                                         : 2048 + 8 * below(4);
    image.put(block, place, below(2) == 0 ? below(20) : below(UINT32_MAX), below(2) == 0 ? 4 : 8);
    image.seal(block);
    Cancel cancel;
    for (const auto& walk :
         {mapping_walk(image.file(), 1, options()), delta_walk(image.file(), 1, 5, options()),
          delta_walk(image.file(), 5, 1, options(true))}) {
      const auto ranges = all_of(walk);
      (ranges ? read : corrupt)++;
      CHECK(ranges || ranges.failure().error == EUCLEAN);
    }
    const auto usage = count_usage(image.file(), kLimits, {1, 5}, cancel);
    CHECK(usage || usage.failure().error == EUCLEAN);
  }
  CHECK(read > 1000 && corrupt > 1000);
}
