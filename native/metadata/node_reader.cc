#include "metadata/node_reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "system/system_call.h"

namespace dmthin {
namespace {

/// Fills `memory` from block `first` on.
Status read_whole(const MetadataFile& file, uint64_t first, uint8_t* memory, size_t blocks) {
  const size_t length = blocks * kMetadataBlock;
  for (size_t done = 0; done < length;) {
    const auto at = static_cast<off_t>(first * kMetadataBlock + done);
    const int got =
        system_call("pread", [&] { return ::pread(file.fd.get(), memory + done, length - done, at); });
    if (got == -EINTR) continue;
    if (got < 0) return failed("pread", -got, file.path, "block " + std::to_string(first));
    if (got == 0)
      return failed("pread", EIO, file.path, "block " + std::to_string(first) + " is past the end");
    done += static_cast<size_t>(got);
  }
  return Nothing{};
}

}  // namespace

Result<std::shared_ptr<MetadataFile>> open_metadata(const std::string& path, bool exclusive) {
  const int flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  // Without O_CREAT, O_EXCL means something for block devices only.
  const int claim = exclusive ? O_EXCL : 0;
  int fd = system_call("open metadata", [&] { return ::open(path.c_str(), flags | claim | O_DIRECT); });
  // Not every file system reads past its cache.
  if (fd == -EINVAL) fd = system_call("open metadata", [&] { return ::open(path.c_str(), flags | claim); });
  if (fd < 0) return failed("open metadata", -fd, path);
  auto file = std::make_shared<MetadataFile>();
  file->fd.reset(fd);
  file->path = path;
  const off_t end = ::lseek(fd, 0, SEEK_END);
  if (end < 0) return failed("lseek", errno, path);
  file->blocks = static_cast<uint64_t>(end) / kMetadataBlock;
  return file;
}

Result<std::vector<std::vector<uint8_t>>> read_metadata(const MetadataFile& file,
                                                        const std::vector<uint64_t>& blocks) {
  const Aligned buffer = aligned(kMetadataBlock);
  if (!buffer) return failed("posix_memalign", ENOMEM, file.path);
  std::vector<std::vector<uint8_t>> found;
  found.reserve(blocks.size());
  for (const uint64_t block : blocks) {
    const auto done = read_whole(file, block, buffer.get(), 1);
    if (!done) return done.failure();
    found.emplace_back(buffer.get(), buffer.get() + kMetadataBlock);
  }
  return found;
}

Failure corrupt(const MetadataFile& file, uint64_t block, const std::string& fault) {
  return failed("metadata", EUCLEAN, file.path, std::to_string(block) + " " + fault);
}

Result<const uint8_t*> NodeReader::read(uint64_t block, const Ahead& ahead, Cancel& cancel) {
  if (!memory_) {
    memory_ = aligned(kPlaces * kMetadataBlock);
    if (!memory_) return failed("posix_memalign", ENOMEM, file_->path);
    kept_.assign(kPlaces, 0);
  }
  uint8_t* const bytes = place(block);
  if (kept_[block % kPlaces] == block) return bytes;
  if (cancel.requested()) return cancelled("pread", file_->path);

  size_t run = 1;
  const size_t most = std::min(kMostAhead, kPlaces - static_cast<size_t>(block % kPlaces));
  while (ahead && run < most && ahead(run) == block + run && kept_[(block + run) % kPlaces] != block + run)
    ++run;
  for (size_t i = 0; i < run; ++i) kept_[block % kPlaces + i] = 0;
  const auto done = read_whole(*file_, block, bytes, run);
  if (!done) return done.failure();
  reads_ += run;
  for (size_t i = 0; i < run; ++i) {
    const std::string fault = node_fault(bytes + i * kMetadataBlock, block + i, limits_);
    // What was read ahead is read again when its turn has come.
    if (fault.empty())
      kept_[block % kPlaces + i] = block + i;
    else if (i == 0)
      return corrupt(*file_, block, fault);
  }
  return bytes;
}

Result<int> height_of(NodeReader& reader, uint64_t root, Cancel& cancel) {
  uint64_t block = root;
  for (int height = 0; height < kMostLevels; ++height) {
    const auto bytes = reader.read(block, nullptr, cancel);
    if (!bytes) return bytes.failure();
    const Node node(*bytes);
    if (node.leaf()) return height;
    block = node.child(0);
  }
  return corrupt(reader.file(), root, "tree of more than 12 levels");
}

}  // namespace dmthin
