// Requests that are packed before the first of them is sent. To send one allocates nothing, so that an undo
// step cannot fail for want of memory; after lock() it does not fault a page in either.
#pragma once

#include <cerrno>
#include <optional>
#include <string>
#include <vector>

#include "dm/control.h"
#include "system/locked_memory.h"

namespace dmthin {

class PreparedCalls {
 public:
  /// Opens the control node if it is not open yet; the first add() returns a failure of that.
  explicit PreparedCalls(Control& control) : fd_(control.descriptor()) {}

  /// Packs a call; gives the number that names it. Not after lock().
  Result<size_t> add(const Call& call);
  /// Moves the requests into locked memory, and locks the code and the stack that sending needs.
  void lock();

  /// Sends a call, again while it is interrupted. 0, ECANCELED when it was given up, or the kernel's errno.
  int send(size_t index, Cancel& cancel);
  /// Sends an undo step, which no cancellation interrupts. Repeated, 20 times in 100 ms at the most, while
  /// `again` says so of the errno.
  int undo(size_t index, bool (*again)(int error)) noexcept;
  /// Returns the header of the kernel's last answer.
  dm_ioctl answer() const;
  Failure failure(size_t index, int error) const;

 private:
  struct Slot {
    Command command;
    size_t at;
    size_t size;
  };
  const Slot& slot(size_t index) const;
  const uint8_t* requests() const { return locked_ ? locked_->data() : bytes_.data(); }
  /// Returns the memory a request is sent from: the kernel overwrites what it is given.
  uint8_t* scratch() { return locked_ ? locked_->data() + bytes_.size() : scratch_.data(); }
  const uint8_t* scratch() const { return const_cast<PreparedCalls*>(this)->scratch(); }

  const Result<int> fd_;
  std::vector<Slot> slots_;
  std::vector<std::string> devices_;    // of each, for failure()
  std::vector<uint8_t> bytes_;          // the requests, one behind the other
  std::vector<uint8_t> scratch_;        // as large as the largest
  std::optional<LockedMemory> locked_;  // when there: the requests, scratch and slots in its place
};

/// Accepts, for undo(), that another program has the device open for a moment.
inline bool while_busy(int error) { return error == EBUSY; }
/// Accepts, for undo(), every error but that the device is gone.
inline bool while_there(int error) { return error != ENXIO; }
inline bool never_again(int) { return false; }

}  // namespace dmthin
