// A lock file per pool, /run/dm-thin/NAME.lock. Compound calls hold it shared while a device of the pool is
// half-made or suspended; what makes, repairs, grows or removes the pool holds it exclusively. The lock is the
// kernel's (flock): it ends with its holder. Devices and files below pools have lock files of their own.
#pragma once

#include <string>

#include "abi/cancel.h"
#include "abi/result.h"
#include "abi/unique_fd.h"

namespace dmthin {

enum class LockMode { kShared, kExclusive };

/// Waits, and hears of cancellation. flock alone lets shared locks pass one that waits for the exclusive lock;
/// so each waits behind a gate, which is left once the lock is held: nobody overtakes whoever is in the gate.
Result<UniqueFd> lock_sections(const std::string& key, LockMode mode, Cancel& cancel);

/// In place of it where /run cannot be written: a file that only this process has, so that its own threads
/// at least exclude each other in lock_thin.
Result<UniqueFd> lock_of_process();

/// One thin id of the pool for oneself, until `lock` is closed. Waits, and hears of
/// cancellation. Of two snapshots of one origin, in one process or two, the second would otherwise find it
/// suspended by the first and send its message to an origin that the first has resumed.
Status lock_thin(const UniqueFd& lock, uint32_t id, Cancel& cancel);

}  // namespace dmthin
