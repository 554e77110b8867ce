// Block devices, loop devices, and the files and devices below a pool, for JavaScript.
#include "block/backing_file.h"
#include "block/block_device.h"
#include "block/loop.h"
#include "napi/busy_tries.h"
#include "napi/exports.h"
#include "napi/memory.h"
#include "system/aligned.h"

namespace dmthin {

Napi::Object to_js(Napi::Env env, const FileIdentity& file) {
  return Fields<FileIdentity>(env)
      .set("device", file.device)
      .inode("inode", file.inode)
      .set("sizeBytes", file.size_bytes)
      .set("allocatedBytes", file.allocated_bytes)
      .set("regular", file.regular)
      .set("blockDevice", file.block_device)
      .set("targetDevice", file.target_device)
      .done();
}

Napi::Value to_js(Napi::Env env, const SparseFile& file) {
  auto object = to_js(env, file.identity);
  object.Set("created", to_js(env, file.created));
  return object;
}

template <>
struct HandleOf<BlockFile> {
  /// Returns one without a descriptor: its calls fail with EBADF.
  static std::shared_ptr<BlockFile> closed() { return std::make_shared<BlockFile>(); }
};

void from_js(const Napi::Value& value, BlockOpenRequest& request) {
  FieldsOf(value)
      .get("path", request.path)
      .get("readOnly", request.read_only)
      .get("exclusive", request.exclusive)
      .get("direct", request.direct);
}

Napi::Object to_js(Napi::Env env, const BlockInfo& info) {
  return Fields<BlockInfo>(env)
      .set("device", info.device)
      .set("sizeBytes", info.size_bytes)
      .set("logicalBlockBytes", info.logical_block)
      .set("physicalBlockBytes", info.physical_block)
      .set("readOnly", info.read_only)
      .set("discardGranularityBytes", info.discard_granularity)
      .set("discardMaxBytes", info.max_discard)
      .done();
}

Napi::Value to_js(Napi::Env env, OpenedBlock& block) {
  auto object = to_js(env, block.info);
  object.Set("handle", to_js(env, block.file));
  return object;
}

void from_js(const Napi::Value& value, Erase& how) {
  const auto word = value_of<std::string>(value);
  if (word == "discard") {
    how = Erase::kDiscard;
  } else if (word == "secureDiscard") {
    how = Erase::kSecureDiscard;
  } else if (word == "zeroOut") {
    how = Erase::kZeroOut;
  } else {
    throw_wrong_type(value, "way to erase");
  }
}

/// Reads offsets and lengths in turn.
void from_js(const Napi::Value& value, std::vector<ByteRange>& ranges) {
  const auto array = value.As<Napi::Array>();
  for (uint32_t i = 0; i + 1 < array.Length(); i += 2) {
    ranges.push_back({value_of<uint64_t>(array.Get(i)), value_of<uint32_t>(array.Get(i + 1))});
  }
}

void from_js(const Napi::Value& value, LoopRequest& request) {
  FieldsOf(value)
      .get("file", request.file)
      .get_if("readOnly", request.read_only)
      .get_if("directIo", request.direct_io)
      .get_if("autoclear", request.autoclear)
      .get_if("partitionScan", request.partition_scan)
      .get_if("reference", request.reference)
      .get_if("number", request.number)
      .get_if("offsetBytes", request.offset)
      .get_if("sizeLimitBytes", request.size_limit)
      .get_if("blockSizeBytes", request.block_size);
}

Napi::Object to_js(Napi::Env env, const LoopStatus& loop) {
  return Fields<LoopStatus>(env)
      .set("number", loop.number)
      .set("file", loop.file)
      .set("backingDevice", loop.backing_device)
      .inode("backingInode", loop.backing_inode)
      .set("offsetBytes", loop.offset)
      .set("sizeLimitBytes", loop.size_limit)
      .set("sizeBytes", loop.size_bytes)
      .set("readOnly", loop.read_only)
      .set("autoclear", loop.autoclear)
      .set("directIo", loop.direct_io)
      .set("partitionScan", loop.partition_scan)
      .set("blockSizeBytes", loop.block_size)
      .set("reference", loop.reference)
      .done();
}

Napi::Value to_js(Napi::Env env, Attached& attached) {
  auto object = to_js(env, attached.status);
  object.Set("held", to_js(env, attached.held));
  return object;
}

namespace {

Status read_into(const BlockFile& file, uint64_t offset, const Memory& memory, Cancel& cancel) {
  return read_block(file, offset, memory.bytes, memory.length, cancel);
}

Status write_from(const BlockFile& file, uint64_t offset, const Memory& memory, Cancel& cancel) {
  return write_block(file, offset, memory.bytes, memory.length, cancel);
}

/// Returns memory of Node, of which the given part begins where O_DIRECT allows it.
Napi::Value aligned_buffer(Info info) {
  const auto length = static_cast<size_t>(value_of<uint64_t>(info[0]));
  auto memory = Napi::ArrayBuffer::New(info.Env(), length + kDirectAlignment);
  const auto over = reinterpret_cast<uintptr_t>(memory.Data()) % kDirectAlignment;
  return Napi::Uint8Array::New(info.Env(), length, memory, over == 0 ? 0 : kDirectAlignment - over);
}

int detach_delay_ms(uint32_t tries) { return tries < 6 ? 2 : 20; }

/// Detaches, and fails with EBUSY if the device is not free after `limit_ms`.
Status detach_file(int number, uint64_t limit_ms, BusyTries& tries, Work& work) {
  return tries.again_if_busy(limit_ms, detach_delay_ms, work, [&] { return loop_detach(number); });
}

}  // namespace

Exports block_exports() {
  static constexpr Export kRows[] = {
      {"identify", call<identify_path, Kind::kQuick>},
      {"createSparse", call<create_sparse, Kind::kChanges>},
      {"growFile", call<grow_file, Kind::kChanges>},
      {"deleteFile", call<delete_file, Kind::kChanges>},
      {"blockSizeBytes", call<block_size_bytes, Kind::kQuick>},
      {"readBlocks", call<read_blocks, Kind::kWaits>},
      {"zeroBlocks", call<zero_blocks, Kind::kWaits>},
      {"syncFile", call<sync_file, Kind::kWaits>},
      {"blockOpen", call<open_block, Kind::kWaits>},
      {"blockInfo", call<block_info, Kind::kQuick>},
      {"blockErase", call<erase_range, Kind::kWaits>},
      {"blockSetReadOnly", call<set_read_only, Kind::kWaits>},
      {"blockFlush", call<flush_block, Kind::kWaits>},
      {"blockReread", call<reread_partitions, Kind::kWaits>},
      {"blockRead", call<read_into, Kind::kWaits>},
      {"blockWrite", call<write_from, Kind::kWaits>},
      {"alignedBuffer", aligned_buffer},
      {"peek", call<peek, Kind::kWaits>},
      {"loopAttach", call<loop_attach, Kind::kChanges>},
      {"loopList", call<loop_list, Kind::kQuick>},
      {"loopStatus", call<loop_status, Kind::kQuick>},
      {"loopSetCapacity", call<loop_set_capacity, Kind::kChanges>},
      {"loopChangeFile", call<loop_change_file, Kind::kChanges>},
      {"loopSetDirectIo", call<loop_set_direct_io, Kind::kChanges>},
      {"loopDetach", call<detach_file, Kind::kChanges>},
      {"loopDetachAtLastClose", call<loop_detach_at_last_close, Kind::kChanges>},
      {"loopHold", call<loop_hold, Kind::kQuick>},
  };
  return kRows;
}

}  // namespace dmthin
