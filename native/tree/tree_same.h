// Whether an entry of one tree is what it is in another, and what an entry has beside its stat.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "system/cancel.h"
#include "tree/tree_entry.h"

namespace dmthin {

using Xattrs = std::vector<std::pair<std::string, std::string>>;

/// An entry by the directory that has it.
struct Place {
  int directory = -1;
  const char* name = "";
  const EntryStat* stat = nullptr;
  const std::string& path;  // for messages
};

/// Returns the extended attributes in the order of the names. Without `security.selinux`: a label is the
/// machine's, and not the layer's.
Result<Xattrs> xattrs_of(const Place& place);
Result<std::string> link_target(const Place& place);

/// Compares type, mode, owner, and except for directories size, time of modification and device number.
bool same_attributes(const EntryStat& lower, const EntryStat& upper);

/// Returns whether nothing about the entry itself differs; what a directory has in it is not looked at. The
/// same inode with the same times of modification and change is the same without a further look: nothing can
/// be changed without the latter. `scratch` is memory for contents.
Result<bool> same_entry(const Place& lower, const Place& upper, std::vector<char>& scratch, Cancel& cancel);

}  // namespace dmthin
