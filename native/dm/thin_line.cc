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

ThinStatus thin_status_of(const Target& status) {
  ThinStatus found;
  found.length = status.length;
  std::string_view text = status.parameters;
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  if (status.type != "thin") return found;
  if (text == "Fail") found.state = ThinStatus::kFailed;
  if (text == "Error") found.state = ThinStatus::kError;
  const size_t space = text.find(' ');
  if (space == std::string_view::npos) return found;
  const auto mapped = number_in<uint64_t>(text.substr(0, space));
  const std::string_view rest = text.substr(space + 1);
  found.highest = number_in<uint64_t>(rest);
  if (!mapped || (!found.highest && rest != "-")) return found;
  found.mapped = *mapped;
  found.state = ThinStatus::kActive;
  return found;
}

std::string volume_uuid_prefix(const DeviceInfo& pool) {
  const std::string own = "DMTHIN-POOL-";
  const std::string device = std::to_string(major(pool.device)) + ":" + std::to_string(minor(pool.device));
  const std::string start =
      pool.uuid.compare(0, own.size(), own) == 0 ? pool.uuid.substr(own.size()) : device;
  return "DMTHIN-" + start + "-";
}

bool names_started_pool(const std::string& uuid) {
  return uuid.compare(0, 7, "DMTHIN-") == 0 && uuid.find(':') == std::string::npos;
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

namespace {

/// Reads "USED/TOTAL" as the free blocks and the total.
bool read_usage(std::string_view word, uint64_t* free, uint64_t* total) {
  const size_t slash = word.find('/');
  if (slash == std::string_view::npos) return false;
  const auto used = number_in<uint64_t>(word.substr(0, slash));
  const auto all = number_in<uint64_t>(word.substr(slash + 1));
  if (!used || !all || *used > *all) return false;
  *free = *all - *used;
  *total = *all;
  return true;
}

}  // namespace

std::optional<PoolSpace> space_of(const Target& status) {
  if (status.type != "thin-pool") return std::nullopt;
  // The transaction id, then the metadata and the data.
  std::string_view rest = status.parameters;
  std::string_view words[3];
  for (std::string_view& word : words) {
    const size_t end = std::min(rest.find(' '), rest.size());
    word = rest.substr(0, end);
    rest = rest.substr(std::min(end + 1, rest.size()));
  }
  PoolSpace space;
  if (!read_usage(words[1], &space.free_metadata, &space.metadata)) return std::nullopt;
  if (!read_usage(words[2], &space.free_data, &space.data)) return std::nullopt;
  return space;
}

bool Reserve::leaves(const PoolSpace& space) const {
  const auto enough = [&](uint64_t free, uint64_t total, double limit) {
    return static_cast<double>(free) >= std::min(static_cast<double>(total) * percent / 100, limit);
  };
  return enough(space.free_metadata, space.metadata, metadata_blocks) &&
         enough(space.free_data, space.data, data_blocks);
}

int commit_error_of(const Target& status) {
  const std::string_view text = status.parameters;
  if (status.type != "thin-pool" || has_word(text, "needs_check")) return EIO;
  if (has_word(text, "rw") || has_word(text, "out_of_data_space")) return 0;
  return has_word(text, "ro") ? ENOSPC : EIO;
}

}  // namespace dmthin
