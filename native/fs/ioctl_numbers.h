// What the file systems' own headers say and the system's do not (fs/ext4/ext4.h, fs/xfs/libxfs/xfs_fs.h).
#pragma once

#include <linux/ioctl.h>

#include <cstdint>
#include <string>

#include "system/result.h"
#include "system/unique_fd.h"

namespace dmthin {

// Of statfs (linux/magic.h; xfs has its own in no header).
constexpr uint32_t kExtMagic = 0xEF53;
constexpr uint32_t kXfsMagic = 0x58465342;

struct XfsGeometry {  // xfs_fsop_geom_v1
  uint32_t block_size, rt_extent_size, ag_blocks, ag_count, log_blocks, sector_size, inode_size,
      inode_max_percent;
  uint64_t data_blocks, rt_blocks, rt_extents, log_start;
  uint8_t uuid[16];
  uint32_t stripe_unit, stripe_width;
  int32_t version;
  uint32_t flags, log_sector_size, rt_sector_size, dir_block_size;
};
static_assert(sizeof(XfsGeometry) == 112);

struct XfsGrow {  // xfs_growfs_data
  uint64_t new_blocks;
  uint32_t inode_max_percent;
};
static_assert(sizeof(XfsGrow) == 16);

constexpr unsigned long kExt4Resize = _IOW('f', 16, uint64_t);
constexpr unsigned long kXfsGeometry = _IOR('X', 100, XfsGeometry);
constexpr unsigned long kXfsGrowData = _IOW('X', 110, XfsGrow);

/// Opens a folder of a mounted file system.
Result<UniqueFd> open_mounted(const std::string& path);

}  // namespace dmthin
