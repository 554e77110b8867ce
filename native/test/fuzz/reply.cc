// The kernel's answer to any command, read as the answer to each.
#include <cerrno>

#include "dm/ioctl_data.h"
#include "test/fuzz/target.h"
#include "test/listed.h"

using namespace dmthin;

namespace {

template <class T>
bool refused(const Result<T>& result) {
  return !result && result.failure().error == EBADMSG;
}

/// Bytes of text in what was read: none is read twice, so that memory follows the answer's size.
size_t text_in(const Listed& each) { return each.name.size() + each.uuid.size() + sizeof each.device; }
size_t text_in(const Target& each) { return each.parameters.size() + sizeof(dm_target_spec); }
size_t text_in(const TargetVersion& each) { return each.name.size() + sizeof each.version; }
size_t text_in(uint64_t) { return sizeof(uint64_t); }

template <class T>
void check(const Result<std::vector<T>>& result, size_t size) {
  if (!result) {
    HOLDS(refused(result));
    return;
  }
  size_t read = 0;
  for (const T& each : *result) read += text_in(each);
  HOLDS(read <= size);
}

}  // namespace

FUZZ(reply) {
  const Reply answer(std::vector<uint8_t>(data, data + size));
  const DeviceInfo info = answer.info();
  HOLDS(info.name.size() <= DM_NAME_LEN && info.uuid.size() <= DM_UUID_LEN);
  HOLDS(info.name.find('\0') == std::string::npos && info.uuid.find('\0') == std::string::npos);
  check(dmthin::test::devices_of(answer), size);
  check(answer.targets(), size);
  check(answer.versions(), size);
  check(answer.dependencies(), size);
  const auto text = answer.message_reply();
  HOLDS(text ? text->size() <= size : refused(text));
}
