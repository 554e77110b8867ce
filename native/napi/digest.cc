// SHA-256 of JavaScript's memory, on worker threads.
#include "napi/exports.h"
#include "napi/memory.h"
#include "napi/start_command.h"
#include "system/sha256.h"

namespace dmthin {
namespace {

using SharedDigest = std::shared_ptr<Sha256>;

SharedDigest digest_of(Info info) { return Environment::of(info.Env()).held<Sha256>(to_uint32(info[0])); }

Napi::Value bytes_of(Napi::Env env, const Sha256::Digest& digest) {
  return Napi::Buffer<uint8_t>::Copy(env, digest.data(), digest.size());
}

/// () A handle, or null if this process has no OpenSSL to compute it with.
Napi::Value open_digest(Info info) {
  SharedDigest digest = Sha256::begin();
  if (!digest) return info.Env().Null();
  return to_js(info.Env(), Environment::of(info.Env()).hold(std::move(digest)));
}

/// (handle, chunks)
Napi::Value update_digest(Info info) {
  auto chunks = std::make_shared<std::vector<Memory>>(
      list_of(info[1], [](const Napi::Value& each) { return Memory(each); }));
  return start<Nothing>(
      info, Kind::kWaits,
      [digest = digest_of(info), chunks](Work&) -> Status {
        if (!digest) return failed("digest", EBADF);
        for (const Memory& each : *chunks) {
          if (!digest->add(each.view())) return failed("digest", EIO);
        }
        return Nothing{};
      },
      by_type);
}

/// (handle) While no update is in progress.
Napi::Value finish_digest(Info info) {
  return start<Sha256::Digest>(
      info, Kind::kWaits,
      [digest = digest_of(info)](Work&) -> Result<Sha256::Digest> {
        if (!digest) return failed("digest", EBADF);
        const auto found = digest->end();
        if (!found) return failed("digest", EIO);
        return *found;
      },
      bytes_of);
}

/// (memory) The digest, or null if this process has no OpenSSL to compute it with.
Napi::Value digest_memory(Info info) {
  auto memory = std::make_shared<Memory>(info[0]);
  return start<std::optional<Sha256::Digest>>(
      info, Kind::kWaits,
      [memory](Work&) -> Result<std::optional<Sha256::Digest>> {
        const auto digest = Sha256::begin();
        if (!digest) return std::optional<Sha256::Digest>();
        if (!digest->add(memory->view())) return failed("digest", EIO);
        return digest->end();
      },
      [](Napi::Env env, std::optional<Sha256::Digest>& found) -> Napi::Value {
        if (!found) return env.Null();
        return bytes_of(env, *found);
      });
}

}  // namespace

void export_digests(Napi::Env env, Napi::Object exports) {
  const Exporter add{env, exports};
  add("digestOpen", open_digest);
  add("digestUpdate", update_digest);
  add("digestFinish", finish_digest);
  add("sha256", digest_memory);
}

}  // namespace dmthin
