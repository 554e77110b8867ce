// What goes to the kernel: a name, a uuid, and a table, a line each. It is refused, or can be read back as it
// was given.
#include <cerrno>
#include <cstring>
#include <string>

#include "dm/ioctl_data.h"
#include "test/fuzz/target.h"

using namespace dmthin;

namespace {

std::string next_line(std::string* rest) {
  const size_t end = rest->find('\n');
  std::string line = rest->substr(0, end);
  *rest = end == std::string::npos ? std::string() : rest->substr(end + 1);
  return line;
}

Target target_of(const std::string& line) {
  const size_t blank = line.find(' ');
  Target target;
  target.start = line.size();
  target.length = line.size() * UINT32_MAX;
  target.type = line.substr(0, blank);
  if (blank != std::string::npos) target.parameters = line.substr(blank + 1);
  return target;
}

bool has_nul(const std::string& text) { return text.find('\0') != std::string::npos; }

void check_table(const std::vector<Target>& table, const std::vector<uint8_t>& bytes) {
  size_t at = 0;
  for (const Target& target : table) {
    dm_target_spec spec = {};
    HOLDS(at % 8 == 0 && bytes.size() - at >= sizeof spec);
    memcpy(&spec, bytes.data() + at, sizeof spec);
    HOLDS(spec.sector_start == target.start && spec.length == target.length);
    // The type up to its NUL: the kernel takes what is behind one for nothing.
    HOLDS(strncmp(spec.target_type, target.type.c_str(), sizeof spec.target_type) == 0);
    HOLDS(spec.next > sizeof spec + target.parameters.size() && spec.next <= bytes.size() - at);
    const auto* text = reinterpret_cast<const char*>(bytes.data() + at + sizeof spec);
    HOLDS(target.parameters == text);
    at += spec.next;
  }
  HOLDS(at == bytes.size());
}

}  // namespace

FUZZ(request) {
  std::string rest(reinterpret_cast<const char*>(data), size);
  Call call{command::kTableLoad, {}};
  call.address.name = next_line(&rest);
  call.address.uuid = next_line(&rest);
  std::vector<Target> table;
  while (!rest.empty()) table.push_back(target_of(next_line(&rest)));
  auto payload = pack_table(table);
  if (payload) {
    check_table(table, *payload);
    call.payload = *payload;
  } else {
    HOLDS(payload.failure().error == EINVAL);
  }
  const auto packed = pack(call, size);
  if (!packed) {
    HOLDS(packed.failure().error == ENAMETOOLONG || packed.failure().error == EINVAL);
    return;
  }
  HOLDS(!has_nul(call.address.name) && !has_nul(call.address.uuid));
  HOLDS(packed->size() >= sizeof(dm_ioctl) + call.payload.size());
  const Reply read(*packed);
  HOLDS(read.info().name == call.address.name && read.info().uuid == call.address.uuid);
  HOLDS(read.header().data_size == packed->size());
}
