#include "abi/kernel_log.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>

namespace dmthin {
namespace {

constexpr const char* kPrefix = "device-mapper: ";
constexpr int kMostRecords = 1000;

/// The text of one record: "level,sequence,time,flags;text\n key=value\n". Only error and warning levels
/// count.
std::string text_of(const std::string& record) {
  const size_t start = record.find(';');
  const size_t comma = record.find(',');
  if (start == std::string::npos || comma == std::string::npos) return {};
  int level = 0;
  for (size_t i = 0; i < comma; ++i) level = level * 10 + (record[i] - '0');
  if ((level & 7) > 4) return {};
  return record.substr(start + 1, record.find('\n') - start - 1);
}

}  // namespace

KernelLog::KernelLog() : fd_(::open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC)) {
  if (fd_) ::lseek(fd_.get(), 0, SEEK_END);
}

// Lines look like "device-mapper: table: 253:4: thin-pool: Invalid block size (-EINVAL)", or, from the target
// itself, "device-mapper: thin: 253:4: …". Another device's lines, logged meanwhile, are passed over.
std::string KernelLog::reason(uint64_t device) {
  if (!fd_) return {};
  const std::string number = std::to_string(major(device)) + ":" + std::to_string(minor(device)) + ": ";
  std::string found;
  char buffer[8192];
  for (int records = 0; records < kMostRecords; ++records) {
    const ssize_t size = ::read(fd_.get(), buffer, sizeof buffer - 1);
    if (size < 0 && (errno == EPIPE || errno == EINTR)) continue;  // EPIPE: records were overwritten, go on
    if (size <= 0) break;
    const std::string text = text_of(std::string(buffer, static_cast<size_t>(size)));
    const size_t prefix = text.find(kPrefix);
    const size_t at = text.find(number);
    if (prefix == std::string::npos || at == std::string::npos) continue;
    if (!found.empty()) found += "; ";
    found += text.substr(at + number.size());
  }
  return found;
}

}  // namespace dmthin
