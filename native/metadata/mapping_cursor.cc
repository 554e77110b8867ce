#include "metadata/mapping_cursor.h"

namespace dmthin {

Status MappingCursor::start(uint64_t root, NodeReader& reader, Cancel& cancel) {
  height_ = TRY(height_of(reader, root, cancel));
  depth_ = 0;
  head_ = {TreeHead::kSubtree, 0, UINT64_MAX, root, height_};
  return Nothing{};
}

void MappingCursor::go_to(const BlockSpan& span) {
  span_ = span;
  if (depth_ > 0) settle();
}

uint64_t MappingCursor::leaf_after(size_t n, const MappingCursor* other) const {
  if (depth_ == 0 || head_.height > 0) return 0;
  const Node parent = deepest().node();
  const size_t index = deepest().at + n;
  if (index >= parent.count() || parent.key(static_cast<uint32_t>(index)) >= span_.to) return 0;
  const uint64_t leaf = parent.child(static_cast<uint32_t>(index));
  return other != nullptr && other->refers_to(leaf) ? 0 : leaf;
}

bool MappingCursor::refers_to(uint64_t leaf) const {
  if (head_.kind == TreeHead::kSubtree && head_.value == leaf) return true;
  if (height_ == 0 || static_cast<int>(depth_) < height_) return false;
  const Level& parent = levels_[static_cast<size_t>(height_) - 1];
  const Node node = parent.node();
  for (uint32_t i = parent.at; i < node.count(); ++i) {
    if (node.child(i) == leaf) return true;
  }
  return false;
}

Status MappingCursor::expand(const MappingCursor* other, NodeReader& reader, Cancel& cancel) {
  const auto ahead = [&](size_t n) { return leaf_after(n, other); };
  const auto bytes = TRY(reader.read(head_.value, ahead, cancel));
  const std::string fault = place_fault(Node(bytes), {head_.low, head_.high, head_.height, depth_ == 0});
  if (!fault.empty()) return corrupt(reader.file(), head_.value, fault);
  if (levels_.size() == depth_) levels_.emplace_back();
  Level& level = levels_[depth_++];
  memcpy(level.bytes.data(), bytes, kMetadataBlock);
  level.at = 0;
  level.high = head_.high;
  settle();
  return Nothing{};
}

MappingRun MappingCursor::run() const {
  const Node leaf = deepest().node();
  const uint32_t begin = deepest().at;
  uint32_t end = leaf.count();
  while (leaf.key(end - 1) >= span_.to) --end;  // not the first, which is the head
  return {leaf, begin, end};
}

void MappingCursor::skip(uint32_t count) {
  if (depth_ == 0) {
    head_ = {};
    return;
  }
  deepest().at += count;
  settle();
}

void MappingCursor::settle() {
  while (depth_ > 0) {
    Level& level = deepest();
    const Node node = level.node();
    if (level.at == node.count()) {
      if (--depth_ > 0) ++deepest().at;
      continue;
    }
    const uint64_t key = node.key(level.at);
    // The levels stay: a later span may begin here.
    if (key >= span_.to) break;
    const uint64_t high = level.end_of(level.at);
    const bool before = node.leaf() ? key < span_.from : high <= span_.from;
    if (before) {
      ++level.at;
      continue;
    }
    const int height = height_ - static_cast<int>(depth_);
    head_ = {node.leaf() ? TreeHead::kMapping : TreeHead::kSubtree, key, high, node.value(level.at), height};
    return;
  }
  head_ = {};
}

std::vector<uint64_t> MappingCursor::ends_ahead(size_t most) const {
  std::vector<uint64_t> ends;
  // The node whose children are parents of leaves.
  if (height_ < 2 || static_cast<int>(depth_) < height_ - 1) return ends;
  const Level& level = levels_[static_cast<size_t>(height_) - 2];
  for (uint32_t child = level.at; child < level.node().count() && ends.size() < most; ++child)
    ends.push_back(level.end_of(child));
  return ends;
}

uint64_t MappingCursor::known_to() const {
  if (height_ < 2 || head_.kind == TreeHead::kEnd) return UINT64_MAX;
  if (static_cast<int>(depth_) < height_ - 1) return head_.low;
  return levels_[static_cast<size_t>(height_) - 2].high;
}

}  // namespace dmthin
