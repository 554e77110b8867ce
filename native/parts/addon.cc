// The functions for JavaScript.
//
// Each part is compiled as one source, in the package and in the developers' build (CMakeLists.txt): the
// headers are read once, which takes a quarter of the time.
#include "napi/addon.cc"

#include "napi/block.cc"
#include "napi/devices.cc"
#include "napi/digests.cc"
#include "napi/environment.cc"
#include "napi/file_systems.cc"
#include "napi/from_js.cc"
#include "napi/locks.cc"
#include "napi/metadata.cc"
#include "napi/shapes.cc"
#include "napi/to_js.cc"
#include "napi/trees.cc"
#include "napi/volumes.cc"
