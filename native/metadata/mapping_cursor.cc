#include "metadata/mapping_cursor.h"

namespace dmthin {

Status MappingCursor::start(uint64_t root, Cancel& cancel) {
  levels_.clear();
  levels_.reserve(kMostLevels);
  const auto height = height_of(reader_, root, cancel);
  if (!height) return height.failure();
  height_ = *height;
  head_ = {TreeHead::kSubtree, 0, UINT64_MAX, root, height_};
  return Nothing{};
}

std::vector<uint64_t> MappingCursor::siblings() const {
  std::vector<uint64_t> blocks;
  if (levels_.empty() || head_.height > 0) return blocks;
  const Node node = levels_.back().node();
  for (uint32_t i = levels_.back().at + 1; i < node.count() && node.key(i) < span_.to; ++i)
    blocks.push_back(node.child(i));
  return blocks;
}

Status MappingCursor::expand(bool ahead, Cancel& cancel) {
  const auto bytes = reader_.read(head_.value, ahead ? siblings() : std::vector<uint64_t>{}, cancel);
  if (!bytes) return bytes.failure();
  const std::string fault = place_fault(Node(*bytes), {head_.low, head_.high, head_.height, levels_.empty()});
  if (!fault.empty()) return corrupt(reader_.file(), head_.value, fault);
  const uint64_t high = head_.high;
  levels_.emplace_back();
  memcpy(levels_.back().bytes.data(), *bytes, kMetadataBlock);
  levels_.back().high = high;
  settle();
  return Nothing{};
}

void MappingCursor::skip() {
  if (levels_.empty()) {
    head_ = {};
    return;
  }
  ++levels_.back().at;
  settle();
}

void MappingCursor::settle() {
  while (!levels_.empty()) {
    Level& level = levels_.back();
    const Node node = level.node();
    if (level.at == node.count()) {
      levels_.pop_back();
      if (!levels_.empty()) ++levels_.back().at;
      continue;
    }
    const uint64_t key = node.key(level.at);
    if (key >= span_.to) {
      levels_.clear();
      break;
    }
    const uint64_t high = level.at + 1 < node.count() ? node.key(level.at + 1) : level.high;
    const bool before = node.leaf() ? key < span_.from : high <= span_.from;
    if (before) {
      ++level.at;
      continue;
    }
    const int height = height_ - static_cast<int>(levels_.size());
    head_ = {node.leaf() ? TreeHead::kMapping : TreeHead::kSubtree, key, high, node.value(level.at), height};
    return;
  }
  head_ = {};
}

}  // namespace dmthin
