// What is read out of the kernel's text: log records, mounts, tables and uuids of thins, numbers.
#include <sys/sysmacros.h>

#include <limits>

#include "dm/log_record.h"
#include "dm/thin_line.h"
#include "fs/mount_info.h"
#include "system/number.h"
#include "test/check.h"

using namespace dmthin;

namespace {

std::string reason(const std::string& record) { return reason_in(record, makedev(253, 4)); }

Target thin(const std::string& parameters) {
  Target target;
  target.type = "thin";
  target.parameters = parameters;
  return target;
}

}  // namespace

TEST(text_test, the_reason_in_a_log_record) {
  CHECK_EQUAL(reason("3,7,8,-;device-mapper: table: 253:4: thin-pool: no (-EINVAL)\n SUBSYSTEM=block\n"),
              "thin-pool: no (-EINVAL)");
  CHECK_EQUAL(reason("12,7,8,-;device-mapper: thin: 253:4: a warning of a facility"),
              "a warning of a facility");
  for (const char* other :
       {"6,7,8,-;device-mapper: table: 253:4: told, no fault", "3,7,8,-;mapper: 253:4: other",
        "3,7,8,-;device-mapper: table: 253:14: another device",
        "3,7,8,-;device-mapper: table: 1253:4: another major", "3;device-mapper: 253:4: none", "no record",
        "", ";,", "-3,1;device-mapper: table: 253:4: a sign"}) {
    CHECK_EQUAL(reason(other), "");
  }
  // More digits than fit: taken for nothing, and not for what is left of them.
  CHECK_EQUAL(reason("99999999999999999999,7,8,-;device-mapper: table: 253:4: no"), "");
}

TEST(text_test, mounts) {
  const auto mounts = parse_mount_info(
      "24 1 253:3 / /mnt/a\\040b rw shared:1 master:2 - ext4 /dev/mapper/a\\134b rw\n"
      "short\n"
      "25 24 0:5 / /mnt/\\9\\04 rw - proc proc rw");
  CHECK_EQUAL(mounts.size(), 2u);
  CHECK_EQUAL(mounts[0].id, "24");
  CHECK_EQUAL(mounts[0].parent, "1");
  CHECK_EQUAL(mounts[0].device, "253:3");
  CHECK_EQUAL(mounts[0].target, "/mnt/a b");
  CHECK_EQUAL(mounts[0].source, "/dev/mapper/a\\b");
  CHECK_EQUAL(mounts[1].target, "/mnt/\\9\\04");  // no octal number of three digits
  CHECK_EQUAL(mounts[0].file_system_options, "rw");
  CHECK_EQUAL(parse_mount_info("1 2 3 / /mnt rw - ext4 /dev/a")[0].file_system_options, "");
  CHECK_EQUAL(mount_at(mounts, "/mnt/a b")->id, "24");
  CHECK(mount_at(mounts, "/mnt") == nullptr);
  const auto twice = parse_mount_info("1 0 0:1 / /m rw - ext4 a rw\n2 1 0:2 / /m rw - ext4 b rw");
  CHECK_EQUAL(mount_at(twice, "/m")->id, "2");
  CHECK(parse_mount_info("1 2 3 / /mnt rw shared:1 ext4 /dev/a rw").empty());
  CHECK(parse_mount_info("1 2 3 / /mnt rw - ext4").empty());
}

TEST(text_test, which_thin_it_is) {
  const uint64_t pool = makedev(253, 0);
  CHECK_EQUAL(thin_id_of(thin("253:0 7"), pool).value_or(0), 7u);
  CHECK_EQUAL(thin_id_of(thin("253:0 16777215 7:2"), pool).value_or(0), 16777215u);
  for (const char* other :
       {"253:1 7", "253:00 7", "1253:0 7", "253:0", "253:0 ", "253:0 x", "253:0 -1", "Fail"}) {
    CHECK(!thin_id_of(thin(other), pool));
  }
  CHECK(is_failed_thin(thin("Fail")));
  CHECK_EQUAL(thin_id_of_uuid("DMTHIN-253:0-7").value_or(0), 7u);
  for (const char* other : {"DMTHIN-253:0", "DMTHIN-", "LVM-7", "", "DMTHIN-253:0-4294967296"}) {
    CHECK(!thin_id_of_uuid(other));
  }
}

TEST(text_test, the_prefix_of_the_uuids_of_volumes) {
  DeviceInfo pool;
  pool.device = makedev(253, 4);
  for (const char* other : {"", "LVM-7", "DMTHIN-POOL"}) {
    pool.uuid = other;
    CHECK_EQUAL(volume_uuid_prefix(pool), "DMTHIN-253:4-");
  }
  pool.uuid = "DMTHIN-POOL-5347f790";
  CHECK_EQUAL(volume_uuid_prefix(pool), "DMTHIN-5347f790-");
}

TEST(text_test, uuids_that_name_a_pool_which_this_library_has_started) {
  for (const char* own : {"DMTHIN-POOL-5347f790", "DMTHIN-5347f790-7"}) CHECK(names_started_pool(own));
  for (const char* other : {"", "LVM-5347f790-7", "DMTHIN-253:4-7", "DMTHI", "dmthin-5347f790-7"})
    CHECK(!names_started_pool(other));
}

TEST(text_test, the_status_of_a_thin) {
  const auto status = [](const std::string& parameters) {
    Target target = thin(parameters);
    target.length = 2048;
    return thin_status_of(target);
  };
  const ThinStatus some = status("128 2047 ");
  CHECK_EQUAL(some.state, ThinStatus::kActive);
  CHECK_EQUAL(some.length, 2048u);
  CHECK_EQUAL(some.mapped, 128u);
  CHECK_EQUAL(some.highest.value_or(0), 2047u);
  CHECK_EQUAL(status("0 - ").state, ThinStatus::kActive);
  CHECK(!status("0 - ").highest);
  CHECK_EQUAL(status("Fail").state, ThinStatus::kFailed);
  CHECK_EQUAL(status("Error").state, ThinStatus::kError);
  for (const char* other : {"", "-", "128", "128 ", "128 x", "x 1", "-1 -", "1 2 3"})
    CHECK_EQUAL(status(other).state, ThinStatus::kOther);
}

TEST(text_test, numbers) {
  CHECK_EQUAL(number_in<uint64_t>("18446744073709551615").value_or(0), UINT64_MAX);
  CHECK_EQUAL(number_after<int>("loop12", "loop").value_or(0), 12);
  CHECK_EQUAL(number_after<uint32_t>("cookie-0d4d0001", "cookie-", 16).value_or(0), 0x0d4d0001u);
  for (const char* other : {"", "-1", "+1", " 1", "1 ", "1x", "2147483648", "0x1"})
    CHECK(!number_in<int>(other));
  CHECK(!number_after<int>("loop-control", "loop"));
  CHECK(!number_after<int>("loo", "loop"));
}

TEST(text_test, whether_a_pool_has_its_reserve) {
  const auto space = [](const std::string& parameters) {
    Target target;
    target.type = "thin-pool";
    target.parameters = parameters;
    return space_of(target);
  };
  const auto found = space("18 12/1024 40/160 - rw discard_passdown queue_if_no_space - 256 ");
  CHECK(found.has_value());
  CHECK_EQUAL(found->free_metadata, 1012u);
  CHECK_EQUAL(found->metadata, 1024u);
  CHECK_EQUAL(found->free_data, 120u);
  CHECK_EQUAL(found->data, 160u);
  for (const char* other :
       {"Fail", "Error", "", "0", "0 1/2", "0 1/2 3", "0 1/2 3/x", "0 2/1 3/4", "0 1 2/3"})
    CHECK(!space(other));
  const double endless = std::numeric_limits<double>::infinity();
  CHECK((Reserve{75, endless, endless}).leaves(*found));
  CHECK(!(Reserve{76, endless, endless}).leaves(*found));
  CHECK((Reserve{100, 120, 1012}).leaves(*found));
  CHECK(!(Reserve{100, 121, 0}).leaves(*found));
  CHECK(!(Reserve{100, 0, 1013}).leaves(*found));
}

TEST(text_test, whether_a_pool_could_commit) {
  const auto error = [](const std::string& parameters, const std::string& type = "thin-pool") {
    Target target;
    target.type = type;
    target.parameters = parameters;
    return commit_error_of(target);
  };
  const std::string rest = " discard_passdown queue_if_no_space ";
  CHECK_EQUAL(error("0 12/1024 0/160 - rw" + rest + "- 256 "), 0);
  CHECK_EQUAL(error("0 12/1024 0/160 - out_of_data_space" + rest + "- 256 "), 0);
  CHECK_EQUAL(error("0 12/1024 0/160 - ro" + rest + "- 256 "), ENOSPC);
  CHECK_EQUAL(error("0 12/1024 0/160 - ro" + rest + "needs_check 256 "), EIO);
  CHECK_EQUAL(error("0 12/1024 0/160 - out_of_data_space" + rest + "needs_check 256 "), EIO);
  for (const char* other : {"Fail", "Error", "", "rwx", " "}) CHECK_EQUAL(error(other), EIO);
  CHECK_EQUAL(error("0 12/1024 0/160 - rw" + rest + "- 256 ", "linear"), EIO);
}
