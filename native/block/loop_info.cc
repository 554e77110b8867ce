// What LOOP_GET_STATUS64 fills, as plain values. Pure.
#include <linux/loop.h>

#include <cstring>

#include "block/loop.h"

namespace dmthin {

LoopStatus status_from(int number, const loop_info64& info) {
  LoopStatus status;
  status.number = number;
  status.backing_device = info.lo_device;
  status.backing_inode = info.lo_inode;
  status.offset = info.lo_offset;
  status.size_limit = info.lo_sizelimit;
  status.read_only = (info.lo_flags & LO_FLAGS_READ_ONLY) != 0;
  status.autoclear = (info.lo_flags & LO_FLAGS_AUTOCLEAR) != 0;
  status.direct_io = (info.lo_flags & LO_FLAGS_DIRECT_IO) != 0;
  status.partition_scan = (info.lo_flags & LO_FLAGS_PARTSCAN) != 0;
  const auto* name = reinterpret_cast<const char*>(info.lo_file_name);
  status.reference.assign(name, strnlen(name, LO_NAME_SIZE));
  return status;
}

}  // namespace dmthin
