// Open block devices for JavaScript.
#include "block/block_device.h"

#include "napi/exports.h"
#include "napi/memory.h"
#include "napi/start_command.h"
#include "system/aligned.h"

namespace dmthin {
namespace {

using SharedFile = std::shared_ptr<BlockFile>;

Napi::Object info_object(Napi::Env env, const BlockInfo& info) {
  auto object = Napi::Object::New(env);
  object.Set("device", to_js(env, info.device));
  object.Set("sizeBytes", to_js(env, info.size_bytes));
  object.Set("logicalBlockBytes", to_js(env, info.logical_block));
  object.Set("physicalBlockBytes", to_js(env, info.physical_block));
  object.Set("readOnly", Napi::Boolean::New(env, info.read_only));
  object.Set("discardGranularityBytes", to_js(env, info.discard_granularity));
  object.Set("discardMaxBytes", to_js(env, info.max_discard));
  return object;
}

/// One that is closed: its calls fail with EBADF.
SharedFile file_of(Info info) {
  auto found = Environment::of(info.Env()).held<BlockFile>(to_uint32(info[0]));
  return found ? found : std::make_shared<BlockFile>();
}

Napi::Value open_device(Info info) {
  const auto object = info[0].As<Napi::Object>();
  BlockOpenRequest request;
  request.path = text(object.Get("path"));
  request.read_only = to_bool(object.Get("readOnly"));
  request.exclusive = to_bool(object.Get("exclusive"));
  request.direct = to_bool(object.Get("direct"));
  return start<OpenedBlock>(
      info, Kind::kWaits, [request](Work&) { return open_block(request); },
      [](Napi::Env env, OpenedBlock& block) -> Napi::Value {
        auto object = info_object(env, block.info);
        object.Set("handle", to_js(env, Environment::of(env).hold(std::move(block.file))));
        return object;
      });
}

Napi::Value look(Info info) {
  return start<BlockInfo>(
      info, Kind::kQuick, [file = file_of(info)](Work&) { return block_info(*file); },
      [](Napi::Env env, BlockInfo& found) -> Napi::Value { return info_object(env, found); });
}

Erase erasure(const Napi::Value& value) {
  const std::string word = text(value);
  if (word == "discard") return Erase::kDiscard;
  if (word == "secureDiscard") return Erase::kSecureDiscard;
  if (word == "zeroOut") return Erase::kZeroOut;
  throw Napi::TypeError::New(value.Env(), "there is no way to erase that is called " + word);
}

/// (handle, "discard" and so on, offset, length)
Napi::Value erase(Info info) {
  const Erase how = erasure(info[1]);
  return start<Nothing>(
      info, Kind::kWaits,
      [file = file_of(info), how, offset = number(info[2]), length = number(info[3])](Work& work) {
        return erase_range(*file, how, offset, length, work.cancel());
      },
      by_type);
}

Napi::Value make_read_only(Info info) {
  return start<Nothing>(
      info, Kind::kWaits,
      [file = file_of(info), on = to_bool(info[1])](Work&) { return set_read_only(*file, on); }, by_type);
}

Napi::Value flush(Info info) {
  return start<Nothing>(
      info, Kind::kWaits,
      [file = file_of(info), drop = to_bool(info[1])](Work&) { return flush_block(*file, drop); }, by_type);
}

Napi::Value reread(Info info) {
  return start<Nothing>(
      info, Kind::kWaits, [file = file_of(info)](Work&) { return reread_partitions(*file); }, by_type);
}

/// (handle, offset, memory)
Napi::Value read_into(Info info) {
  auto memory = std::make_shared<Memory>(info[2]);
  return start<Nothing>(
      info, Kind::kWaits,
      [file = file_of(info), offset = number(info[1]), memory](Work& work) {
        return read_block(*file, offset, memory->bytes, memory->length, work.cancel());
      },
      by_type);
}

Napi::Value write_from(Info info) {
  auto memory = std::make_shared<Memory>(info[2]);
  return start<Nothing>(
      info, Kind::kWaits,
      [file = file_of(info), offset = number(info[1]), memory](Work& work) {
        return write_block(*file, offset, memory->bytes, memory->length, work.cancel());
      },
      by_type);
}

/// Memory of Node's own, of which the part that is given begins where O_DIRECT lets it.
Napi::Value aligned_buffer(Info info) {
  const auto length = static_cast<size_t>(number(info[0]));
  auto memory = Napi::ArrayBuffer::New(info.Env(), length + kDirectAlignment);
  const auto over = reinterpret_cast<uintptr_t>(memory.Data()) % kDirectAlignment;
  return Napi::Uint8Array::New(info.Env(), length, memory, over == 0 ? 0 : kDirectAlignment - over);
}

/// (path, offsets and lengths in turn)
Napi::Value peek_at(Info info) {
  std::vector<ByteRange> ranges;
  const auto array = info[1].As<Napi::Array>();
  for (uint32_t i = 0; i + 1 < array.Length(); i += 2) {
    ranges.push_back({number(array.Get(i)), to_uint32(array.Get(i + 1))});
  }
  return start<std::vector<std::vector<uint8_t>>>(
      info, Kind::kWaits, [path = text(info[0]), ranges](Work&) { return peek(path, ranges); },
      [](Napi::Env env, std::vector<std::vector<uint8_t>>& found) -> Napi::Value {
        auto list = Napi::Array::New(env, found.size());
        for (size_t i = 0; i < found.size(); ++i) {
          list.Set(static_cast<uint32_t>(i),
                   Napi::Buffer<uint8_t>::Copy(env, found[i].data(), found[i].size()));
        }
        return list;
      });
}

}  // namespace

void export_blocks(Napi::Env env, Napi::Object exports) {
  const Exporter add{env, exports};
  add("blockOpen", open_device);
  add("blockInfo", look);
  add("blockErase", erase);
  add("blockSetReadOnly", make_read_only);
  add("blockFlush", flush);
  add("blockReread", reread);
  add("blockRead", read_into);
  add("blockWrite", write_from);
  add("alignedBuffer", aligned_buffer);
  add("peek", peek_at);
}

}  // namespace dmthin
