// The functions for JavaScript, in one table for each subject.
#pragma once

#include <span>

#include "napi/environment.h"

namespace dmthin {

/// A row: the name in JavaScript and its function, which mostly is a call<function, kind>.
struct Export {
  const char* name;
  Napi::Value (*function)(Info);
};
using Exports = std::span<const Export>;

Exports block_exports();
Exports device_exports();
Exports digest_exports();
Exports file_system_exports();
Exports lock_exports();
Exports metadata_exports();
Exports tree_exports();
Exports volume_exports();

}  // namespace dmthin
