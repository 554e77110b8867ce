#include "tree/tree_write.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "system/system_call.h"

namespace dmthin {
namespace {

std::string joined(std::string_view parent, std::string_view name) {
  std::string path(parent);
  if (!parent.empty() && !name.empty()) path += '/';
  return path += name;
}

std::string path_of(const WriteRecord& record) { return joined(record.parent, record.name); }

Status write_all(int fd, uint64_t offset, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const int done = system_call("write", [&] {
      // The result is an int: what is written at once has to fit in it.
      const size_t length = std::min(bytes.size(), size_t{1} << 30);
      return ::pwrite(fd, bytes.data(), length, static_cast<off_t>(offset));
    });
    if (done == -EINTR) continue;
    if (done < 0) return failed("write", -done, path);
    if (done == 0) return failed("write", EIO, path);
    offset += static_cast<uint64_t>(done);
    bytes.remove_prefix(static_cast<size_t>(done));
  }
  return Nothing{};
}

mode_t type_bits(WriteType type) {
  if (type == WriteType::kFifo) return S_IFIFO;
  return type == WriteType::kBlockDevice ? S_IFBLK : S_IFCHR;
}

}  // namespace

Result<std::shared_ptr<TreeWriter>> TreeWriter::open(const std::string& path, const WriteLimits& limits) {
  const int fd = TRY(
      checked("open tree", path, [&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  UniqueFd root(fd);
  WriteStat stat;
  const int result = stat_at(fd, "", stat);
  if (result < 0) return failed("statx", -result, path);
  const auto key = TRY(random_hash_key());
  auto writer = std::shared_ptr<TreeWriter>(new TreeWriter(std::move(root), stat, key, limits));
  // Whether the kernel has what every later step relies on, before anything is written.
  TRY(writer->parents_.open(""));
  return writer;
}

Status TreeWriter::write(std::string_view batch, const std::vector<std::string_view>& chunks,
                         Cancel& cancel) {
  WriteBatch records(batch);
  for (;;) {
    const auto record = TRY(records.next());
    if (!record) return Nothing{};
    if (cancel.requested()) return cancelled("write", path_of(*record));
    auto done = one(*record, chunks, cancel);
    if (done) continue;
    if (done.failure().device.empty()) done.failure().device = path_of(*record);
    return done;
  }
}

Status TreeWriter::one(const WriteRecord& record, const std::vector<std::string_view>& chunks,
                       Cancel& cancel) {
  switch (record.kind) {
    case WriteKind::kEntry:
      return entry(record, cancel);
    case WriteKind::kData:
      return data(record.offset, record.data);
    case WriteKind::kChunk:
      if (record.chunk >= chunks.size()) return failed("batch", EBADMSG);
      return data(record.offset, chunks[record.chunk]);
    case WriteKind::kEnd:
      return end(record.offset);
    case WriteKind::kWhiteout:
      return whiteout(record, cancel);
    case WriteKind::kOpaque:
      return opaque(record, cancel);
  }
  return failed("batch", EBADMSG);
}

WriteRemoval TreeWriter::removal_at(WriteMarks* keep, std::string path) {
  return {keep, parents_.root_stat().device, parents_.marks().left(), std::move(path)};
}

/// Removes what has the name already: the last entry of a name counts.
Status TreeWriter::remove_existing(const WriteParent& parent, const char* name, const std::string& path,
                                   Cancel& cancel) {
  WriteStat stat;
  const int result = stat_at(parent.fd, name, stat);
  if (result < 0) return failed("statx", -result, path);
  if (stat.directory() || stat.symlink()) parents_.forget();
  return remove_name(parent, name, removal_at(nullptr, path), cancel);
}

/// Runs `make(parent)` and, where the name is taken, once more after that is out of the way.
template <class Make>
Result<int> TreeWriter::made(Operation operation, const WriteRecord& record, Cancel& cancel,
                             const Make& make) {
  TRY(parents_.count(path_of(record)));
  const auto parent = TRY(parents_.make(record.parent));
  int result = system_call(operation, [&] { return make(parent); });
  if (result == -EEXIST) {
    TRY(remove_existing(parent, record.name.data(), path_of(record), cancel));
    result = system_call(operation, [&] { return make(parent); });
  }
  if (result < 0) return failed(operation, -result, path_of(record));
  const int opened = record.type == WriteType::kFile ? result : -1;
  if (const auto marked = parents_.marks().made(parent.inode, record.name); !marked) {
    if (opened >= 0) ::close(opened);
    return marked.failure();
  }
  // Not asked for again: it would be resolved again if something was in the way.
  return opened >= 0 ? opened : parent.fd;
}

Status TreeWriter::entry(const WriteRecord& record, Cancel& cancel) {
  if (open_) return failed("batch", EBADMSG);
  switch (record.type) {
    case WriteType::kFile:
      return file(record, cancel);
    case WriteType::kDirectory:
      return directory(record, cancel);
    case WriteType::kHardLink:
      return hard_link(record, cancel);
    default:
      return other(record, cancel);
  }
}

Status TreeWriter::file(const WriteRecord& record, Cancel& cancel) {
  const mode_t mode = record.mode & 0777;
  const auto opened = TRY(made("create", record, cancel, [&](const WriteParent& parent) {
    constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    return ::openat(parent.fd, record.name.data(), kFlags, mode);
  }));
  UniqueFd fd(opened);
  const std::string path = path_of(record);
  TRY(write_all(fd.get(), 0, record.data, path));
  const WriteAttributes attributes(record);
  if ((record.flags & WriteRecord::kMore) == 0) return set_attributes(fd.get(), attributes, path);
  open_ = std::make_unique<Open>(Open{std::move(fd), path, std::string(attributes.attributes), attributes});
  open_->attributes.attributes = open_->kept;
  return Nothing{};
}

Status TreeWriter::data(uint64_t offset, std::string_view bytes) {
  if (!open_) return failed("batch", EBADMSG);
  return write_all(open_->fd.get(), offset, bytes, open_->path);
}

Status TreeWriter::end(uint64_t size) {
  if (!open_) return failed("batch", EBADMSG);
  const auto file = std::move(open_);
  // What was not written is a hole; a file that ends in one has its length from here.
  TRY(checked("truncate", file->path, [&] { return ::ftruncate(file->fd.get(), static_cast<off_t>(size)); }));
  return set_attributes(file->fd.get(), file->attributes, file->path);
}

Status TreeWriter::directory(const WriteRecord& record, Cancel& cancel) {
  if (record.name.empty()) {
    TRY(parents_.leave());
    return attributes_of_directory(record, parents_.root(), "");
  }
  const std::string path = path_of(record);
  TRY(parents_.count(path));
  const auto parent = TRY(parents_.make(record.parent));
  const char* name = record.name.data();
  const auto make = [&] { return ::mkdirat(parent.fd, name, record.mode & 0777); };
  int result = system_call("mkdir", make);
  if (result == -EEXIST) {
    WriteStat stat;
    result = stat_at(parent.fd, name, stat);
    if (result < 0) return failed("statx", -result, path);
    // A directory that is there keeps what is in it.
    if (!stat.directory()) {
      TRY(remove_existing(parent, name, path, cancel));
      result = system_call("mkdir", make);
    }
  }
  if (result < 0) return failed("mkdir", -result, path);
  TRY(parents_.marks().made(parent.inode, record.name));
  const int fd = open_child(parent.fd, name);
  if (fd < 0) return failed("openat2", -fd, path);
  return attributes_of_directory(record, UniqueFd(fd).get(), path);
}

/// Sets the attributes. From then on the times are restored after each change of names in the directory.
Status TreeWriter::attributes_of_directory(const WriteRecord& record, int fd, const std::string& path) {
  const WriteAttributes attributes(record);
  WriteStat stat;
  const int result = stat_at(fd, "", stat);
  if (result < 0) return failed("statx", -result, path);
  if (stat.device != parents_.root_stat().device) return failed("openat2", EXDEV, path);
  TRY(parents_.marks().timed(stat.inode));
  return set_attributes(fd, attributes, path);
}

Status TreeWriter::hard_link(const WriteRecord& record, Cancel& cancel) {
  const std::string path = path_of(record);
  TRY(parents_.count(path));
  const size_t slash = record.link.rfind('/');
  const bool nested = slash != std::string_view::npos;
  const char* from = record.link.data() + (nested ? slash + 1 : 0);
  const auto folder = nested ? record.link.substr(0, slash) : std::string_view();
  const auto parent = TRY(parents_.make(record.parent));
  auto source = TRY(folder == record.parent ? Result<UniqueFd>(UniqueFd()) : parents_.open(folder));
  const int held = folder == record.parent ? parent.fd : source.get();
  if (held < 0) return failed("link", ENOENT, path, std::string(record.link));
  const char* name = record.name.data();
  const auto link = [&] { return ::linkat(held, from, parent.fd, name, 0); };
  int result = system_call("link", link);
  if (result == -EEXIST) {
    WriteStat there;
    WriteStat target;
    const int found = stat_at(held, from, target);
    if (found < 0) return failed("link", -found, path, std::string(record.link));
    // Both names of one file already: to make way would take its last name away.
    if (stat_at(parent.fd, name, there) == 0 && there.inode == target.inode)
      return parents_.marks().made(parent.inode, record.name);
    TRY(remove_existing(parent, name, path, cancel));
    result = system_call("link", link);
  }
  if (result < 0) return failed("link", -result, path, std::string(record.link));
  return parents_.marks().made(parent.inode, record.name);
}

Status TreeWriter::other(const WriteRecord& record, Cancel& cancel) {
  const char* name = record.name.data();
  const bool symlink = record.type == WriteType::kSymlink;
  const auto parent =
      made(symlink ? Operation("symlink") : Operation("mknod"), record, cancel,
           [&](const WriteParent& into) -> long {
             if (symlink) return ::symlinkat(record.link.data(), into.fd, name);
             const mode_t mode = type_bits(record.type) | (record.mode & 0777);
             // The call and not mknodat: its symbol is younger than the glibc that Node 20 asks for.
             return syscall(SYS_mknodat, into.fd, name, mode, makedev(record.major, record.minor));
           });
  if (!parent) return parent.failure();
  return set_attributes_of_name(*parent, name, WriteAttributes(record), path_of(record));
}

Status TreeWriter::whiteout(const WriteRecord& record, Cancel& cancel) {
  if (open_) return failed("batch", EBADMSG);
  const auto parent = TRY(parents_.find(record.parent));
  if (parent.fd < 0) return Nothing{};
  parents_.forget();
  return remove_name(parent, record.name.data(), removal_at(&parents_.marks(), path_of(record)), cancel);
}

Status TreeWriter::opaque(const WriteRecord& record, Cancel& cancel) {
  if (open_) return failed("batch", EBADMSG);
  const auto directory = TRY(parents_.find(record.parent));
  if (directory.fd < 0) return Nothing{};
  parents_.forget();
  if (parents_.marks().has_emptied(directory.inode)) return Nothing{};
  return empty_directory(directory.fd, removal_at(&parents_.marks(), std::string(record.parent)), cancel);
}

Status TreeWriter::finish(bool sync) {
  if (open_) return failed("batch", EBADMSG);
  TRY(parents_.leave());
  if (!sync) return Nothing{};
  TRY(checked("syncfs", {}, [&] { return ::syncfs(parents_.root()); }));
  return Nothing{};
}

}  // namespace dmthin
