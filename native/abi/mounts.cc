#include "abi/mounts.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <charconv>
#include <functional>
#include <set>
#include <utility>

#include "abi/block.h"
#include "abi/system_call.h"
#include "abi/unique_fd.h"

namespace dmthin {
namespace {

constexpr size_t kMostHolders = 32;

void each_entry(const std::string& path, const std::function<void(const std::string&)>& use) {
  DIR* directory = ::opendir(path.c_str());
  if (directory == nullptr) return;
  while (const dirent* entry = ::readdir(directory)) {
    if (entry->d_name[0] != '.') use(entry->d_name);
  }
  ::closedir(directory);
}

std::string read_all(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  char buffer[16384];
  for (ssize_t size; fd && (size = ::read(fd.get(), buffer, sizeof buffer)) > 0;) {
    text.append(buffer, static_cast<size_t>(size));
  }
  return text;
}

std::string link_of(const std::string& path) {
  char buffer[256];
  const ssize_t size = ::readlink(path.c_str(), buffer, sizeof buffer);
  return size > 0 ? std::string(buffer, static_cast<size_t>(size)) : std::string();
}

/// The mount points of "MAJ:MIN" in one process's view. Field 3 is the device, field 5 the mount point.
void mounts_seen_by(const std::string& process, const std::string& number, int pid,
                    std::vector<Holder>* found) {
  const std::string text = read_all(process + "/mountinfo");
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    const std::string line = text.substr(at, end - at);
    at = end == std::string::npos ? text.size() : end + 1;
    std::string fields[5];
    size_t from = 0;
    for (std::string& field : fields) {
      const size_t space = line.find(' ', from);
      if (space == std::string::npos) break;
      field = line.substr(from, space - from);
      from = space + 1;
    }
    if (fields[2] == number) found->push_back({"mount", fields[4], pid});
  }
}

bool opened_by(const std::string& process, uint64_t device) {
  bool found = false;
  each_entry(process + "/fd", [&](const std::string& name) {
    if (found) return;
    struct statx stat = {};
    if (::statx(AT_FDCWD, (process + "/fd/" + name).c_str(), AT_STATX_DONT_SYNC, STATX_TYPE, &stat) != 0)
      return;
    found = S_ISBLK(stat.stx_mode) && makedev(stat.stx_rdev_major, stat.stx_rdev_minor) == device;
  });
  return found;
}

}  // namespace

Status mount_file_system(const MountRequest& request) {
  const int result = system_call("mount", [&] {
    return ::mount(request.source.c_str(), request.target.c_str(), request.type.c_str(), request.flags,
                   request.data.empty() ? nullptr : request.data.c_str());
  });
  if (result < 0) return failed("mount", -result, request.source, request.target);
  return Nothing{};
}

Status unmount_file_system(const std::string& target, int flags) {
  const int result = system_call("umount2", [&] { return ::umount2(target.c_str(), flags); });
  if (result < 0) return failed("umount2", -result, target);
  return Nothing{};
}

std::vector<Holder> holders(uint64_t device) {
  const std::string number = std::to_string(major(device)) + ":" + std::to_string(minor(device));
  std::vector<Holder> found;
  each_entry("/sys/dev/block/" + number + "/holders",
             [&](const std::string& name) { found.push_back({"device", "/dev/" + name, 0}); });
  std::set<std::string> namespaces;  // one look at each mount table, however many processes share it
  each_entry("/proc", [&](const std::string& name) {
    int pid = 0;
    if (found.size() >= kMostHolders) return;
    if (std::from_chars(name.data(), name.data() + name.size(), pid).ec != std::errc()) return;
    const std::string process = "/proc/" + name;
    if (namespaces.insert(link_of(process + "/ns/mnt")).second) mounts_seen_by(process, number, pid, &found);
    if (opened_by(process, device)) found.push_back({"process", read_small_file(process + "/comm"), pid});
  });
  return found;
}

}  // namespace dmthin
