// A directory while names are made or removed in it.
#pragma once

#include <optional>
#include <string>

#include "system/result.h"
#include "system/unique_fd.h"
#include "tree/write_marks.h"
#include "tree/write_stat.h"

namespace dmthin {

/// A visit restores what making and removing names changes of the directory when it is left: the times that
/// the archive has given it; and its default ACL, which is removed during the visit, so that nothing made in
/// it inherits any.
class WriteVisit {
 public:
  WriteVisit() = default;
  WriteVisit(const WriteVisit&) = delete;
  WriteVisit& operator=(const WriteVisit&) = delete;
  ~WriteVisit() { (void)leave(); }

  /// Leaves the directory before.
  Status enter(UniqueFd fd, std::string_view path, const WriteMarks& marks);
  /// Removes the default ACL for the time of the visit, before a name is made.
  Status hide_default_acl();
  /// Restores the directory; does nothing if none was entered.
  Status leave();

  explicit operator bool() const { return static_cast<bool>(fd_); }
  int fd() const { return fd_.get(); }
  uint64_t inode() const { return stat_.inode; }
  const std::string& path() const { return path_; }

 private:
  UniqueFd fd_;
  std::string path_;
  WriteStat stat_;
  bool timed_ = false;
  bool acl_asked_ = false;
  std::optional<std::string> acl_;
};

}  // namespace dmthin
