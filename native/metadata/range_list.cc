#include "metadata/range_list.h"

#include <algorithm>

#include "metadata/node.h"

namespace dmthin {
namespace {

void put(std::vector<double>& numbers, const Range& range) {
  const auto number = [&](uint64_t value) { numbers.push_back(static_cast<double>(value)); };
  number(static_cast<uint64_t>(range.kind));
  number(range.begin);
  number(range.length);
  number(data_block_of(range.left));
  number(time_of(range.left));
  number(data_block_of(range.right));
  number(time_of(range.right));
}

}  // namespace

void RangeList::end() {
  if (open_) ended_.push_back(*open_);
  open_.reset();
}

void RangeList::append(RangeList& following) {
  following.end();
  for (const Range& range : following.ended_) add(range);
  following.ended_.clear();
}

std::vector<double> RangeList::take(bool last, uint64_t nodes, uint64_t reached) {
  const size_t count = last ? size() : std::min(size(), kMostRanges);
  std::vector<double> numbers;
  numbers.reserve(kBatchHeader + count * kRangeNumbers);
  numbers = {last ? 1.0 : 0.0, static_cast<double>(nodes), static_cast<double>(reached)};
  for (size_t i = 0; i < count; ++i) put(numbers, ended_[i]);
  ended_.erase(ended_.begin(), ended_.begin() + static_cast<std::ptrdiff_t>(count));
  return numbers;
}

}  // namespace dmthin
