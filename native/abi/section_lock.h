// A lock file per pool, /run/dm-thin/NAME.lock. Compound calls hold it shared while a device of the pool is
// half-made or suspended; whoever mends leftovers takes it exclusively first, and so never mistakes a call
// that is under way in another process for the remains of a dead one. The lock is the kernel's (flock): it
// ends with its holder.
#pragma once

#include <string>

#include "abi/cancel.h"
#include "abi/result.h"
#include "abi/unique_fd.h"

namespace dmthin {

enum class LockMode { kShared, kExclusiveNow };

/// Shared waits, and hears of cancellation. Exclusive answers EWOULDBLOCK at once when somebody is inside.
Result<UniqueFd> lock_sections(const std::string& pool_name, LockMode mode, Cancel& cancel);

/// How an activation of a thin id, and a snapshot of it, hold it. Of two snapshots of one origin the second
/// would otherwise find it suspended by the first and send its message to an origin that the first has
/// resumed; and an origin that is activated while its snapshot is made would not be suspended for it.
enum class ThinLock { kShared, kExclusive };

/// The pool's lock shared, and one thin id of the pool, until the descriptor is closed. Waits, and hears of
/// cancellation. Where /run cannot be written, only the threads of this process exclude each other.
Result<UniqueFd> lock_thin(const std::string& pool_name, uint32_t id, ThinLock mode, Cancel& cancel);

/// The pool's lock shared; where /run cannot be written, a file that only this process has.
Result<UniqueFd> enter_sections(const std::string& pool_name, Cancel& cancel);

}  // namespace dmthin
