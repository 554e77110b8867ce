// Symbols that newer compilers' headers reach for, defined here so that the shipped binary does not ask the
// system's libraries for them: it must load wherever Node 20 does (glibc 2.28, libstdc++ of GCC 8).
#include <new>

extern "C" {
// Reference counts are always atomic here: there are always several threads (glibc 2.32 offers the real one).
__attribute__((visibility("hidden"))) char __libc_single_threaded = 0;
}

namespace std {
// Thrown by std::allocator for an absurd size (GLIBCXX_3.4.29).
__attribute__((visibility("hidden"))) void __throw_bad_array_new_length() { throw std::bad_alloc(); }
}  // namespace std

// Below the definitions: this header declares the one above as visible, and the first declaration counts.
#include <string>

#if _GLIBCXX_RELEASE >= 13
// The rare half of string::replace, which these headers leave to the library (GLIBCXX_3.4.31).
template void std::basic_string<char>::_M_replace_cold(char*, size_type, const char*, const size_type,
                                                       const size_type);
#endif
