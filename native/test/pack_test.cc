// Requests: what the header says, and what is refused before the kernel could misunderstand it.
#include <cstddef>
#include <cstring>

#include "dm/ioctl_data.h"
#include "test/check.h"

using namespace dmthin;

namespace {

dm_ioctl header_of(const std::vector<uint8_t>& bytes) {
  dm_ioctl header = {};
  memcpy(&header, bytes.data(), sizeof header);
  return header;
}

}  // namespace

TEST(pack_test, the_lowest_version_that_has_the_command) {
  CHECK_EQUAL(header_of(*pack({command::kCreate, {"name", "uuid", 0}}, 0)).version[1], 0u);
  CHECK_EQUAL(header_of(*pack({command::kListVersions, {}}, 0)).version[1], 1u);
  CHECK_EQUAL(header_of(*pack({command::kTargetMessage, {"name", {}, 0}}, 0)).version[1], 2u);
}

TEST(pack_test, sizes_cover_payload_and_room) {
  Call call{command::kTableLoad, {"name", {}, 0}};
  call.payload = std::vector<uint8_t>(33, 0xab);
  const auto small = pack(call, 0);
  CHECK_EQUAL(small->size(), sizeof(dm_ioctl) + 40);
  CHECK_EQUAL(header_of(*small).data_size, small->size());
  CHECK_EQUAL(header_of(*small).data_start, sizeof(dm_ioctl));
  CHECK_EQUAL((*small)[sizeof(dm_ioctl) + 32], 0xab);
  CHECK_EQUAL((*small)[sizeof(dm_ioctl) + 33], 0);
  CHECK_EQUAL(pack(call, 4096)->size(), sizeof(dm_ioctl) + 4096);
}

TEST(pack_test, names_up_to_127_bytes) {
  const std::string longest(DM_NAME_LEN - 1, 'n');
  const auto packed = pack({command::kCreate, {longest, std::string(DM_UUID_LEN - 1, 'u'), 0}}, 0);
  CHECK(packed);
  CHECK_EQUAL(std::string(header_of(*packed).name), longest);
  CHECK_EQUAL(pack({command::kCreate, {longest + "n", {}, 0}}, 0).failure().error, ENAMETOOLONG);
  CHECK_EQUAL(pack({command::kCreate, {"n", std::string(DM_UUID_LEN, 'u'), 0}}, 0).failure().error,
              ENAMETOOLONG);
}

TEST(pack_test, a_name_that_the_kernel_would_cut_at_a_nul) {
  const std::string two("a\0b", 3);
  CHECK_EQUAL(pack({command::kRemove, {two, {}, 0}}, 0).failure().error, EINVAL);
  CHECK_EQUAL(pack({command::kRemove, {{}, two, 0}}, 0).failure().error, EINVAL);
}

TEST(pack_test, a_table) {
  const auto bytes = pack_table({{0, 8, "linear", "7:0 0"}, {8, 16, "error", ""}});
  CHECK(bytes);
  dm_target_spec first = {};
  dm_target_spec second = {};
  memcpy(&first, bytes->data(), sizeof first);
  CHECK_EQUAL(first.next % 8, 0u);
  memcpy(&second, bytes->data() + first.next, sizeof second);
  CHECK_EQUAL(second.sector_start, 8u);
  CHECK_EQUAL(std::string(second.target_type), "error");
  CHECK_EQUAL(std::string(reinterpret_cast<const char*>(bytes->data() + sizeof first)), "7:0 0");
  CHECK_EQUAL(bytes->size(), first.next + second.next);
}

TEST(pack_test, a_table_that_cannot_be_said) {
  CHECK(pack_table({{0, 8, std::string(DM_MAX_TYPE_NAME - 1, 't'), ""}}));
  CHECK_EQUAL(pack_table({{0, 8, std::string(DM_MAX_TYPE_NAME, 't'), ""}}).failure().error, EINVAL);
  CHECK_EQUAL(pack_table({{0, 8, "thin", std::string("7:1\0 5", 6)}}).failure().error, EINVAL);
  CHECK(pack_table({})->empty());
}

TEST(pack_test, a_message) {
  const auto bytes = pack_message(5, "create_thin 0");
  CHECK_EQUAL(bytes.size(), offsetof(dm_target_msg, message) + 14);
  CHECK_EQUAL(std::string(reinterpret_cast<const char*>(bytes.data() + offsetof(dm_target_msg, message))),
              "create_thin 0");
  CHECK_EQUAL(bytes.back(), 0);
}
