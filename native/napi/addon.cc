// The module: what JavaScript sees. One Environment for each that loads it; nothing mutable is shared between
// them.
#include <napi.h>

#include <ctime>

#include "napi/environment.h"
#include "napi/functions.h"
#include "napi/start_command.h"
#include "napi/to_js.h"
#include "system/system_call.h"

namespace dmthin {
namespace {

void cancel(const Napi::CallbackInfo& info) {
  Environment::of(info.Env()).cancel(static_cast<uint32_t>(number(info[0])));
}

/// (handle, cancel id) → settles when what the handle named is closed.
Napi::Value release(const Napi::CallbackInfo& info) {
  constexpr int kLookAgainMs = 5;
  const auto held = std::make_shared<std::shared_ptr<void>>(Environment::of(info.Env()).take(bits(info[0])));
  return start<Nothing>(
      info, Kind::kFrees,
      [held](Work& work) -> Status {
        // Whoever lets it go last closes it. A call that still has it lets it go on the JS thread.
        if (held->use_count() > 1)
          work.again_after(kLookAgainMs);
        else
          held->reset();
        return Nothing{};
      },
      plainly);
}

/// Nanoseconds since 1970. JavaScript's own clocks are a millisecond or more away from what other processes
/// read.
Napi::Value wall_clock(const Napi::CallbackInfo& info) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return Napi::BigInt::New(info.Env(), int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec);
}

#ifdef DM_THIN_FAULTS
void arm_fault(const Napi::CallbackInfo& info) {
  const std::string kind = text(info[2]);
  const FaultKind chosen = kind == "fail"          ? FaultKind::kFail
                           : kind == "fail-after"  ? FaultKind::kFailAfter
                           : kind == "kill-before" ? FaultKind::kKillBefore
                           : kind == "kill-after"  ? FaultKind::kKillAfter
                           : kind == "throw"       ? FaultKind::kThrow
                                                   : FaultKind::kDelay;
  set_fault(text(info[0]).c_str(), static_cast<int>(number(info[1])), chosen,
            static_cast<int>(number(info[3])));
}

Napi::Value disarm_faults(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), clear_faults());
}
#endif

Napi::Object init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new Environment(env));
  export_dm(env, exports);
  export_sections(env, exports);
  export_events(env, exports);
  export_udev(env, exports);
  export_devices(env, exports);
  export_blocks(env, exports);
  export_file_systems(env, exports);
  export_tree_walk(env, exports);
  export_tree_write(env, exports);
  exports.Set("cancel", Napi::Function::New(env, cancel, "cancel"));
  exports.Set("release", Napi::Function::New(env, release, "release"));
  exports.Set("wallClock", Napi::Function::New(env, wall_clock, "wallClock"));
#ifdef DM_THIN_FAULTS
  exports.Set("setFault", Napi::Function::New(env, arm_fault, "setFault"));
  exports.Set("clearFaults", Napi::Function::New(env, disarm_faults, "clearFaults"));
#endif
  return exports;
}

NODE_API_MODULE(dm_thin, init)

}  // namespace
}  // namespace dmthin
