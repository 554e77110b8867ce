#include "metadata/span_walk.h"

#include <algorithm>
#include <iterator>

namespace dmthin {
namespace {

class MappingSpan final : public SpanWalk {
 public:
  MappingSpan(uint64_t root, const BlockSpan& span) : root_(root), cursor_(span) {}

  std::unique_ptr<SpanWalk> copy() const override { return std::make_unique<MappingSpan>(*this); }
  Status begin(NodeReader& reader, Cancel& cancel) override { return cursor_.start(root_, reader, cancel); }
  void go_to(const BlockSpan& span) override { cursor_.go_to(span); }

  Status step(NodeReader& reader, RangeList& ranges, Cancel& cancel) override {
    if (cursor_.head().kind == TreeHead::kSubtree) return cursor_.expand(nullptr, reader, cancel);
    const MappingRun run = cursor_.run();
    for (uint32_t i = 0; i < run.count(); ++i)
      ranges.add({RangeKind::kMapped, run.block(i), 1, run.value(i), 0});
    cursor_.skip(run.count());
    return Nothing{};
  }

  bool ended() const override { return cursor_.head().kind == TreeHead::kEnd; }
  uint64_t reached() const override { return cursor_.head().low; }
  std::vector<uint64_t> divisions(size_t most) const override { return cursor_.ends_ahead(most); }

 private:
  const uint64_t root_;
  MappingCursor cursor_;
};

class DeltaSpan final : public SpanWalk {
 public:
  DeltaSpan(uint64_t left, uint64_t right, const RangeWalkOptions& options)
      : left_root_(left),
        right_root_(right),
        same_(options.same),
        left_(options.span),
        right_(options.span) {}

  std::unique_ptr<SpanWalk> copy() const override { return std::make_unique<DeltaSpan>(*this); }

  Status begin(NodeReader& reader, Cancel& cancel) override {
    // Equal roots: nothing differs, and nothing need be read.
    if (left_root_ == right_root_ && !same_) return Nothing{};
    TRY(left_.start(left_root_, reader, cancel));
    return right_.start(right_root_, reader, cancel);
  }

  void go_to(const BlockSpan& span) override {
    left_.go_to(span);
    right_.go_to(span);
  }

  Status step(NodeReader& reader, RangeList& ranges, Cancel& cancel) override {
    const TreeHead::Kind left = left_.head().kind;
    const TreeHead::Kind right = right_.head().kind;
    if (left == TreeHead::kSubtree && right == TreeHead::kSubtree) return subtrees(reader, cancel);
    // A mapping below all keys of the other side's subtree is on one side alone. At the end of one side, all
    // is.
    if (left == TreeHead::kSubtree && !is_before(right_.head(), left_.head()))
      return expand_left(reader, cancel);
    if (right == TreeHead::kSubtree && !is_before(left_.head(), right_.head()))
      return expand_right(reader, cancel);
    mappings(ranges);
    return Nothing{};
  }

  bool ended() const override { return is_end(left_.head().kind) && is_end(right_.head().kind); }
  uint64_t reached() const override { return std::min(next(left_), next(right_)); }

  std::vector<uint64_t> divisions(size_t most) const override {
    // Where parents of leaves are shared, nothing need be read: that is for one thread.
    if (!left_.has_leaves_ahead() && !right_.has_leaves_ahead()) return {};
    const std::vector<uint64_t> left = left_.ends_ahead(most);
    const std::vector<uint64_t> right = right_.ends_ahead(most);
    std::vector<uint64_t> ends;
    std::set_union(left.begin(), left.end(), right.begin(), right.end(), std::back_inserter(ends));
    const uint64_t known = std::min(left_.known_to(), right_.known_to());
    while (!ends.empty() && (ends.size() > most || ends.back() > known)) ends.pop_back();
    return ends;
  }

 private:
  Status subtrees(NodeReader& reader, Cancel& cancel) {
    const TreeHead left = left_.head();
    const TreeHead right = right_.head();
    if (left.value == right.value && left.height == right.height && !same_) {
      left_.skip();
      right_.skip();
      return Nothing{};
    }
    // One that ends before the other begins has no counterpart.
    if (left.high <= right.low) return expand_left(reader, cancel);
    if (right.high <= left.low) return expand_right(reader, cancel);
    if (left.height != right.height)
      return left.height > right.height ? expand_left(reader, cancel) : expand_right(reader, cancel);
    if (left.low < right.low) return expand_left(reader, cancel);
    if (right.low < left.low) return expand_right(reader, cancel);
    TRY(expand_left(reader, cancel));
    return expand_right(reader, cancel);
  }

  /// Passes over the mappings before the next subtree of either side.
  void mappings(RangeList& ranges) {
    const MappingRun left = run_before(left_, right_.head());
    const MappingRun right = run_before(right_, left_.head());
    uint32_t i = 0;
    uint32_t j = 0;
    while (i < left.count() && j < right.count()) {
      const uint64_t on_left = left.block(i);
      const uint64_t on_right = right.block(j);
      if (on_left < on_right) {
        ranges.add({RangeKind::kLeftOnly, on_left, 1, left.value(i++), 0});
      } else if (on_right < on_left) {
        ranges.add({RangeKind::kRightOnly, on_right, 1, 0, right.value(j++)});
      } else {
        const uint64_t left_value = left.value(i++);
        const uint64_t right_value = right.value(j++);
        const bool equal = data_block_of(left_value) == data_block_of(right_value);
        if (!equal || same_)
          ranges.add({equal ? RangeKind::kSame : RangeKind::kDifferent, on_left, 1, left_value, right_value});
      }
    }
    // What is left of one run comes before all of the other side, if nothing of that is to come in its leaf.
    if (is_mapping(left_) != is_mapping(right_)) {
      for (; i < left.count(); ++i) ranges.add({RangeKind::kLeftOnly, left.block(i), 1, left.value(i), 0});
      for (; j < right.count(); ++j)
        ranges.add({RangeKind::kRightOnly, right.block(j), 1, 0, right.value(j)});
    }
    if (i > 0) left_.skip(i);
    if (j > 0) right_.skip(j);
  }

  /// Returns the mappings of a cursor that come before the other side's subtree; none if a subtree or the end
  /// comes next.
  static MappingRun run_before(const MappingCursor& cursor, const TreeHead& other) {
    if (!is_mapping(cursor)) return {Node(nullptr), 0, 0};
    MappingRun run = cursor.run();
    if (other.kind == TreeHead::kSubtree) {
      while (run.count() > 0 && run.block(run.count() - 1) >= other.low) --run.end;
    }
    return run;
  }

  // Leaves that both have are passed over, unless all is wanted.
  Status expand_left(NodeReader& reader, Cancel& cancel) {
    return left_.expand(same_ ? nullptr : &right_, reader, cancel);
  }
  Status expand_right(NodeReader& reader, Cancel& cancel) {
    return right_.expand(same_ ? nullptr : &left_, reader, cancel);
  }

  static bool is_mapping(const MappingCursor& cursor) { return cursor.head().kind == TreeHead::kMapping; }
  static bool is_end(TreeHead::Kind kind) { return kind == TreeHead::kEnd; }
  static bool is_before(const TreeHead& mapping, const TreeHead& subtree) {
    return mapping.kind == TreeHead::kMapping && mapping.low < subtree.low;
  }
  static uint64_t next(const MappingCursor& cursor) {
    return is_end(cursor.head().kind) ? UINT64_MAX : cursor.head().low;
  }

  const uint64_t left_root_, right_root_;
  const bool same_;
  MappingCursor left_, right_;
};

}  // namespace

std::unique_ptr<SpanWalk> mapping_span(uint64_t root, const RangeWalkOptions& options) {
  return std::make_unique<MappingSpan>(root, options.span);
}

std::unique_ptr<SpanWalk> delta_span(uint64_t left, uint64_t right, const RangeWalkOptions& options) {
  return std::make_unique<DeltaSpan>(left, right, options);
}

}  // namespace dmthin
