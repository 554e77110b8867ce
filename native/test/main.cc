// Runs the tests of the suites named as arguments, or all.
#include <cstring>

#include "test/check.h"

int main(int count, char** words) {
  int ran = 0;
  for (const auto& test : dmthin::test::tests()) {
    bool wanted = count == 1;
    for (int i = 1; i < count; ++i) wanted = wanted || strcmp(words[i], test.suite) == 0;
    if (!wanted) continue;
    std::cerr << test.suite << ": " << test.name << '\n';
    test.run();
    ++ran;
  }
  std::cerr << ran << " tests, " << dmthin::test::failures << " failures\n";
  return ran > 0 && dmthin::test::failures == 0 ? 0 : 1;
}
