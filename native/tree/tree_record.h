// Changes on their way to JavaScript: one block of memory for many, read by lib/store/compare/tree-record.ts.
//
// A batch: u32 records, u32 whether it is the last, u64 entries looked at so far; then the records.
// A record: u32 its length, u8 kind, 3 bytes 0, u32 lengths of path and link target, u32 extended attributes,
// u32 mode, uid, gid, links, major, minor, 0; the identity (40 bytes, EntryIdentity); path, link target; and
// for each extended attribute u32 lengths of name and value, name, value. Little-endian, as the machines are.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tree/tree_same.h"

namespace dmthin {

/// A, C and D are Docker's. U is a regular file with several names that has not changed: others may link to
/// it.
enum class Change : uint8_t { kAdded = 'A', kChanged = 'C', kDeleted = 'D', kUnchanged = 'U' };

constexpr size_t kIdentityBytes = 40;

class RecordBatch {
 public:
  RecordBatch();
  void add(Change kind, const std::string& path, const EntryStat& stat, const std::string& link,
           const Xattrs& xattrs);
  size_t size() const { return bytes_.size(); }
  std::vector<uint8_t> finish(bool last, uint64_t seen);

 private:
  void put(const void* bytes, size_t length);
  void number(uint32_t value) { put(&value, sizeof value); }
  std::vector<uint8_t> bytes_;
  uint32_t records_ = 0;
};

/// Reads an identity, for requests to read.
EntryIdentity identity_in(const uint8_t* bytes);

}  // namespace dmthin
