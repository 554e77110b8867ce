// Owner, mode, extended attributes and times of what an archive has made.
#pragma once

#include <ctime>
#include <string>
#include <string_view>

#include "system/result.h"
#include "tree/parent_resolver.h"
#include "tree/write_batch.h"

namespace dmthin {

struct WriteAttributes {
  explicit WriteAttributes(const WriteRecord& record);

  uint32_t mode;
  uint32_t uid;
  uint32_t gid;
  timespec times[2];            // accessed, modified
  std::string_view attributes;  // as next_attribute() reads them
};

/// Sets the attributes of an open file or directory. Its times come last: the rest would change them.
Status set_attributes(int fd, const WriteAttributes& attributes, const std::string& path);
Status set_times(int fd, const timespec (&times)[2], const std::string& path);
/// Sets the attributes of a name that cannot be opened without a consequence: a link, a device, a FIFO. It
/// was made just now.
Status set_attributes_of_name(int parent, const char* name, const WriteAttributes& attributes,
                              const std::string& path);

}  // namespace dmthin
