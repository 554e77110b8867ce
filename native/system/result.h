// A value, or what failed and why. Nothing in native throws on a failed system call: errno stays a number
// beside the name of the operation until TypeScript turns it into words.
#pragma once

#include <cerrno>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "system/operation.h"

namespace dmthin {

/// A rollback step of a compound call; `error` is 0 if the step succeeded.
struct RollbackStep {
  std::string operation;
  std::string device;
  int error = 0;
};

struct Failure {
  Operation operation =
      Operation::none();               // the kernel's name of the call: DM_TABLE_LOAD, LOOP_CONFIGURE, open …
  int error = 0;                       // errno as the kernel gave it
  std::string device;                  // the name, uuid or path that the call was about
  std::string detail;                  // the message text, the table, or what the call found instead
  std::string kernel_reason;           // the kernel log's own words, when they could be read
  bool cancelled = false;              // ended by an AbortSignal or by the end of the environment
  uint32_t tries = 1;                  // how often a busy device was tried
  std::vector<RollbackStep> rollback;  // newest step first
};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}
  Result(Failure failure) : state_(std::move(failure)) {}

  explicit operator bool() const { return state_.index() == 0; }
  T& operator*() { return std::get<0>(state_); }
  const T& operator*() const { return std::get<0>(state_); }
  T* operator->() { return &std::get<0>(state_); }
  const T* operator->() const { return &std::get<0>(state_); }
  Failure& failure() { return std::get<1>(state_); }
  const Failure& failure() const { return std::get<1>(state_); }
  /// Returns the value and leaves an empty one behind. For TRY.
  T take() { return std::move(std::get<0>(state_)); }

 private:
  std::variant<T, Failure> state_;
};

struct Nothing {};
using Status = Result<Nothing>;

/// Evaluates to the value of a result, or returns the failure from the function around it:
/// `const auto device = TRY(open_loop(number, O_RDONLY));`. A lock or a descriptor needs a variable, which
/// holds it to the end of the scope: without one it ends with the statement. This is a statement expression,
/// an extension of GCC and clang.
#define TRY(...)                                                   \
  __extension__({                                                  \
    auto result_of_try = (__VA_ARGS__);                            \
    if (!result_of_try) return std::move(result_of_try.failure()); \
    result_of_try.take();                                          \
  })

inline Failure failed(Operation operation, int error, std::string device = {}, std::string detail = {}) {
  Failure failure;
  failure.operation = operation;
  failure.error = error;
  failure.device = std::move(device);
  failure.detail = std::move(detail);
  return failure;
}

/// Returns the failure of a call that was given up.
inline Failure cancelled(Operation operation, std::string device = {}, std::string detail = {}) {
  Failure failure = failed(operation, EINTR, std::move(device), std::move(detail));
  failure.cancelled = true;
  return failure;
}

}  // namespace dmthin
