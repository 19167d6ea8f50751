#include "reconciler/model/drive.h"

#include <gtest/gtest.h>

#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "reconciler/model/address.h"
#include "reconciler/model/option_codec.h"
#include "reconciler/model/settings.h"

namespace pvr {
namespace {

constexpr DriveSlot kScsi0{Bus::kScsi, 0};

Drive drive(std::string_view text, DriveSlot slot = kScsi0) {
  auto read = parse_drive(slot, text);
  EXPECT_TRUE(read.ok()) << text;
  return read.ok() ? *read : Drive{};
}

TEST(Drive, ReadsAndPrintsCanonically) {
  const Drive read = drive("size=32G,iothread=yes,file=tank:vm-101-disk-0,discard=on,newkey=x");
  EXPECT_EQ(read.volume, (VolumeId{"tank", "vm-101-disk-0"}));
  EXPECT_EQ(read.size, 32_GiB);
  EXPECT_EQ(*read.options.find("iothread"), OptionValue(true));
  EXPECT_EQ(*read.unknown.find("newkey"), "x");
  EXPECT_EQ(print_drive(kScsi0, read), "tank:vm-101-disk-0,discard=on,iothread=1,newkey=x,size=32G");
}

TEST(Drive, TellsMedia) {
  EXPECT_EQ(drive("none,media=cdrom").medium, Drive::Medium::kCdrom);
  EXPECT_EQ(drive("local:iso/a.iso,media=cdrom,size=1M").medium, Drive::Medium::kCdrom);
  EXPECT_EQ(drive("tank:vm-101-cloudinit,media=cdrom").medium, Drive::Medium::kCloudInit);
  EXPECT_EQ(drive("dir:101/vm-101-cloudinit.qcow2,media=cdrom").medium, Drive::Medium::kCloudInit);
  EXPECT_EQ(drive("tank:cloudinit").medium, Drive::Medium::kCloudInit);
  EXPECT_EQ(drive("tank:vm-101-disk-0,media=disk").medium, Drive::Medium::kDisk);
  EXPECT_EQ(print_drive(kScsi0, drive("none")), "none,media=cdrom");
}

TEST(Drive, SpecialSlotsAndPaths) {
  const Drive efi = drive("tank:vm-101-disk-1,efitype=4m,ms-cert=2023k,pre-enrolled-keys=1,size=1M", {Bus::kEfi, 0});
  EXPECT_EQ(*efi.options.find("pre-enrolled-keys"), OptionValue(true));
  const Drive tpm = drive("tank:vm-101-disk-2,size=4M,version=v2.0", {Bus::kTpm, 0});
  EXPECT_EQ(*tpm.options.find("version"), OptionValue(std::string("v2.0")));
  EXPECT_EQ(drive("tank:vm-101-disk-3", {Bus::kUnused, 7}).volume->name, "vm-101-disk-3");
  const Drive raw = drive("/dev/disk/by-id/wwn-0x5,scsiblock=1");
  EXPECT_FALSE(raw.volume);
  EXPECT_EQ(raw.path, "/dev/disk/by-id/wwn-0x5");
  EXPECT_EQ(print_drive(kScsi0, drive("tank:32,ssd=1")), "tank:32,ssd=1");
}

TEST(Drive, EscapedTextsAreDecoded) {
  const Drive read = drive("tank:vm-101-disk-0,serial=ab%20c%2Cd");
  EXPECT_EQ(*read.options.find("serial"), OptionValue(std::string("ab c,d")));
  EXPECT_EQ(print_drive(kScsi0, read), "tank:vm-101-disk-0,serial=ab%20c%2Cd");
}

TEST(Drive, ValuesPveAddsLaterAreKept) {
  const Drive read = drive("tank:vm-101-disk-0,aio=later,cache=none,cyls=4");
  EXPECT_EQ(print_drive(kScsi0, read), "tank:vm-101-disk-0,aio=later,cache=none");
}

TEST(Drive, RefusesWhatCannotBeRead) {
  for (const char* text : {"", "cache=none", "tank:a,cache=", "tank:a,ssd=1,ssd=0", "tank:a,file=tank:b", "tank:a,=x",
                           "tank:a,tank:b", "tank:a,size=1G,size=2G", "file=/dev/a=b", "ssd=1,volume=b=c"}) {
    EXPECT_FALSE(parse_drive(kScsi0, text).ok()) << text;
  }
}

TEST(Drive, SlotsHaveTheirLimits) {
  EXPECT_EQ(parse_slot("scsi30"), (DriveSlot{Bus::kScsi, 30}));
  EXPECT_EQ(parse_slot("unused255"), (DriveSlot{Bus::kUnused, 255}));
  for (const char* text : {"scsi31", "virtio16", "sata6", "ide4", "efidisk1", "tpmstate1", "unused256", "scsi",
                           "scsi01", "scsi-1", "net0", "", "scsi0x", "xscsi0"}) {
    EXPECT_EQ(parse_slot(text), std::nullopt) << text;
  }
  for (const char* text : {"scsi0", "virtio15", "sata5", "ide3", "efidisk0", "tpmstate0", "unused12"}) {
    EXPECT_EQ(to_text(*parse_slot(text)), text);
  }
}

TEST(Drive, VolumesTellFormatAndOwner) {
  EXPECT_EQ(image_format({"dir", "101/vm-101-disk-0.qcow2"}), "qcow2");
  EXPECT_EQ(image_format({"tank", "vm-101-disk-0"}), "raw");
  EXPECT_EQ(image_format({"tank", "base-9000-disk-0/vm-101-disk-0"}), "raw");
  EXPECT_EQ(owner_of({"tank", "base-9000-disk-0/vm-101-disk-0"}), Vmid{101});
  EXPECT_EQ(owner_of({"dir", "101/vm-101-disk-0.qcow2"}), Vmid{101});
  EXPECT_EQ(owner_of({"tank", "base-9000-disk-0"}), Vmid{9000});
  EXPECT_EQ(owner_of({"tank", "vm-x-disk-0"}), std::nullopt);
  EXPECT_EQ(owner_of({"tank", "vm-99999999999-disk-0"}), std::nullopt);
  EXPECT_EQ(owner_of({"local", "iso/debian.iso"}), std::nullopt);
}

TEST(Drive, ModesHaveTheirWords) {
  for (const char* word : {"none", "writethrough", "writeback", "unsafe", "directsync"}) {
    EXPECT_EQ(to_text(*parse_cache(word)), word);
  }
  for (const char* word : {"native", "threads", "io_uring"}) EXPECT_EQ(to_text(*parse_aio(word)), word);
  EXPECT_EQ(parse_cache("WriteBack"), std::nullopt);
}

/// A drive somebody could have configured.
Drive random_drive(std::mt19937_64& random) {
  Drive made;
  const auto chance = [&](unsigned one_in) { return random() % one_in == 0; };
  if (chance(6)) {
    made.path = chance(2) ? "/dev/disk/by-id/x" : "none";
    if (made.path == "none") made.medium = Drive::Medium::kCdrom;
  } else {
    made.volume = VolumeId{"st" + std::to_string(random() % 5), "vm-101-disk-" + std::to_string(random() % 9)};
    if (chance(5)) made.medium = Drive::Medium::kCdrom;
    if (chance(8)) *made.volume = VolumeId{"st", "vm-101-cloudinit"}, made.medium = Drive::Medium::kCloudInit;
  }
  if (chance(2)) made.size = ByteSize{random() % (1ULL << 44U)};
  for (const Setting& row : setting_catalogue()) {
    if (row.home != Home::kDriveOption || !chance(6)) continue;
    OptionValue value;
    switch (row.kind) {
      case ValueKind::kBool:
        value = chance(2);
        break;
      case ValueKind::kInteger:
        value = static_cast<std::int64_t>(random() % 100000);
        break;
      case ValueKind::kNumber:
        value = static_cast<double>(random() % 100000) / 8;
        break;
      case ValueKind::kEnum:
        value = std::string(row.values.substr(0, row.values.find('|')));
        break;
      default:
        value = (row.name == "serial" || row.name == "model") ? std::string("a ,=%\xC3\xA4") : std::string("0xAb");
        break;
    }
    made.options.set(row.name, value);
  }
  if (chance(4)) made.unknown.set("later", "v" + std::to_string(random() % 10));
  return made;
}

TEST(Drive, PrintedDrivesReadBackAsThemselves) {
  const std::uint64_t seed = std::random_device{}();
  std::cout << "seed " << seed << "\n";
  std::mt19937_64 random(seed);
  for (int i = 0; i < 5000; ++i) {
    const Drive made = random_drive(random);
    const std::string text = print_drive(kScsi0, made);
    const auto again = parse_drive(kScsi0, text);
    ASSERT_TRUE(again.ok()) << text;
    ASSERT_EQ(*again, made) << text << "\n" << print_drive(kScsi0, *again);
  }
}

TEST(Drive, HostileTextsNeitherCrashNorChangeWhenReprinted) {
  const std::uint64_t seed = std::random_device{}();
  std::cout << "seed " << seed << "\n";
  std::mt19937_64 random(seed);
  constexpr char kBytes[] = "tank:vm-,=%0 1G\n\xff\0/cachesizemedrom";
  const std::string alphabet(kBytes, sizeof kBytes);
  for (int i = 0; i < 50000; ++i) {
    std::string text;
    const std::size_t length = random() % 40;
    for (std::size_t at = 0; at < length; ++at) text += alphabet[random() % alphabet.size()];
    const auto read = parse_drive(kScsi0, text);
    if (!read.ok()) continue;
    const auto again = parse_drive(kScsi0, print_drive(kScsi0, *read));
    ASSERT_TRUE(again.ok()) << text;
    ASSERT_EQ(*again, *read) << text;
  }
}

TEST(Address, ReadsWhatItPrints) {
  for (const char* text :
       {"vm/ai-01", "vm/ai-01/models", "storage/SSD-r10", "ha/dns-01", "pool/a/b", "replication/701-0", "cluster"}) {
    const auto address = parse_address(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(to_text(*address), text);
  }
  EXPECT_EQ(parse_address("vm/ai-01/models")->part, "models");
  for (const char* text : {"", "vm", "vm/", "vm/a/", "vm//x", "vm/a/b/c", "disk/x", "cluster/x", "VM/a"}) {
    EXPECT_FALSE(parse_address(text)) << text;
  }
}

}  // namespace
}  // namespace pvr
