#include "abi/thin_line.h"

#include <sys/sysmacros.h>

#include <string_view>

#include "abi/number.h"

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

}  // namespace dmthin
