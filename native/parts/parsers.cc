// The parsers: they make no system calls.
//
// Each part is compiled as one source, in the package and in the developers' build (CMakeLists.txt): the
// headers are read once, which takes a quarter of the time.
#include "block/loop_info.cc"
#include "dm/ioctl_data.cc"
#include "dm/log_record.cc"
#include "dm/thin_line.cc"
#include "fs/mount_info.cc"
#include "metadata/crc32c.cc"
#include "metadata/node.cc"
#include "tree/write_batch.cc"
