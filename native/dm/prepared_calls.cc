#include "dm/prepared_calls.h"

#include <sys/ioctl.h>
#include <time.h>

#include <cstring>

#include "system/system_call.h"

namespace dmthin {
namespace {

constexpr int kUndoTries = 20;
constexpr long kUndoPauseNs = 5'000'000;

void pause_between_tries() {
  timespec time{0, kUndoPauseNs};
  // A cancelled call gets the wake signal during its undo steps; their waits must not become shorter.
  while (nanosleep(&time, &time) != 0 && errno == EINTR) continue;
}

size_t aligned_to_slot(size_t size) { return (size + 15) / 16 * 16; }

}  // namespace

const PreparedCalls::Slot& PreparedCalls::slot(size_t index) const {
  if (!locked_) return slots_[index];
  const size_t at = aligned_to_slot(bytes_.size() + scratch_.size());
  return reinterpret_cast<const Slot*>(locked_->data() + at)[index];
}

Result<size_t> PreparedCalls::add(const Call& call) {
  if (!fd_) return fd_.failure();
  const auto packed = TRY(pack(call, 0));
  devices_.push_back(described(call.address));
  slots_.push_back({call.command, bytes_.size(), packed.size()});
  bytes_.insert(bytes_.end(), packed.begin(), packed.end());
  if (scratch_.size() < packed.size()) scratch_.resize(packed.size());
  return slots_.size() - 1;
}

void PreparedCalls::lock() {
  const size_t slots_at = aligned_to_slot(bytes_.size() + scratch_.size());
  const size_t slots_size = slots_.size() * sizeof(Slot);
  LockedMemory& memory = locked_.emplace(slots_at + slots_size);
  memcpy(memory.data(), bytes_.data(), bytes_.size());
  memcpy(memory.data() + slots_at, slots_.data(), slots_size);
  lock_code_and_stack();
}

int PreparedCalls::send(size_t index, Cancel& cancel) {
  const Slot& call = slot(index);
  for (;;) {
    if (cancel.requested()) return ECANCELED;
    memcpy(scratch(), requests() + call.at, call.size);
    const int result =
        system_call(call.command.name, [&] { return ::ioctl(*fd_, call.command.request, scratch()); });
    if (result >= 0) return 0;
    if (result != -EINTR) return -result;
  }
}

int PreparedCalls::undo(size_t index, bool (*again)(int error)) noexcept {
  Cancel nobody;  // an undo step runs although the call was cancelled
  for (int tries = 1;; ++tries) {
    int error = ENOMEM;
    try {
      error = send(index, nobody);
    } catch (...) {  // nothing here throws but the fault hooks of the test build
    }
    if (error == 0 || tries == kUndoTries || !again(error)) return error;
    pause_between_tries();
  }
}

dm_ioctl PreparedCalls::answer() const {
  dm_ioctl header;
  memcpy(&header, scratch(), offsetof(dm_ioctl, data));
  return header;
}

Failure PreparedCalls::failure(size_t index, int error) const {
  Failure failure = failed(slot(index).command.name, error == ECANCELED ? EINTR : error, devices_[index]);
  failure.cancelled = error == ECANCELED;
  return failure;
}

}  // namespace dmthin
