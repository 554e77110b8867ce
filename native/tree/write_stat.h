// What unpacking looks at of an entry that is there.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <ctime>

namespace dmthin {

struct WriteStat {
  uint64_t inode = 0;
  uint64_t device = 0;
  uint32_t mode = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  timespec times[2] = {};  // accessed, modified
  bool directory() const { return S_ISDIR(mode); }
  bool symlink() const { return S_ISLNK(mode); }
};

/// Reads the stat of a name in a directory, not followed; of the descriptor if the name is empty. Or -errno.
int stat_at(int directory, const char* name, WriteStat& found);

/// Opens a directory by its name in another one, to be read; no link is followed and no mount entered
/// (EXDEV). Or -errno.
int open_child(int directory, const char* name);

/// Opens a directory by its path, resolved as if `root` were `/`: no link and no `..` in one leads out of it,
/// nor onto another mount (EXDEV). Or -errno: EAGAIN if the machine renames too much to resolve a path in
/// between.
int open_inside(int root, const char* path);

}  // namespace dmthin
