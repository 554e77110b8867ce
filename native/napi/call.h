// From a native function to a function of JavaScript: `call<unmount_file_system, Kind::kWaits>` reads the
// arguments that the parameters of the native function need, runs it on a worker thread, and returns a
// promise of its result. Each parameter, by value or by reference, is one of these:
//
// - `Control`: the control node of the environment. `Cancel`, `Work`: those of the job. They take no
// argument.
// - A type with HandleOf, or a shared_ptr to one: the argument is the handle that names it.
// - Any other type: the argument is a value that from_js() reads.
//
// The arguments are in the order of the parameters. The function returns a T or a Result<T>, and to_js()
// makes the result of the T.
#pragma once

#include <cerrno>
#include <functional>
#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

#include "napi/from_js.h"
#include "napi/promise_job.h"

namespace dmthin {

/// A type that JavaScript names by handles, in a specialisation. It says what a call does if the handle names
/// nothing of this type: `kClosed` is the operation with which it fails with EBADF; `closed()` returns what
/// it uses instead.
template <class T>
struct HandleOf;

template <class T>
concept HasHandle = requires { sizeof(HandleOf<T>); };

/// The arguments of a call, one after the other.
class Arguments {
 public:
  explicit Arguments(Info info) : info_(info) {}
  Napi::Value next() { return info_[next_++]; }
  template <class T>
  T next() {
    return value_of<T>(next());
  }
  Environment& environment() const { return Environment::of(info_.Env()); }
  /// Lets the call fail: a handle names nothing.
  void close(Operation operation) { closed_ = operation; }
  std::optional<Operation> closed() const { return closed_; }

 private:
  Info info_;
  size_t next_ = 0;
  std::optional<Operation> closed_;
};

/// A parameter: read on the JS thread, kept in the job, passed on a worker.
template <class T>
struct Argument {
  explicit Argument(Arguments& arguments) : value(arguments.next<T>()) {}
  T& get(Work&) { return value; }
  T value;
};

template <>
struct Argument<Control> {
  explicit Argument(Arguments& arguments) : control(arguments.environment().shared_control()) {}
  Control& get(Work&) { return *control; }
  std::shared_ptr<Control> control;  // the job may outlive the environment
};

template <>
struct Argument<Cancel> {
  explicit Argument(Arguments&) {}
  Cancel& get(Work& work) { return work.cancel(); }
};

template <>
struct Argument<Work> {
  explicit Argument(Arguments&) {}
  Work& get(Work& work) { return work; }
};

template <HasHandle T>
struct Argument<std::shared_ptr<T>> {
  explicit Argument(Arguments& arguments)
      : value(arguments.environment().template held<T>(arguments.template next<uint32_t>())) {
    if (value) return;
    if constexpr (requires { HandleOf<T>::kClosed; }) {
      arguments.close(HandleOf<T>::kClosed);
    } else {
      value = HandleOf<T>::closed();
    }
  }
  std::shared_ptr<T>& get(Work&) { return value; }
  std::shared_ptr<T> value;
};

template <HasHandle T>
struct Argument<T> : Argument<std::shared_ptr<T>> {
  using Argument<std::shared_ptr<T>>::Argument;
  T& get(Work&) { return *this->value; }
};

template <class T>
struct ResultOf {
  using Value = T;
};
template <class T>
struct ResultOf<Result<T>> {
  using Value = T;
};

/// A call of `function` with its arguments.
template <auto function, class Returned, class... Parameters>
class BoundTask {
 public:
  using Value = typename ResultOf<Returned>::Value;

  explicit BoundTask(Arguments& arguments)
      : arguments_{Argument<Parameters>(arguments)...}, closed_(arguments.closed()) {}

  Result<Value> operator()(Work& work) {
    if (closed_) return failed(*closed_, EBADF);
    return std::apply(
        [&](auto&... each) -> Result<Value> { return std::invoke(function, each.get(work)...); }, arguments_);
  }

 private:
  std::tuple<Argument<Parameters>...> arguments_;
  std::optional<Operation> closed_;
};

template <auto function, class Returned, class... P>
BoundTask<function, Returned, std::remove_cvref_t<P>...> task_of(Returned (*)(P...));
template <auto function, class Returned, class Class, class... P>
BoundTask<function, Returned, Class, std::remove_cvref_t<P>...> task_of(Returned (Class::*)(P...));

/// Calls `function` on a thread of `kind`. A method of a class has its object as the first parameter.
template <auto function, Kind kind>
Napi::Value call(Info info) {
  Arguments arguments(info);
  return start(info, kind, decltype(task_of<function>(function))(arguments));
}

}  // namespace dmthin
