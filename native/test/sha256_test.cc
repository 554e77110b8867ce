// SHA-256 in a process without OpenSSL, as this one is. The digests themselves are tested inside Node.
#include "system/sha256.h"

#include "test/check.h"

using namespace dmthin;

TEST(sha256_test, there_is_none_where_the_process_exports_no_openssl) { CHECK(Sha256::begin() == nullptr); }
