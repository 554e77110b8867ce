#include "dm/thin_line.h"

#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "system/number.h"

namespace dmthin {

std::optional<uint32_t> thin_id_of(const Target& target, uint64_t pool) {
  if (target.type != "thin") return std::nullopt;
  const std::string prefix = std::to_string(major(pool)) + ":" + std::to_string(minor(pool)) + " ";
  const std::string_view text = target.parameters;
  if (text.substr(0, prefix.size()) != prefix) return std::nullopt;
  const std::string_view rest = text.substr(prefix.size());
  return number_in<uint32_t>(rest.substr(0, rest.find(' ')));
}

bool is_failed_thin(const Target& target) {
  return target.type == "thin" && target.parameters.compare(0, 4, "Fail") == 0;
}

std::optional<uint32_t> thin_id_of_uuid(const std::string& uuid) {
  if (uuid.compare(0, 7, "DMTHIN-") != 0) return std::nullopt;
  return number_in<uint32_t>(std::string_view(uuid).substr(uuid.rfind('-') + 1));
}

namespace {

bool has_word(std::string_view text, std::string_view word) {
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(' ', at), text.size());
    if (text.substr(at, end - at) == word) return true;
    at = end + 1;
  }
  return false;
}

}  // namespace

int commit_error_of(const Target& status) {
  const std::string_view text = status.parameters;
  if (status.type != "thin-pool" || has_word(text, "needs_check")) return EIO;
  if (has_word(text, "rw") || has_word(text, "out_of_data_space")) return 0;
  return has_word(text, "ro") ? ENOSPC : EIO;
}

}  // namespace dmthin
