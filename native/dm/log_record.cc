#include "dm/log_record.h"

#include <sys/sysmacros.h>

#include <string_view>

#include "system/number.h"

namespace dmthin {
namespace {

constexpr std::string_view kMapper = "device-mapper: ";
constexpr uint32_t kLevelBits = 7;  // above them is the facility
constexpr uint32_t kWarning = 4;

/// Returns the text of "priority,sequence,time,flags;text\n key=value\n", where it is an error or a warning.
std::string_view text_of(std::string_view record) {
  const size_t comma = record.find(',');
  const size_t start = record.find(';');
  if (comma == std::string_view::npos || start == std::string_view::npos || comma > start) return {};
  const auto priority = number_in<uint32_t>(record.substr(0, comma));
  if (!priority || (*priority & kLevelBits) > kWarning) return {};
  const std::string_view rest = record.substr(start + 1);
  return rest.substr(0, rest.find('\n'));
}

}  // namespace

// Lines look like "device-mapper: table: 253:4: thin-pool: Invalid block size (-EINVAL)", or, from the target
// itself, "device-mapper: thin: 253:4: …".
std::string reason_in(const std::string& record, uint64_t device) {
  const std::string_view text = text_of(record);
  const std::string number = " " + std::to_string(major(device)) + ":" + std::to_string(minor(device)) + ": ";
  const size_t at = text.find(number);
  if (text.find(kMapper) == std::string_view::npos || at == std::string_view::npos) return {};
  return std::string(text.substr(at + number.size()));
}

}  // namespace dmthin
