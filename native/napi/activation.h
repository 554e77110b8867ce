// What an activation is asked for with, read from JavaScript's objects.
#pragma once

#include <napi.h>

#include <memory>

#include "dm/activate.h"

namespace dmthin {

/// { pool, ownPrefix }; null where the device is no volume.
std::shared_ptr<ActivationGuard> activation_guard(const Napi::Value& value,
                                                  ActivationGuard::For number = ActivationGuard::For::kOne);
ActivateRequest activate_request(const std::shared_ptr<ActivationGuard>& guard, const Napi::Object& object,
                                 uint32_t udev);

}  // namespace dmthin
