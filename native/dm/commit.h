// Changes of a pool's metadata. The kernel commits after each message and
// ignores the result of that (dm-thin.c pool_message), so success is what the
// pool's status says afterwards.
#pragma once

#include <optional>
#include <string>

#include "dm/active_thins.h"
#include "dm/control.h"

namespace dmthin {

/// The operation of a failed commit in a `Failure`. EIO: the pool has gone back
/// to its last commit and needs a check, or has failed. ENOSPC: it is out of
/// metadata space, and whether the change was committed before that only the
/// metadata on disk shows.
constexpr Operation kCommit = "commit";

/// Returns whether the answer to a message that a pool has taken shows that its commit
/// has worked, by the number of events and the flags in it. `before` is the
/// number of events at any time before the message. A failed commit changes the
/// mode of the pool, which raises an event (dm-thin.c set_pool_mode); after
/// that the pool takes no message, and the kernel counts the events when it has
/// run the message. Not of a pool that is suspended: the kernel may be
/// replacing the table that counts.
bool shows_commit(uint32_t events, uint32_t flags, uint32_t before);

/// Sends a message to a pool and asks its status (NOFLUSH) right after it,
/// unless the answer shows the commit. The look is not given up: the message
/// has been taken. If the look itself fails, what a create_thin or create_snap
/// made is deleted again.
Result<std::string> committed_message(Control& control, const Address& pool, uint64_t sector,
                                      const std::string& text, Cancel& cancel);

struct CreateThinRequest {
  KnownPool pool;
  uint32_t id = 0;
  std::optional<uint32_t> origin_id;  // a snapshot of it; else an empty volume
  bool committed = true;              // whether it must have been committed
};

/// Creates a thin id while no other call creates it. EEXIST: the id exists, or another call is creating it.
/// Suspends nothing: nobody may write the origin.
Status create_thin(Control& control, const CreateThinRequest& request, Cancel& cancel);

/// Asks a pool's status (NOFLUSH) after the message `text`, and fails with
/// `kCommit` if its commit failed. It is not given up.
Status verify_commit(Control& control, const Address& pool, const std::string& text);

/// Commits what the pool has in memory, and looks.
Status commit(Control& control, const Address& pool, Cancel& cancel);

}  // namespace dmthin
