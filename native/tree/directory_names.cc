#include "tree/directory_names.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

#include "system/system_call.h"

namespace dmthin {
namespace {

/// linux_dirent64, up to its name.
struct DirentHead {
  uint64_t inode;
  int64_t offset;
  uint16_t length;
  uint8_t type;
};
constexpr size_t kDirentName = 19;  // where the name begins: there is no padding behind the type

}  // namespace

Result<const std::vector<DirectoryName>*> DirectoryNames::next() {
  names_.clear();
  const int got = system_call(
      "getdents64", [&] { return ::syscall(SYS_getdents64, directory_, buffer_.data(), buffer_.size()); });
  if (got < 0) return failed("getdents64", -got);
  if (got == 0) return nullptr;
  const auto end = static_cast<size_t>(got);
  for (size_t at = 0; at + kDirentName < end;) {
    DirentHead head = {};
    memcpy(&head, buffer_.data() + at, kDirentName);
    if (head.length <= kDirentName || head.length > end - at) return failed("getdents64", EIO);
    const char* name = buffer_.data() + at + kDirentName;
    const size_t most = head.length - kDirentName;
    const size_t length = strnlen(name, most);
    if (length == most) return failed("getdents64", EIO);
    at += head.length;
    const std::string_view text(name, length);
    if (text != "." && text != ".." && !text.empty()) names_.push_back({text, head.inode, head.type});
  }
  return &names_;
}

}  // namespace dmthin
