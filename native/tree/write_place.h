// Where in a tree a path of an archive lies. The path is somebody else's: it is resolved as if the tree's
// root were `/`, so that no symbolic link and no `..` in one leads out of it, and never onto another file
// system.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>

#include "abi/result.h"
#include "abi/unique_fd.h"

namespace dmthin {

/// Which names this archive has made, by the directory that has them. By directory and not by path: two paths
/// may lead to one place.
class WrittenNames {
 public:
  void add(uint64_t directory, std::string_view name) { keys_.insert(key(directory, name)); }
  bool has(uint64_t directory, std::string_view name) const { return keys_.count(key(directory, name)) != 0; }

 private:
  static uint64_t key(uint64_t directory, std::string_view name);
  std::unordered_set<uint64_t> keys_;
};

struct WriteStat {
  uint64_t inode = 0;
  uint64_t device = 0;
  uint32_t mode = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  bool directory() const { return S_ISDIR(mode); }
  bool symlink() const { return S_ISLNK(mode); }
};

/// Of a name in a directory, not followed; of the descriptor itself where the name is empty. Or -errno.
int stat_at(int directory, const char* name, WriteStat& found);

/// A directory as it is used for one entry. The descriptor is that of the places, until the next call of
/// them.
struct WriteParent {
  int fd = -1;
  uint64_t inode = 0;
};

class WritePlaces {
 public:
  /// `most`: how many names may be made in all.
  WritePlaces(UniqueFd root, const WriteStat& stat, uint64_t most);

  int root() const { return root_.get(); }
  const WriteStat& root_stat() const { return root_stat_; }
  WrittenNames& written() { return written_; }

  /// The directory of a path, made with what is missing of it, as root's and 0755.
  Result<WriteParent> make(std::string_view path);
  /// The directory of a path; none (fd -1) where there is no such directory.
  Result<WriteParent> find(std::string_view path);
  /// A directory by its path, to be read, without following a link at its end; none where there is none.
  Result<UniqueFd> open(const std::string& path) const;
  /// Something was removed or replaced over which a path may have led.
  void forget() { known_ = false; }
  /// Counts one name more; E2BIG ("entries") beyond the most.
  Status count(std::string_view name);

 private:
  Result<WriteParent> keep(UniqueFd fd, std::string_view path);
  Result<UniqueFd> make_missing(const std::string& path);

  UniqueFd root_;
  WriteStat root_stat_;
  uint64_t left_;
  WrittenNames written_;
  // The last parent: archives go through a tree directory by directory.
  bool known_ = false;
  std::string path_;
  UniqueFd fd_;
  uint64_t inode_ = 0;
};

}  // namespace dmthin
