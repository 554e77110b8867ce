// Every parser over what is kept for it in fuzz/corpus, and over random changes of that: what `npm run fuzz`
// found once stays found, on machines without clang too. Under AddressSanitizer a step outside the bytes ends
// the run.
//   DM_THIN_FUZZ_RUNS=10000000 native_tests corpus_test    more changes than the bounded run of the tests
#include <dirent.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "test/check.h"
#include "test/fuzz/target.h"

using namespace dmthin;

namespace {

using Bytes = std::vector<uint8_t>;
constexpr uint64_t kBoundedRuns = 30'000;  // of each parser

/// xorshift64*: the same in every run, so that a failure can be looked at again.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 2685821657736338717u;
  }
  size_t below(size_t limit) { return static_cast<size_t>(next() % limit); }

 private:
  uint64_t state_;
};

std::vector<Bytes> kept_for(const std::string& target) {
  const std::string folder = std::string(DM_THIN_CORPUS) + "/" + target + "/";
  std::vector<std::string> names;
  DIR* directory = ::opendir(folder.c_str());
  if (directory == nullptr) return {};
  while (const dirent* entry = ::readdir(directory)) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  ::closedir(directory);
  std::sort(names.begin(), names.end());
  std::vector<Bytes> kept;
  for (const std::string& name : names) {
    std::ifstream file(folder + name, std::ios::binary);
    kept.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return kept;
}

/// Half of the changes hit the beginning, where counts and offsets are; small numbers are likelier to be
/// believed.
Bytes changed(Bytes bytes, Random& random) {
  constexpr size_t kBeginning = 320;
  for (size_t changes = random.below(6); changes > 0 && !bytes.empty(); --changes) {
    const size_t range = random.below(2) == 0 ? std::min(kBeginning, bytes.size()) : bytes.size();
    const size_t at = random.below(range);
    const uint8_t values[] = {static_cast<uint8_t>(random.next()), static_cast<uint8_t>(random.below(8)),
                              0xff, static_cast<uint8_t>(bytes[at] ^ (1u << random.below(8)))};
    bytes[at] = values[random.below(std::size(values))];
  }
  if (random.below(4) == 0) bytes.resize(random.below(bytes.size() + 1));
  bytes.shrink_to_fit();
  return bytes;
}

}  // namespace

TEST(corpus_test, what_was_found_once_and_random_changes_of_it) {
  const char* wanted = getenv("DM_THIN_FUZZ_RUNS");
  const uint64_t runs = wanted == nullptr ? kBoundedRuns : strtoull(wanted, nullptr, 10);
  Random random(20);
  CHECK(test::fuzz_targets().size() >= 8);
  for (const test::FuzzTarget& target : test::fuzz_targets()) {
    const auto kept = kept_for(target.name);
    std::cerr << "  " << target.name << ": " << kept.size() << " kept\n";
    CHECK(!kept.empty());
    for (const Bytes& bytes : kept) target.run(bytes.data(), bytes.size());
    for (uint64_t run = 0; run < runs && !kept.empty(); ++run) {
      const Bytes bytes = changed(kept[random.below(kept.size())], random);
      target.run(bytes.data(), bytes.size());
    }
  }
}
