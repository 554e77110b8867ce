#include "fs/mount_info.h"

#include <algorithm>

namespace dmthin {
namespace {

constexpr size_t kEscape = 4;  // "\040"

bool is_octal(char digit) { return digit >= '0' && digit <= '7'; }

/// Blanks and backslashes are written as a backslash and three octal digits.
bool escape_at(const std::string& text, size_t at) {
  return text[at] == '\\' && text.size() - at >= kEscape && is_octal(text[at + 1]) &&
         is_octal(text[at + 2]) && is_octal(text[at + 3]);
}

std::string unescaped(const std::string& text) {
  std::string plain;
  for (size_t at = 0; at < text.size();) {
    if (!escape_at(text, at)) {
      plain.push_back(text[at++]);
      continue;
    }
    plain.push_back(
        static_cast<char>((text[at + 1] - '0') * 64 + (text[at + 2] - '0') * 8 + text[at + 3] - '0'));
    at += kEscape;
  }
  return plain;
}

std::vector<std::string> words_of(const std::string& line) {
  std::vector<std::string> words;
  for (size_t from = 0; from < line.size();) {
    const size_t end = std::min(line.find(' ', from), line.size());
    words.push_back(line.substr(from, end - from));
    from = end + 1;
  }
  return words;
}

}  // namespace

// Documentation/filesystems/proc.rst, 3.5: six fields, optional ones, a hyphen, type and source.
std::vector<MountLine> parse_mount_info(const std::string& text) {
  constexpr std::ptrdiff_t kFields = 6;
  constexpr std::ptrdiff_t kBehind = 3;  // the hyphen, type and source
  std::vector<MountLine> mounts;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const auto words = words_of(text.substr(at, end - at));
    at = end + 1;
    if (words.size() < kFields + kBehind) continue;
    // Behind the six fields: none of them is taken for it, whatever a mount point is called.
    const auto hyphen = std::find(words.begin() + kFields, words.end(), "-");
    if (words.end() - hyphen < kBehind) continue;
    const auto options = hyphen + kBehind;
    mounts.push_back({words[0], words[1], words[2], unescaped(words[4]), unescaped(*(hyphen + 2)),
                      options == words.end() ? std::string() : *options});
  }
  return mounts;
}

const MountLine* mount_at(const std::vector<MountLine>& mounts, const std::string& target) {
  const auto found = std::find_if(mounts.rbegin(), mounts.rend(),
                                  [&](const MountLine& mount) { return mount.target == target; });
  return found == mounts.rend() ? nullptr : &*found;
}

}  // namespace dmthin
