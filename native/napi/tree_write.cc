// The entries of an archive, from JavaScript's memory into a directory.
#include "tree/tree_write.h"

#include "napi/exports.h"
#include "napi/memory.h"
#include "napi/start_command.h"

namespace dmthin {
namespace {

using SharedWriter = std::shared_ptr<TreeWriter>;

SharedWriter writer_of(Info info) { return Environment::of(info.Env()).held<TreeWriter>(to_uint32(info[0])); }

Failure writer_closed() { return failed("write", EBADF); }

/// (path, how many names at the most, how many bytes of memory)
Napi::Value open_writer(Info info) {
  return start<SharedWriter>(
      info, Kind::kWaits,
      [path = text(info[0]), limits = WriteLimits{number(info[1]), number(info[2])}](Work&) {
        return TreeWriter::open(path, limits);
      },
      as_handle);
}

/// (handle, batch, the chunks that it names)
Napi::Value write_batch(Info info) {
  auto batch = std::make_shared<Memory>(info[1]);
  auto chunks = std::make_shared<std::vector<Memory>>(
      list_of(info[2], [](const Napi::Value& each) { return Memory(each); }));
  return start<Nothing>(
      info, Kind::kWaits,
      [writer = writer_of(info), batch, chunks](Work& work) -> Status {
        if (!writer) return writer_closed();
        std::vector<std::string_view> views;
        for (const Memory& each : *chunks) views.push_back(each.view());
        return writer->write(batch->view(), views, work.cancel());
      },
      by_type);
}

/// (handle, whether all is to be on the disk)
Napi::Value finish_writing(Info info) {
  return start<Nothing>(
      info, Kind::kWaits,
      [writer = writer_of(info), sync = to_bool(info[1])](Work&) -> Status {
        return writer ? writer->finish(sync) : writer_closed();
      },
      by_type);
}

}  // namespace

void export_tree_write(Napi::Env env, Napi::Object exports) {
  const Exporter add{env, exports};
  add("treeOpen", open_writer);
  add("treeWrite", write_batch);
  add("treeFinish", finish_writing);
}

}  // namespace dmthin
