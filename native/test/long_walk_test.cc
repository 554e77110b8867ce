// Walks that are long enough for several threads: the same ranges as of one, whatever thread finds a fault.
#include <unistd.h>

#include <map>
#include <vector>

#include "metadata/range_walk.h"
#include "system/system_call.h"
#include "test/check.h"
#include "test/metadata_image.h"

using namespace dmthin;
using test::Entries;
using test::Image;

namespace {

constexpr uint64_t kParents = 12;
constexpr uint64_t kLeaves = 40;
constexpr uint64_t kBlocks = 1 + 2 * (1 + kParents * (1 + kLeaves));
constexpr MetadataLimits kLimits = {kBlocks, 1'000'000};

using Mappings = std::map<uint64_t, uint64_t>;

struct Tree {
  uint64_t root;
  Mappings mappings;
};

/// Writes a tree of three levels from a block on. Its leaves have one to six mappings, `spread` blocks apart
/// at most.
Tree tree(Image& image, uint64_t first, uint64_t seed, uint64_t spread) {
  uint64_t state = seed;
  const auto below = [&](uint64_t end) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % end;
  };
  Tree made = {first, {}};
  uint64_t block = first + 1;
  uint64_t key = below(5);
  Entries parents;
  for (uint64_t parent = 0; parent < kParents; ++parent) {
    Entries leaves;
    const uint64_t place = block++;
    for (uint64_t leaf = 0; leaf < kLeaves; ++leaf) {
      Entries entries;
      for (uint64_t left = 1 + below(6); left > 0; --left) {
        entries.emplace_back(key, below(3) == 0 ? key : below(900'000));
        made.mappings.insert(entries.back());
        key += 1 + below(spread);
      }
      leaves.emplace_back(entries.front().first, block);
      image.node(block++, true, entries);
    }
    parents.emplace_back(leaves.front().first, place);
    image.node(place, false, leaves);
  }
  image.node(first, false, parents);
  return made;
}

struct Pair {
  Image image{kBlocks};
  Tree left = tree(image, 1, 7, 3);
  Tree right = tree(image, 1 + kBlocks / 2, 8, 5);
};

RangeWalkOptions options(const BlockSpan& span = {}) {
  RangeWalkOptions options;
  options.limits = kLimits;
  options.span = span;
  options.same = true;
  return options;
}

/// What each virtual block is, by the kinds of ranges; or the failure. `batches`: how many there were.
Result<std::map<uint64_t, int>> kinds(const std::shared_ptr<RangeWalk>& walk, uint64_t* batches = nullptr) {
  Cancel cancel;
  std::map<uint64_t, int> found;
  uint64_t end = 0;
  for (;;) {
    const auto batch = walk->next(cancel);
    if (!batch) return batch.failure();
    if (batches != nullptr) ++*batches;
    CHECK((batch->size() - kBatchHeader) / kRangeNumbers <= RangeList::kMostRanges);
    for (size_t at = kBatchHeader; at < batch->size(); at += kRangeNumbers) {
      const auto begin = static_cast<uint64_t>((*batch)[at + 1]);
      CHECK(begin >= end);
      end = begin + static_cast<uint64_t>((*batch)[at + 2]);
      for (uint64_t block = begin; block < end; ++block) found[block] = static_cast<int>((*batch)[at]);
    }
    if ((*batch)[0] == 1) return found;
  }
}

std::map<uint64_t, int> expected(const Mappings& left, const Mappings& right, const BlockSpan& span) {
  std::map<uint64_t, int> kinds;
  for (const auto& [block, data] : left) {
    const auto other = right.find(block);
    if (block >= span.from && block < span.to)
      kinds[block] = other == right.end() ? 1 : other->second == data ? 4 : 3;
  }
  for (const auto& [block, data] : right) {
    if (block >= span.from && block < span.to) kinds.emplace(block, 2);
  }
  return kinds;
}

}  // namespace

TEST(long_walk_test, a_long_delta_is_that_of_the_mappings) {
  const Pair pair;
  const auto file = pair.image.file();
  for (const BlockSpan& span : {BlockSpan{}, BlockSpan{500, 4000}, BlockSpan{0, 77}, BlockSpan{2500, 2501}}) {
    const auto there = kinds(delta_walk(file, pair.left.root, pair.right.root, options(span)));
    CHECK(there && *there == expected(pair.left.mappings, pair.right.mappings, span));
    const auto back = kinds(delta_walk(file, pair.right.root, pair.left.root, options(span)));
    CHECK(back && *back == expected(pair.right.mappings, pair.left.mappings, span));
  }
}

TEST(long_walk_test, the_mappings_of_a_long_walk_are_complete) {
  const Pair pair;
  const auto found = kinds(mapping_walk(pair.image.file(), pair.left.root, options()));
  CHECK(found && found->size() == pair.left.mappings.size());
}

TEST(long_walk_test, the_first_batch_is_small) {
  const Pair pair;
  Cancel cancel;
  const auto batch = delta_walk(pair.image.file(), pair.left.root, pair.right.root, options())->next(cancel);
  CHECK(batch && batch->size() > kBatchHeader && 3 * (*batch)[1] < double{kBlocks});
}

TEST(long_walk_test, a_fault_anywhere_ends_the_walk) {
  for (uint64_t block = 1; block < kBlocks; block += 13) {
    Pair pair;
    pair.image.block(block)[100] ^= 1;
    const auto found = kinds(delta_walk(pair.image.file(), pair.left.root, pair.right.root, options()));
    CHECK(!found && found.failure().error == EUCLEAN);
    CHECK(!found && found.failure().detail.starts_with(std::to_string(block) + " "));
  }
}

TEST(long_walk_test, a_walk_that_is_cancelled_between_batches_ends) {
  const Pair pair;
  const auto walk = delta_walk(pair.image.file(), pair.left.root, pair.right.root, options());
  Cancel cancel;
  CHECK(walk->next(cancel));
  cancel.request();
  const auto batch = walk->next(cancel);
  CHECK(!batch && batch.failure().cancelled);
}

#ifdef DM_THIN_FAULTS
TEST(long_walk_test, without_threads_the_ranges_are_the_same) {
  const Pair pair;
  const auto file = pair.image.file();
  for (int nth = 1; nth <= 2; ++nth) {
    set_fault("pthread_create", nth, FaultKind::kFail, EAGAIN);
    const auto found = kinds(delta_walk(file, pair.left.root, pair.right.root, options()));
    // The fault came up: the walk asked for a thread.
    CHECK_EQUAL(clear_faults(), 0);
    CHECK(found && *found == expected(pair.left.mappings, pair.right.mappings, {}));
  }
}
#endif
