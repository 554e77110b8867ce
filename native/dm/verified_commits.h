// How many events a pool had raised when one of its commits was verified.
#pragma once

#include <pthread.h>

#include <optional>
#include <string>
#include <unordered_map>

#include "dm/ioctl_data.h"
#include "system/scope_guard.h"

namespace dmthin {

class VerifiedCommits {
 public:
  VerifiedCommits() = default;
  VerifiedCommits(const VerifiedCommits&) = delete;
  VerifiedCommits& operator=(const VerifiedCommits&) = delete;

  /// Records the events of a pool. Only of pools that this library has started: their uuid is new at each
  /// start, and the kernel counts from 0 at each start.
  void verified(const DeviceInfo& pool) {
    if (pool.uuid.compare(0, sizeof kOwn - 1, kOwn) != 0) return;
    const MutexLock locked(mutex_);
    if (pools_.size() >= kMost) pools_.clear();
    pools_[pool.uuid] = pool.event_number;
  }
  std::optional<uint32_t> events_of(const std::string& uuid) {
    const MutexLock locked(mutex_);
    const auto found = pools_.find(uuid);
    if (found == pools_.end()) return std::nullopt;
    return found->second;
  }

 private:
  static constexpr char kOwn[] = "DMTHIN-POOL-";
  static constexpr size_t kMost = 1024;

  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
  std::unordered_map<std::string, uint32_t> pools_;
};

}  // namespace dmthin
