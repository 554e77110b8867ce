// By itself: it defines symbols before the standard library's headers declare them.
#include "system/glibc_compat.cc"
