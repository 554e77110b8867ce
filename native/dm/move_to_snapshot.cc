#include "dm/move_to_snapshot.h"

#include <cerrno>

#include "dm/commit.h"
#include "dm/pool_lock.h"
#include "dm/prepared_calls.h"
#include "system/critical_section.h"
#include "system/scope_guard.h"

namespace dmthin {
namespace {

std::string create_text(const MoveRequest& request) {
  return "create_snap " + std::to_string(request.id) + " " + std::to_string(request.origin_id);
}

class MoveCalls {
 public:
  MoveCalls(Control& control, const MoveRequest& request)
      : create_(create_text(request)),
        delete_("delete " + std::to_string(request.id)),
        calls_(control),
        request_(request) {}

  Status prepare() {
    auto table = TRY(pack_table(request_.table));
    Call load{command::kTableLoad, request_.device};
    load.target_count = static_cast<uint32_t>(request_.table.size());
    load.payload = std::move(table);
    // In the order of the enumeration. Without flush, so that the device need not wait for space in a full
    // pool; what was not written yet goes to the new table.
    auto added = calls_.add({command::kSuspend, request_.device, DM_SUSPEND_FLAG | kWithoutFlush});
    if (added) added = calls_.add(message(create_));
    if (added) added = calls_.add(load);
    if (added) added = calls_.add({command::kResume, request_.device, 0, request_.event});
    if (added) added = calls_.add({command::kTableClear, request_.device});
    if (added) added = calls_.add(message(delete_));
    if (!added) return added.failure();
    return Nothing{};
  }

  Status suspend(Cancel& cancel) {
    calls_.lock();
    const int error = calls_.send(kSuspend, cancel);
    if (error != 0) return calls_.failure(kSuspend, error);
    return Nothing{};
  }

  /// Sends create_snap and the load while the device is suspended. Allocates nothing.
  void create_and_load(Cancel& cancel) {
    created_ = calls_.send(kCreate, cancel);
    if (created_ == 0) loaded_ = calls_.send(kLoad, cancel);
  }

  void resume() noexcept { resumed_ = calls_.undo(kResume, while_there); }

  /// Undoes what was made, unless the device has moved.
  void undo() noexcept {
    if (loaded_ == 0 && resumed_ != 0) cleared_ = calls_.undo(kClear, never_again);
    if (created_ == 0 && !moved()) deleted_ = calls_.undo(kDelete, never_again);
  }

  /// Returns the result, after undo().
  Status result(Control& control) const {
    if (moved()) return verify_commit(control, request_.pool.address(), create_);
    if (created_ != 0) {
      Failure failure = calls_.failure(kCreate, created_);
      failure.detail = create_;
      return failure;
    }
    Failure failure = loaded_ != 0 ? calls_.failure(kLoad, loaded_) : calls_.failure(kResume, resumed_);
    if (loaded_ == 0)
      failure.rollback.push_back({command::kTableClear.name, described(request_.device), cleared_});
    failure.rollback.push_back({delete_, request_.pool.name, deleted_});
    return failure;
  }

 private:
  enum : size_t { kSuspend, kCreate, kLoad, kResume, kClear, kDelete };
  static constexpr int kNotSent = -1;

  Call message(const std::string& text) const {
    Call call{command::kTargetMessage, request_.pool.address()};
    call.payload = pack_message(0, text);
    return call;
  }

  bool moved() const { return loaded_ == 0 && resumed_ == 0; }

  const std::string create_;
  const std::string delete_;
  PreparedCalls calls_;
  const MoveRequest& request_;
  // The errno of each step; kNotSent until it was sent.
  int created_ = kNotSent;
  int loaded_ = kNotSent;
  int resumed_ = kNotSent;
  int cleared_ = kNotSent;
  int deleted_ = kNotSent;
};

}  // namespace

Status move_to_snapshot(Control& control, const MoveRequest& request, Cancel& cancel) {
  const auto file = TRY(open_thin_locks(request.pool.name, cancel));
  const auto lock = TRY(lock_thin(file, request.locked_id, cancel));
  const bool is_new = TRY(try_lock_new_thin(file, request.id));
  const auto pool = TRY(pool_device(control, request.pool, cancel));
  if ((pool.flags & DM_SUSPEND_FLAG) != 0)
    return failed(command::kSuspend.name, EAGAIN, request.pool.name, "the pool is suspended");
  const auto device = TRY(control.status(request.device, cancel));
  if ((device.flags & DM_SUSPEND_FLAG) != 0)
    return failed(command::kSuspend.name, EBUSY, described(request.device), "the volume is suspended");

  if (!is_new) return failed(command::kTargetMessage.name, EEXIST, request.pool.name, create_text(request));
  MoveCalls calls(control, request);
  TRY(calls.prepare());
  CriticalSection section(cancel);
  TRY(calls.suspend(cancel));
  {
    const ScopeGuard undo([&] { calls.undo(); });
    const ScopeGuard resume([&] { calls.resume(); });
    section.shield();  // from here to the resume nothing may give up
    calls.create_and_load(cancel);
  }
  return calls.result(control);
}

}  // namespace dmthin
