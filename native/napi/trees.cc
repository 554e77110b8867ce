// Trees of files for JavaScript: comparing, reading, unpacking.
#include "napi/call.h"
#include "napi/exports.h"
#include "napi/memory.h"
#include "tree/tree_read.h"
#include "tree/tree_walk.h"
#include "tree/tree_write.h"

namespace dmthin {

template <>
struct HandleOf<TreeWalk> {
  static constexpr Operation kClosed = "tree";
};
template <>
struct HandleOf<TreeWriter> {
  static constexpr Operation kClosed = "write";
};

void from_js(const Napi::Value& value, TreeRequest& request) {
  FieldsOf(value).get_if("lower", request.lower).get("upper", request.upper).get("detail", request.detail);
}

/// The parts of files that JavaScript asks for.
struct FileParts {
  Result<std::vector<FilePart>> parts = std::vector<FilePart>();
};

/// Reads the packed request here, so that its memory is free after the call.
void from_js(const Napi::Value& value, FileParts& request) {
  const auto packed = value_of<Memory>(value);
  request.parts = parts_in(packed.bytes, packed.length);
}

namespace {

Status read_files(const TreeWalk& walk, const FileParts& request, const Memory& memory, Cancel& cancel) {
  if (!request.parts) return request.parts.failure();
  return read_parts(walk.upper(), *request.parts, memory.bytes, memory.length, cancel);
}

/// `names`: the most that are made. `bytes`: of memory.
Result<std::shared_ptr<TreeWriter>> open_writer(const std::string& path, uint64_t names, uint64_t bytes) {
  return TreeWriter::open(path, {names, bytes});
}

Status write_entries(TreeWriter& writer, const Memory& batch, const std::vector<Memory>& chunks,
                     Cancel& cancel) {
  std::vector<std::string_view> views;
  views.reserve(chunks.size());
  for (const Memory& each : chunks) views.push_back(each.view());
  return writer.write(batch.view(), views, cancel);
}

}  // namespace

Exports tree_exports() {
  static constexpr Export kRows[] = {
      {"treeChangesOpen", call<open_tree_walk, Kind::kWaits>},
      {"treeChangesNext", call<&TreeWalk::next, Kind::kWaits>},
      {"treeRead", call<read_files, Kind::kWaits>},
      {"treeOpen", call<open_writer, Kind::kWaits>},
      {"treeWrite", call<write_entries, Kind::kWaits>},
      {"treeFinish", call<&TreeWriter::finish, Kind::kWaits>},
  };
  return kRows;
}

}  // namespace dmthin
