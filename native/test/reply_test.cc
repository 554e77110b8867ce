// What the kernel answers is taken apart within its buffer, whatever it says. Each buffer has exactly the
// bytes that are there to be read, so that AddressSanitizer sees a step beyond them.
#include <cstddef>
#include <cstring>
#include <initializer_list>

#include "dm/ioctl_data.h"
#include "test/check.h"
#include "test/listed.h"

using namespace dmthin;
using dmthin::test::devices_of;

namespace {

using Bytes = std::vector<uint8_t>;

template <class T>
void put(Bytes& bytes, const T& value) {
  const auto* data = reinterpret_cast<const uint8_t*>(&value);
  bytes.insert(bytes.end(), data, data + sizeof value);
}

void put_text(Bytes& bytes, const std::string& text, bool ended = true) {
  bytes.insert(bytes.end(), text.begin(), text.end());
  if (ended) bytes.push_back(0);
}

void align(Bytes& bytes) { bytes.resize((bytes.size() + 7) & ~size_t{7}); }

struct Shape {
  uint32_t flags = 0;
  uint32_t target_count = 0;
  int64_t start_off = 0;  // added to what the header should say
  int64_t size_off = 0;
};

Reply reply(const Bytes& payload, Shape shape = {}) {
  dm_ioctl header = {};
  header.data_start = static_cast<uint32_t>(sizeof header + shape.start_off);
  header.data_size = static_cast<uint32_t>(sizeof header + payload.size() + shape.size_off);
  header.flags = shape.flags;
  header.target_count = shape.target_count;
  Bytes bytes;
  put(bytes, header);
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  return Reply(std::move(bytes));
}

Bytes device(uint64_t number, uint32_t next, const std::string& name, bool ended = true) {
  Bytes bytes;
  put(bytes, number);
  put(bytes, next);
  put_text(bytes, name, ended);
  return bytes;
}

Bytes target(uint64_t start, uint32_t next, const std::string& text, bool ended = true) {
  dm_target_spec spec = {};
  spec.sector_start = start;
  spec.length = 8;
  spec.next = next;
  memcpy(spec.target_type, "thin", 4);
  Bytes bytes;
  put(bytes, spec);
  put_text(bytes, text, ended);
  return bytes;
}

template <class T>
bool refused(const Result<T>& result) {
  return !result && result.failure().error == EBADMSG;
}

}  // namespace

TEST(reply_test, devices_with_and_without_uuid) {
  Bytes list = device(7, 0, "first");
  align(list);
  put(list, uint32_t{1});                           // event number
  put(list, uint32_t{DM_NAME_LIST_FLAG_HAS_UUID});  // flags
  put_text(list, "DMTHIN-1");
  align(list);
  const auto next = static_cast<uint32_t>(list.size());
  memcpy(list.data() + offsetof(dm_name_list, next), &next, sizeof next);
  const Bytes second = device(8, 0, "second");
  list.insert(list.end(), second.begin(), second.end());
  const auto found = devices_of(reply(list, {.flags = DM_UUID_FLAG}));
  CHECK(found);
  CHECK_EQUAL(found->size(), 2u);
  CHECK_EQUAL((*found)[0].uuid, "DMTHIN-1");
  CHECK_EQUAL((*found)[0].event_number.value_or(0), 1u);
  CHECK(!(*found)[1].event_number);  // the entry ends after its name, as on older kernels
  CHECK_EQUAL((*found)[1].name, "second");
  CHECK_EQUAL((*found)[1].device, 8u);
}

TEST(reply_test, no_devices) {
  CHECK(devices_of(reply(device(0, 0, ""), {}))->empty());
  CHECK(devices_of(reply({}, {}))->empty());
}

TEST(reply_test, a_list_that_leaves_its_buffer) {
  CHECK(refused(devices_of(reply(device(7, 0, "unended", false)))));
  CHECK(refused(devices_of(reply(device(7, 4096, "far")))));
  CHECK(refused(devices_of(reply(device(7, UINT32_MAX, "farther")))));
  CHECK(refused(devices_of(reply(Bytes(5, 1)))));
  Bytes uuid = device(7, 0, "name");
  align(uuid);
  put(uuid, uint64_t{DM_NAME_LIST_FLAG_HAS_UUID} << 32);
  put_text(uuid, "no end", false);
  CHECK(refused(devices_of(reply(uuid, {.flags = DM_UUID_FLAG}))));
  // Each entry points one byte on: into the one before, of which nothing is read again.
  CHECK(refused(devices_of(reply(Bytes(64, 1)))));
  Bytes within =
      device(7, 16, "a name that goes on");  // behind the 4 bytes of it that are before the next entry
  within.resize(64);
  CHECK(refused(devices_of(reply(within))));
}

TEST(reply_test, a_payload_outside_the_buffer) {
  for (const Shape shape : {Shape{.start_off = 4096}, Shape{.size_off = 1}, Shape{.size_off = -400},
                            Shape{.start_off = -300}, Shape{.start_off = -8, .size_off = 4096}}) {
    const Reply hostile = reply(device(7, 0, "name"), shape);
    CHECK(refused(devices_of(hostile)));
    CHECK(refused(hostile.targets()));
    CHECK(refused(hostile.versions()));
    CHECK(refused(hostile.dependencies()));
  }
}

TEST(reply_test, an_answer_shorter_than_its_header) {
  for (const size_t size : {size_t{0}, size_t{1}, sizeof(dm_ioctl) - 1}) {
    const Reply cut{Bytes(size, 0xff)};
    CHECK_EQUAL(cut.header().data_size, 0u);
    CHECK_EQUAL(cut.info().name, "");
    CHECK(refused(devices_of(cut)));
    CHECK(refused(cut.targets()));
  }
}

TEST(reply_test, names_that_fill_their_field) {
  dm_ioctl header = {};
  memset(header.name, 'n', sizeof header.name);
  memset(header.uuid, 'u', sizeof header.uuid);
  Bytes bytes;
  put(bytes, header);
  const DeviceInfo info = Reply(std::move(bytes)).info();
  CHECK_EQUAL(info.name.size(), sizeof header.name);
  CHECK_EQUAL(info.uuid.size(), sizeof header.uuid);
}

TEST(reply_test, targets) {
  Bytes table = target(0, 0, "7:1 5");
  align(table);
  const auto next = static_cast<uint32_t>(table.size());
  memcpy(table.data() + offsetof(dm_target_spec, next), &next, sizeof next);
  const Bytes second = target(8, 0, "7:1 6");
  table.insert(table.end(), second.begin(), second.end());
  const auto found = reply(table, {.target_count = 2}).targets();
  CHECK(found);
  CHECK_EQUAL(found->size(), 2u);
  CHECK_EQUAL((*found)[1].parameters, "7:1 6");
  CHECK_EQUAL((*found)[1].start, 8u);
  CHECK(reply({}, {}).targets()->empty());
}

TEST(reply_test, targets_that_are_not_there) {
  const Bytes one = target(0, 0, "7:1 5");
  CHECK(refused(reply(one, {.target_count = 2}).targets()));  // `next` does not go on
  CHECK(refused(reply(one, {.target_count = UINT32_MAX}).targets()));
  CHECK(refused(reply({}, {.target_count = 1}).targets()));
  CHECK(refused(reply(target(0, 9999, "far"), {.target_count = 2}).targets()));
  CHECK(refused(reply(target(0, 0, "unended", false), {.target_count = 1}).targets()));
  Bytes within = target(0, 48, "a text that goes on into the next target");
  within.resize(200);
  CHECK(refused(reply(within, {.target_count = 2}).targets()));
  Bytes back = target(0, 48, "x");
  back.resize(48);
  const Bytes loop = target(8, 16, "y");  // back into the first: would go round for ever
  back.insert(back.end(), loop.begin(), loop.end());
  CHECK(refused(reply(back, {.target_count = 1000}).targets()));
}

TEST(reply_test, versions) {
  Bytes list;
  for (const uint32_t number : {0u, 1u, 23u, 0u}) put(list, number);
  put_text(list, "thin-pool");
  const auto found = reply(list).versions();
  CHECK(found);
  CHECK_EQUAL((*found)[0].name, "thin-pool");
  CHECK_EQUAL((*found)[0].version[1], 23u);
  list.pop_back();
  CHECK(refused(reply(list).versions()));
  Bytes far;
  for (const uint32_t number : {999u, 1u, 23u, 0u}) put(far, number);
  put_text(far, "thin");
  CHECK(refused(reply(far).versions()));
  Bytes within;
  for (const uint32_t number : {20u, 1u, 23u, 0u}) put(within, number);
  put_text(within, "a name that goes on");
  within.resize(64);
  CHECK(refused(reply(within).versions()));
  CHECK(refused(reply(Bytes(6, 1)).versions()));
}

TEST(reply_test, dependencies) {
  Bytes list;
  put(list, uint32_t{2});
  put(list, uint32_t{0});
  put(list, uint64_t{1793});
  CHECK(refused(reply(list).dependencies()));  // one fewer than counted
  put(list, uint64_t{1794});
  const auto found = reply(list).dependencies();
  CHECK(found);
  CHECK_EQUAL(found->size(), 2u);
  CHECK_EQUAL((*found)[1], 1794u);
  const uint32_t many = UINT32_MAX;
  memcpy(list.data(), &many, sizeof many);
  CHECK(refused(reply(list).dependencies()));
  CHECK(refused(reply(Bytes(3, 0)).dependencies()));
}

TEST(reply_test, the_reply_to_a_message) {
  Bytes text;
  put_text(text, "reply");
  CHECK_EQUAL(*reply(text, {.flags = DM_DATA_OUT_FLAG}).message_reply(), "reply");
  CHECK_EQUAL(*reply(text, {}).message_reply(), "");
  text.pop_back();
  CHECK(refused(reply(text, {.flags = DM_DATA_OUT_FLAG}).message_reply()));
}

// Not a fuzzer, but every single byte of a good answer is once something else.
TEST(reply_test, each_byte_once_wrong) {
  Bytes list = device(7, 24, "a-device");
  list.resize(24);
  const Bytes second = device(8, 0, "another");
  list.insert(list.end(), second.begin(), second.end());
  Bytes whole;
  dm_ioctl header = {};
  header.data_start = sizeof header;
  header.data_size = static_cast<uint32_t>(sizeof header + list.size());
  header.flags = DM_UUID_FLAG | DM_DATA_OUT_FLAG;
  header.target_count = 2;
  put(whole, header);
  whole.insert(whole.end(), list.begin(), list.end());
  for (size_t at = 0; at < whole.size(); ++at) {
    for (const uint8_t wrong : {0x00, 0x01, 0x7f, 0x80, 0xff}) {
      Bytes bytes = whole;
      bytes[at] = wrong;
      const Reply hostile(std::move(bytes));
      (void)devices_of(hostile);
      (void)hostile.targets();
      (void)hostile.versions();
      (void)hostile.dependencies();
      (void)hostile.message_reply();
    }
  }
}
