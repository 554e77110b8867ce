// All devices of a reply at once, for those who compare.
#pragma once

#include <vector>

#include "dm/ioctl_data.h"

namespace dmthin::test {

inline Result<std::vector<Listed>> devices_of(const Reply& reply) {
  std::vector<Listed> found;
  const auto read = reply.each_device([&found](const Listed& each) { found.push_back(each); });
  if (!read) return read.failure();
  return found;
}

}  // namespace dmthin::test
