// A pool's metadata for JavaScript, to read.
#include "metadata/range_walk.h"
#include "metadata/usage.h"
#include "napi/call.h"
#include "napi/exports.h"

namespace dmthin {

template <>
struct HandleOf<MetadataFile> {
  static constexpr Operation kClosed = "metadata";
};
template <>
struct HandleOf<RangeWalk> {
  static constexpr Operation kClosed = "metadata";
};

/// Returns { blocks, handle }.
Napi::Value to_js(Napi::Env env, std::shared_ptr<MetadataFile>& file) {
  const uint64_t blocks = file->blocks;
  const uint32_t handle = Environment::of(env).hold(std::move(file));
  return Fields<MetadataFile>(env).set("blocks", blocks).set("handle", handle).done();
}

struct WalkRequest {
  uint64_t root = 0;
  uint64_t other = 0;  // the tree to compare with, or 0
  RangeWalkOptions options;
};

void from_js(const Napi::Value& value, WalkRequest& request) {
  RangeWalkOptions& options = request.options;
  FieldsOf(value)
      .get("root", request.root)
      .get_if("other", request.other)
      .get("metadataBlocks", options.limits.metadata_blocks)
      .get("dataBlocks", options.limits.data_blocks)
      .get("from", options.span.from)
      .get("to", options.span.to)
      .get("byData", options.by_data)
      .get("same", options.same);
}

namespace {

using SharedMetadata = std::shared_ptr<MetadataFile>;

std::shared_ptr<RangeWalk> open_walk(const SharedMetadata& file, const WalkRequest& request) {
  if (request.other == 0) return mapping_walk(file, request.root, request.options);
  return delta_walk(file, request.root, request.other, request.options);
}

/// Returns the mapped data blocks of the pool, and for each root its mapped and its exclusive ones.
Result<std::vector<double>> usage_of(const SharedMetadata& file, const std::vector<uint64_t>& roots,
                                     uint64_t metadata_blocks, uint64_t data_blocks, Cancel& cancel) {
  const auto usage = count_usage(file, {metadata_blocks, data_blocks}, roots, cancel);
  if (!usage) return usage.failure();
  std::vector<double> numbers = {static_cast<double>(usage->data_blocks)};
  for (const VolumeUsage& volume : usage->volumes) {
    numbers.push_back(static_cast<double>(volume.mapped));
    numbers.push_back(static_cast<double>(volume.exclusive));
  }
  return numbers;
}

}  // namespace

Exports metadata_exports() {
  static constexpr Export kRows[] = {
      {"metadataOpen", call<open_metadata, Kind::kWaits>},
      {"metadataRead", call<read_metadata, Kind::kWaits>},
      {"metadataWalk", call<open_walk, Kind::kQuick>},
      {"metadataNext", call<&RangeWalk::next, Kind::kWaits>},
      {"metadataUsage", call<usage_of, Kind::kWaits>},
  };
  return kRows;
}

}  // namespace dmthin
