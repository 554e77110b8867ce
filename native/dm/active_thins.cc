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

Result<std::vector<ActiveThin>> thins_among(Control& control, uint64_t pool,
                                            const std::vector<uint64_t>& devices, Cancel& cancel) {
  std::vector<ActiveThin> found;
  for (const uint64_t device : devices) {
    const auto table = control.table_status({{}, {}, device}, DM_STATUS_TABLE_FLAG | DM_NOFLUSH_FLAG, cancel);
    if (!table) {
      if (table.failure().error == ENXIO) continue;  // gone since it was listed
      return table.failure();
    }
    ActiveThin thin;
    if (table->empty()) continue;
    const bool in_failed_pool = is_failed_thin(table->front()) && lies_on(control, device, pool, cancel);
    const auto id = thin_id_of(table->front(), pool);
    if (!in_failed_pool && !id) continue;
    const auto info = control.status({{}, {}, device}, cancel);
    if (!info) continue;
    thin.name = info->name;
    thin.uuid = info->uuid;
    thin.device = device;
    thin.id = id ? *id : thin_id_of_uuid(thin.uuid).value_or(kUnknownThinId);
    found.push_back(std::move(thin));
  }
  return found;
}

}  // namespace

Result<DeviceInfo> pool_device(Control& control, const KnownPool& pool, Cancel& cancel) {
  auto info = control.status({{}, {}, pool.device}, cancel);
  if (!info) return info;
  // A uuid stays when the pool is renamed; a name may be another pool's.
  const bool same = pool.uuid.empty() ? info->name == pool.name : info->uuid == pool.uuid;
  if (same) return info;
  return failed(command::kDeviceStatus.name, ENXIO, pool.name, "is now " + info->name);
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
