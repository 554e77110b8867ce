// What LOOP_GET_STATUS64 fills.
#include <linux/loop.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "block/loop.h"
#include "test/fuzz/target.h"

using namespace dmthin;

FUZZ(loop_info) {
  // On the heap, where a step behind its last field is seen.
  const auto info = std::make_unique<loop_info64>();
  memset(info.get(), 0, sizeof *info);
  std::copy_n(data, std::min(size, sizeof *info), reinterpret_cast<uint8_t*>(info.get()));
  const LoopStatus status = status_from(7, *info);
  HOLDS(status.number == 7 && status.reference.size() <= LO_NAME_SIZE);
  HOLDS(status.reference.find('\0') == std::string::npos);
  HOLDS(status.offset == info->lo_offset && status.backing_inode == info->lo_inode);
}
