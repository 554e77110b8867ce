// Ranges on their way to JavaScript: numbers of 64 bits, read by lib/thin-metadata/range-batch.ts. The first
// of a batch are: whether it is the last (0 or 1), the nodes read so far, and the virtual block that has been
// reached; kRangeNumbers for each range follow: kind, begin, length, and the data blocks and times below.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace dmthin {

/// How a virtual block differs between two volumes; or that it is mapped, in one.
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

/// Joins mappings that follow each other to ranges.
class RangeBatch {
 public:
  /// `by_data`: only mappings whose data blocks follow each other, with equal times.
  explicit RangeBatch(bool by_data) : by_data_(by_data) {}

  void add(RangeKind kind, uint64_t block, uint64_t left, uint64_t right);
  bool full() const { return (numbers_.size() - kBatchHeader) / kRangeNumbers >= kMostRanges; }
  /// The ranges that have ended; if it is the last batch, all. The next batch is empty.
  std::vector<double> take(bool last, uint64_t nodes, uint64_t reached);

 private:
  static constexpr size_t kMostRanges = 4096;

  bool continues(RangeKind kind, uint64_t block, uint64_t left, uint64_t right) const;
  void put(const Range& range);

  const bool by_data_;
  std::optional<Range> open_;
  std::vector<double> numbers_ = std::vector<double>(kBatchHeader);
};

}  // namespace dmthin
