#include "tree/tree_walk.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace dmthin {
namespace {

// A batch ends when it has so many bytes, or when so many entries were looked at and somebody may want to
// know.
constexpr size_t kBatchBytes = size_t{256} * 1024;
constexpr uint64_t kBatchEntries = 16384;
// Pairs of directories that are open at a time. A process has 1024 descriptors by default.
constexpr size_t kOpenFrames = 32;
constexpr uint32_t kRootMode = 0040755;

/// Returns whether what is in the directory `name` comes before its sibling `other`, which is behind `name`
/// itself: `a/x` is behind `a-b` and before `a0`.
bool content_before(std::string_view name, std::string_view other) {
  return other.substr(0, name.size()) != name || static_cast<unsigned char>(other[name.size()]) > '/';
}

}  // namespace

Result<std::shared_ptr<TreeWalk>> open_tree_walk(const TreeRequest& request) {
  TreeRoot lower;
  if (request.lower) {
    lower = TRY(open_tree_root(*request.lower));
  } else {
    lower.stat.mode = kRootMode;
  }
  auto upper = TRY(open_tree_root(request.upper));
  return std::make_shared<TreeWalk>(std::move(lower), std::move(upper), request.detail);
}

std::string TreeWalk::path_with(std::string_view name) const {
  std::string path = path_;
  path += '/';
  path += name;
  return path;
}

Result<std::vector<uint8_t>> TreeWalk::next(Cancel& cancel) {
  cancel_ = &cancel;
  batch_.emplace();
  const uint64_t before = seen_;
  if (!begun_) {
    begun_ = true;
    TRY(begin());
  }
  while (!frames_.empty() && batch_->size() < kBatchBytes && seen_ - before < kBatchEntries) {
    if (cancel.requested()) return tree_cancelled(upper_.path);
    TRY(step());
  }
  return batch_->finish(frames_.empty(), seen_);
}

// The root is reported if its own attributes differ, not if something in it does. Without a lower tree it is
// compared with a root as mkfs makes it.
Status TreeWalk::begin() {
  Frame frame;
  // Not dup(): its copies stay open in every program that the process starts.
  const auto copy = [](int fd) { return UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 0)); };
  frame.upper_fd = copy(upper_.fd.get());
  frame.lower_fd = lower_.fd ? copy(lower_.fd.get()) : UniqueFd();
  if (!frame.upper_fd || (lower_.fd && !frame.lower_fd)) return failed("dup", errno, upper_.path);
  frame.lower_stat = lower_.stat;
  frame.upper_stat = upper_.stat;
  frame.has_lower = static_cast<bool>(lower_.fd);
  frame.told = true;
  const std::string root = "/";
  const Place upper{frame.upper_fd.get(), "", &frame.upper_stat, root};
  Result<bool> same = true;
  if (frame.has_lower) {
    same = same_entry({frame.lower_fd.get(), "", &frame.lower_stat, root}, upper, scratch_, *cancel_);
  } else {
    const auto xattrs = TRY(xattrs_of(upper));
    same = same_attributes(frame.lower_stat, frame.upper_stat) && xattrs.empty();
  }
  if (!same) return same.failure();
  if (!*same) {
    TRY(emit(Change::kChanged, upper));
  }
  return push(std::move(frame));
}

Status TreeWalk::push(Frame frame) {
  const std::string& shown = path_.empty() ? upper_.path : path_;
  auto upper = TRY(list_directory(frame.upper_fd.get(), shown, *cancel_));
  frame.upper = std::move(upper);
  if (frame.has_lower) {
    auto lower = TRY(list_directory(frame.lower_fd.get(), shown, *cancel_));
    frame.lower = std::move(lower);
  }
  frame.path_length = path_.size();
  frames_.push_back(std::move(frame));
  if (frames_.size() > kOpenFrames) {
    const size_t at = frames_.size() - 1 - kOpenFrames;
    frames_[at].upper_fd.reset();
    // From a directory that is only in the upper tree no way leads back to the lower one.
    if (frames_[at + 1].has_lower) frames_[at].lower_fd.reset();
  }
  return Nothing{};
}

Status TreeWalk::step() {
  Frame& frame = frames_.back();
  const bool lower = frame.lower_at < frame.lower.entries.size();
  const bool upper = frame.upper_at < frame.upper.entries.size();
  std::string_view name;
  if (lower) name = frame.lower.name(frame.lower_at);
  if (upper && (!lower || frame.upper.name(frame.upper_at) < name)) name = frame.upper.name(frame.upper_at);
  // Several directories can be pending only if each name begins with the one before, as `a`, `a-`, `a--`. The
  // content of the longest comes first.
  if (!frame.pending.empty() &&
      (name.empty() || content_before(frame.upper.name(frame.pending.back().upper), name)))
    return descend();
  return name.empty() ? leave() : self(frame, name);
}

Status TreeWalk::self(Frame& frame, std::string_view name) {
  ++seen_;
  const bool lower = frame.lower_at < frame.lower.entries.size() && frame.lower.name(frame.lower_at) == name;
  const bool upper = frame.upper_at < frame.upper.entries.size() && frame.upper.name(frame.upper_at) == name;
  if (lower && upper) return both(frame);
  const size_t at = lower ? frame.lower_at++ : frame.upper_at++;
  const std::string path = path_with(name);
  if (lower) {
    const Place gone{frame.lower_fd.get(), frame.lower.c_name(at), &frame.lower.entries[at].stat, path};
    return emit(Change::kDeleted, gone);
  }
  const EntryStat& stat = frame.upper.entries[at].stat;
  if (stat.directory()) frame.pending.push_back({std::nullopt, at, true});
  return emit(Change::kAdded, {frame.upper_fd.get(), frame.upper.c_name(at), &stat, path});
}

Status TreeWalk::both(Frame& frame) {
  const size_t lower_at = frame.lower_at++;
  const size_t upper_at = frame.upper_at++;
  const EntryStat& lower = frame.lower.entries[lower_at].stat;
  const EntryStat& upper = frame.upper.entries[upper_at].stat;
  // The most frequent case by far, without making a path.
  const bool untouched = lower.is == upper.is && same_attributes(lower, upper);
  const bool told_anyway = detail_ && upper.regular() && upper.links > 1;
  if (untouched && !told_anyway) {
    if (upper.directory()) frame.pending.push_back({lower_at, upper_at, false});
    return Nothing{};
  }
  const std::string path = path_with(frame.upper.name(upper_at));
  const Place here{frame.upper_fd.get(), frame.upper.c_name(upper_at), &upper, path};
  const Place there{frame.lower_fd.get(), frame.lower.c_name(lower_at), &lower, path};
  const auto same = TRY(same_entry(there, here, scratch_, *cancel_));
  if (upper.directory()) {
    // Where a file was before, everything in the directory is new.
    const auto below = lower.directory() ? std::optional<size_t>(lower_at) : std::nullopt;
    frame.pending.push_back({below, upper_at, !same});
  }
  if (!same) return emit(Change::kChanged, here);
  return told_anyway ? emit(Change::kUnchanged, here) : Nothing{};
}

Status TreeWalk::descend() {
  Frame& parent = frames_.back();
  const Pending next = parent.pending.back();
  parent.pending.pop_back();
  path_ = path_with(parent.upper.name(next.upper));
  Frame frame;
  frame.told = next.told;
  frame.upper_stat = parent.upper.entries[next.upper].stat;
  frame.upper_fd = TRY(open_directory(parent.upper_fd.get(), parent.upper.c_name(next.upper), path_));
  if (next.lower) {
    frame.has_lower = true;
    frame.lower_stat = parent.lower.entries[*next.lower].stat;
    frame.lower_fd = TRY(open_directory(parent.lower_fd.get(), parent.lower.c_name(*next.lower), path_));
  }
  return push(std::move(frame));
}

Status TreeWalk::leave() {
  const Frame frame = std::move(frames_.back());
  frames_.pop_back();
  if (frames_.empty()) return Nothing{};
  Frame& parent = frames_.back();
  if (frame.differs) {
    if (!frame.told) {
      TRY(emit(Change::kChanged, {frame.upper_fd.get(), "", &frame.upper_stat, path_}));
    }
    parent.differs = true;
  }
  path_.resize(parent.path_length);
  return parent.upper_fd ? Nothing{} : open_again(parent, frame);
}

// By "..", which leads elsewhere if the directory has been moved.
Status TreeWalk::open_again(Frame& parent, const Frame& child) {
  const auto open = [&](const UniqueFd& from, const EntryStat& wanted, UniqueFd& into) -> Status {
    auto fd = TRY(open_directory(from.get(), "..", path_));
    const auto stat = TRY(stat_entry(fd.get(), "", path_));
    if (stat.is.inode != wanted.is.inode) return tree_changed(path_);
    into = std::move(fd);
    return Nothing{};
  };
  auto upper = open(child.upper_fd, parent.upper_stat, parent.upper_fd);
  if (!upper || !child.has_lower) return upper;
  return open(child.lower_fd, parent.lower_stat, parent.lower_fd);
}

Status TreeWalk::emit(Change kind, const Place& place) {
  if (kind != Change::kUnchanged && !frames_.empty()) frames_.back().differs = true;
  std::string link;
  Xattrs xattrs;
  if (detail_ && (kind == Change::kAdded || kind == Change::kChanged)) {
    if (place.stat->symlink()) {
      link = TRY(link_target(place));
    }
    xattrs = TRY(xattrs_of(place));
  }
  batch_->add(kind, place.path, *place.stat, link, xattrs);
  return Nothing{};
}

}  // namespace dmthin
