// Work that several threads share for the length of one call.
#pragma once

#include <cstddef>
#include <functional>

namespace dmthin {

/// Calls `work` with 0 on this thread and with 1 up to `threads` - 1 on others, and returns when all have
/// returned. If the system has no thread left, there are fewer calls: `work` takes from a common supply until
/// nothing is left. It must not throw.
void side_by_side(size_t threads, const std::function<void(size_t)>& work);

}  // namespace dmthin
