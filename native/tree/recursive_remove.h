// Takes away what is below a name, or what of it an archive has not made itself.
#pragma once

#include "system/cancel.h"
#include "tree/parent_resolver.h"

namespace dmthin {

struct WriteRemoval {
  WriteMarks* keep = nullptr;  // whose names stay, and all that leads to them
  uint64_t device = 0;         // the file system that is not left; nor is the mount
  uint64_t max_bytes = 0;      // of memory for what is still to be removed; E2BIG ("memory") beyond
  std::string path;            // for messages
};

/// Removes a name with all that is below it. Does nothing if there is no such name.
Status remove_name(const WriteParent& parent, const char* name, const WriteRemoval& removal, Cancel& cancel);
/// Removes all that is in a directory.
Status empty_directory(int directory, const WriteRemoval& removal, Cancel& cancel);

}  // namespace dmthin
