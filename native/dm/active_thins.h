// Which thin ids of a pool are active. The kernel lets one id be active under two names, which corrupts its
// data, and it wants an active origin suspended for a snapshot; both need the kernel's tables, not our
// memory.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dm/control.h"
#include "dm/thin_line.h"

namespace dmthin {

/// The id of a thin whose pool has failed and that another program activated: nothing shows it.
constexpr uint32_t kUnknownThinId = UINT32_MAX;

struct ActiveThin {
  std::string name;
  std::string uuid;
  uint64_t device = 0;
  uint32_t id = 0;
  uint32_t flags = 0;
  int32_t open_count = 0;
  Target line;  // of its table; empty if it has none
};

/// A pool as a caller knows it: the number that it had, its name, and its uuid (empty where it has none).
struct KnownPool {
  uint64_t device = 0;
  std::string name;
  std::string uuid;

  /// Returns its uuid, or its number where it has none; never by the name, which another pool may have by
  /// now.
  Address address() const { return {{}, uuid, uuid.empty() ? device : 0, name}; }
};

/// Returns the pool's device, by its number. ENXIO where another device has the number by now: one of another
/// uuid or, where the pool has none, of another name. That may be another pool with volumes of the same ids.
Result<DeviceInfo> pool_device(Control& control, const KnownPool& pool, Cancel& cancel);

/// Returns the same with its status line, in one command.
Result<Control::DeviceLines> pool_lines(Control& control, const KnownPool& pool, Cancel& cancel);

/// Volumes that this library activates carry a uuid of this prefix and their id: the kernel refuses a second
/// device with the same uuid, so the uuid is the lock. What is reported here are the others: devices that
/// hold the pool open and do not carry the prefix. One command if this library has made all mapped devices of
/// the machine. ENXIO where no device has the pool's number. With an empty prefix all are ours, and nobody is
/// asked.
Result<std::vector<ActiveThin>> foreign_thins(Control& control, uint64_t pool, const std::string& own_prefix,
                                              Cancel& cancel);
/// Returns the same of a pool that is still the one that the caller knows, as in pool_device().
Result<std::vector<ActiveThin>> foreign_thins(Control& control, const KnownPool& pool,
                                              const std::string& own_prefix, Cancel& cancel);

/// A pool, and each device of it.
struct Inventory {
  DeviceInfo pool;
  std::vector<Target> table;
  std::vector<Target> status;
  /// Those that hold the pool, whoever made them, and those of this library that have no table yet.
  std::vector<ActiveThin> thins;
};

/// Sends one command for each thin, and none that waits for the pool's metadata. ENXIO where there is no
/// pool.
Result<Inventory> inventory(Control& control, const Address& pool, Cancel& cancel);

/// Returns the status of each volume whose uuid is `prefix` and its id. `kOther`: it is not there, or its
/// line is unusual, and whoever wants to know asks for this one.
Result<std::vector<ThinStatus>> status_of_thins(Control& control, const std::string& prefix,
                                                const std::vector<uint32_t>& ids, Cancel& cancel);

/// Returns every active thin of the pool, whoever made it.
Result<std::vector<ActiveThin>> active_thins(Control& control, uint64_t pool, Cancel& cancel);

}  // namespace dmthin
