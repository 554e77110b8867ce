// Events of mapped devices for JavaScript: a descriptor of its own for each listener, armed, listed and
// polled.
#include "napi/device_list.h"
#include "napi/exports.h"
#include "napi/start_command.h"

namespace dmthin {
namespace {

Napi::Value open_events(Info info) {
  return to_js(info.Env(), Environment::of(info.Env()).hold(std::make_shared<Control>()));
}

/// A listener's own control node; an empty one, which hears of everything anew, for a handle that is closed.
std::shared_ptr<Control> events(Info info) {
  auto found = Environment::of(info.Env()).held<Control>(to_uint32(info[0]));
  return found ? found : std::make_shared<Control>();
}

Napi::Value arm_events(Info info) {
  const auto control = events(info);
  return start<Nothing>(
      info, Kind::kQuick, [control](Work& work) { return control->arm_poll(work.cancel()); }, by_type);
}

Napi::Value poll_events(Info info) {
  const auto control = events(info);
  return start<Nothing>(
      info, Kind::kEndless, [control](Work& work) { return control->poll_events(work.cancel()); }, by_type);
}

/// (handle, filter, whether to poll first, cancel id): poll, arm, list, in the order that misses nothing and
/// in one native call.
Napi::Value next_list(Info info) {
  const auto control = events(info);
  return start<DeviceList>(
      info, Kind::kEndless,
      [control, filter = address(info[1]), poll = to_bool(info[2])](Work& work) -> Result<DeviceList> {
        if (poll) {
          auto events = control->poll_events(work.cancel());
          if (!events) return events.failure();
        }
        auto armed = control->arm_poll(work.cancel());
        if (!armed) return armed.failure();
        return device_list(*control, filter, work.cancel());
      },
      by_type);
}

}  // namespace

void export_events(Napi::Env env, Napi::Object exports) {
  const Exporter add{env, exports};
  add("openEvents", open_events);
  add("armEvents", arm_events);
  add("pollEvents", poll_events);
  add("nextList", next_list);
}

}  // namespace dmthin
