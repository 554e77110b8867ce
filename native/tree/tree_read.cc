#include "tree/tree_read.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "system/system_call.h"
#include "tree/tree_record.h"

namespace dmthin {
namespace {

// One call of the kernel, and what an abort waits for at most.
constexpr size_t kReadBytes = size_t{1} << 20;
constexpr size_t kPartHead = kIdentityBytes + 16;

/// The directory of the last file: the next file is usually in the same.
struct Folder {
  std::string path;  // "/etc"; "" is the root
  UniqueFd fd;
};

/// Opens the folder step by step, so that no symbolic link is followed on the way, and no path is too long.
Status enter(const TreeRoot& root, const std::string& path, Folder& folder) {
  if (folder.fd && folder.path == path) return Nothing{};
  auto fd = open_directory(root.fd.get(), ".", path);
  for (size_t at = 1; fd && at < path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    fd = open_directory(fd->get(), path.substr(at, end - at).c_str(), path);
    at = end + 1;
  }
  if (!fd) return fd.failure();
  folder.fd = std::move(*fd);
  folder.path = path;
  return Nothing{};
}

Status check_same(int fd, const FilePart& part) {
  const auto stat = TRY(stat_entry(fd, "", part.path));
  if (!stat.regular() || !(stat.is == part.identity)) return tree_changed(part.path);
  return Nothing{};
}

Status read_part(const TreeRoot& root, const FilePart& part, Folder& folder, uint8_t* memory,
                 Cancel& cancel) {
  const size_t slash = part.path.rfind('/');
  TRY(enter(root, part.path.substr(0, slash), folder));
  auto fd = TRY(open_regular(folder.fd.get(), part.path.c_str() + slash + 1, part.path));
  TRY(check_same(fd.get(), part));
  for (size_t done = 0; done < part.length;) {
    if (cancel.requested()) return tree_cancelled(part.path);
    const size_t size = std::min(kReadBytes, part.length - done);
    const int got = system_call("read", [&] {
      return ::pread(fd.get(), memory + done, size, static_cast<off_t>(part.offset + done));
    });
    if (got == -EINTR) continue;
    if (got < 0) return tree_failure("read", -got, part.path);
    if (got == 0) return tree_changed(part.path);
    done += static_cast<size_t>(got);
  }
  return check_same(fd.get(), part);
}

template <class T>
T number_at(const uint8_t* bytes) {
  T value = 0;
  memcpy(&value, bytes, sizeof value);
  return value;
}

}  // namespace

Result<std::vector<FilePart>> parts_in(const uint8_t* bytes, size_t length) {
  std::vector<FilePart> parts;
  for (size_t at = 0; at < length;) {
    if (length - at < kPartHead) return failed("request", EBADMSG);
    FilePart part;
    part.identity = identity_in(bytes + at);
    part.offset = number_at<uint64_t>(bytes + at + kIdentityBytes);
    part.length = number_at<uint32_t>(bytes + at + kIdentityBytes + 8);
    const auto path_length = number_at<uint32_t>(bytes + at + kIdentityBytes + 12);
    at += kPartHead;
    if (path_length < 2 || path_length > length - at || bytes[at] != '/') return failed("request", EBADMSG);
    part.path.assign(reinterpret_cast<const char*>(bytes + at), path_length);
    at += path_length;
    parts.push_back(std::move(part));
  }
  return parts;
}

Status read_parts(const TreeRoot& root, const std::vector<FilePart>& parts, uint8_t* memory, size_t length,
                  Cancel& cancel) {
  Folder folder;
  for (const FilePart& part : parts) {
    if (part.length > length) return failed("request", EBADMSG, part.path);
    TRY(read_part(root, part, folder, memory, cancel));
    memory += part.length;
    length -= part.length;
  }
  return Nothing{};
}

}  // namespace dmthin
