// The names in a directory.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "system/result.h"

namespace dmthin {

struct DirectoryName {
  std::string_view name;  // ended by a NUL, until the next piece
  uint64_t inode = 0;
  uint8_t type = 0;  // DT_DIR and others; DT_UNKNOWN where the file system does not say
};

/// Reads from where the descriptor stands.
class DirectoryNames {
 public:
  explicit DirectoryNames(int directory, size_t piece_bytes = size_t{64} * 1024)
      : directory_(directory), buffer_(piece_bytes) {}

  /// Returns the next piece, without `.` and `..`, which may be all of it. Null at the end; EIO for records
  /// that are none.
  Result<const std::vector<DirectoryName>*> next();

 private:
  int directory_;
  std::vector<char> buffer_;
  std::vector<DirectoryName> names_;
};

/// Calls `use` with each name but those that begin with a dot, of a directory of /proc, sysfs or /dev.
/// Returns 0, or -errno if the directory cannot be read.
int each_name(const std::string& directory, const std::function<void(const char* name)>& use);

}  // namespace dmthin
