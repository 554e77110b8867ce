#include "metadata/range_batch.h"

#include <utility>

#include "metadata/node.h"

namespace dmthin {
namespace {

/// The value of a mapping `blocks` further on, if the data goes on too.
uint64_t further(uint64_t value, uint64_t blocks) { return value + (blocks << 24); }

}  // namespace

bool RangeBatch::continues(RangeKind kind, uint64_t block, uint64_t left, uint64_t right) const {
  if (!open_ || open_->kind != kind || open_->begin + open_->length != block) return false;
  if (!by_data_) return true;
  const bool on_left = kind == RangeKind::kRightOnly || left == further(open_->left, open_->length);
  const bool on_right = kind == RangeKind::kLeftOnly || kind == RangeKind::kMapped ||
                        right == further(open_->right, open_->length);
  return on_left && on_right;
}

void RangeBatch::add(RangeKind kind, uint64_t block, uint64_t left, uint64_t right) {
  if (continues(kind, block, left, right)) {
    ++open_->length;
    return;
  }
  if (open_) put(*open_);
  open_ = Range{kind, block, 1, left, right};
}

void RangeBatch::put(const Range& range) {
  const auto number = [&](uint64_t value) { numbers_.push_back(static_cast<double>(value)); };
  number(static_cast<uint64_t>(range.kind));
  number(range.begin);
  number(range.length);
  number(data_block_of(range.left));
  number(time_of(range.left));
  number(data_block_of(range.right));
  number(time_of(range.right));
}

std::vector<double> RangeBatch::take(bool last, uint64_t nodes, uint64_t reached) {
  if (last && open_) {
    put(*open_);
    open_.reset();
  }
  numbers_[0] = last ? 1 : 0;
  numbers_[1] = static_cast<double>(nodes);
  numbers_[2] = static_cast<double>(reached);
  return std::exchange(numbers_, std::vector<double>(kBatchHeader));
}

}  // namespace dmthin
