// What Node sees.
//
// The package compiles each part as one source: the headers are read once, which takes a quarter of the time.
// The developers' build (CMakeLists.txt) takes the list from here and compiles each file by itself.
#include "bind/addon.cc"
#include "bind/block.cc"
#include "bind/device_list.cc"
#include "bind/devices.cc"
#include "bind/dm.cc"
#include "bind/environment.cc"
#include "bind/events.cc"
#include "bind/file_systems.cc"
#include "bind/sections.cc"
#include "bind/to_js.cc"
#include "bind/tree_walk.cc"
#include "bind/tree_write.cc"
#include "bind/udev.cc"
