// What goes to the device mapper and what comes back, as plain values. Packing and unpacking only: nothing
// here enters the kernel, so the native tests and a fuzzer can feed it any bytes.
#pragma once

#include <linux/dm-ioctl.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "dm/commands.h"
#include "system/result.h"

namespace dmthin {

struct Target {
  uint64_t start = 0;   // sectors
  uint64_t length = 0;  // sectors
  std::string type;
  std::string parameters;
};

/// The device that is meant. The kernel takes exactly one of the three (dm-ioctl.c __find_device_hash_cell).
struct Address {
  std::string name;
  std::string uuid;
  uint64_t device = 0;     // as in dm_ioctl.dev (huge_encode_dev)
  std::string label = {};  // what failures call it, in place of its uuid or number
};

/// Returns the name of the device in failures.
std::string described(const Address& address);

struct Call {
  Command command;
  Address address;
  uint32_t flags = 0;
  uint32_t event = 0;  // resume, remove, rename: udev flags and cookie; wait: the last event number seen
  uint32_t target_count = 0;
  std::vector<uint8_t> payload = {};
};

struct DeviceInfo {
  std::string name;
  std::string uuid;
  uint64_t device = 0;
  int32_t open_count = 0;
  uint32_t target_count = 0;
  uint32_t event_number = 0;
  uint32_t flags = 0;
};

struct Listed {
  std::string name;
  std::string uuid;
  uint64_t device = 0;
  std::optional<uint32_t> event_number;  // since 4.37
};

struct TargetVersion {
  std::string name;
  uint32_t version[3] = {0, 0, 0};
};

/// The kernel's answer: the whole buffer, of which `size` bytes were there to be written.
class Reply {
 public:
  explicit Reply(std::vector<uint8_t> bytes);
  const dm_ioctl& header() const { return header_; }
  bool buffer_full() const { return (header_.flags & DM_BUFFER_FULL_FLAG) != 0; }
  DeviceInfo info() const;

  // Each of these refuses offsets and lengths that leave the buffer, and strings without an end (EBADMSG).
  /// Calls `tell` for each device, with one record for all. Returns the length of the list in bytes.
  Result<size_t> each_device(const std::function<void(const Listed&)>& tell) const;
  Result<std::vector<Target>> targets() const;
  Result<std::vector<TargetVersion>> versions() const;
  Result<std::vector<uint64_t>> dependencies() const;
  Result<std::string> message_reply() const;

 private:
  struct Span {
    const uint8_t* data;
    size_t size;
  };
  std::optional<Span> payload() const;
  std::vector<uint8_t> bytes_;
  dm_ioctl header_ = {};  // a copy: the bytes promise no alignment
};

/// Returns the bytes of a request with room for `room` bytes of answer. Refuses a name or uuid that is too
/// long (ENAMETOOLONG) or has a NUL in it (EINVAL): the kernel would cut it without a word.
Result<std::vector<uint8_t>> pack(const Call& call, size_t room);

/// Packs target specifications for DM_TABLE_LOAD. Refuses a NUL in the parameters (EINVAL).
Result<std::vector<uint8_t>> pack_table(const std::vector<Target>& table);
std::vector<uint8_t> pack_message(uint64_t sector, const std::string& text);
/// Packs one string with its end, which DM_DEV_RENAME and DM_DEV_SET_GEOMETRY read.
std::vector<uint8_t> pack_string(const std::string& text);

}  // namespace dmthin
