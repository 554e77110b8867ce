// A parser and any bytes. Built with DM_THIN_FUZZ each of these files is a libFuzzer of its own, which
// watches what its bytes reach and changes them to reach more; in the native tests all of them run over what
// is kept in corpus/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace dmthin::test {

struct FuzzTarget {
  const char* name;
  void (*run)(const uint8_t* data, size_t size);
};

inline std::vector<FuzzTarget>& fuzz_targets() {
  static std::vector<FuzzTarget> all;
  return all;
}

struct FuzzRegistered {
  explicit FuzzRegistered(FuzzTarget target) { fuzz_targets().push_back(target); }
};

[[noreturn]] inline void broken(const char* what, const char* file, int line) {
  fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
  abort();
}

}  // namespace dmthin::test

/// What is true of every answer, whatever the bytes: otherwise the fuzzer keeps them.
#define HOLDS(condition) \
  if (!(condition)) ::dmthin::test::broken(#condition, __FILE__, __LINE__)

#ifdef DM_THIN_FUZZ
#define FUZZ_ENTRY(target)                                                  \
  extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);  \
  extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) { \
    target(data, size);                                                     \
    return 0;                                                               \
  }
#else
#define FUZZ_ENTRY(target) \
  static const ::dmthin::test::FuzzRegistered fuzz_registered_##target({#target, &(target)});
#endif

// `target` is the file's name without its end, and the name of its folder in corpus/.
#define FUZZ(target)                                    \
  static void target(const uint8_t* data, size_t size); \
  FUZZ_ENTRY(target)                                    \
  static void target(const uint8_t* data, size_t size)
