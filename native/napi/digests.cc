// SHA-256 of JavaScript's memory, on worker threads.
#include "napi/call.h"
#include "napi/exports.h"
#include "napi/memory.h"
#include "system/sha256.h"

namespace dmthin {

template <>
struct HandleOf<Sha256> {
  static constexpr Operation kClosed = "digest";
};

/// A digest, or null if this process has no OpenSSL to compute it with.
struct DigestOrNull {
  std::optional<Sha256::Digest> digest;
};

Napi::Value to_js(Napi::Env env, const DigestOrNull& found) {
  if (!found.digest) return env.Null();
  return Napi::Buffer<uint8_t>::Copy(env, found.digest->data(), found.digest->size());
}

namespace {

/// Returns a handle, or null if this process has no OpenSSL.
Napi::Value open_digest(Info info) {
  std::shared_ptr<Sha256> digest = Sha256::begin();
  if (!digest) return info.Env().Null();
  return to_js(info.Env(), digest);
}

Status update_digest(Sha256& digest, const std::vector<Memory>& chunks) {
  for (const Memory& each : chunks) {
    if (!digest.add(each.view())) return failed("digest", EIO);
  }
  return Nothing{};
}

/// Ends a digest of which no update is in progress.
Result<DigestOrNull> finish_digest(Sha256& digest) {
  const auto found = digest.end();
  if (!found) return failed("digest", EIO);
  return DigestOrNull{found};
}

Result<DigestOrNull> digest_memory(const Memory& memory) {
  const auto digest = Sha256::begin();
  if (!digest) return DigestOrNull{};
  if (!digest->add(memory.view())) return failed("digest", EIO);
  return finish_digest(*digest);
}

}  // namespace

Exports digest_exports() {
  static constexpr Export kRows[] = {
      {"digestOpen", open_digest},
      {"digestUpdate", call<update_digest, Kind::kWaits>},
      {"digestFinish", call<finish_digest, Kind::kWaits>},
      {"sha256", call<digest_memory, Kind::kWaits>},
  };
  return kRows;
}

}  // namespace dmthin
