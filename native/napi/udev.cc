// udev transactions for JavaScript.
#include "napi/udev.h"

#include "napi/exports.h"
#include "napi/start_command.h"

namespace dmthin {
namespace {

/// Gives a handle, which release() ends: the semaphore goes with it.
Napi::Value udev_begin(Info info) {
  return start<UdevCookie>(
      info, Kind::kQuick, [](Work&) { return UdevCookie::begin(); },
      [](Napi::Env env, UdevCookie& cookie) {
        auto kept = std::make_shared<UdevCookie>(std::move(cookie));
        return as_handle(env, kept);
      });
}

/// (handle, limit in ms, cancel id)
Napi::Value udev_wait(Info info) {
  const auto cookie = udev_cookie(info.Env(), to_uint32(info[0]));
  return start<Nothing>(
      info, Kind::kEndless,
      [cookie, limit = number(info[1])](Work& work) -> Status {
        if (!cookie) return Nothing{};
        return cookie->wait(static_cast<int64_t>(limit), work.cancel());
      },
      by_type);
}

Napi::Value udev_sweep(Info info) {
  return start<uint32_t>(
      info, Kind::kQuick,
      [](Work&) -> Result<uint32_t> { return static_cast<uint32_t>(sweep_udev_cookies()); }, by_type);
}

}  // namespace

void export_udev(Napi::Env env, Napi::Object exports) {
  const Exporter add{env, exports};
  add("udevBegin", udev_begin);
  add("udevWait", udev_wait);
  add("udevSweep", udev_sweep);
}

}  // namespace dmthin
