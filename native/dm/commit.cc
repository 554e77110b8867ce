#include "dm/commit.h"

#include <cerrno>

#include "dm/pool_lock.h"
#include "dm/thin_line.h"

namespace dmthin {
namespace {

/// Returns a failed commit as a failure of the message that it belongs to.
Status look(Control& control, const Address& pool, const std::string& text, uint32_t flags, Cancel& cancel) {
  const auto status = TRY(control.device_lines(pool, flags, cancel));
  const std::string who = described(pool);
  if (status.targets.empty()) return failed(command::kTableStatus.name, ENXIO, who, text);
  const int error = commit_error_of(status.targets.front());
  if (error != 0) return failed(kCommit, error, who, text);
  control.commits().verified(status.info);
  return Nothing{};
}

/// Returns the message that undoes `text`. "create_thin ID" and "create_snap ID ORIGIN" are undone by "delete
/// ID"; nothing else is.
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

bool shows_commit(uint32_t events, uint32_t flags, uint32_t before) {
  return events == before && (flags & DM_SUSPEND_FLAG) == 0;
}

Result<std::string> committed_message(Control& control, const Address& pool, uint64_t sector,
                                      const std::string& text, Cancel& cancel) {
  const auto before = control.commits().events_of(pool.uuid);
  auto sent = TRY(control.target_message(pool, sector, text, cancel));
  if (before && shows_commit(sent.info.event_number, sent.info.flags, *before)) return sent.text;
  const auto looked = verify_commit(control, pool, text);
  if (looked) return sent.text;
  Failure failure = looked.failure();
  const std::string undo = undo_of(text);
  if (failure.operation != kCommit && !undo.empty()) {
    Cancel never;
    const auto undone = control.target_message(pool, sector, undo, never);
    failure.rollback.push_back({undo, failure.device, undone ? 0 : undone.failure().error});
  }
  return failure;
}

Status create_thin(Control& control, const CreateThinRequest& request, Cancel& cancel) {
  const auto id = std::to_string(request.id);
  const std::string text = request.origin_id ? "create_snap " + id + " " + std::to_string(*request.origin_id)
                                             : "create_thin " + id;
  const auto file = TRY(open_new_thin_locks(request.pool.name));
  if (!TRY(try_lock_new_thin(file, request.id)))
    return failed(command::kTargetMessage.name, EEXIST, request.pool.name, text);
  if (request.committed)
    TRY(committed_message(control, request.pool.address(), 0, text, cancel));
  else
    TRY(control.target_message(request.pool.address(), 0, text, cancel));
  return Nothing{};
}

Status verify_commit(Control& control, const Address& pool, const std::string& text) {
  Cancel never;
  return look(control, pool, text, DM_NOFLUSH_FLAG, never);
}

Status commit(Control& control, const Address& pool, Cancel& cancel) {
  return look(control, pool, {}, 0, cancel);
}

}  // namespace dmthin
