// Loop devices for JavaScript.
#include "block/loop.h"

#include "napi/exports.h"
#include "napi/start_command.h"
#include "system/clock.h"

namespace dmthin {
namespace {

Napi::Value loop_attach_file(Info info) {
  const auto object = info[0].As<Napi::Object>();
  LoopRequest request;
  request.file = text(object.Get("file"));
  request.read_only = bool_or(object.Get("readOnly"));
  request.direct_io = bool_or(object.Get("directIo"));
  request.autoclear = bool_or(object.Get("autoclear"));
  request.partition_scan = bool_or(object.Get("partitionScan"));
  request.reference = text_or(object.Get("reference"));
  if (!object.Get("number").IsUndefined()) request.number = static_cast<int>(number(object.Get("number")));
  request.offset = number_or(object.Get("offsetBytes"));
  request.size_limit = number_or(object.Get("sizeLimitBytes"));
  request.block_size = static_cast<uint32_t>(number_or(object.Get("blockSizeBytes")));
  return start<Attached>(
      info, Kind::kChanges, [request](Work& work) { return loop_attach(request, work.cancel()); },
      [](Napi::Env env, Attached& attached) -> Napi::Value {
        auto object = to_js(env, attached.status).As<Napi::Object>();
        object.Set("held", to_js(env, Environment::of(env).hold(std::move(attached.held))));
        return object;
      });
}

Napi::Value loop_list_all(Info info) {
  return start<std::vector<LoopStatus>>(info, Kind::kQuick, [](Work&) { return loop_list(); }, by_type);
}

Napi::Value loop_status_of(Info info) {
  const int number_ = static_cast<int>(number(info[0]));
  return start<LoopStatus>(info, Kind::kQuick, [number_](Work&) { return loop_status(number_); }, by_type);
}

Napi::Value loop_follow_file(Info info) {
  const int number_ = static_cast<int>(number(info[0]));
  return start<LoopStatus>(
      info, Kind::kChanges, [number_](Work&) { return loop_set_capacity(number_); }, by_type);
}

Napi::Value loop_change_to(Info info) {
  return start<LoopStatus>(
      info, Kind::kChanges,
      [number_ = static_cast<int>(number(info[0])), file = text(info[1])](Work& work) {
        return loop_change_file(number_, file, work.cancel());
      },
      by_type);
}

Napi::Value loop_direct(Info info) {
  return start<LoopStatus>(
      info, Kind::kChanges,
      [number_ = static_cast<int>(number(info[0])), on = to_bool(info[1])](Work&) {
        return loop_set_direct_io(number_, on);
      },
      by_type);
}

Napi::Value loop_detach_lazily(Info info) {
  return start<bool>(
      info, Kind::kChanges,
      [number_ = static_cast<int>(number(info[0]))](Work&) { return loop_detach_at_last_close(number_); },
      [](Napi::Env env, bool& detached) -> Napi::Value { return Napi::Boolean::New(env, detached); });
}

/// Detaches, and looks until the device is free or `limit` milliseconds are over.
Napi::Value loop_detach_file(Info info) {
  const int number_ = static_cast<int>(number(info[0]));
  const int64_t limit_ns = static_cast<int64_t>(number(info[1])) * 1'000'000;
  auto started = std::make_shared<int64_t>(0);
  auto tries = std::make_shared<uint32_t>(0);
  return start<Nothing>(
      info, Kind::kChanges,
      [number_, limit_ns, started, tries](Work& work) -> Status {
        if (*started == 0) *started = now_ns();
        ++*tries;
        auto detached = loop_detach(number_);
        if (detached || detached.failure().error != EBUSY) return detached;
        detached.failure().tries = *tries;
        detached.failure().cancelled = work.cancel().requested();
        if (!detached.failure().cancelled && now_ns() - *started < limit_ns)
          work.again_after(*tries < 6 ? 2 : 20);
        return detached;
      },
      by_type);
}

Napi::Value loop_hold_open(Info info) {
  const int number_ = static_cast<int>(number(info[0]));
  return start<UniqueFd>(info, Kind::kQuick, [number_](Work&) { return loop_hold(number_); }, as_handle);
}

}  // namespace

void export_loop(Napi::Env env, Napi::Object exports) {
  const Exporter add{env, exports};
  add("loopAttach", loop_attach_file);
  add("loopList", loop_list_all);
  add("loopStatus", loop_status_of);
  add("loopSetCapacity", loop_follow_file);
  add("loopChangeFile", loop_change_to);
  add("loopSetDirectIo", loop_direct);
  add("loopDetach", loop_detach_file);
  add("loopDetachAtLastClose", loop_detach_lazily);
  add("loopHold", loop_hold_open);
}

}  // namespace dmthin
