#include "dm/listed_devices.h"

#include <sys/sysmacros.h>

#include "dm/thin_line.h"
#include "system/directory.h"
#include "system/number.h"

namespace dmthin {
namespace {

/// Returns the devices stacked on `device`, from sysfs; false when sysfs cannot be read.
bool holders_of(uint64_t device, std::vector<uint64_t>* found) {
  const std::string path =
      "/sys/dev/block/" + std::to_string(major(device)) + ":" + std::to_string(minor(device)) + "/holders";
  const auto add = [&](const char* name) {
    const auto number = number_after<unsigned>(name, "dm-");
    if (number) found->push_back(makedev(major(device), *number));  // all mapped devices share one major
  };
  return each_name(path, add) == 0;
}

// With more devices that are not the pool's, copying the list of all costs more than a look at the pool, the
// list of its own, and its holders. After such a list this many looks are made that way.
constexpr size_t kManyOthers = 100;
constexpr int kLooksWithMany = 100;

/// Searches the list of all devices. Nothing where no device has the pool's number.
Result<std::optional<ListedDevices>> among_all(Control& control, uint64_t pool, const std::string& own_prefix,
                                               Cancel& cancel) {
  ListedDevices found;
  found.others = false;
  bool there = false;
  size_t beside = 0;
  TRY(control.each_device({}, cancel, [&](const Listed& each) {
    if (each.device == pool) {
      there = true;
      found.pool_name = each.name;
      found.pool_uuid = each.uuid;
    } else if (each.uuid.compare(0, own_prefix.size(), own_prefix) == 0) {
      found.own.push_back(each.device);
    } else {
      ++beside;
      found.others = found.others || !names_started_pool(each.uuid);
    }
  }));
  if (beside > kManyOthers) control.looks_with_many() = kLooksWithMany;
  if (!there) return std::optional<ListedDevices>();
  std::sort(found.own.begin(), found.own.end());
  return std::optional<ListedDevices>(std::move(found));
}

/// Searches by the pool's own device and the list of its volumes.
Result<std::optional<ListedDevices>> by_prefix(Control& control, uint64_t pool, const std::string& own_prefix,
                                               Cancel& cancel) {
  const auto info = control.status({{}, {}, pool}, cancel);
  if (!info && info.failure().error == ENXIO) return std::optional<ListedDevices>();
  if (!info) return info.failure();
  ListedDevices found{info->name, info->uuid, {}, true};
  TRY(control.each_device({{}, own_prefix, 0}, cancel,
                          [&](const Listed& each) { found.own.push_back(each.device); }));
  std::sort(found.own.begin(), found.own.end());
  return std::optional<ListedDevices>(std::move(found));
}

}  // namespace

Result<std::optional<ListedDevices>> listed_devices(Control& control, uint64_t pool,
                                                    const std::string& own_prefix, Cancel& cancel) {
  if (control.looks_with_many() > 0) {
    --control.looks_with_many();
    return by_prefix(control, pool, own_prefix, cancel);
  }
  return among_all(control, pool, own_prefix, cancel);
}

Result<std::vector<uint64_t>> other_holders(Control& control, uint64_t pool, const ListedDevices& listed,
                                            Cancel& cancel) {
  std::vector<uint64_t> found;
  if (!listed.others) return found;
  if (!holders_of(pool, &found)) {
    const auto all =
        control.each_device({}, cancel, [&](const Listed& each) { found.push_back(each.device); });
    if (!all) return all.failure();
  }
  found.erase(std::remove_if(found.begin(), found.end(), [&](uint64_t device) { return listed.has(device); }),
              found.end());
  return found;
}

}  // namespace dmthin
