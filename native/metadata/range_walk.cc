#include "metadata/range_walk.h"

#include <algorithm>

namespace dmthin {
namespace {

/// The most nodes of one batch: what an abort waits for, and the interval of progress.
constexpr uint64_t kMostReads = 2048;
/// The most mappings and subtrees of one batch.
constexpr uint64_t kMostSteps = uint64_t{1} << 19;

class MappingWalk final : public RangeWalk {
 public:
  MappingWalk(std::shared_ptr<const MetadataFile> file, uint64_t root, const RangeWalkOptions& options)
      : RangeWalk(std::move(file), options), root_(root), cursor_(reader_, options.span) {}

 private:
  Status begin(Cancel& cancel) override { return cursor_.start(root_, cancel); }

  Status step(Cancel& cancel) override {
    const TreeHead& head = cursor_.head();
    if (head.kind == TreeHead::kSubtree) return cursor_.expand(nullptr, cancel);
    batch_.add(RangeKind::kMapped, head.low, head.value, 0);
    cursor_.skip();
    return Nothing{};
  }

  bool ended() const override { return cursor_.head().kind == TreeHead::kEnd; }
  uint64_t reached() const override { return cursor_.head().low; }

  const uint64_t root_;
  MappingCursor cursor_;
};

class DeltaWalk final : public RangeWalk {
 public:
  DeltaWalk(std::shared_ptr<const MetadataFile> file, uint64_t left, uint64_t right,
            const RangeWalkOptions& options)
      : RangeWalk(std::move(file), options),
        left_root_(left),
        right_root_(right),
        same_(options.same),
        left_(reader_, options.span),
        right_(reader_, options.span) {}

 private:
  Status begin(Cancel& cancel) override {
    // Equal roots: nothing differs, and nothing need be read.
    if (left_root_ == right_root_ && !same_) return Nothing{};
    auto started = left_.start(left_root_, cancel);
    if (!started) return started;
    return right_.start(right_root_, cancel);
  }

  Status step(Cancel& cancel) override {
    const TreeHead::Kind left = left_.head().kind;
    const TreeHead::Kind right = right_.head().kind;
    if (left == TreeHead::kSubtree && right == TreeHead::kSubtree) return subtrees(cancel);
    if (left == TreeHead::kMapping && right == TreeHead::kMapping) return mappings();
    // A mapping below all keys of the other side's subtree is on one side alone. At the end of one side, all
    // is.
    if (left == TreeHead::kSubtree)
      return is_before(right_.head(), left_.head()) ? right_only() : expand_left(cancel);
    if (right == TreeHead::kSubtree)
      return is_before(left_.head(), right_.head()) ? left_only() : expand_right(cancel);
    return is_end(left) ? right_only() : left_only();
  }

  Status subtrees(Cancel& cancel) {
    const TreeHead left = left_.head();
    const TreeHead right = right_.head();
    if (left.value == right.value && left.height == right.height && !same_) {
      left_.skip();
      right_.skip();
      return Nothing{};
    }
    // One that ends before the other begins has no counterpart.
    if (left.high <= right.low) return expand_left(cancel);
    if (right.high <= left.low) return expand_right(cancel);
    if (left.height != right.height)
      return left.height > right.height ? expand_left(cancel) : expand_right(cancel);
    if (left.low < right.low) return expand_left(cancel);
    if (right.low < left.low) return expand_right(cancel);
    auto expanded = expand_left(cancel);
    if (!expanded) return expanded;
    return expand_right(cancel);
  }

  Status mappings() {
    const TreeHead& left = left_.head();
    const TreeHead& right = right_.head();
    if (left.low < right.low) return left_only();
    if (right.low < left.low) return right_only();
    const bool equal = data_block_of(left.value) == data_block_of(right.value);
    if (!equal || same_)
      batch_.add(equal ? RangeKind::kSame : RangeKind::kDifferent, left.low, left.value, right.value);
    left_.skip();
    right_.skip();
    return Nothing{};
  }

  Status left_only() {
    batch_.add(RangeKind::kLeftOnly, left_.head().low, left_.head().value, 0);
    left_.skip();
    return Nothing{};
  }

  Status right_only() {
    batch_.add(RangeKind::kRightOnly, right_.head().low, 0, right_.head().value);
    right_.skip();
    return Nothing{};
  }

  // Leaves that both have are passed over, unless all is wanted.
  Status expand_left(Cancel& cancel) { return left_.expand(same_ ? nullptr : &right_, cancel); }
  Status expand_right(Cancel& cancel) { return right_.expand(same_ ? nullptr : &left_, cancel); }

  static bool is_end(TreeHead::Kind kind) { return kind == TreeHead::kEnd; }
  static bool is_before(const TreeHead& mapping, const TreeHead& subtree) {
    return mapping.kind == TreeHead::kMapping && mapping.low < subtree.low;
  }

  bool ended() const override { return is_end(left_.head().kind) && is_end(right_.head().kind); }
  uint64_t reached() const override {
    if (is_end(left_.head().kind)) return right_.head().low;
    if (is_end(right_.head().kind)) return left_.head().low;
    return std::min(left_.head().low, right_.head().low);
  }

  const uint64_t left_root_, right_root_;
  const bool same_;
  MappingCursor left_, right_;
};

}  // namespace

Result<std::vector<double>> RangeWalk::next(Cancel& cancel) {
  if (!begun_) {
    const auto started = begin(cancel);
    if (!started) return started.failure();
    begun_ = true;
  }
  const uint64_t enough = reader_.reads() + kMostReads;
  for (uint64_t steps = 0; !ended(); ++steps) {
    if (batch_.full() || reader_.reads() >= enough || steps >= kMostSteps) break;
    const auto stepped = step(cancel);
    if (!stepped) return stepped.failure();
  }
  if (!ended()) position_ = reached();
  return batch_.take(ended(), reader_.reads(), position_);
}

std::shared_ptr<RangeWalk> mapping_walk(std::shared_ptr<const MetadataFile> file, uint64_t root,
                                        const RangeWalkOptions& options) {
  return std::make_shared<MappingWalk>(std::move(file), root, options);
}

std::shared_ptr<RangeWalk> delta_walk(std::shared_ptr<const MetadataFile> file, uint64_t left, uint64_t right,
                                      const RangeWalkOptions& options) {
  return std::make_shared<DeltaWalk>(std::move(file), left, right, options);
}

}  // namespace dmthin
