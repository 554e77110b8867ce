// A table line, of any target, and a uuid: is it a thin of this pool, and which?
#include "dm/thin_line.h"

#include <sys/sysmacros.h>

#include "test/fuzz/target.h"

using namespace dmthin;

FUZZ(thin_line) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const size_t end = text.find('\n');
  Target target;
  target.type = "thin";
  target.parameters = text.substr(0, end);
  if (const auto id = thin_id_of(target, makedev(253, 0))) {
    HOLDS(target.parameters.compare(0, 6, "253:0 ") == 0);
    HOLDS(target.parameters.find(std::to_string(*id)) != std::string::npos);
    HOLDS(!is_failed_thin(target));
  }
  target.type = "linear";
  HOLDS(!thin_id_of(target, makedev(253, 0)) && !is_failed_thin(target));
  HOLDS(commit_error_of(target) != 0);
  const std::string uuid = end == std::string::npos ? text : text.substr(end + 1);
  if (const auto id = thin_id_of_uuid(uuid)) {
    HOLDS(uuid.compare(0, 7, "DMTHIN-") == 0);
    HOLDS(uuid.find(std::to_string(*id)) != std::string::npos);
  }
}
