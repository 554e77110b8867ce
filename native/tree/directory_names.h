// The names in a directory, piece by piece as the kernel gives them.
#pragma once

#include <cstdint>
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
  explicit DirectoryNames(int directory) : directory_(directory), buffer_(kPieceBytes) {}

  /// The next piece, without `.` and `..`, which may be all of it. Null at the end; EIO for records that are
  /// none.
  Result<const std::vector<DirectoryName>*> next();

 private:
  static constexpr size_t kPieceBytes = size_t{64} * 1024;

  int directory_;
  std::vector<char> buffer_;
  std::vector<DirectoryName> names_;
};

}  // namespace dmthin
