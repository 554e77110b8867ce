#include "dm/active_thins.h"

#include <algorithm>

#include "dm/listed_devices.h"
#include "dm/thin_line.h"

namespace dmthin {
namespace {

bool lies_on(Control& control, uint64_t device, uint64_t pool, Cancel& cancel) {
  const auto below = control.table_deps({{}, {}, device}, cancel);
  return below && std::find(below->begin(), below->end(), pool) != below->end();
}

/// Returns a device of the pool as a thin; nothing if it is none of its thins, or is gone.
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
    auto thin = TRY(thin_at(control, pool, device, cancel));
    if (!thin) continue;
    if (thin->line.type.empty() && !listed.has(device)) continue;
    found.push_back(std::move(*thin));
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
  auto info = TRY(control.status({{}, {}, pool.device}, cancel));
  TRY(same_pool(command::kDeviceStatus, info.name, info.uuid, pool));
  return info;
}

Result<Control::DeviceLines> pool_lines(Control& control, const KnownPool& pool, Cancel& cancel) {
  auto lines = TRY(control.device_lines({{}, {}, pool.device}, DM_NOFLUSH_FLAG, cancel));
  TRY(same_pool(command::kTableStatus, lines.info.name, lines.info.uuid, pool));
  return lines;
}

/// Returns those that are not `listed` as ours.
static Result<std::vector<ActiveThin>> thins_on(Control& control, uint64_t pool, const ListedDevices& listed,
                                                Cancel& cancel) {
  const auto holders = TRY(other_holders(control, pool, listed, cancel));
  return thins_among(control, pool, holders, cancel);
}

Result<std::vector<ActiveThin>> foreign_thins(Control& control, uint64_t pool, const std::string& own_prefix,
                                              Cancel& cancel) {
  if (own_prefix.empty()) return std::vector<ActiveThin>();
  const auto listed = TRY(listed_devices(control, pool, own_prefix, cancel));
  if (!listed) return failed(command::kListDevices.name, ENXIO, described({{}, {}, pool}));
  return thins_on(control, pool, *listed, cancel);
}

Result<std::vector<ActiveThin>> foreign_thins(Control& control, const KnownPool& pool,
                                              const std::string& own_prefix, Cancel& cancel) {
  if (own_prefix.empty()) {
    TRY(pool_device(control, pool, cancel));
    return std::vector<ActiveThin>();
  }
  const auto found = TRY(listed_devices(control, pool.device, own_prefix, cancel));
  if (!found) return failed(command::kListDevices.name, ENXIO, pool.name);
  const ListedDevices& listed = *found;
  // A kernel before 5.13 lists no uuids.
  if (listed.pool_uuid.empty() && !pool.uuid.empty()) {
    TRY(pool_device(control, pool, cancel));
  } else {
    TRY(same_pool(command::kListDevices, listed.pool_name, listed.pool_uuid, pool));
  }
  return thins_on(control, pool.device, listed, cancel);
}

Result<Inventory> inventory(Control& control, const Address& pool, Cancel& cancel) {
  auto table = TRY(control.device_lines(pool, DM_STATUS_TABLE_FLAG | DM_NOFLUSH_FLAG, cancel));
  Inventory all{std::move(table.info), std::move(table.targets), {}, {}};
  const uint64_t device = all.pool.device;
  all.status = TRY(control.table_status({{}, {}, device, all.pool.name}, DM_NOFLUSH_FLAG, cancel));
  // Without a table it is no pool, and nothing is stacked on it.
  if (all.table.empty()) return all;
  const auto found = TRY(listed_devices(control, device, volume_uuid_prefix(all.pool), cancel));
  if (!found) return failed(command::kListDevices.name, ENXIO, all.pool.name);
  const ListedDevices& listed = *found;
  auto devices = TRY(other_holders(control, device, listed, cancel));
  devices.insert(devices.end(), listed.own.begin(), listed.own.end());
  all.thins = TRY(thins_among(control, device, devices, cancel, listed));
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
  return thins_on(control, pool, {}, cancel);  // as if none were ours
}

}  // namespace dmthin
