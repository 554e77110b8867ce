// The module: what JavaScript sees. One Environment for each that loads it; nothing mutable is shared between
// them.
#include <fcntl.h>
#include <napi.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <ctime>

#include "napi/environment.h"
#include "napi/exports.h"
#include "napi/start_command.h"
#include "napi/to_js.h"
#include "system/system_call.h"

namespace dmthin {
namespace {

Napi::Value cancel(Info info) {
  Environment::of(info.Env()).cancel(static_cast<uint32_t>(number(info[0])));
  return info.Env().Undefined();
}

/// (handle, cancel id) → settles when what the handle named is closed.
Napi::Value release(Info info) {
  constexpr int kLookAgainMs = 5;
  const auto held =
      std::make_shared<std::shared_ptr<void>>(Environment::of(info.Env()).take(to_uint32(info[0])));
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
      by_type);
}

/// Nanoseconds since 1970. JavaScript's own clocks are a millisecond or more away from what other processes
/// read.
Napi::Value wall_clock(Info info) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return Napi::BigInt::New(info.Env(), int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec);
}

/// The cheapest ioctl there is (FIONREAD on a pipe), through the whole stack: what a call costs beside the
/// kernel.
Napi::Value noop(Info info) {
  static const int pipe_end = [] {
    int ends[2] = {-1, -1};
    return ::pipe2(ends, O_CLOEXEC) == 0 ? ends[0] : -1;
  }();
  return start<uint32_t>(
      info, Kind::kQuick,
      [](Work&) -> Result<uint32_t> {
        int readable = 0;
        if (::ioctl(pipe_end, FIONREAD, &readable) < 0) return failed("FIONREAD", errno);
        return static_cast<uint32_t>(readable);
      },
      by_type);
}

#ifdef DM_THIN_FAULTS
Napi::Value arm_fault(Info info) {
  const std::string kind = text(info[2]);
  const FaultKind chosen = kind == "fail"          ? FaultKind::kFail
                           : kind == "fail-after"  ? FaultKind::kFailAfter
                           : kind == "kill-before" ? FaultKind::kKillBefore
                           : kind == "kill-after"  ? FaultKind::kKillAfter
                           : kind == "throw"       ? FaultKind::kThrow
                           : kind == "hold"        ? FaultKind::kHold
                                                   : FaultKind::kWait;
  set_fault(text(info[0]).c_str(), static_cast<int>(number(info[1])), chosen,
            static_cast<int>(number(info[3])));
  return info.Env().Undefined();
}

Napi::Value disarm_faults(Info info) { return Napi::Number::New(info.Env(), clear_faults()); }

Napi::Value is_reached_fault(Info info) {
  return Napi::Boolean::New(info.Env(), fault_reached(static_cast<int>(number(info[0]))));
}

Napi::Value release_waiting(Info info) {
  release_fault(static_cast<int>(number(info[0])));
  return info.Env().Undefined();
}
#endif

Napi::Object init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new Environment(env));
  export_dm(env, exports);
  export_activate(env, exports);
  export_remove(env, exports);
  export_snapshot(env, exports);
  export_inventory(env, exports);
  export_locks(env, exports);
  export_events(env, exports);
  export_udev(env, exports);
  export_loop(env, exports);
  export_backing_files(env, exports);
  export_blocks(env, exports);
  export_digests(env, exports);
  export_file_systems(env, exports);
  export_metadata(env, exports);
  export_tree_walk(env, exports);
  export_tree_write(env, exports);
  const Exporter add{env, exports};
  add("cancel", cancel);
  add("release", release);
  add("wallClock", wall_clock);
  add("noop", noop);
#ifdef DM_THIN_FAULTS
  add("setFault", arm_fault);
  add("clearFaults", disarm_faults);
  add("reachedFault", is_reached_fault);
  add("releaseFault", release_waiting);
#endif
  return exports;
}

NODE_API_MODULE(dm_thin, init)

}  // namespace
}  // namespace dmthin
