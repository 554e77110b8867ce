// A tree of files as its descriptors show it: opening one, what an entry is, and the names in a directory.
// Nothing here follows a symbolic link, and nothing leaves the file system of the tree's root.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "system/cancel.h"
#include "system/result.h"
#include "system/unique_fd.h"

namespace dmthin {

/// The fields by which an entry is known again, in the order in which records have them.
struct EntryIdentity {
  uint64_t inode = 0;
  uint64_t size = 0;  // bytes
  int64_t modified = 0;
  int64_t changed = 0;
  uint32_t modified_ns = 0;
  uint32_t changed_ns = 0;
  bool operator==(const EntryIdentity& other) const = default;
};

struct EntryStat {
  EntryIdentity is;
  uint32_t mode = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t links = 0;
  uint32_t device_major = 0;  // of a device node
  uint32_t device_minor = 0;
  bool directory() const;
  bool regular() const;
  bool symlink() const;
};

struct TreeRoot {
  UniqueFd given;  // O_PATH, of the path as it was given: keeps its mount busy
  UniqueFd
      clone;    // O_PATH, of a copy of the mount on which nothing else is mounted; none where it may not be
  UniqueFd fd;  // the root directory
  EntryStat stat;
  std::string path;
};

/// Mounts that lie inside the tree are not in it: where the kernel lets, what they hide is looked at instead.
Result<TreeRoot> open_tree_root(const std::string& path);

struct DirectoryEntry {
  size_t name_at = 0;
  size_t name_length = 0;
  EntryStat stat;
};

/// The entries of a directory, in the order of the bytes of the names.
struct Listing {
  std::vector<char> names;  // each ended by a NUL
  std::vector<DirectoryEntry> entries;
  std::string_view name(size_t index) const {
    return {names.data() + entries[index].name_at, entries[index].name_length};
  }
  const char* c_name(size_t index) const { return names.data() + entries[index].name_at; }
};

/// Returns the failure of a walk that was cancelled.
Failure tree_cancelled(const std::string& path);

/// Returns the failure of a call on an entry. An entry that is gone or has changed is reported as "tree
/// changed".
Failure tree_failure(Operation operation, int error, const std::string& path);
Failure tree_changed(const std::string& path);

/// Returns what an entry is; EXDEV ("tree mount") if something is mounted on it. Paths are only for messages.
Result<EntryStat> stat_entry(int directory, const char* name, const std::string& path);
Result<Listing> list_directory(int directory, const std::string& path, Cancel& cancel);
Result<UniqueFd> open_directory(int parent, const char* name, const std::string& path);
Result<UniqueFd> open_regular(int parent, const char* name, const std::string& path);

}  // namespace dmthin
