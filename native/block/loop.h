// Loop devices by ioctl and sysfs: attach a file, list, change, follow a grown file, detach.
#pragma once

#include <string>
#include <vector>

#include "system/cancel.h"
#include "system/result.h"
#include "system/unique_fd.h"

struct loop_info64;

namespace dmthin {

struct LoopRequest {
  std::string file;
  int number = -1;        // -1: one that is free
  std::string reference;  // lo_file_name, of which the kernel keeps 63 bytes; empty: the file's path
  bool read_only = false;
  bool direct_io = false;
  bool autoclear = false;
  bool partition_scan = false;
  uint64_t offset = 0;      // bytes
  uint64_t size_limit = 0;  // bytes, 0: to the end of the file
  uint32_t block_size = 0;  // bytes, 0: the kernel's choice
};

struct LoopStatus {
  int number = -1;
  std::string file;       // as in sysfs, which does not cut it to 63 characters
  std::string reference;  // what whoever attached it left in lo_file_name
  uint64_t backing_device = 0;
  uint64_t backing_inode = 0;
  uint64_t offset = 0;
  uint64_t size_limit = 0;
  uint64_t size_bytes = 0;
  uint32_t block_size = 0;
  bool read_only = false;
  bool autoclear = false;
  bool direct_io = false;
  bool partition_scan = false;
};

struct Attached {
  LoopStatus status;
  UniqueFd held;  // an open descriptor: with autoclear the device lives while somebody holds it open
};

/// Takes a free device (LOOP_CTL_GET_FREE, again while another process is quicker), or makes the one asked
/// for (LOOP_CTL_ADD), and attaches the file with LOOP_CONFIGURE, or with LOOP_SET_FD + LOOP_SET_STATUS64 on
/// kernels before 5.8. Fails with EEXIST, naming the device, when the same part of the file is attached
/// already: two devices over it have two caches.
Result<Attached> loop_attach(const LoopRequest& request, Cancel& cancel);
Result<std::vector<LoopStatus>> loop_list();
Result<LoopStatus> loop_status(int number);
/// Sends LOOP_SET_CAPACITY: the device takes the size that its file has now.
Result<LoopStatus> loop_set_capacity(int number);
/// Sends LOOP_CHANGE_FD: attaches another file of the same size below a read-only device, under whoever has
/// it open. EINVAL when the device can be written or the sizes differ.
Result<LoopStatus> loop_change_file(int number, const std::string& file, Cancel& cancel);
/// Sends LOOP_SET_DIRECT_IO.
Result<LoopStatus> loop_set_direct_io(int number, bool direct_io);
/// Sends LOOP_CLR_FD, then looks: EBUSY while somebody holds the device open (the kernel detaches at the last
/// close).
Status loop_detach(int number);
/// Sends LOOP_CLR_FD alone. Returns whether it is detached already, or will be at the last close.
Result<bool> loop_detach_at_last_close(int number);
/// Opens an attached device and keeps it, so that autoclear does not detach it.
Result<UniqueFd> loop_hold(int number);

// For the files of this folder.
/// Returns the fields of the kernel's structure, which does not have the sizes of the device.
LoopStatus status_from(int number, const loop_info64& info);
std::string loop_node(int number);
Result<UniqueFd> open_loop(int number, int mode);

}  // namespace dmthin
