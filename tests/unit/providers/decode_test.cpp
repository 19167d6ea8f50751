#include "providers/pve/decode.h"

#include <gtest/gtest.h>

#include <iostream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

namespace pvr {
namespace {

using nlohmann::json;

const GuestRef kGuest{"n1", {100}};

TEST(Decode, ScalarsComeAsNumbersAndAsTexts) {
  const json row = {{"a", 5},  {"b", "5"}, {"c", 1.5},   {"d", true}, {"e", nullptr},
                    {"f", -3}, {"g", "x"}, {"h", 1e300}, {"i", "0"}};
  EXPECT_EQ(number_at(row, "a"), 5);
  EXPECT_EQ(number_at(row, "b"), 5);
  EXPECT_EQ(number_at(row, "c"), 1);
  EXPECT_EQ(number_at(row, "e"), std::nullopt);
  EXPECT_EQ(number_at(row, "g"), std::nullopt);
  EXPECT_EQ(number_at(row, "h"), std::nullopt);
  EXPECT_EQ(size_at(row, "f"), ByteSize{});
  EXPECT_TRUE(flag_at(row, "d"));
  EXPECT_FALSE(flag_at(row, "i", true));
  EXPECT_TRUE(flag_at(row, "missing", true));
  EXPECT_EQ(text_at(row, "c"), "1.5");
  EXPECT_EQ(text_at(json::array(), "c"), "");
}

TEST(Decode, GuestHoldsCurrentAndPending) {
  const json rows = json::parse(R"([
    {"key":"digest","value":"abc"},
    {"key":"name","value":"web"},
    {"key":"cores","value":2,"pending":4},
    {"key":"memory","value":"2048","delete":1},
    {"key":"vga","pending":"virtio"},
    {"key":"lock","value":"backup"},
    {"key":"template","value":"1"},
    {"key":"smbios1","value":"uuid=AB012345-0000-0000-0000-000000000001"},
    {"key":"scsi1","value":"tank:vm-100-disk-1,size=4G","delete":1},
    {"key":"scsi0","value":"tank:vm-100-disk-0,size=8G","pending":"tank:vm-100-disk-0,cache=none,size=8G"},
    {"key":"unused0","value":"tank:vm-100-disk-7"},
    {"key":"newkey","value":"kept"}])");
  const auto vm = decode_guest(kGuest, rows);
  ASSERT_TRUE(vm.ok());
  EXPECT_EQ(vm->digest, "abc");
  EXPECT_EQ(vm->name, "web");
  EXPECT_EQ(vm->lock, "backup");
  EXPECT_TRUE(vm->is_template);
  EXPECT_EQ(vm->uuid, "ab012345-0000-0000-0000-000000000001");
  EXPECT_EQ(vm->options.find("cores")->current, "2");
  EXPECT_EQ(vm->options.find("cores")->pending, "4");
  EXPECT_TRUE(vm->options.find("memory")->pending_delete);
  EXPECT_FALSE(vm->options.find("vga")->has_current);
  EXPECT_EQ(vm->options.find("newkey")->current, "kept");
  EXPECT_FALSE(vm->options.contains("digest"));
  ASSERT_EQ(vm->drives.size(), 3U);
  EXPECT_EQ(to_text(vm->drives[0].slot), "scsi0");
  EXPECT_TRUE(vm->drives[0].pending->options.contains("cache"));
  EXPECT_TRUE(vm->drives[1].pending_delete);
  EXPECT_EQ(vm->drives[2].current->volume->name, "vm-100-disk-7");
  EXPECT_TRUE(vm->readable);
}

TEST(Decode, AGuestWithAnUnreadableDriveIsNotReadable) {
  const auto vm = decode_guest(kGuest, json::parse(R"([{"key":"scsi0","value":"cache=none"}])"));
  ASSERT_TRUE(vm.ok());
  EXPECT_FALSE(vm->readable);
  EXPECT_NE(vm->problem.find("scsi0"), std::string::npos);
  EXPECT_FALSE(decode_guest(kGuest, json::object()).ok());
}

TEST(Decode, PowerStates) {
  EXPECT_EQ(power_of("stopped", ""), PowerState::kStopped);
  EXPECT_EQ(power_of("running", "running"), PowerState::kRunning);
  EXPECT_EQ(power_of("running", "paused"), PowerState::kPaused);
  EXPECT_EQ(power_of("prelaunch", ""), PowerState::kPaused);
  EXPECT_EQ(power_of("running", "state of the future"), PowerState::kRunning);
  EXPECT_EQ(power_of("unknown", ""), PowerState::kUnknown);
}

const json kDisks = json::parse(R"([
  {"devpath":"/dev/nvme0n1","type":"nvme","serial":"NVME0001","by_id_link":"/dev/disk/by-id/nvme-A_NVME0001"},
  {"devpath":"/dev/sda","type":"hdd","serial":"HDD0001","by_id_link":"/dev/disk/by-id/ata-B_HDD0001","used":"ZFS"},
  {"devpath":"/dev/sdb","type":"ssd","serial":"SSD0001","by_id_link":"/dev/disk/by-id/ata-C_SSD0001"},
  {"devpath":"/dev/sdc","type":"unknown","serial":"unknown"}])");

Media media(const std::vector<std::string>& devices) { return media_of(devices, decode_disks(kDisks)); }

TEST(Decode, MediaAreFoundByAnyNameOfADisk) {
  EXPECT_EQ(media({"/dev/nvme0n1p3"}), Media::kSsd);
  EXPECT_EQ(media({"/dev/nvme0n1"}), Media::kSsd);
  EXPECT_EQ(media({"nvme0n1p3", "sdb1"}), Media::kSsd);
  EXPECT_EQ(media({"/dev/disk/by-id/ata-C_SSD0001-part1"}), Media::kSsd);
  EXPECT_EQ(media({"/dev/disk/by-id/scsi-0ATA_SSD0001-part9"}), Media::kSsd);
  EXPECT_EQ(media({"/dev/sda1", "/dev/sdb1"}), Media::kHdd);
  EXPECT_EQ(media({"/dev/sdb", "/dev/sdc"}), Media::kUnknown);
  EXPECT_EQ(media({"/dev/sdz"}), Media::kUnknown);
  EXPECT_EQ(media({}), Media::kUnknown);
}

LivePoolLayout layout(const std::string& children) {
  LivePoolLayout pool;
  pool.name = "tank";
  decode_layout(pool,
                json::parse(R"({"name":"tank","children":[{"name":"tank","children":[)" + children +
                            R"(]},{"name":"logs","children":[{"name":"/dev/sda2"}]}]})"),
                decode_disks(kDisks));
  return pool;
}

TEST(Decode, LayoutsOfPools) {
  const std::string leaf = R"({"name":"/dev/sdb1"})";
  const std::string pair = R"(,"children":[)" + leaf + "," + leaf + "]}";
  const LivePoolLayout mirror = layout(R"({"name":"mirror-0")" + pair);
  EXPECT_EQ(mirror.layout, "mirror");
  EXPECT_EQ(mirror.media, Media::kSsd);  // the log on a spinning disk does not count
  EXPECT_EQ(layout(R"({"name":"mirror-0")" + pair + R"(,{"name":"mirror-1")" + pair).vdevs, 2);
  const LivePoolLayout raidz =
      layout(R"({"name":"raidz2-0","children":[)" + leaf + "," + leaf + "," + leaf + "," + leaf + "]}");
  EXPECT_EQ(raidz.layout, "raidz2-4");
  EXPECT_EQ(raidz.data_width, 4);
  EXPECT_EQ(raidz.parity, 2);
  EXPECT_EQ(layout(leaf).layout, "single");
  EXPECT_EQ(layout(leaf + "," + leaf).layout, "stripe");
  EXPECT_EQ(layout(leaf + R"(,{"name":"mirror-0")" + pair).layout, "mixed");
  EXPECT_EQ(layout("").layout, "");
}

TEST(Decode, PropertiesOfNestedValues) {
  const json options = {
      {"migration", {{"network", "10.0.0.0/24"}, {"type", "secure"}}}, {"bwlimit", "move=100"}, {"list", {"a", "b"}}};
  const FlatMap<std::string> texts = texts_of(options, {"bwlimit"});
  EXPECT_EQ(*texts.find("migration"), "network=10.0.0.0/24,type=secure");
  EXPECT_EQ(*texts.find("list"), "a,b");
  EXPECT_FALSE(texts.contains("bwlimit"));
}

/// Any JSON at all.
json hostile(std::mt19937_64& random, int depth) {
  static const std::vector<std::string> kKeys = {"key",  "value",  "pending", "delete", "children", "name",
                                                 "tank", "digest", "devpath", "type",   "serial",   "by_id_link"};
  static const std::vector<std::string> kTexts = {"scsi0",     "tank",     "smbios1", "uuid=x",
                                                  "",          "mirror-0", "raidz9-", "raidz",
                                                  "/dev/sda1", "\xff\x00", "hdd",     "none,media=cdrom"};
  switch (random() % (depth > 0 ? 8 : 6)) {
    case 0:
      return nullptr;
    case 1:
      return random() % 2 == 0;
    case 2:
      return static_cast<std::int64_t>(random());
    case 3:
      return 1e300;
    case 4:
    case 5:
      return kTexts[random() % kTexts.size()];
    case 6: {
      json list = json::array();
      for (std::size_t i = random() % 5; i > 0; --i) list.push_back(hostile(random, depth - 1));
      return list;
    }
    default: {
      json object = json::object();
      for (std::size_t i = random() % 6; i > 0; --i)
        object[kKeys[random() % kKeys.size()]] = hostile(random, depth - 1);
      return object;
    }
  }
}

TEST(Decode, HostileAnswersAreSurvived) {
  const std::uint64_t seed = std::random_device{}();
  std::cout << "seed " << seed << "\n";
  std::mt19937_64 random(seed);
  int guests = 0;
  for (int i = 0; i < 20000; ++i) {
    const json answer = hostile(random, 4);
    guests += decode_guest(kGuest, answer).ok() ? 1 : 0;
    const auto disks = decode_disks(answer);
    LivePoolLayout pool;
    pool.name = "tank";
    decode_layout(pool, hostile(random, 5), disks);
    EXPECT_GE(pool.vdevs, 0);
    EXPECT_LE(texts_of(answer, {}).size(), answer.size());
  }
  EXPECT_GT(guests, 100);
}

}  // namespace
}  // namespace pvr
