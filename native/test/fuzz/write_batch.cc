// A batch of records to write: any bytes give records that keep what write_batch.h says of them, or an error.
#include "tree/write_batch.h"

#include <cerrno>

#include "test/fuzz/target.h"

using namespace dmthin;

namespace {

bool ended(std::string_view text) { return text.data() != nullptr && text.data()[text.size()] == '\0'; }

bool inside(std::string_view part, std::string_view whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

bool plain(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string_view::npos;
}

void check_entry(const WriteRecord& record, std::string_view whole) {
  HOLDS(record.type < WriteType::kTypes && record.mode <= 07777);
  HOLDS(record.modified_ns < 1'000'000'000 && record.accessed_ns < 1'000'000'000);
  HOLDS(ended(record.parent) && ended(record.name) && ended(record.link));
  HOLDS(record.name.empty() ? record.type == WriteType::kDirectory && record.parent.empty()
                            : plain(record.name));
  HOLDS(record.type == WriteType::kFile || record.data.empty());
  std::string_view rest = record.attributes;
  while (const auto attribute = next_attribute(rest)) {
    HOLDS(ended(attribute->name) && !attribute->name.empty());
    HOLDS(inside(attribute->name, whole) && inside(attribute->value, whole));
  }
  HOLDS(rest.empty());
}

}  // namespace

FUZZ(write_batch) {
  const std::string_view whole(reinterpret_cast<const char*>(data), size);
  WriteBatch batch(whole);
  // Each record takes bytes away.
  for (size_t records = 0; records <= size; ++records) {
    const auto next = batch.next();
    if (!next) {
      HOLDS(next.failure().error == EBADMSG);
      return;
    }
    if (!*next) return;
    const WriteRecord& record = **next;
    HOLDS(inside(record.parent, whole) && inside(record.name, whole) && inside(record.link, whole));
    HOLDS(inside(record.attributes, whole) && inside(record.data, whole));
    HOLDS(record.offset <= uint64_t{INT64_MAX});
    if (record.kind == WriteKind::kEntry) check_entry(record, whole);
    if (record.kind == WriteKind::kWhiteout) HOLDS(plain(record.name) && ended(record.parent));
    if (record.kind == WriteKind::kOpaque) HOLDS(record.parent.empty() || ended(record.parent));
  }
  HOLDS(false);
}
