#include "dm/active_thins.h"

#include <sys/sysmacros.h>

#include <algorithm>
#include <unordered_set>

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
                                            const std::unordered_set<uint64_t>& also_without_table = {}) {
  std::vector<ActiveThin> found;
  for (const uint64_t device : devices) {
    auto thin = thin_at(control, pool, device, cancel);
    if (!thin) return thin.failure();
    if (!*thin) continue;
    if ((*thin)->line.type.empty() && also_without_table.count(device) == 0) continue;
    found.push_back(std::move(**thin));
  }
  return found;
}

}  // namespace

static Status same_pool(const DeviceInfo& info, const KnownPool& pool) {
  // A uuid stays when the pool is renamed; a name may be another pool's.
  const bool same = pool.uuid.empty() ? info.name == pool.name : info.uuid == pool.uuid;
  if (same) return Nothing{};
  return failed(command::kDeviceStatus.name, ENXIO, pool.name, "is now " + info.name);
}

Result<DeviceInfo> pool_device(Control& control, const KnownPool& pool, Cancel& cancel) {
  auto info = control.status({{}, {}, pool.device}, cancel);
  if (!info) return info;
  const auto same = same_pool(*info, pool);
  if (!same) return same.failure();
  return info;
}

Result<Control::DeviceLines> pool_lines(Control& control, const KnownPool& pool, Cancel& cancel) {
  auto lines = control.device_lines({{}, {}, pool.device}, DM_NOFLUSH_FLAG, cancel);
  if (!lines) return lines;
  const auto same = same_pool(lines->info, pool);
  if (!same) return same.failure();
  return lines;
}

Result<std::vector<ActiveThin>> foreign_thins(Control& control, uint64_t pool, const std::string& own_prefix,
                                              Cancel& cancel) {
  if (own_prefix.empty()) return std::vector<ActiveThin>();
  const auto info = control.status({{}, {}, pool}, cancel);
  if (!info) return info.failure();
  return foreign_thins(control, *info, own_prefix, cancel);
}

Result<std::vector<ActiveThin>> foreign_thins(Control& control, const DeviceInfo& pool,
                                              const std::string& own_prefix, Cancel& cancel) {
  if (pool.open_count == 0 || own_prefix.empty()) return std::vector<ActiveThin>();
  const auto own = control.list_devices({{}, own_prefix, 0}, cancel);
  if (!own) return own.failure();
  std::unordered_set<uint64_t> ours;
  for (const Listed& each : *own) ours.insert(each.device);
  std::vector<uint64_t> candidates;
  if (!holders_of(pool.device, &candidates)) {
    const auto all = control.list_devices({}, cancel);
    if (!all) return all.failure();
    for (const Listed& each : *all) candidates.push_back(each.device);
  }
  candidates.erase(std::remove_if(candidates.begin(), candidates.end(),
                                  [&](uint64_t device) { return ours.count(device) != 0; }),
                   candidates.end());
  return thins_among(control, pool.device, candidates, cancel);
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
  const auto own = control.list_devices({{}, volume_uuid_prefix(all.pool), 0}, cancel);
  if (!own) return own.failure();
  std::vector<uint64_t> devices;
  if (!holders_of(device, &devices)) {
    const auto every = control.list_devices({}, cancel);
    if (!every) return every.failure();
    for (const Listed& each : *every) devices.push_back(each.device);
  }
  const std::unordered_set<uint64_t> holding(devices.begin(), devices.end());
  std::unordered_set<uint64_t> ours;
  for (const Listed& each : *own) {
    ours.insert(each.device);
    if (holding.count(each.device) == 0) devices.push_back(each.device);
  }
  auto thins = thins_among(control, device, devices, cancel, ours);
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
