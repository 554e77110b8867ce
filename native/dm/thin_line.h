// Which thin a mapped device is, from its table line and its uuid; and what a pool's status line says of its
// commits. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "dm/ioctl_data.h"

namespace dmthin {

/// Returns the id of "MAJ:MIN ID [external origin]"; nothing where it is not a thin of this pool.
std::optional<uint32_t> thin_id_of(const Target& target, uint64_t pool);

/// Returns whether the line is that of a failed thin. Once its pool has failed, a thin prints one word for
/// its table too (dm-thin.c thin_status).
bool is_failed_thin(const Target& target);

/// Returns the number at the end of a uuid of ours (lib/pool/state/context.ts volumeUuidPrefix); another
/// program's has none.
std::optional<uint32_t> thin_id_of_uuid(const std::string& uuid);

struct ThinStatus {
  enum State { kActive, kFailed, kError, kOther };
  State state = kOther;
  uint64_t length = 0;  // in sectors, as the next two
  uint64_t mapped = 0;
  std::optional<uint64_t> highest;  // none if nothing is mapped
};

/// Reads a thin's status line.
ThinStatus thin_status_of(const Target& status);

/// Returns the text with which the uuids of the volumes of a pool begin; their id follows (volumeUuidPrefix).
std::string volume_uuid_prefix(const DeviceInfo& pool);

/// Returns whether a uuid is that of a pool that this library has started, or of a volume of one. The
/// volume's begins with the random part of its pool's, which the kernel lets nobody change: it lies on that
/// pool and on no other. Not so "DMTHIN-253:4-7", the volume of a pool that another program has started.
bool names_started_pool(const std::string& uuid);

/// The blocks of a pool that are free, and all of them.
struct PoolSpace {
  uint64_t free_metadata = 0;
  uint64_t metadata = 0;
  uint64_t free_data = 0;
  uint64_t data = 0;
};

/// Reads the space of a pool from its status line; nothing if the pool has failed.
std::optional<PoolSpace> space_of(const Target& status);

/// The space of a pool that has to be free: `percent` of its blocks, and no more than the limits, which may
/// be infinite.
struct Reserve {
  double percent = 0;
  double data_blocks = 0;
  double metadata_blocks = 0;

  bool leaves(const PoolSpace& space) const;
};

/// Reads a pool's status line. Returns 0 if its commits work. EIO: it has gone back to its last commit and
/// needs a check, or has failed, or is no pool. ENOSPC: it is read-only without either, as when its metadata
/// is full.
int commit_error_of(const Target& status);

}  // namespace dmthin
