#include "dm/active_thins.h"

#include <sys/sysmacros.h>

#include <algorithm>

#include "dm/thin_line.h"
#include "system/directory.h"
#include "system/number.h"

namespace dmthin {
namespace {

/// The devices stacked on `device`, from sysfs; false when sysfs cannot be read.
bool holders_of(uint64_t device, std::vector<uint64_t>* found) {
  const std::string path =
      "/sys/dev/block/" + std::to_string(major(device)) + ":" + std::to_string(minor(device)) + "/holders";
  const auto add = [&](const char* name) {
    const auto number = number_after<unsigned>(name, "dm-");
    if (number) found->push_back(makedev(major(device), *number));  // all mapped devices share one major
  };
  return each_name(path, add) == 0;
}

// How thins of other programs are found: by the list of all mapped devices, then by the pool's holders in
// sysfs, in this order. The kernel lists a device from its creation to its removal, and a device needs a
// table to hold the pool. So whatever holds the pool when the list is taken is in the list, except a device
// whose removal has begun, which nobody can open any more. If all listed devices are known, nobody else holds
// the pool, and the holders are not read. Otherwise the holders tell which of the others lie on the pool. In
// both cases a device that was active before the call is found. One that another program activates during the
// call may be missed, as one that it activates after the call. The number of holders does not replace the
// list: a device that this library is just activating is in the list and holds nothing yet.

/// What the list of all mapped devices says of a pool.
struct ListedDevices {
  std::optional<Listed> pool;
  /// The volumes that this library has activated, or is activating; sorted.
  std::vector<uint64_t> own;
  /// What may be a thin of the pool that another program has activated.
  std::vector<uint64_t> others;

  bool has(uint64_t device) const { return std::binary_search(own.begin(), own.end(), device); }
  /// The holders of the pool that are not `own`. All devices that may be, where sysfs cannot be read.
  std::vector<uint64_t> other_holders(uint64_t pool) const {
    std::vector<uint64_t> found;
    if (others.empty()) return found;
    if (!holders_of(pool, &found)) return others;
    found.erase(std::remove_if(found.begin(), found.end(), [&](uint64_t each) { return has(each); }),
                found.end());
    return found;
  }
};

Result<ListedDevices> listed_devices(Control& control, uint64_t pool, const std::string& own_prefix,
                                     Cancel& cancel) {
  ListedDevices all;
  const auto listed = control.each_device({}, cancel, [&](const Listed& each) {
    if (each.device == pool)
      all.pool = each;
    else if (each.uuid.compare(0, own_prefix.size(), own_prefix) == 0)
      all.own.push_back(each.device);
    else if (!names_started_pool(each.uuid))
      all.others.push_back(each.device);
  });
  if (!listed) return listed.failure();
  std::sort(all.own.begin(), all.own.end());
  return all;
}

bool lies_on(Control& control, uint64_t device, uint64_t pool, Cancel& cancel) {
  const auto below = control.table_deps({{}, {}, device}, cancel);
  return below && std::find(below->begin(), below->end(), pool) != below->end();
}

/// What a device is to a pool; nothing if it is none of its thins, or is gone.
Result<std::optional<ActiveThin>> thin_at(Control& control, uint64_t pool, uint64_t device, Cancel& cancel) {
  auto found = control.device_lines({{}, {}, device}, DM_STATUS_TABLE_FLAG | DM_NOFLUSH_FLAG, cancel);
  if (!found) {
    if (found.failure().error == ENXIO) return std::optional<ActiveThin>();
    return found.failure();
  }
  ActiveThin thin;
  const DeviceInfo& info = found->info;
  const auto of_uuid = thin_id_of_uuid(info.uuid);
  std::optional<uint32_t> id = of_uuid;
  if (!found->targets.empty()) {
    thin.line = std::move(found->targets.front());
    const bool in_failed_pool = is_failed_thin(thin.line) && lies_on(control, device, pool, cancel);
    id = thin_id_of(thin.line, pool);
    if (!in_failed_pool && !id) return std::optional<ActiveThin>();
    if (!id) id = of_uuid.value_or(kUnknownThinId);
  }
  if (!id) return std::optional<ActiveThin>();
  thin.name = info.name;
  thin.uuid = info.uuid;
  thin.device = device;
  thin.flags = info.flags;
  thin.open_count = info.open_count;
  thin.id = *id;
  return std::optional<ActiveThin>(std::move(thin));
}

Result<std::vector<ActiveThin>> thins_among(Control& control, uint64_t pool,
                                            const std::vector<uint64_t>& devices, Cancel& cancel,
                                            const ListedDevices& listed = {}) {
  std::vector<ActiveThin> found;
  for (const uint64_t device : devices) {
    auto thin = thin_at(control, pool, device, cancel);
    if (!thin) return thin.failure();
    if (!*thin) continue;
    if ((*thin)->line.type.empty() && !listed.has(device)) continue;
    found.push_back(std::move(**thin));
  }
  return found;
}

}  // namespace

static Status same_pool(const Command& looked, const std::string& name, const std::string& uuid,
                        const KnownPool& pool) {
  // A uuid stays when the pool is renamed; a name may be another pool's.
  const bool same = pool.uuid.empty() ? name == pool.name : uuid == pool.uuid;
  if (same) return Nothing{};
  return failed(looked.name, ENXIO, pool.name, "is now " + name);
}

Result<DeviceInfo> pool_device(Control& control, const KnownPool& pool, Cancel& cancel) {
  auto info = control.status({{}, {}, pool.device}, cancel);
  if (!info) return info;
  const auto same = same_pool(command::kDeviceStatus, info->name, info->uuid, pool);
  if (!same) return same.failure();
  return info;
}

Result<Control::DeviceLines> pool_lines(Control& control, const KnownPool& pool, Cancel& cancel) {
  auto lines = control.device_lines({{}, {}, pool.device}, DM_NOFLUSH_FLAG, cancel);
  if (!lines) return lines;
  const auto same = same_pool(command::kTableStatus, lines->info.name, lines->info.uuid, pool);
  if (!same) return same.failure();
  return lines;
}

Result<std::vector<ActiveThin>> foreign_thins(Control& control, uint64_t pool, const std::string& own_prefix,
                                              Cancel& cancel) {
  if (own_prefix.empty()) return std::vector<ActiveThin>();
  const auto listed = listed_devices(control, pool, own_prefix, cancel);
  if (!listed) return listed.failure();
  if (!listed->pool) return failed(command::kListDevices.name, ENXIO, described({{}, {}, pool}));
  return thins_among(control, pool, listed->other_holders(pool), cancel);
}

Result<std::vector<ActiveThin>> foreign_thins(Control& control, const KnownPool& pool,
                                              const std::string& own_prefix, Cancel& cancel) {
  if (own_prefix.empty()) {
    const auto info = pool_device(control, pool, cancel);
    if (!info) return info.failure();
    return std::vector<ActiveThin>();
  }
  const auto listed = listed_devices(control, pool.device, own_prefix, cancel);
  if (!listed) return listed.failure();
  if (!listed->pool) return failed(command::kListDevices.name, ENXIO, pool.name);
  // A kernel before 5.13 lists no uuids.
  if (listed->pool->uuid.empty() && !pool.uuid.empty()) {
    const auto info = pool_device(control, pool, cancel);
    if (!info) return info.failure();
  } else {
    const auto same = same_pool(command::kListDevices, listed->pool->name, listed->pool->uuid, pool);
    if (!same) return same.failure();
  }
  return thins_among(control, pool.device, listed->other_holders(pool.device), cancel);
}

Result<Inventory> inventory(Control& control, const Address& pool, Cancel& cancel) {
  auto table = control.device_lines(pool, DM_STATUS_TABLE_FLAG | DM_NOFLUSH_FLAG, cancel);
  if (!table) return table.failure();
  Inventory all{std::move(table->info), std::move(table->targets), {}, {}};
  const uint64_t device = all.pool.device;
  auto status = control.table_status({{}, {}, device, all.pool.name}, DM_NOFLUSH_FLAG, cancel);
  if (!status) return status.failure();
  all.status = std::move(*status);
  // Without a table it is no pool, and nothing is stacked on it.
  if (all.table.empty()) return all;
  const auto listed = listed_devices(control, device, volume_uuid_prefix(all.pool), cancel);
  if (!listed) return listed.failure();
  std::vector<uint64_t> devices = listed->other_holders(device);
  devices.insert(devices.end(), listed->own.begin(), listed->own.end());
  auto thins = thins_among(control, device, devices, cancel, *listed);
  if (!thins) return thins.failure();
  all.thins = std::move(*thins);
  return all;
}

Result<std::vector<ThinStatus>> status_of_thins(Control& control, const std::string& prefix,
                                                const std::vector<uint32_t>& ids, Cancel& cancel) {
  std::vector<ThinStatus> statuses;
  statuses.reserve(ids.size());
  for (const uint32_t id : ids) {
    const auto lines = control.table_status({{}, prefix + std::to_string(id), 0}, DM_NOFLUSH_FLAG, cancel);
    if (!lines && lines.failure().cancelled) return lines.failure();
    statuses.push_back(lines && !lines->empty() ? thin_status_of(lines->front()) : ThinStatus());
  }
  return statuses;
}

Result<std::vector<ActiveThin>> active_thins(Control& control, uint64_t pool, Cancel& cancel) {
  const auto listed = control.list_devices({}, cancel);
  if (!listed) return listed.failure();
  std::vector<uint64_t> candidates;
  if (!holders_of(pool, &candidates)) {
    for (const Listed& each : *listed) candidates.push_back(each.device);
  }
  return thins_among(control, pool, candidates, cancel);
}

}  // namespace dmthin
