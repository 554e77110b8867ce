// The list of mapped devices on its way to JavaScript, which makes objects of it: an object that is made here
// costs more than the kernel's answer does.
#pragma once

#include <napi.h>

#include <string>
#include <vector>

#include "dm/control.h"

namespace dmthin {

struct DeviceList {
  /// Name, NUL, uuid, NUL for each, in pieces: what JavaScript cuts out of a text keeps the whole of it in
  /// memory, so none is long.
  std::vector<std::string> texts;
  /// The device and its event number, or -1 where the kernel tells none, for each.
  std::vector<double> numbers;
};

Result<DeviceList> device_list(Control& control, const Address& filter, Cancel& cancel);
Napi::Value to_js(Napi::Env env, const DeviceList& list);

}  // namespace dmthin
