#include "dm/ioctl_data.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace dmthin {
namespace {

constexpr size_t kAlign = 8;
constexpr size_t align_up(size_t size) { return (size + kAlign - 1) & ~(kAlign - 1); }
constexpr size_t kHeader = sizeof(dm_ioctl);
constexpr Operation kParse = "parse the kernel's answer";

Failure malformed(const char* what) { return failed(kParse, EBADMSG, {}, what); }

/// Reads a string that must end before `limit`; false when it does not.
bool read_string(const uint8_t* data, size_t limit, size_t at, std::string* out) {
  if (at >= limit) return false;
  const void* end = memchr(data + at, 0, limit - at);
  if (end == nullptr) return false;
  out->assign(reinterpret_cast<const char*>(data + at),
              static_cast<size_t>(static_cast<const uint8_t*>(end) - (data + at)));
  return true;
}

template <class T>
bool read_value(const uint8_t* data, size_t limit, size_t at, T* out) {
  if (at > limit || limit - at < sizeof(T)) return false;
  memcpy(out, data + at, sizeof(T));  // the buffer promises no alignment for T
  return true;
}

std::string fixed_string(const char* text, size_t size) { return std::string(text, strnlen(text, size)); }

}  // namespace

Reply::Reply(std::vector<uint8_t> bytes) : bytes_(std::move(bytes)) {
  if (bytes_.size() >= kHeader) memcpy(&header_, bytes_.data(), kHeader);
}

DeviceInfo Reply::info() const {
  DeviceInfo info;
  info.name = fixed_string(header_.name, sizeof header_.name);
  info.uuid = fixed_string(header_.uuid, sizeof header_.uuid);
  info.device = header_.dev;
  info.open_count = header_.open_count;
  info.target_count = header_.target_count;
  info.event_number = header_.event_nr;
  info.flags = header_.flags;
  return info;
}

std::optional<Reply::Span> Reply::payload() const {
  if (header_.data_start > bytes_.size() || header_.data_size > bytes_.size()) return std::nullopt;
  if (header_.data_start < offsetof(dm_ioctl, data)) return std::nullopt;
  // A device without a table answers with a data_size that ends before data_start: nothing.
  if (header_.data_size <= header_.data_start) return Span{bytes_.data() + header_.data_start, 0};
  return Span{bytes_.data() + header_.data_start, header_.data_size - header_.data_start};
}

Result<size_t> Reply::each_device(const std::function<void(const Listed&)>& tell) const {
  const auto span = payload();
  if (!span) return malformed("the list of devices lies outside its buffer");
  if (span->size == 0) return size_t{0};
  const bool with_uuid = (header_.flags & DM_UUID_FLAG) != 0;
  Listed entry;
  for (size_t at = 0;;) {
    uint32_t next = 0;
    entry.uuid.clear();
    entry.event_number.reset();
    const size_t name_at = at + offsetof(dm_name_list, name);
    if (!read_value(span->data, span->size, at, &entry.device) ||
        !read_value(span->data, span->size, at + offsetof(dm_name_list, next), &next)) {
      return malformed("a device entry is cut short");
    }
    if (entry.device == 0 && at == 0) return size_t{0};  // the kernel's way to say that there are none
    if (next > span->size - at) return malformed("a device entry points outside the list");
    // What an entry says ends before the next one: none is read twice, however many there are said to be.
    const size_t end = next == 0 ? span->size : at + next;
    if (!read_string(span->data, end, name_at, &entry.name)) return malformed("a device name has no end");
    // After the name, aligned: the event number, flags, and the uuid when flag 1 says so. Older kernels end
    // the entry after the name or after the event number.
    const size_t event_at = align_up(name_at + entry.name.size() + 1);
    uint32_t event_number = 0;
    uint32_t flags = 0;
    if (read_value(span->data, end, event_at, &event_number)) entry.event_number = event_number;
    if (with_uuid && read_value(span->data, end, event_at + sizeof(uint32_t), &flags) &&
        (flags & DM_NAME_LIST_FLAG_HAS_UUID) != 0 &&
        !read_string(span->data, end, event_at + 2 * sizeof(uint32_t), &entry.uuid)) {
      return malformed("a device uuid has no end");
    }
    tell(entry);
    // How long the last one is the kernel does not say: not longer than with a uuid.
    if (next == 0) return std::min(event_at + 2 * sizeof(uint32_t) + entry.uuid.size() + 1, span->size);
    at += next;
  }
}

Result<std::vector<Target>> Reply::targets() const {
  const auto span = payload();
  if (!span) return malformed("the table lies outside its buffer");
  std::vector<Target> found;
  const uint32_t count = header_.target_count;
  size_t at = 0;
  for (uint32_t index = 0; index < count; ++index) {
    dm_target_spec spec = {};
    Target target;
    if (!read_value(span->data, span->size, at, &spec)) return malformed("a target is cut short");
    target.start = spec.sector_start;
    target.length = spec.length;
    target.type = fixed_string(spec.target_type, sizeof spec.target_type);
    // Here `next` counts from the first target, not from this one, and must move forward.
    const bool last = index + 1 == count;
    if (!last && (spec.next <= at || spec.next > span->size)) {
      return malformed("a target points outside the table");
    }
    const size_t end = last ? span->size : spec.next;
    if (!read_string(span->data, end, at + sizeof spec, &target.parameters)) {
      return malformed("a target's text has no end");
    }
    found.push_back(std::move(target));
    at = spec.next;
  }
  return found;
}

Result<std::vector<TargetVersion>> Reply::versions() const {
  const auto span = payload();
  if (!span) return malformed("the list of targets lies outside its buffer");
  std::vector<TargetVersion> found;
  if (span->size == 0) return found;
  for (size_t at = 0;;) {
    uint32_t next = 0;
    TargetVersion version;
    if (!read_value(span->data, span->size, at, &next)) return malformed("a target version is cut short");
    if (next > span->size - at) return malformed("a target version points outside the list");
    const size_t end = next == 0 ? span->size : at + next;
    if (!read_value(span->data, end, at + offsetof(dm_target_versions, version), &version.version) ||
        !read_string(span->data, end, at + offsetof(dm_target_versions, name), &version.name)) {
      return malformed("a target version is cut short");
    }
    found.push_back(std::move(version));
    if (next == 0) return found;
    at += next;
  }
}

Result<std::vector<uint64_t>> Reply::dependencies() const {
  const auto span = payload();
  if (!span) return malformed("the dependencies lie outside their buffer");
  uint32_t count = 0;
  if (span->size == 0) return std::vector<uint64_t>();
  if (!read_value(span->data, span->size, 0, &count)) return malformed("the dependencies are cut short");
  std::vector<uint64_t> found;
  for (uint32_t index = 0; index < count; ++index) {
    uint64_t device = 0;
    if (!read_value(span->data, span->size, offsetof(dm_target_deps, dev) + index * sizeof device, &device)) {
      return malformed("there are fewer dependencies than counted");
    }
    found.push_back(device);
  }
  return found;
}

Result<std::string> Reply::message_reply() const {
  if ((header_.flags & DM_DATA_OUT_FLAG) == 0) return std::string();
  const auto span = payload();
  std::string text;
  if (!span || !read_string(span->data, span->size, 0, &text)) return malformed("the reply has no end");
  return text;
}

std::string described(const Address& address) {
  if (!address.label.empty()) return address.label;
  if (!address.name.empty()) return address.name;
  if (!address.uuid.empty()) return address.uuid;
  return std::to_string(address.device);
}

Result<std::vector<uint8_t>> pack(const Call& call, size_t room) {
  // The last byte of both arrays is the terminator; the kernel would cut a longer name without a word.
  if (call.address.name.size() >= DM_NAME_LEN || call.address.uuid.size() >= DM_UUID_LEN) {
    return failed(call.command.name, ENAMETOOLONG, call.address.name);
  }
  if (call.address.name.find('\0') != std::string::npos ||
      call.address.uuid.find('\0') != std::string::npos) {
    return failed(call.command.name, EINVAL, call.address.name, "a NUL byte in the name or uuid");
  }
  std::vector<uint8_t> bytes(kHeader + align_up(std::max(call.payload.size(), room)));
  dm_ioctl header = {};
  header.version[0] = DM_VERSION_MAJOR;
  header.version[1] = call.command.minor;
  header.data_size = static_cast<uint32_t>(bytes.size());
  header.data_start = kHeader;
  header.target_count = call.target_count;
  header.flags = call.flags;
  header.event_nr = call.event;
  header.dev = call.address.device;
  memcpy(header.name, call.address.name.data(), call.address.name.size());
  memcpy(header.uuid, call.address.uuid.data(), call.address.uuid.size());
  memcpy(bytes.data(), &header, kHeader);
  if (!call.payload.empty()) memcpy(bytes.data() + kHeader, call.payload.data(), call.payload.size());
  return bytes;
}

Result<std::vector<uint8_t>> pack_table(const std::vector<Target>& table) {
  std::vector<uint8_t> bytes;
  for (const Target& target : table) {
    dm_target_spec spec = {};
    const std::string& text = target.parameters;
    if (target.type.size() >= sizeof spec.target_type || text.find('\0') != std::string::npos) {
      return failed(command::kTableLoad.name, EINVAL, {}, target.type + " " + text);
    }
    const size_t at = bytes.size();
    const size_t size = align_up(sizeof spec + text.size() + 1);
    spec.sector_start = target.start;
    spec.length = target.length;
    spec.next = static_cast<uint32_t>(size);  // from this specification to the next
    memcpy(spec.target_type, target.type.data(), target.type.size());
    bytes.resize(at + size);
    memcpy(bytes.data() + at, &spec, sizeof spec);
    memcpy(bytes.data() + at + sizeof spec, text.data(), text.size());
  }
  return bytes;
}

std::vector<uint8_t> pack_string(const std::string& text) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(text.c_str());
  return std::vector<uint8_t>(bytes, bytes + text.size() + 1);
}

std::vector<uint8_t> pack_message(uint64_t sector, const std::string& text) {
  std::vector<uint8_t> bytes(sizeof(dm_target_msg) + text.size() + 1);
  memcpy(bytes.data(), &sector, sizeof sector);
  memcpy(bytes.data() + offsetof(dm_target_msg, message), text.data(), text.size());
  return bytes;
}

}  // namespace dmthin
