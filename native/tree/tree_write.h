// Writes the entries of an archive into a directory, and nowhere else.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "system/cancel.h"
#include "tree/parent_resolver.h"
#include "tree/recursive_remove.h"
#include "tree/write_attributes.h"

namespace dmthin {

/// The writer of one archive. Its calls are made one at a time. After one has failed, the tree has what was
/// written so far.
class TreeWriter {
 public:
  /// Opens the tree. Missing parents are counted among the names.
  static Result<std::shared_ptr<TreeWriter>> open(const std::string& path, const WriteLimits& limits);

  /// Writes the records of one batch, in their order. `chunks` are what its `chunk` records name.
  Status write(std::string_view batch, const std::vector<std::string_view>& chunks, Cancel& cancel);
  /// Leaves the last directory; with `sync` the file system's data are on the disk then.
  Status finish(bool sync);

 private:
  /// A file of which more comes.
  struct Open {
    UniqueFd fd;
    std::string path;
    std::string kept;  // what `attributes` looks at
    WriteAttributes attributes;
  };

  TreeWriter(UniqueFd root, const WriteStat& stat, const HashKey& key, const WriteLimits& limits)
      : parents_(std::move(root), stat, key, limits) {}

  Status one(const WriteRecord& record, const std::vector<std::string_view>& chunks, Cancel& cancel);
  Status entry(const WriteRecord& record, Cancel& cancel);
  Status file(const WriteRecord& record, Cancel& cancel);
  Status directory(const WriteRecord& record, Cancel& cancel);
  Status attributes_of_directory(const WriteRecord& record, int fd, const std::string& path);
  Status hard_link(const WriteRecord& record, Cancel& cancel);
  Status other(const WriteRecord& record, Cancel& cancel);
  Status data(uint64_t offset, std::string_view bytes);
  Status end(uint64_t size);
  Status whiteout(const WriteRecord& record, Cancel& cancel);
  Status opaque(const WriteRecord& record, Cancel& cancel);
  WriteRemoval removal_at(WriteMarks* keep, std::string path);
  Status remove_existing(const WriteParent& parent, const char* name, const std::string& path,
                         Cancel& cancel);
  template <class Make>
  Result<int> made(Operation operation, const WriteRecord& record, Cancel& cancel, const Make& make);

  ParentResolver parents_;
  std::unique_ptr<Open> open_;
};

}  // namespace dmthin
