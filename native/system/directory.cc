#include "system/directory.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

#include "system/system_call.h"
#include "system/unique_fd.h"

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
  const int got = TRY(checked("getdents64", {}, [&] {
    return ::syscall(SYS_getdents64, directory_, buffer_.data(), buffer_.size());
  }));
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

// Read to the end, although all that is left may have had room: a signal makes the kernel stop early.
int each_name(const std::string& directory, const std::function<void(const char* name)>& use) {
  const UniqueFd opened(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!opened) return -errno;
  DirectoryNames pieces(opened.get(), size_t{16} * 1024);
  for (;;) {
    const auto piece = pieces.next();
    if (!piece) return -piece.failure().error;
    if (*piece == nullptr) return 0;
    for (const DirectoryName& each : **piece) {
      if (each.name.front() != '.') use(each.name.data());
    }
  }
}

}  // namespace dmthin
