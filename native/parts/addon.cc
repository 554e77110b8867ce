// What Node sees.
//
// The package compiles each part as one source: the headers are read once, which takes a quarter of the time.
// The developers' build (CMakeLists.txt) takes the list from here and compiles each file by itself.
#include "napi/addon.cc"

#include "napi/activate.cc"
#include "napi/backing_file.cc"
#include "napi/block_device.cc"
#include "napi/device_list.cc"
#include "napi/digest.cc"
#include "napi/dm.cc"
#include "napi/environment.cc"
#include "napi/events.cc"
#include "napi/file_systems.cc"
#include "napi/inventory.cc"
#include "napi/locks.cc"
#include "napi/loop.cc"
#include "napi/metadata.cc"
#include "napi/remove.cc"
#include "napi/shapes.cc"
#include "napi/snapshot.cc"
#include "napi/to_js.cc"
#include "napi/tree_walk.cc"
#include "napi/tree_write.cc"
#include "napi/udev.cc"
