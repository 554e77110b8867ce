// A file in memory with the nodes of mapping trees.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <memory>
#include <utility>
#include <vector>

#include "metadata/crc32c.h"
#include "metadata/node_reader.h"
#include "test/check.h"

namespace dmthin::test {

using Entries = std::vector<std::pair<uint64_t, uint64_t>>;

class Image {
 public:
  explicit Image(uint64_t blocks) : bytes_(blocks * kMetadataBlock) {}

  uint8_t* block(uint64_t number) { return bytes_.data() + number * kMetadataBlock; }
  void put(uint64_t number, size_t offset, uint64_t value, size_t length = 8) {
    memcpy(block(number) + offset, &value, length);
  }
  void seal(uint64_t number) { put(number, 0, crc32c(block(number) + 4, kMetadataBlock - 4) ^ 121107, 4); }

  /// `leaf`: the values are data blocks; otherwise blocks of children.
  void node(uint64_t number, bool leaf, const Entries& entries) {
    put(number, 4, leaf ? 2 : 1, 4);
    put(number, 8, number);
    put(number, 16, entries.size(), 4);
    put(number, 20, 252, 4);
    put(number, 24, 8, 4);
    for (size_t i = 0; i < entries.size(); ++i) {
      put(number, 32 + 8 * i, entries[i].first);
      put(number, 32 + 8 * (252 + i), leaf ? entries[i].second << 24 : entries[i].second);
    }
    seal(number);
  }

  std::shared_ptr<const MetadataFile> file() const {
    auto file = std::make_shared<MetadataFile>();
    file->fd.reset(::memfd_create("metadata", MFD_CLOEXEC));
    CHECK(::write(file->fd.get(), bytes_.data(), bytes_.size()) == static_cast<ssize_t>(bytes_.size()));
    file->blocks = bytes_.size() / kMetadataBlock;
    return file;
  }

 private:
  std::vector<uint8_t> bytes_;
};

}  // namespace dmthin::test
