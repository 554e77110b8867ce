// One command, or one compound call, run with the environment's control node.
#pragma once

#include <memory>
#include <utility>

#include "napi/promise_job.h"

namespace dmthin {

using Info = const Napi::CallbackInfo&;

/// Converts by the to_js() of the type.
inline const auto by_type = [](Napi::Env env, auto& value) { return to_js(env, value); };

/// Holds the result, and gives JavaScript the handle that names it.
inline const auto as_handle = [](Napi::Env env, auto& thing) -> Napi::Value {
  return to_js(env, Environment::of(env).hold(std::move(thing)));
};

/// The node is shared with the job: it must outlive it.
template <class T, class Command>
Napi::Value start_command(Info info, Kind kind, Command command) {
  return start<T>(
      info, kind,
      [control = Environment::of(info.Env()).shared_control(), command = std::move(command)](Work& work) {
        return command(*control, work.cancel());
      },
      by_type);
}

}  // namespace dmthin
