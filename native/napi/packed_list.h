// Texts and numbers of many devices for JavaScript, which makes the objects: an object made here costs more
// than the kernel's answer.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace dmthin {

struct PackedList {
  /// Each text ends with a NUL. They are in pieces, none of them long: what JavaScript cuts out of a string
  /// keeps the whole string in memory.
  std::vector<std::string> texts;
  std::vector<double> numbers;

  void add(std::initializer_list<std::string_view> device_texts,
           std::initializer_list<double> device_numbers) {
    constexpr size_t kPiece = 2048;
    constexpr size_t kMore = 512;  // of the last device of a piece
    if (texts.empty() || texts.back().size() >= kPiece) texts.emplace_back().reserve(kPiece + kMore);
    for (const std::string_view each : device_texts) texts.back().append(each).push_back('\0');
    numbers.insert(numbers.end(), device_numbers);
  }
};

}  // namespace dmthin
