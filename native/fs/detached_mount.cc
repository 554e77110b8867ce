#include "fs/detached_mount.h"

#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "system/system_call.h"

namespace dmthin {
namespace {

// asm-generic/unistd.h and linux/mount.h of Linux 5.2, which older headers do not have, and which the C
// library's own sys/mount.h excludes.
constexpr long kFsOpen = 430;
constexpr long kFsConfig = 431;
constexpr long kFsMount = 432;
constexpr unsigned kCloexec = 1;  // FSOPEN_CLOEXEC, FSMOUNT_CLOEXEC
constexpr unsigned kSetFlag = 0;
constexpr unsigned kSetString = 1;
constexpr unsigned kCreate = 6;

struct Attribute {
  unsigned long flag;
  unsigned attribute;
};
constexpr Attribute kAttributes[] = {
    {MS_RDONLY, 0x1}, {MS_NOSUID, 0x2}, {MS_NODEV, 0x4}, {MS_NOEXEC, 0x8}, {MS_NOATIME, 0x10}};

unsigned attributes_of(unsigned long flags) {
  unsigned attributes = 0;
  for (const auto& [flag, attribute] : kAttributes)
    if ((flags & flag) != 0) attributes |= attribute;
  return attributes;
}

/// Returns the kernel's message about the last step, without its "e "; empty if there is none.
std::string reason_in(int context) {
  char buffer[512];
  const ssize_t size = ::read(context, buffer, sizeof buffer);
  return size > 2 ? std::string(buffer + 2, static_cast<size_t>(size) - 2) : std::string();
}

class Context {
 public:
  Context(UniqueFd fd, const MountRequest& request) : fd_(std::move(fd)), request_(request) {}

  Status set(unsigned command, const char* key, const char* value) {
    const int result =
        system_call("fsconfig", [&] { return ::syscall(kFsConfig, fd_.get(), command, key, value, 0); });
    if (result >= 0) return Nothing{};
    Failure failure = failed("fsconfig", -result, request_.source);
    failure.kernel_reason = reason_in(fd_.get());
    return failure;
  }

  /// Sets all options of a list like "nouuid,errors=remount-ro".
  Status set_all(const std::string& options) {
    for (size_t at = 0; at < options.size();) {
      const size_t end = std::min(options.find(',', at), options.size());
      const std::string option = options.substr(at, end - at);
      const size_t equals = option.find('=');
      const bool plain = equals == std::string::npos;
      TRY(plain ? set(kSetFlag, option.c_str(), nullptr)
                : set(kSetString, option.substr(0, equals).c_str(), option.c_str() + equals + 1));
      at = end + 1;
    }
    return Nothing{};
  }

  int descriptor() const { return fd_.get(); }

 private:
  UniqueFd fd_;
  const MountRequest& request_;
};

}  // namespace

Result<UniqueFd> mount_detached(const MountRequest& request) {
  const int opened = TRY(
      checked("fsopen", request.source, [&] { return ::syscall(kFsOpen, request.type.c_str(), kCloexec); }));
  Context context(UniqueFd(opened), request);
  auto done = context.set(kSetString, "source", request.source.c_str());
  if (done && (request.flags & MS_RDONLY) != 0) done = context.set(kSetFlag, "ro", nullptr);
  if (done) done = context.set_all(request.data);
  if (done) done = context.set(kCreate, nullptr, nullptr);
  if (!done) return done.failure();
  const unsigned attributes = attributes_of(request.flags);
  const int mounted = TRY(checked("fsmount", request.source, [&] {
    return ::syscall(kFsMount, context.descriptor(), kCloexec, attributes);
  }));
  return UniqueFd(mounted);
}

}  // namespace dmthin
