// One record of /dev/kmsg. Pure.
#pragma once

#include <cstdint>
#include <string>

namespace dmthin {

/// Returns what the record says of this device; empty unless it is an error or a warning of the device
/// mapper's about it.
std::string reason_in(const std::string& record, uint64_t device);

}  // namespace dmthin
