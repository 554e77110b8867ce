// Reading a pool's metadata for JavaScript.
#include "metadata/range_walk.h"
#include "metadata/usage.h"
#include "napi/exports.h"
#include "napi/start_command.h"

namespace dmthin {
namespace {

using SharedMetadata = std::shared_ptr<MetadataFile>;
using SharedRanges = std::shared_ptr<RangeWalk>;
using Numbers = std::vector<double>;

SharedMetadata metadata_of(Info info) {
  return Environment::of(info.Env()).held<MetadataFile>(to_uint32(info[0]));
}

Failure metadata_closed() { return failed("metadata", EBADF); }

/// (path, exclusive) → { handle, blocks }
Napi::Value open_metadata_file(Info info) {
  return start<SharedMetadata>(
      info, Kind::kWaits,
      [path = text(info[0]), exclusive = to_bool(info[1])](Work&) { return open_metadata(path, exclusive); },
      [](Napi::Env env, SharedMetadata& file) -> Napi::Value {
        auto object = Napi::Object::New(env);
        object.Set("blocks", to_js(env, file->blocks));
        object.Set("handle", to_js(env, Environment::of(env).hold(std::move(file))));
        return object;
      });
}

/// (handle, blocks)
Napi::Value read_metadata_blocks(Info info) {
  return start<std::vector<std::vector<uint8_t>>>(
      info, Kind::kWaits,
      [file = metadata_of(info),
       blocks = list_of(info[1], number)](Work&) -> Result<std::vector<std::vector<uint8_t>>> {
        if (!file) return metadata_closed();
        return read_metadata(*file, blocks);
      },
      by_type);
}

/// (handle, { root, other?, metadataBlocks, dataBlocks, from, to, byData, same })
Napi::Value open_range_walk(Info info) {
  const auto request = info[1].As<Napi::Object>();
  RangeWalkOptions options;
  options.limits = {number(request.Get("metadataBlocks")), number(request.Get("dataBlocks"))};
  options.span = {number(request.Get("from")), number(request.Get("to"))};
  options.by_data = to_bool(request.Get("byData"));
  options.same = to_bool(request.Get("same"));
  const uint64_t root = number(request.Get("root"));
  const uint64_t other = number_or(request.Get("other"));
  return start<SharedRanges>(
      info, Kind::kQuick,
      [file = metadata_of(info), root, other, options](Work&) -> Result<SharedRanges> {
        if (!file) return metadata_closed();
        return other == 0 ? mapping_walk(file, root, options) : delta_walk(file, root, other, options);
      },
      as_handle);
}

Napi::Value to_array(Napi::Env env, Numbers& numbers) {
  auto array = Napi::Float64Array::New(env, numbers.size());
  memcpy(array.Data(), numbers.data(), numbers.size() * sizeof(double));
  return array;
}

/// (handle) → Float64Array
Napi::Value next_ranges(Info info) {
  const SharedRanges walk = Environment::of(info.Env()).held<RangeWalk>(to_uint32(info[0]));
  return start<Numbers>(
      info, Kind::kWaits,
      [walk](Work& work) -> Result<Numbers> {
        if (!walk) return metadata_closed();
        return walk->next(work.cancel());
      },
      to_array);
}

/// (handle, roots, metadataBlocks, dataBlocks) → Float64Array
Napi::Value usage_of(Info info) {
  const MetadataLimits limits = {number(info[2]), number(info[3])};
  return start<Numbers>(
      info, Kind::kWaits,
      [file = metadata_of(info), roots = list_of(info[1], number), limits](Work& work) -> Result<Numbers> {
        if (!file) return metadata_closed();
        const auto usage = count_usage(file, limits, roots, work.cancel());
        if (!usage) return usage.failure();
        Numbers numbers = {static_cast<double>(usage->data_blocks)};
        for (const VolumeUsage& volume : usage->volumes) {
          numbers.push_back(static_cast<double>(volume.mapped));
          numbers.push_back(static_cast<double>(volume.exclusive));
        }
        return numbers;
      },
      to_array);
}

}  // namespace

void export_metadata(Napi::Env env, Napi::Object exports) {
  const Exporter add{env, exports};
  add("metadataOpen", open_metadata_file);
  add("metadataRead", read_metadata_blocks);
  add("metadataWalk", open_range_walk);
  add("metadataNext", next_ranges);
  add("metadataUsage", usage_of);
}

}  // namespace dmthin
