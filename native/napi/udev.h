// Commands that raise a uevent, within a udev transaction or without one.
#pragma once

#include <memory>

#include "dm/control.h"
#include "dm/udev_cookie.h"
#include "napi/call.h"

namespace dmthin {

/// A transaction; none for handle 0.
using SharedCookie = std::shared_ptr<UdevCookie>;

template <>
struct HandleOf<UdevCookie> {
  static SharedCookie closed() { return nullptr; }
};

/// Runs `command(event)`. The cookie counts the uevent before udev can, and no longer if there was none.
template <class Command>
Result<DeviceInfo> announced(const SharedCookie& cookie, uint32_t udev_flags, const Command& command) {
  if (!cookie) return command(udev_flags << 16);
  auto expected = cookie->expect();
  if (!expected) return expected.failure();
  Result<DeviceInfo> result = command(udev_flags << 16 | cookie->cookie());
  if (!result || (result->flags & DM_UEVENT_GENERATED_FLAG) == 0) cookie->unexpect();
  return result;
}

}  // namespace dmthin
