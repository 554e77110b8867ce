#include "dm/kernel_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "dm/log_record.h"

namespace dmthin {
namespace {

constexpr int kMaxRecords = 1000;

}  // namespace

KernelLog::KernelLog() : fd_(::open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC)) {}

void KernelLog::begin() {
  if (fd_) ::lseek(fd_.get(), 0, SEEK_END);
}

// Records of other devices are passed over.
std::string KernelLog::reason(uint64_t device) {
  if (!fd_) return {};
  std::string found;
  char buffer[8192];
  for (int records = 0; records < kMaxRecords; ++records) {
    const ssize_t size = ::read(fd_.get(), buffer, sizeof buffer);
    if (size < 0 && (errno == EPIPE || errno == EINTR)) continue;  // EPIPE: records were overwritten, go on
    if (size <= 0) break;
    const std::string reason = reason_in(std::string(buffer, static_cast<size_t>(size)), device);
    if (reason.empty()) continue;
    if (!found.empty()) found += "; ";
    found += reason;
  }
  return found;
}

}  // namespace dmthin
