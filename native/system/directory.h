// The names in a directory of /proc, sysfs or /dev, which are few.
#pragma once

#include <functional>
#include <string>

namespace dmthin {

/// Calls `use` with each name but those that begin with a dot. Returns 0, or -errno if the directory cannot
/// be opened.
int each_name(const std::string& directory, const std::function<void(const char* name)>& use);

}  // namespace dmthin
