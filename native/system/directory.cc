#include "system/directory.h"

#include <dirent.h>

#include <cerrno>

#include "system/scope_guard.h"

namespace dmthin {

int each_name(const std::string& directory, const std::function<void(const char* name)>& use) {
  DIR* const opened = ::opendir(directory.c_str());
  if (opened == nullptr) return -errno;
  const ScopeGuard close([&] { ::closedir(opened); });
  while (const dirent* entry = ::readdir(opened)) {
    if (entry->d_name[0] != '.') use(entry->d_name);
  }
  return 0;
}

}  // namespace dmthin
