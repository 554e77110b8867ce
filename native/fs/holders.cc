#include "fs/holders.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <utility>
#include <vector>

#include "block/backing_file.h"
#include "block/loop.h"
#include "fs/mount_table.h"
#include "system/directory.h"
#include "system/number.h"
#include "system/unique_fd.h"

namespace dmthin {
namespace {

constexpr size_t kMaxHolders = 32;

std::string link_of(const std::string& path) {
  char buffer[4096];
  const ssize_t size = ::readlink(path.c_str(), buffer, sizeof buffer);
  return size > 0 ? std::string(buffer, static_cast<size_t>(size)) : std::string();
}

/// Returns whether a mount is of the device. btrfs and others on several devices give their mounts a number
/// of no device (0:…): their source shows it.
bool mounted_from(const MountLine& mount, const std::string& number, uint64_t device) {
  if (mount.device == number) return true;
  if (mount.device.compare(0, 2, "0:") != 0 || mount.source.compare(0, 5, "/dev/") != 0) return false;
  struct statx stat = {};
  return ::statx(AT_FDCWD, mount.source.c_str(), AT_STATX_DONT_SYNC, STATX_TYPE, &stat) == 0 &&
         S_ISBLK(stat.stx_mode) && makedev(stat.stx_rdev_major, stat.stx_rdev_minor) == device;
}

bool opened_by(const std::string& process, uint64_t device) {
  bool found = false;
  each_name(process + "/fd", [&](const std::string& name) {
    if (found) return;
    struct statx stat = {};
    if (::statx(AT_FDCWD, (process + "/fd/" + name).c_str(), AT_STATX_DONT_SYNC, STATX_TYPE, &stat) != 0)
      return;
    found = S_ISBLK(stat.stx_mode) && makedev(stat.stx_rdev_major, stat.stx_rdev_minor) == device;
  });
  return found;
}

/// Returns whether a process has an open file in the mount of this id.
bool has_file_in(const std::string& process, const std::string& mount_id) {
  const std::string wanted = "mnt_id:\t" + mount_id + "\n";
  bool found = false;
  each_name(process + "/fdinfo", [&](const std::string& name) {
    found = found || read_whole_file(process + "/fdinfo/" + name).find(wanted) != std::string::npos;
  });
  return found;
}

/// Returns whether a process of our mount namespace stands in a folder below `target`, or runs a program from
/// there.
bool lives_below(const std::string& process, const std::string& target) {
  for (const char* place : {"/cwd", "/root", "/exe"}) {
    const std::string path = link_of(process + place);
    if (path == target || path.compare(0, target.size() + 1, target + "/") == 0) return true;
  }
  return false;
}

void each_process(const std::function<void(const std::string&, int)>& use) {
  each_name("/proc", [&](const std::string& name) {
    const auto pid = number_in<int>(name);
    if (pid) use("/proc/" + name, *pid);
  });
}

}  // namespace

std::vector<Holder> holders(uint64_t device) {
  const std::string number = std::to_string(major(device)) + ":" + std::to_string(minor(device));
  std::vector<Holder> found;
  each_name("/sys/dev/block/" + number + "/holders",
            [&](const std::string& name) { found.push_back({"device", "/dev/" + name, 0}); });
  std::set<std::string> namespaces;  // one look at each mount table, however many processes share it
  each_process([&](const std::string& process, int pid) {
    if (found.size() >= kMaxHolders) return;
    if (namespaces.insert(link_of(process + "/ns/mnt")).second) {
      for (const MountLine& mount : mounts_seen_by(process)) {
        if (mounted_from(mount, number, device)) found.push_back({"mount", mount.target, pid});
      }
    }
    if (opened_by(process, device)) found.push_back({"process", read_small_file(process + "/comm"), pid});
  });
  return found;
}

Result<std::vector<Holder>> holders_of_mount(const std::string& path) {
  const std::string target = without_links(path);
  const auto identity = TRY(identify_path(target));
  std::vector<Holder> found;
  const auto mounts = mounts_seen_by("/proc/self");
  const MountLine* own = mount_at(mounts, target);
  if (own == nullptr) return found;
  for (const MountLine& mount : mounts) {
    if (mount.parent == own->id) found.push_back({"mount", mount.target, static_cast<int>(::getpid())});
  }
  const auto loops = loop_list();
  for (const LoopStatus& loop : loops ? *loops : std::vector<LoopStatus>()) {
    if (loop.backing_device == identity.device) found.push_back({"device", loop_node(loop.number), 0});
  }
  const std::string ours = link_of("/proc/self/ns/mnt");
  each_process([&](const std::string& process, int pid) {
    if (found.size() >= kMaxHolders) return;
    const bool here = link_of(process + "/ns/mnt") == ours && lives_below(process, target);
    if (here || has_file_in(process, own->id))
      found.push_back({"process", read_small_file(process + "/comm"), pid});
  });
  return found;
}

}  // namespace dmthin
