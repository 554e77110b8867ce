// Two symbols that newer compilers' headers reach for, defined here so that the shipped binary does not ask
// the system's libraries for them: it must load wherever Node 20 does (glibc 2.28, libstdc++ of GCC 8).
#include <new>

extern "C" {
// Reference counts are always atomic here: there are always several threads (glibc 2.32 offers the real one).
__attribute__((visibility("hidden"))) char __libc_single_threaded = 0;
}

namespace std {
// Thrown by std::allocator for an absurd size (GLIBCXX_3.4.29).
__attribute__((visibility("hidden"))) void __throw_bad_array_new_length() { throw std::bad_alloc(); }
}  // namespace std
