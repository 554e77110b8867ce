#include "dm/commit.h"

#include <cerrno>

#include "dm/thin_line.h"

namespace dmthin {
namespace {

/// A failed commit as a failure of the message that it belongs to.
Status look(Control& control, const Address& pool, const std::string& text, uint32_t flags, Cancel& cancel) {
  const auto status = control.table_status(pool, flags, cancel);
  if (!status) return status.failure();
  const std::string who = described(pool);
  if (status->empty()) return failed(command::kTableStatus.name, ENXIO, who, text);
  const int error = commit_error_of(status->front());
  if (error != 0) return failed(kCommit, error, who, text);
  return Nothing{};
}

/// "create_thin ID" and "create_snap ID ORIGIN" are undone by "delete ID"; nothing else is.
std::string undo_of(const std::string& text) {
  for (const char* command : {"create_thin ", "create_snap "}) {
    const std::string prefix(command);
    if (text.compare(0, prefix.size(), prefix) != 0) continue;
    const std::string rest = text.substr(prefix.size());
    return "delete " + rest.substr(0, rest.find(' '));
  }
  return {};
}

}  // namespace

bool shows_commit(const dm_ioctl& answer, const DeviceInfo& before) {
  return answer.event_nr == before.event_number && ((answer.flags | before.flags) & DM_SUSPEND_FLAG) == 0;
}

Result<std::string> committed_message(Control& control, const Address& pool, uint64_t sector,
                                      const std::string& text, Cancel& cancel) {
  auto sent = control.target_message(pool, sector, text, cancel);
  if (!sent) return sent;
  const auto looked = verify_commit(control, pool, text);
  if (looked) return sent;
  Failure failure = looked.failure();
  const std::string undo = undo_of(text);
  if (failure.operation != kCommit && !undo.empty()) {
    Cancel never;
    const auto undone = control.target_message(pool, sector, undo, never);
    failure.rollback.push_back({undo, failure.device, undone ? 0 : undone.failure().error});
  }
  return failure;
}

Status verify_commit(Control& control, const Address& pool, const std::string& text) {
  Cancel never;
  return look(control, pool, text, DM_NOFLUSH_FLAG, never);
}

Status commit(Control& control, const Address& pool, Cancel& cancel) {
  return look(control, pool, {}, 0, cancel);
}

}  // namespace dmthin
