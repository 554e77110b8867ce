// The files and devices below a pool, for JavaScript.
#include "block/backing_file.h"

#include "napi/exports.h"
#include "napi/start_command.h"

namespace dmthin {
namespace {

Napi::Value identify_file(Info info) {
  return start<FileIdentity>(
      info, Kind::kQuick, [path = text(info[0])](Work&) { return identify_path(path); }, by_type);
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
      [path = text(info[0]), size = number(info[1])](Work&) { return grow_file(path, size); }, by_type);
}

Napi::Value delete_path(Info info) {
  return start<Nothing>(
      info, Kind::kChanges, [path = text(info[0])](Work&) { return delete_file(path); }, by_type);
}

Napi::Value block_size(Info info) {
  return start<uint64_t>(
      info, Kind::kQuick, [path = text(info[0])](Work&) { return block_size_bytes(path); }, by_type);
}

Napi::Value read_some_blocks(Info info) {
  const auto blocks = list_of(info[1], number);
  return start<std::vector<std::vector<uint8_t>>>(
      info, Kind::kWaits,
      [path = text(info[0]), blocks, size = to_uint32(info[2]), exclusive = to_bool(info[3])](Work&) {
        return read_blocks(path, blocks, size, exclusive);
      },
      by_type);
}

Napi::Value zero_some_blocks(Info info) {
  const auto blocks = list_of(info[1], number);
  return start<Nothing>(
      info, Kind::kWaits,
      [path = text(info[0]), blocks, size = to_uint32(info[2])](Work&) {
        return zero_blocks(path, blocks, size);
      },
      by_type);
}

Napi::Value sync_open_file(Info info) {
  return start<Nothing>(
      info, Kind::kWaits, [file = static_cast<int>(to_uint32(info[0]))](Work&) { return sync_file(file); },
      by_type);
}

}  // namespace

void export_backing_files(Napi::Env env, Napi::Object exports) {
  const Exporter add{env, exports};
  add("identify", identify_file);
  add("createSparse", create_sparse_file);
  add("growFile", grow_to);
  add("deleteFile", delete_path);
  add("blockSizeBytes", block_size);
  add("readBlocks", read_some_blocks);
  add("zeroBlocks", zero_some_blocks);
  add("syncFile", sync_open_file);
}

}  // namespace dmthin
