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

uint64_t MappingCursor::leaf_after(size_t n, const MappingCursor* other) const {
  if (levels_.empty() || head_.height > 0) return 0;
  const Node parent = levels_.back().node();
  const size_t index = levels_.back().at + n;
  if (index >= parent.count() || parent.key(static_cast<uint32_t>(index)) >= span_.to) return 0;
  const uint64_t leaf = parent.child(static_cast<uint32_t>(index));
  return other != nullptr && other->refers_to(leaf) ? 0 : leaf;
}

bool MappingCursor::refers_to(uint64_t leaf) const {
  if (head_.kind == TreeHead::kSubtree && head_.value == leaf) return true;
  if (height_ == 0 || static_cast<int>(levels_.size()) < height_) return false;
  const Level& parent = levels_[static_cast<size_t>(height_) - 1];
  const Node node = parent.node();
  for (uint32_t i = parent.at; i < node.count(); ++i) {
    if (node.child(i) == leaf) return true;
  }
  return false;
}

Status MappingCursor::expand(const MappingCursor* other, Cancel& cancel) {
  const auto ahead = [&](size_t n) { return leaf_after(n, other); };
  const auto bytes = reader_.read(head_.value, ahead, cancel);
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
