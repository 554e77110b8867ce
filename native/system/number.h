// Numbers in the kernel's text. from_chars and not strtoul: that symbol is younger than the glibc that Node
// 20 asks for.
#pragma once

#include <charconv>
#include <optional>
#include <string_view>

namespace dmthin {

/// The number that is the whole of `text`; nothing where it is none, has a sign, does not fit, or more
/// follows.
template <class T>
std::optional<T> number_in(std::string_view text, int base = 10) {
  T value = 0;
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  if (text.empty() || text.front() == '-') return std::nullopt;
  const auto read = std::from_chars(begin, end, value, base);
  if (read.ec != std::errc() || read.ptr != end) return std::nullopt;
  return value;
}

/// The number behind a word, and nothing behind that: 7 of "loop7".
template <class T>
std::optional<T> number_after(std::string_view text, std::string_view word, int base = 10) {
  if (text.substr(0, word.size()) != word) return std::nullopt;
  return number_in<T>(text.substr(word.size()), base);
}

}  // namespace dmthin
