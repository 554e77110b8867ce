#include "metadata/range_walk.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <new>
#include <optional>

#include "threads/side_by_side.h"

namespace dmthin {
namespace {

/// The nodes of the first batch, after which its ranges are returned. A short walk needs no more, and no
/// threads.
constexpr uint64_t kFirstReads = 64;
/// The most nodes of a batch of one thread: what an abort waits for, and the interval of progress.
constexpr uint64_t kMostReads = 1024;
/// The most leaves and subtrees of a batch of one thread.
constexpr uint64_t kMostSteps = 4096;
/// Parts of a batch, each with the leaves of one parent in each tree: at most 1 MiB.
constexpr size_t kMostParts = 8;
/// Reads that are in progress at the same time also make one disk faster.
constexpr size_t kLeastThreads = 2;
constexpr size_t kMostThreads = 4;

size_t threads_here() {
  const long processors = ::sysconf(_SC_NPROCESSORS_ONLN);
  return std::clamp(static_cast<size_t>(std::max(processors, 1L)), kLeastThreads, kMostThreads);
}

Status walk_part(SpanWalk& place, NodeReader& reader, RangeList& ranges, Cancel& cancel) {
  while (!place.ended()) {
    // A part with few nodes to read can have many steps.
    if (cancel.requested()) return cancelled("pread", reader.file().path);
    TRY(place.step(reader, ranges, cancel));
  }
  ranges.end();
  return Nothing{};
}

}  // namespace

RangeWalk::RangeWalk(const std::shared_ptr<const MetadataFile>& file, std::unique_ptr<SpanWalk> place,
                     const RangeWalkOptions& options)
    : place_(std::move(place)),
      options_(options),
      ranges_(options.by_data),
      from_(options.span.from),
      batch_reads_(kFirstReads),
      parts_(kLeastThreads) {
  for (size_t i = threads_here(); i > 0; --i) readers_.emplace_back(file, options.limits);
}

Result<std::vector<double>> RangeWalk::next(Cancel& cancel) {
  if (!begun_) {
    TRY(place_->begin(readers_[0], cancel));
    begun_ = true;
  }
  // What several threads have found can be more than a batch.
  if (ranges_.size() < RangeList::kMostRanges) {
    TRY(walk(cancel));
  }
  if (place_->ended())
    ranges_.end();
  else
    position_ = place_->reached();
  const bool last = place_->ended() && ranges_.size() <= RangeList::kMostRanges;
  return ranges_.take(last, reads(), position_);
}

Status RangeWalk::walk(Cancel& cancel) {
  const uint64_t enough = readers_[0].reads() + batch_reads_;
  const bool is_long = batch_reads_ > kFirstReads;
  batch_reads_ = kMostReads;
  for (uint64_t steps = 0; steps < kMostSteps && !place_->ended(); ++steps) {
    if (ranges_.size() >= RangeList::kMostRanges || readers_[0].reads() >= enough) break;
    if (is_long) {
      const auto ends = place_->divisions(parts_);
      if (ends.size() > 1) return walk_parts(ends, cancel);
    }
    TRY(place_->step(readers_[0], ranges_, cancel));
  }
  return Nothing{};
}

Status RangeWalk::walk_parts(const std::vector<uint64_t>& ends, Cancel& cancel) {
  const size_t count = ends.size();
  const uint64_t to = options_.span.to;
  std::vector<RangeList> found(count, RangeList(options_.by_data));
  std::vector<std::optional<Failure>> failures(count);
  // This thread has the first part: its reader has read ahead for it.
  std::atomic<size_t> next_part{1};
  side_by_side(std::min(readers_.size(), count), [&](size_t thread) {
    for (size_t part = thread == 0 ? 0 : next_part++; part < count; part = next_part++) {
      try {
        const auto place = place_->copy();
        place->go_to({part == 0 ? from_ : ends[part - 1], std::min(ends[part], to)});
        const auto walked = walk_part(*place, readers_[thread], found[part], cancel);
        if (!walked) failures[part] = walked.failure();
      } catch (const std::bad_alloc&) {
        failures[part] = failed("allocate", ENOMEM, readers_[thread].file().path);
      }
    }
  });
  // The first failure is that of one thread alone; what comes before it has been read.
  for (size_t part = 0; part < count; ++part) {
    if (failures[part]) return *failures[part];
    ranges_.append(found[part]);
  }
  from_ = ends.back();
  place_->go_to({from_, to});
  // Few ranges: the next batch can have more parts.
  parts_ = ranges_.size() < RangeList::kMostRanges ? std::min(2 * parts_, kMostParts) : kLeastThreads;
  return Nothing{};
}

uint64_t RangeWalk::reads() const {
  uint64_t sum = 0;
  for (const NodeReader& reader : readers_) sum += reader.reads();
  return sum;
}

std::shared_ptr<RangeWalk> mapping_walk(const std::shared_ptr<const MetadataFile>& file, uint64_t root,
                                        const RangeWalkOptions& options) {
  return std::make_shared<RangeWalk>(file, mapping_span(root, options), options);
}

std::shared_ptr<RangeWalk> delta_walk(const std::shared_ptr<const MetadataFile>& file, uint64_t left,
                                      uint64_t right, const RangeWalkOptions& options) {
  return std::make_shared<RangeWalk>(file, delta_span(left, right, options), options);
}

}  // namespace dmthin
