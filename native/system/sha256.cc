#include "system/sha256.h"

#include <dlfcn.h>

#ifdef __GLIBC__
#if __GLIBC_PREREQ(2, 34)
// By its version from before 2.34, which every later glibc has too: the binary must load with glibc 2.28.
#if defined(__x86_64__)
__asm__(".symver dlsym, dlsym@GLIBC_2.2.5");
#elif defined(__aarch64__)
__asm__(".symver dlsym, dlsym@GLIBC_2.17");
#endif
#endif
#endif

namespace dmthin {
namespace {

/// Functions of OpenSSL, the same from 1.1.0 to 3 and in BoringSSL. No header of it is needed, nor any
/// library.
struct OpenSsl {
  void* (*make)() = nullptr;
  const void* (*sha256)() = nullptr;
  int (*init)(void*, const void*, void*) = nullptr;
  int (*update)(void*, const void*, size_t) = nullptr;
  int (*finish)(void*, unsigned char*, unsigned int*) = nullptr;
  void (*free)(void*) = nullptr;
  bool whole = false;

  OpenSsl() {
    whole = find("EVP_MD_CTX_new", make) && find("EVP_sha256", sha256) && find("EVP_DigestInit_ex", init) &&
            find("EVP_DigestUpdate", update) && find("EVP_DigestFinal_ex", finish) &&
            find("EVP_MD_CTX_free", free);
  }

 private:
  template <class Function>
  static bool find(const char* name, Function& function) {
    function = reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
    return function != nullptr;
  }
};

const OpenSsl& openssl() {
  static const OpenSsl found;
  return found;
}

}  // namespace

std::unique_ptr<Sha256> Sha256::begin() {
  if (!openssl().whole) return nullptr;
  void* context = openssl().make();
  if (context == nullptr) return nullptr;
  std::unique_ptr<Sha256> begun(new Sha256(context));
  if (openssl().init(context, openssl().sha256(), nullptr) != 1) return nullptr;
  return begun;
}

Sha256::~Sha256() { openssl().free(context_); }

bool Sha256::add(std::string_view bytes) {
  return openssl().update(context_, bytes.data(), bytes.size()) == 1;
}

std::optional<Sha256::Digest> Sha256::end() {
  Digest digest;
  unsigned int length = 0;
  if (openssl().finish(context_, digest.data(), &length) != 1 || length != digest.size()) return std::nullopt;
  return digest;
}

}  // namespace dmthin
