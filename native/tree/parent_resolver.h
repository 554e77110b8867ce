// Where in a tree a path of an archive lies. The path is somebody else's: it is resolved as if the tree's
// root were `/`, so that no symbolic link and no `..` in one leads out of it, and never onto another mount.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "system/result.h"
#include "system/unique_fd.h"
#include "tree/write_marks.h"
#include "tree/write_stat.h"
#include "tree/write_visit.h"

namespace dmthin {

struct WriteLimits {
  uint64_t names = 0;  // that may be made in all
  uint64_t bytes = 0;  // of memory that may be kept
};

/// A directory as it is used for one entry. The descriptor is that of the places, until the next call of
/// them.
struct WriteParent {
  int fd = -1;
  uint64_t inode = 0;
};

class ParentResolver {
 public:
  ParentResolver(UniqueFd root, const WriteStat& stat, const HashKey& key, const WriteLimits& limits);

  int root() const { return root_.get(); }
  const WriteStat& root_stat() const { return root_stat_; }
  WriteMarks& marks() { return marks_; }

  /// Makes the directory of a path with its missing parents, as root's and 0755. Names may be made in it:
  /// they inherit no ACL.
  Result<WriteParent> make(std::string_view path);
  /// Finds the directory of a path, in which names may be removed; none (fd -1) where there is no such
  /// directory.
  Result<WriteParent> find(std::string_view path);
  /// Opens the directory of a path, in which nothing is changed; none where there is no such directory.
  Result<UniqueFd> open(std::string_view path) const;
  /// Forgets the last parent: something was removed or replaced over which a path may have led.
  void forget() { known_ = false; }
  /// Puts back what the last `make` or `find` kept of its directory.
  Status leave();
  /// Counts one name more; E2BIG ("entries") beyond the most.
  Status count(std::string_view name);

 private:
  Result<WriteParent> enter(UniqueFd fd, std::string_view path);
  Status make_missing(const std::string& path);
  Result<size_t> longest_there(const std::string& path) const;

  UniqueFd root_;
  WriteStat root_stat_;
  uint64_t left_;
  WriteMarks marks_;
  // The last parent: archives go through a tree directory by directory.
  WriteVisit visit_;
  bool known_ = false;
};

}  // namespace dmthin
