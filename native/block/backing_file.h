// Files and block devices below the pool: identity, size, sparse creation, direct reads.
#pragma once

#include <string>
#include <vector>

#include "system/result.h"

namespace dmthin {

struct FileIdentity {
  uint64_t device = 0;  // of the file system the file lies on
  uint64_t inode = 0;
  uint64_t size_bytes = 0;
  uint64_t allocated_bytes = 0;  // what it takes on disk; less than its size where it has holes
  bool regular = false;
  bool block_device = false;
  uint64_t target_device = 0;  // of a block device: its own number
};

Result<FileIdentity> identify(int fd, const std::string& path);
Result<FileIdentity> identify_path(const std::string& path);

struct SparseFile {
  FileIdentity identity;
  bool created = false;  // by this call, so that the caller knows what to delete on failure
};

/// Makes a file of `size_bytes` that takes no space, or takes an existing one of exactly that size. Refuses a
/// file system that would allocate it all (EOPNOTSUPP), an existing file of another size (EFBIG when it is
/// larger, ERANGE when smaller) and anything that is not a regular file (EINVAL).
Result<SparseFile> create_sparse(const std::string& path, uint64_t size_bytes);
/// Grows a file to `size_bytes` without writing; ERANGE when it is that large already.
Result<FileIdentity> grow_file(const std::string& path, uint64_t size_bytes);
Status delete_file(const std::string& path);

/// Returns the size of a block device in bytes.
Result<uint64_t> block_size_bytes(const std::string& path);

/// Reads blocks of `block_bytes` at the given block numbers with O_DIRECT: the page cache of a device that
/// the kernel writes from below is stale even for a fresh open. `exclusive` refuses a device in use (EBUSY).
Result<std::vector<std::vector<uint8_t>>> read_blocks(const std::string& path,
                                                      const std::vector<uint64_t>& blocks,
                                                      uint32_t block_bytes, bool exclusive);
/// Writes zeros over the given blocks of a device that nobody uses, up to its end, and waits until they are
/// on it.
Status zero_blocks(const std::string& path, const std::vector<uint64_t>& blocks, uint32_t block_bytes);
/// Waits until what was written to an open file, by whomever, is on its disk (fdatasync). The file stays the
/// caller's, open until this is through.
Status sync_file(int file);

/// Reads a small text file, without its last newline; empty when it cannot be read.
std::string read_small_file(const std::string& path);
/// Reads a text file of any length, as of /proc; empty when it cannot be read.
std::string read_whole_file(const std::string& path);

}  // namespace dmthin
