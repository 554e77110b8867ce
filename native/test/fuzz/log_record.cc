// A record of /dev/kmsg: anybody with the right to write there can make one.
#include "dm/log_record.h"

#include <sys/sysmacros.h>

#include "test/fuzz/target.h"

using namespace dmthin;

FUZZ(log_record) {
  const std::string record(reinterpret_cast<const char*>(data), size);
  const std::string reason = reason_in(record, makedev(253, 4));
  HOLDS(reason.size() <= size && reason.find('\n') == std::string::npos);
  HOLDS(reason.empty() || record.find(" 253:4: " + reason) != std::string::npos);
}
