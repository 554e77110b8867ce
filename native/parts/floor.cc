// By itself: it defines symbols before the standard library's headers declare them.
#include "abi/floor.cc"
