// Contents of files of a tree, many small ones or a part of a large one at a time.
#pragma once

#include <string>
#include <vector>

#include "system/cancel.h"
#include "tree/tree_entry.h"

namespace dmthin {

/// A part of a file. The identity is that which the walk saw.
struct FilePart {
  std::string path;  // from the root, with a leading slash
  EntryIdentity identity;
  uint64_t offset = 0;
  uint32_t length = 0;
};

/// Requests as lib/store/compare/tree-record.ts packs them: for each part the identity (40 bytes), u64
/// offset, u32 length, u32 length of the path, path. EBADMSG where the bytes are no such thing.
Result<std::vector<FilePart>> parts_in(const uint8_t* bytes, size_t length);

/// Fills `memory` with the parts, one behind the other: it has as many bytes as they have together. A file
/// that is another one by now, or was written to since, is reported as "tree changed".
Status read_parts(const TreeRoot& root, const std::vector<FilePart>& parts, uint8_t* memory, size_t length,
                  Cancel& cancel);

}  // namespace dmthin
