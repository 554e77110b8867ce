// A number of sysfs or of /proc, or of a file's name.
#include "system/number.h"

#include <string>

#include "test/fuzz/target.h"

using namespace dmthin;

namespace {

template <class T>
void check(const std::string& text) {
  const auto number = number_in<T>(text);
  if (!number) return;
  const size_t digits = text.find_first_not_of('0');
  HOLDS(*number >= 0);
  HOLDS(std::to_string(*number) == (digits == std::string::npos ? "0" : text.substr(digits)));
}

}  // namespace

FUZZ(number) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  check<int>(text);
  check<uint32_t>(text);
  check<uint64_t>(text);
  const auto number = number_after<int>(text, "loop");
  HOLDS(!number || text == "loop" + text.substr(4));
  HOLDS(number == (text.compare(0, 4, "loop") == 0 ? number_in<int>(text.substr(4)) : std::nullopt));
  const auto key = number_in<uint32_t>(text, 16);
  HOLDS(!key || text.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos);
}
