#include "tree/write_batch.h"

#include <cerrno>
#include <cstring>

namespace dmthin {
namespace {

constexpr uint32_t kNanoseconds = 1'000'000'000;

/// Takes values off the front; once something did not fit, everything after it is empty.
class Taker {
 public:
  explicit Taker(std::string_view bytes) : rest_(bytes) {}

  template <class T>
  T number() {
    T value = 0;
    const std::string_view bytes = take(sizeof value);
    if (!bytes.empty()) memcpy(&value, bytes.data(), sizeof value);
    return value;
  }

  std::string_view take(size_t length) {
    if (length > rest_.size()) broken_ = true;
    if (broken_) return {};
    const auto taken = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return taken;
  }

  /// Takes a text without a NUL in it, and with one behind it.
  std::string_view text(size_t length) {
    const auto taken = take(length);
    const auto end = take(1);
    if (broken_ || end.front() != '\0' || taken.find('\0') != std::string_view::npos) {
      broken_ = true;
      return {};
    }
    return taken;
  }

  void refuse_unless(bool right) { broken_ = broken_ || !right; }
  bool broken() const { return broken_; }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
  bool broken_ = false;
};

bool plain_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string_view::npos;
}

bool plain_path(std::string_view path) {
  if (path.empty()) return true;
  for (;;) {
    const size_t end = path.find('/');
    if (!plain_name(path.substr(0, end))) return false;
    if (end == std::string_view::npos) return true;
    path.remove_prefix(end + 1);
  }
}

/// Returns whether the link is valid. The target of a symbolic link is any text; that of a hard link is a
/// path in the tree.
bool right_link(WriteType type, std::string_view link) {
  if (type == WriteType::kHardLink) return !link.empty() && plain_path(link);
  return type == WriteType::kSymlink || link.empty();
}

void take_entry(Taker& from, WriteRecord& record) {
  const auto type = from.number<uint32_t>();
  record.type = static_cast<WriteType>(type);
  record.flags = from.number<uint32_t>();
  record.mode = from.number<uint32_t>();
  record.uid = from.number<uint32_t>();
  record.gid = from.number<uint32_t>();
  record.major = from.number<uint32_t>();
  record.minor = from.number<uint32_t>();
  record.modified = from.number<int64_t>();
  record.accessed = from.number<int64_t>();
  record.modified_ns = from.number<uint32_t>();
  record.accessed_ns = from.number<uint32_t>();
  const auto parent = from.number<uint32_t>();
  const auto name = from.number<uint32_t>();
  const auto link = from.number<uint32_t>();
  const auto attributes = from.number<uint32_t>();
  const auto data = from.number<uint32_t>();
  record.parent = from.text(parent);
  record.name = from.text(name);
  record.link = from.text(link);
  record.attributes = from.take(attributes);
  record.data = from.take(data);

  from.refuse_unless(type < static_cast<uint32_t>(WriteType::kTypes));
  from.refuse_unless(record.mode <= 07777);
  from.refuse_unless(record.modified_ns < kNanoseconds && record.accessed_ns < kNanoseconds);
  const bool root = record.name.empty() && record.parent.empty() && record.type == WriteType::kDirectory;
  from.refuse_unless(root || (plain_path(record.parent) && plain_name(record.name)));
  from.refuse_unless(right_link(record.type, record.link));
  from.refuse_unless(record.type == WriteType::kFile || (record.data.empty() && record.flags == 0));
  std::string_view rest = record.attributes;
  while (next_attribute(rest)) continue;
  from.refuse_unless(rest.empty());
}

}  // namespace

std::optional<WriteAttribute> next_attribute(std::string_view& rest) {
  Taker from(rest);
  const auto name = from.number<uint32_t>();
  const auto value = from.number<uint32_t>();
  WriteAttribute attribute;
  attribute.name = from.text(name);
  attribute.value = from.take(value);
  if (from.broken() || attribute.name.empty()) return std::nullopt;
  rest = from.rest();
  return attribute;
}

Result<std::optional<WriteRecord>> WriteBatch::next() {
  if (rest_.empty()) return std::optional<WriteRecord>();
  Taker from(rest_);
  WriteRecord record;
  const auto kind = from.number<uint32_t>();
  from.refuse_unless(kind >= static_cast<uint32_t>(WriteKind::kEntry));
  from.refuse_unless(kind <= static_cast<uint32_t>(WriteKind::kOpaque));
  if (from.broken()) return failed("batch", EBADMSG);
  record.kind = static_cast<WriteKind>(kind);
  switch (record.kind) {
    case WriteKind::kEntry:
      take_entry(from, record);
      break;
    case WriteKind::kData: {
      const auto length = from.number<uint32_t>();
      record.offset = from.number<uint64_t>();
      record.data = from.take(length);
      break;
    }
    case WriteKind::kChunk:
      record.chunk = from.number<uint32_t>();
      record.offset = from.number<uint64_t>();
      break;
    case WriteKind::kEnd:
      from.refuse_unless(from.number<uint32_t>() == 0);
      record.offset = from.number<uint64_t>();
      break;
    case WriteKind::kWhiteout: {
      const auto parent = from.number<uint32_t>();
      const auto name = from.number<uint32_t>();
      record.parent = from.text(parent);
      record.name = from.text(name);
      from.refuse_unless(plain_path(record.parent) && plain_name(record.name));
      break;
    }
    case WriteKind::kOpaque:
      record.parent = from.text(from.number<uint32_t>());
      from.refuse_unless(plain_path(record.parent));
      break;
  }
  // An offset in a file is a signed number to the kernel.
  from.refuse_unless(record.offset <= uint64_t{INT64_MAX});
  if (from.broken()) return failed("batch", EBADMSG);
  rest_ = from.rest();
  return std::optional<WriteRecord>(record);
}

}  // namespace dmthin
