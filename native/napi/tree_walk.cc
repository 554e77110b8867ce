// Comparing and reading trees for JavaScript.
#include "tree/tree_walk.h"

#include "napi/exports.h"
#include "napi/memory.h"
#include "napi/start_command.h"
#include "tree/tree_read.h"

namespace dmthin {
namespace {

using SharedWalk = std::shared_ptr<TreeWalk>;
using Bytes = std::vector<uint8_t>;

SharedWalk walk_of(Info info) { return Environment::of(info.Env()).held<TreeWalk>(to_uint32(info[0])); }

Failure walk_closed() { return failed("tree", EBADF); }

/// ({lower, upper, detail})
Napi::Value open_walk(Info info) {
  const auto object = info[0].As<Napi::Object>();
  TreeRequest request;
  request.upper = text(object.Get("upper"));
  request.detail = to_bool(object.Get("detail"));
  const Napi::Value lower = object.Get("lower");
  if (!lower.IsUndefined()) request.lower = text(lower);
  return start<SharedWalk>(
      info, Kind::kWaits, [request](Work&) { return open_tree_walk(request); }, as_handle);
}

/// (handle)
Napi::Value next_changes(Info info) {
  return start<Bytes>(
      info, Kind::kWaits,
      [walk = walk_of(info)](Work& work) -> Result<Bytes> {
        if (!walk) return walk_closed();
        return walk->next(work.cancel());
      },
      by_type);
}

/// (handle, request, memory)
Napi::Value read_files(Info info) {
  const Memory packed(info[1]);
  auto parts = parts_in(packed.bytes, packed.length);
  auto memory = std::make_shared<Memory>(info[2]);
  return start<Nothing>(
      info, Kind::kWaits,
      [walk = walk_of(info), parts, memory](Work& work) -> Status {
        if (!walk) return walk_closed();
        if (!parts) return parts.failure();
        return read_parts(walk->upper(), *parts, memory->bytes, memory->length, work.cancel());
      },
      by_type);
}

}  // namespace

void export_tree_walk(Napi::Env env, Napi::Object exports) {
  const Exporter add{env, exports};
  add("treeChangesOpen", open_walk);
  add("treeChangesNext", next_changes);
  add("treeRead", read_files);
}

}  // namespace dmthin
