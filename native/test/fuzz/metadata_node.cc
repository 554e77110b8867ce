// A node of a mapping tree. Its checksum is made right: no bytes would get past it otherwise.
#include <algorithm>
#include <memory>

#include "metadata/crc32c.h"
#include "metadata/node.h"
#include "test/fuzz/target.h"

using namespace dmthin;

FUZZ(metadata_node) {
  constexpr uint64_t kBlock = 7;
  constexpr MetadataLimits kLimits = {1000, 100'000};
  const auto bytes = std::make_unique<uint8_t[]>(kMetadataBlock);
  std::copy_n(data, std::min(size, kMetadataBlock), bytes.get());
  const uint32_t checksum = crc32c(bytes.get() + 4, kMetadataBlock - 4) ^ 121107;
  memcpy(bytes.get(), &checksum, sizeof checksum);
  const std::string fault = node_fault(bytes.get(), kBlock, kLimits);
  HOLDS(fault.size() < 200);
  if (!fault.empty()) return;
  const Node node(bytes.get());
  HOLDS(node.count() <= 254 && (node.leaf() || node.count() > 0));
  for (uint32_t i = 0; i < node.count(); ++i) {
    HOLDS(node.key(i) <= kMostExact && (i == 0 || node.key(i) > node.key(i - 1)));
    HOLDS(node.leaf() ? data_block_of(node.value(i)) < kLimits.data_blocks
                      : node.child(i) >= 1 && node.child(i) < kLimits.metadata_blocks);
  }
}
