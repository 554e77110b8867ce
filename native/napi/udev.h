// Calls that raise a uevent, within a udev transaction or without one.
#pragma once

#include <memory>

#include "dm/control.h"
#include "dm/udev_cookie.h"
#include "napi/environment.h"

namespace dmthin {

/// The transaction that a handle names; nothing for handle 0.
inline std::shared_ptr<UdevCookie> udev_cookie(Napi::Env env, uint32_t handle) {
  return Environment::of(env).held<UdevCookie>(handle);
}

/// Runs `call(event)`. The cookie counts it before udev can, and takes it back where no uevent came of it.
template <class Call>
Result<DeviceInfo> announced(const std::shared_ptr<UdevCookie>& cookie, uint32_t udev_flags,
                             const Call& call) {
  if (!cookie) return call(udev_flags << 16);
  auto expected = cookie->expect();
  if (!expected) return expected.failure();
  Result<DeviceInfo> result = call(udev_flags << 16 | cookie->cookie());
  if (!result || (result->flags & DM_UEVENT_GENERATED_FLAG) == 0) cookie->unexpect();
  return result;
}

}  // namespace dmthin
