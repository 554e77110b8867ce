// Ranges on their way to JavaScript: numbers of 64 bits, read by lib/pool/metadata-read/walk.ts. The first of
// a batch are: whether it is the last (0 or 1), the nodes read so far, and the virtual block that has been
// reached; kRangeNumbers for each range follow: kind, begin, length, and the data blocks and times below.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

namespace dmthin {

/// The difference of a virtual block between two volumes; or that it is mapped, in one.
enum class RangeKind : uint8_t { kMapped = 0, kLeftOnly = 1, kRightOnly = 2, kDifferent = 3, kSame = 4 };

/// Virtual blocks of one kind. Of the values, the data block of the first and the time of all.
struct Range {
  RangeKind kind = RangeKind::kMapped;
  uint64_t begin = 0;
  uint64_t length = 0;
  uint64_t left = 0;   // the value of the first mapping, as it stands in the tree
  uint64_t right = 0;  // the same in the right volume
};

constexpr size_t kBatchHeader = 3;
constexpr size_t kRangeNumbers = 7;

/// Joins mappings, and ranges of them, that follow each other.
class RangeList {
 public:
  /// Joins, with `by_data`, only mappings whose data blocks follow each other, with equal times.
  explicit RangeList(bool by_data) : by_data_(by_data) {}

  void add(const Range& range) {
    if (open_ && continues(range)) {
      open_->length += range.length;
      return;
    }
    if (open_) ended_.push_back(*open_);
    open_ = range;
  }
  /// Returns how many ranges have ended.
  size_t size() const { return ended_.size(); }
  /// Ends the last range.
  void end();
  /// Adds the ranges of a list that follows. It is empty then.
  void append(RangeList& following);
  /// Returns a batch of the ranges that have ended, in order; the rest stays. `last`: of the walk, and takes
  /// all.
  std::vector<double> take(bool last, uint64_t nodes, uint64_t reached);

  /// The most ranges of a batch.
  static constexpr size_t kMostRanges = 4096;

 private:
  bool continues(const Range& range) const {
    if (open_->kind != range.kind || open_->begin + open_->length != range.begin) return false;
    if (!by_data_) return true;
    const bool on_left = range.kind == RangeKind::kRightOnly || range.left == further(open_->left);
    const bool on_right = range.kind == RangeKind::kLeftOnly || range.kind == RangeKind::kMapped ||
                          range.right == further(open_->right);
    return on_left && on_right;
  }
  /// Returns the value after the last range, if the data goes on too.
  uint64_t further(uint64_t value) const { return value + (open_->length << 24); }

  const bool by_data_;
  std::optional<Range> open_;
  std::deque<Range> ended_;
};

}  // namespace dmthin
