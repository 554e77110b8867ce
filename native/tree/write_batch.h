// What TypeScript packs of an archive: records of files to make and names to remove, one after the other in
// one piece of memory. Read here within its bounds, whatever the bytes say; nothing is copied.
//
// Numbers are little-endian; each text has its length at a fixed place and is followed by a NUL. A record:
//   entry     kind type flags mode uid gid major minor (u32), modified accessed (i64 seconds), their
//             nanoseconds (u32), lengths of parent, name, link, attributes, data (u32), and those five
//   data      kind length (u32), offset (u64), the bytes
//   chunk     kind index (u32), offset (u64): bytes that lie elsewhere
//   end       kind 0 (u32), size (u64): of the file whose entry said that more comes
//   whiteout  kind, lengths of parent and name (u32), and those two
//   opaque    kind, length of directory (u32), and that
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "system/result.h"

namespace dmthin {

enum class WriteKind : uint32_t { kEntry = 1, kData, kChunk, kEnd, kWhiteout, kOpaque };
enum class WriteType : uint32_t {
  kFile,
  kDirectory,
  kSymlink,
  kHardLink,
  kCharacterDevice,
  kBlockDevice,
  kFifo,
  kTypes
};

/// A parent is `a/b`, or empty: no part of it is empty, `.` or `..`. A name is one such part.
struct WriteRecord {
  static constexpr uint32_t kMore = 1;  // of `flags`: data follows in records of their own, up to an `end`

  WriteKind kind = WriteKind::kEnd;
  WriteType type = WriteType::kFile;
  uint32_t flags = 0;
  uint32_t mode = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t major = 0;
  uint32_t minor = 0;
  int64_t modified = 0;
  int64_t accessed = 0;
  uint32_t modified_ns = 0;
  uint32_t accessed_ns = 0;
  std::string_view parent;
  std::string_view name;  // empty for the root directory itself
  std::string_view link;
  std::string_view attributes;  // as next_attribute() reads them
  std::string_view data;
  uint64_t offset = 0;  // or the size, of an `end`
  uint32_t chunk = 0;
};

class WriteBatch {
 public:
  explicit WriteBatch(std::string_view bytes) : rest_(bytes) {}
  /// Returns the next record; nothing behind the last. EBADMSG for what is none.
  Result<std::optional<WriteRecord>> next();

 private:
  std::string_view rest_;
};

struct WriteAttribute {
  std::string_view name;  // followed by a NUL
  std::string_view value;
};

/// Takes the first attribute off `rest`; nothing where none is left, or where the bytes are none.
std::optional<WriteAttribute> next_attribute(std::string_view& rest);

}  // namespace dmthin
