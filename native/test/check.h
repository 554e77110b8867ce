// A test framework of the size that is needed: TEST registers a function, CHECK counts and reports.
#pragma once

#include <iostream>
#include <vector>

namespace dmthin::test {

struct Test {
  const char* suite;
  const char* name;
  void (*run)();
};

inline std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

inline int failures = 0;

struct Registered {
  Registered(const char* suite, const char* name, void (*run)()) { tests().push_back({suite, name, run}); }
};

template <class Left, class Right>
void check_equal(const Left& left, const Right& right, const char* what, const char* file, int line) {
  if (left == right) return;
  ++failures;
  std::cerr << file << ':' << line << ": " << what << ": " << left << " is not " << right << '\n';
}

}  // namespace dmthin::test

// `suite` is the file's name without its end: ctest runs one suite at a time.
#define TEST(suite, name)                                                                              \
  static void suite##_##name();                                                                        \
  static const ::dmthin::test::Registered registered_##suite##_##name(#suite, #name, &suite##_##name); \
  static void suite##_##name()
#define CHECK_EQUAL(left, right) ::dmthin::test::check_equal(left, right, #left, __FILE__, __LINE__)
#define CHECK(condition) \
  ::dmthin::test::check_equal(static_cast<bool>(condition), true, #condition, __FILE__, __LINE__)
