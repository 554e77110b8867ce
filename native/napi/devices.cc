// Loop devices, and the files and devices below a pool, for JavaScript.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "block/node_lock.h"
#include "napi/functions.h"
#include "napi/start_command.h"

namespace dmthin {
namespace {

Napi::Value loop_attach_file(Info info) {
  const auto object = info[0].As<Napi::Object>();
  LoopRequest request;
  request.file = text(object.Get("file"));
  request.read_only = truth_or(object.Get("readOnly"));
  request.direct_io = truth_or(object.Get("directIo"));
  request.autoclear = truth_or(object.Get("autoclear"));
  request.partition_scan = truth_or(object.Get("partitionScan"));
  request.reference = text_or(object.Get("reference"));
  if (!object.Get("number").IsUndefined()) request.number = static_cast<int>(number(object.Get("number")));
  request.offset = number_or(object.Get("offsetBytes"));
  request.size_limit = number_or(object.Get("sizeLimitBytes"));
  request.block_size = static_cast<uint32_t>(number_or(object.Get("blockSizeBytes")));
  auto* environment = &Environment::of(info.Env());
  return start<Attached>(
      info, Kind::kChanges, [request](Work& work) { return loop_attach(request, work.cancel()); },
      [environment](Napi::Env env, Attached& attached) -> Napi::Value {
        auto object = to_js(env, attached.status).As<Napi::Object>();
        object.Set("held", to_js(env, environment->hold(std::move(attached.held))));
        return object;
      });
}

Napi::Value loop_list_all(Info info) {
  return start<std::vector<LoopStatus>>(info, Kind::kQuick, [](Work&) { return loop_list(); }, plainly);
}

Napi::Value loop_status_of(Info info) {
  const int number_ = static_cast<int>(number(info[0]));
  return start<LoopStatus>(info, Kind::kQuick, [number_](Work&) { return loop_status(number_); }, plainly);
}

Napi::Value loop_follow_file(Info info) {
  const int number_ = static_cast<int>(number(info[0]));
  return start<LoopStatus>(
      info, Kind::kChanges, [number_](Work&) { return loop_set_capacity(number_); }, plainly);
}

Napi::Value loop_change_to(Info info) {
  return start<LoopStatus>(
      info, Kind::kChanges,
      [number_ = static_cast<int>(number(info[0])), file = text(info[1])](Work& work) {
        return loop_change_file(number_, file, work.cancel());
      },
      plainly);
}

Napi::Value loop_direct(Info info) {
  return start<LoopStatus>(
      info, Kind::kChanges,
      [number_ = static_cast<int>(number(info[0])), on = truth(info[1])](Work&) {
        return loop_set_direct_io(number_, on);
      },
      plainly);
}

Napi::Value loop_detach_lazily(Info info) {
  return start<bool>(
      info, Kind::kChanges,
      [number_ = static_cast<int>(number(info[0]))](Work&) { return loop_detach_at_last_close(number_); },
      [](Napi::Env env, bool& detached) -> Napi::Value { return Napi::Boolean::New(env, detached); });
}

/// Detaches, and looks until the device is free or `limit` milliseconds are over.
Napi::Value loop_detach_file(Info info) {
  const int number_ = static_cast<int>(number(info[0]));
  const int64_t limit_ns = static_cast<int64_t>(number(info[1])) * 1'000'000;
  auto started = std::make_shared<int64_t>(0);
  auto tries = std::make_shared<uint32_t>(0);
  return start<Nothing>(
      info, Kind::kChanges,
      [number_, limit_ns, started, tries](Work& work) -> Status {
        if (*started == 0) *started = now_ns();
        ++*tries;
        auto detached = loop_detach(number_);
        if (detached || detached.failure().error != EBUSY) return detached;
        detached.failure().tries = *tries;
        detached.failure().cancelled = work.cancel().requested();
        if (!detached.failure().cancelled && now_ns() - *started < limit_ns)
          work.again_after(*tries < 6 ? 2 : 20);
        return detached;
      },
      plainly);
}

Napi::Value loop_hold_open(Info info) {
  const int number_ = static_cast<int>(number(info[0]));
  auto* environment = &Environment::of(info.Env());
  return start<UniqueFd>(
      info, Kind::kQuick, [number_](Work&) { return loop_hold(number_); },
      [environment](Napi::Env env, UniqueFd& fd) { return to_js(env, environment->hold(std::move(fd))); });
}

Napi::Value lock_block_node(Info info) {
  auto* environment = &Environment::of(info.Env());
  return start<UniqueFd>(
      info, Kind::kChanges, [path = text(info[0])](Work& work) { return lock_node(path, work.cancel()); },
      [environment](Napi::Env env, UniqueFd& fd) { return to_js(env, environment->hold(std::move(fd))); });
}

Napi::Value identify_file(Info info) {
  return start<FileIdentity>(
      info, Kind::kQuick, [path = text(info[0])](Work&) { return identify_path(path); }, plainly);
}

Napi::Value create_sparse_file(Info info) {
  return start<SparseFile>(
      info, Kind::kChanges,
      [path = text(info[0]), size = number(info[1])](Work&) { return create_sparse(path, size); },
      [](Napi::Env env, SparseFile& file) -> Napi::Value {
        auto object = to_js(env, file.identity).As<Napi::Object>();
        object.Set("created", Napi::Boolean::New(env, file.created));
        return object;
      });
}

Napi::Value grow_to(Info info) {
  return start<FileIdentity>(
      info, Kind::kChanges,
      [path = text(info[0]), size = number(info[1])](Work&) { return grow_file(path, size); }, plainly);
}

Napi::Value delete_path(Info info) {
  return start<Nothing>(
      info, Kind::kChanges, [path = text(info[0])](Work&) { return delete_file(path); }, plainly);
}

Napi::Value block_size(Info info) {
  return start<uint64_t>(
      info, Kind::kQuick, [path = text(info[0])](Work&) { return block_size_bytes(path); }, plainly);
}

Napi::Value read_some_blocks(Info info) {
  std::vector<uint64_t> blocks;
  const auto array = info[1].As<Napi::Array>();
  blocks.reserve(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i) blocks.push_back(number(array.Get(i)));
  return start<std::vector<std::vector<uint8_t>>>(
      info, Kind::kWaits,
      [path = text(info[0]), blocks, size = bits(info[2]), exclusive = truth(info[3])](Work&) {
        return read_blocks(path, blocks, size, exclusive);
      },
      [](Napi::Env env, std::vector<std::vector<uint8_t>>& found) -> Napi::Value {
        auto list = Napi::Array::New(env, found.size());
        for (size_t i = 0; i < found.size(); ++i) {
          list.Set(static_cast<uint32_t>(i),
                   Napi::Buffer<uint8_t>::Copy(env, found[i].data(), found[i].size()));
        }
        return list;
      });
}

Napi::Value zero_first(Info info) {
  return start<Nothing>(
      info, Kind::kWaits,
      [path = text(info[0]), length = number(info[1])](Work&) { return zero_start(path, length); }, plainly);
}

Napi::Value sync_open_file(Info info) {
  return start<Nothing>(
      info, Kind::kWaits, [file = static_cast<int>(bits(info[0]))](Work&) { return sync_file(file); },
      plainly);
}

/// The cheapest ioctl there is (FIONREAD on a pipe), through the whole stack: what a call costs beside the
/// kernel.
Napi::Value noop(Info info) {
  static const int pipe_end = [] {
    int ends[2] = {-1, -1};
    return ::pipe2(ends, O_CLOEXEC) == 0 ? ends[0] : -1;
  }();
  return start<uint32_t>(
      info, Kind::kQuick,
      [](Work&) -> Result<uint32_t> {
        int readable = 0;
        if (::ioctl(pipe_end, FIONREAD, &readable) < 0) return failed("FIONREAD", errno);
        return static_cast<uint32_t>(readable);
      },
      plainly);
}

}  // namespace

void export_devices(Napi::Env env, Napi::Object exports) {
  const Exporter add{env, exports};
  add("loopAttach", loop_attach_file);
  add("loopList", loop_list_all);
  add("loopStatus", loop_status_of);
  add("loopSetCapacity", loop_follow_file);
  add("loopChangeFile", loop_change_to);
  add("loopSetDirectIo", loop_direct);
  add("loopDetach", loop_detach_file);
  add("loopDetachAtLastClose", loop_detach_lazily);
  add("loopHold", loop_hold_open);
  add("lockNode", lock_block_node);
  add("identify", identify_file);
  add("createSparse", create_sparse_file);
  add("growFile", grow_to);
  add("deleteFile", delete_path);
  add("blockSizeBytes", block_size);
  add("readBlocks", read_some_blocks);
  add("zeroStart", zero_first);
  add("syncFile", sync_open_file);
  add("noop", noop);
}

}  // namespace dmthin
