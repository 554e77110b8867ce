#include "tree/tree_record.h"

#include <cstring>

namespace dmthin {
namespace {
constexpr size_t kBatchHead = 16;
static_assert(sizeof(EntryIdentity) == kIdentityBytes, "the identity goes over as it lies in memory");
}  // namespace

RecordBatch::RecordBatch() : bytes_(kBatchHead) {}

void RecordBatch::put(const void* bytes, size_t length) {
  const auto* from = static_cast<const uint8_t*>(bytes);
  bytes_.insert(bytes_.end(), from, from + length);
}

void RecordBatch::add(Change kind, const std::string& path, const EntryStat& stat, const std::string& link,
                      const Xattrs& xattrs) {
  const size_t begin = bytes_.size();
  number(0);  // the length, when it is known
  number(static_cast<uint32_t>(kind));
  for (const size_t each : {path.size(), link.size(), xattrs.size()}) number(static_cast<uint32_t>(each));
  for (const uint32_t each :
       {stat.mode, stat.uid, stat.gid, stat.links, stat.device_major, stat.device_minor})
    number(each);
  number(0);
  put(&stat.is, kIdentityBytes);
  put(path.data(), path.size());
  put(link.data(), link.size());
  for (const auto& [name, value] : xattrs) {
    number(static_cast<uint32_t>(name.size()));
    number(static_cast<uint32_t>(value.size()));
    put(name.data(), name.size());
    put(value.data(), value.size());
  }
  const auto length = static_cast<uint32_t>(bytes_.size() - begin);
  memcpy(bytes_.data() + begin, &length, sizeof length);
  ++records_;
}

std::vector<uint8_t> RecordBatch::finish(bool last, uint64_t seen) {
  const uint32_t ended = last ? 1 : 0;
  memcpy(bytes_.data(), &records_, sizeof records_);
  memcpy(bytes_.data() + 4, &ended, sizeof ended);
  memcpy(bytes_.data() + 8, &seen, sizeof seen);
  return std::move(bytes_);
}

EntryIdentity identity_in(const uint8_t* bytes) {
  EntryIdentity identity;
  memcpy(&identity, bytes, kIdentityBytes);
  return identity;
}

}  // namespace dmthin
