// The module: each environment that loads it has its own Environment, and they share nothing that changes.
#include <fcntl.h>
#include <napi.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <ctime>

#include "napi/call.h"
#include "napi/exports.h"
#include "system/system_call.h"

namespace dmthin {

/// A thing that no handle names any more.
struct Released {
  std::shared_ptr<void> thing;
};

/// Ends a handle.
void from_js(const Napi::Value& value, Released& released) {
  released.thing = Environment::of(value.Env()).take(value_of<uint32_t>(value));
}

#ifdef DM_THIN_FAULTS
void from_js(const Napi::Value& value, FaultKind& kind) {
  const auto name = value_of<std::string>(value);
  kind = name == "fail"          ? FaultKind::kFail
         : name == "fail-after"  ? FaultKind::kFailAfter
         : name == "kill-before" ? FaultKind::kKillBefore
         : name == "kill-after"  ? FaultKind::kKillAfter
         : name == "throw"       ? FaultKind::kThrow
         : name == "hold"        ? FaultKind::kHold
                                 : FaultKind::kWait;
}
#endif

namespace {

Napi::Value cancel(Info info) {
  Environment::of(info.Env()).cancel(value_of<uint32_t>(info[0]));
  return info.Env().Undefined();
}

/// Closes the thing, on this thread. If another call still uses it, its job would close it on the JS thread,
/// so this waits for the job's end.
Status release(Released& released, Work& work) {
  constexpr int kLookAgainMs = 5;
  if (released.thing.use_count() > 1)
    work.again_after(kLookAgainMs);
  else
    released.thing.reset();
  return Nothing{};
}

/// Returns nanoseconds since 1970. JavaScript's own clocks differ by a millisecond or more from those of
/// other processes.
Napi::Value wall_clock(Info info) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return Napi::BigInt::New(info.Env(), int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec);
}

/// Calls the cheapest ioctl, FIONREAD of a pipe: this is what a call costs beside the kernel's work.
Result<uint32_t> noop() {
  static const int pipe_end = [] {
    int ends[2] = {-1, -1};
    return ::pipe2(ends, O_CLOEXEC) == 0 ? ends[0] : -1;
  }();
  int readable = 0;
  if (::ioctl(pipe_end, FIONREAD, &readable) < 0) return failed("FIONREAD", errno);
  return static_cast<uint32_t>(readable);
}

#ifdef DM_THIN_FAULTS
Napi::Value arm_fault(Info info) {
  set_fault(value_of<std::string>(info[0]).c_str(), value_of<int>(info[1]), value_of<FaultKind>(info[2]),
            value_of<int>(info[3]));
  return info.Env().Undefined();
}

Napi::Value disarm_faults(Info info) { return to_js(info.Env(), clear_faults()); }

Napi::Value is_reached_fault(Info info) { return to_js(info.Env(), fault_reached(value_of<int>(info[0]))); }

Napi::Value release_waiting(Info info) {
  release_fault(value_of<int>(info[0]));
  return info.Env().Undefined();
}
#endif

Exports addon_exports() {
  static constexpr Export kRows[] = {
      {"cancel", cancel},
      {"release", call<release, Kind::kFrees>},
      {"wallClock", wall_clock},
      {"noop", call<noop, Kind::kQuick>},
#ifdef DM_THIN_FAULTS
      {"setFault", arm_fault},
      {"clearFaults", disarm_faults},
      {"reachedFault", is_reached_fault},
      {"releaseFault", release_waiting},
#endif
  };
  return kRows;
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new Environment(env));
  for (const Exports rows :
       {addon_exports(), block_exports(), device_exports(), digest_exports(), file_system_exports(),
        lock_exports(), metadata_exports(), tree_exports(), volume_exports()}) {
    for (const auto& [name, function] : rows) exports.Set(name, Napi::Function::New(env, function, name));
  }
  return exports;
}

NODE_API_MODULE(dm_thin, init)

}  // namespace
}  // namespace dmthin
