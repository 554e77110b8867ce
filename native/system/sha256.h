// SHA-256 by the OpenSSL of this process, which Node exports. Bun and some builds of Node and Electron do
// not.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

namespace dmthin {

class Sha256 {
 public:
  using Digest = std::array<uint8_t, 32>;

  /// Begins a digest; nothing if the process exports no OpenSSL, or one that refuses SHA-256.
  static std::unique_ptr<Sha256> begin();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  /// Adds bytes. Calls are made one at a time, on any thread. False if OpenSSL has failed.
  bool add(std::string_view bytes);
  /// Returns the digest of what was added; nothing more can be added then.
  std::optional<Digest> end();

 private:
  explicit Sha256(void* context) : context_(context) {}
  void* context_;
};

}  // namespace dmthin
