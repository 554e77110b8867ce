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
    TRY(read_whole(file, block, buffer.get(), 1));
    found.emplace_back(buffer.get(), buffer.get() + kMetadataBlock);
  }
  return found;
}

Failure corrupt(const MetadataFile& file, uint64_t block, const std::string& fault) {
  return failed("metadata", EUCLEAN, file.path, std::to_string(block) + " " + fault);
}

NodeReader::Run* NodeReader::kept(uint64_t block) {
  for (Run& run : runs_) {
    if (run.has(block)) return &run;
  }
  Run& single = singles_[block % kSingles];
  return single.has(block) ? &single : nullptr;
}

NodeReader::Run& NodeReader::place(uint64_t block, size_t count) {
  if (count == 1) return singles_[block % kSingles];
  return *std::min_element(runs_.begin(), runs_.end(),
                           [](const Run& a, const Run& b) { return a.used < b.used; });
}

Result<const uint8_t*> NodeReader::check(Run& run, uint64_t block) {
  const size_t at = block - run.first;
  const uint8_t* const bytes = run.memory.get() + at * kMetadataBlock;
  if (!run.checked[at]) {
    const std::string fault = node_fault(bytes, block, limits_);
    if (!fault.empty()) return corrupt(*file_, block, fault);
    run.checked[at] = true;
  }
  run.used = ++clock_;
  return bytes;
}

Result<const uint8_t*> NodeReader::read(uint64_t block, const Ahead& ahead, Cancel& cancel) {
  if (Run* const run = kept(block)) return check(*run, block);
  if (cancel.requested()) return cancelled("pread", file_->path);

  size_t count = 1;
  while (ahead && count < kMostAhead && ahead(count) == block + count && kept(block + count) == nullptr)
    ++count;
  Run& run = place(block, count);
  if (!run.memory) {
    run.memory = aligned((count == 1 ? 1 : kMostAhead) * kMetadataBlock);
    if (!run.memory) return failed("posix_memalign", ENOMEM, file_->path);
  }
  run.count = 0;
  TRY(read_whole(*file_, block, run.memory.get(), count));
  reads_ += count;
  run.first = block;
  run.count = count;
  run.checked.reset();
  return check(run, block);
}

Result<int> height_of(NodeReader& reader, uint64_t root, Cancel& cancel) {
  uint64_t block = root;
  for (int height = 0; height < kMostLevels; ++height) {
    const auto bytes = TRY(reader.read(block, nullptr, cancel));
    const Node node(bytes);
    if (node.leaf()) return height;
    block = node.child(0);
  }
  return corrupt(reader.file(), root, "tree of more than 12 levels");
}

}  // namespace dmthin
