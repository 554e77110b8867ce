// Two trees, a layer and what became of it, gone through side by side: what differs.
//
// The order is that of the bytes of the paths, except that a directory in which something differs comes after
// what is in it. Depth costs memory and no stack, and of the directories on the way only the newest are open.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "system/cancel.h"
#include "tree/tree_record.h"

namespace dmthin {

struct TreeRequest {
  std::optional<std::string> lower;  // none: everything in the upper tree is added
  std::string upper;
  bool detail = false;  // link targets, extended attributes, and the unchanged files that have several names
};

class TreeWalk {
 public:
  TreeWalk(TreeRoot lower, TreeRoot upper, bool detail)
      : lower_(std::move(lower)), upper_(std::move(upper)), detail_(detail) {}

  /// Returns the next batch: some changes, or word of how far it is. Not on two threads at once.
  Result<std::vector<uint8_t>> next(Cancel& cancel);
  const TreeRoot& upper() const { return upper_; }

 private:
  /// A directory that was compared itself, and whose content follows.
  struct Pending {
    std::optional<size_t> lower;  // its place in the listings
    size_t upper;
    bool told;  // it is in the list already
  };
  struct Frame {
    UniqueFd lower_fd, upper_fd;  // the oldest are closed, and opened again on the way back
    Listing lower, upper;
    size_t lower_at = 0, upper_at = 0;
    std::vector<Pending> pending;
    EntryStat lower_stat, upper_stat;
    size_t path_length = 0;
    bool has_lower = false;
    bool told = false;
    bool differs = false;  // something in it does
  };

  Status begin();
  Status step();
  Status self(Frame& frame, std::string_view name);
  Status both(Frame& frame);
  Status descend();
  Status leave();
  Status open_again(Frame& parent, const Frame& child);
  Status push(Frame frame);
  Status emit(Change kind, const Place& place);
  std::string path_with(std::string_view name) const;

  TreeRoot lower_, upper_;
  const bool detail_;
  bool begun_ = false;
  std::vector<Frame> frames_;
  std::string path_;  // of the directory in which it is; "" is the root
  std::optional<RecordBatch> batch_;
  std::vector<char> scratch_;
  uint64_t seen_ = 0;
  Cancel* cancel_ = nullptr;
};

/// Opens both trees.
Result<std::shared_ptr<TreeWalk>> open_tree_walk(const TreeRequest& request);

}  // namespace dmthin
