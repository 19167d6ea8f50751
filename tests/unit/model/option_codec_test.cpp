#include "reconciler/model/option_codec.h"

#include <gtest/gtest.h>

#include <iostream>
#include <random>
#include <string>
#include <vector>

namespace pvr {
namespace {

const Setting& vm(const char* key) { return *find_setting(Home::kVmOption, key); }

OptionValue value_of(const char* key, std::string_view text) {
  auto value = parse_option(vm(key), text);
  EXPECT_TRUE(value.ok()) << key << " " << text << ": " << (value.ok() ? "" : value.error().text());
  return value.ok() ? *value : OptionValue{};
}

std::string canonical(const char* key, std::string_view text) { return print_option(vm(key), value_of(key, text)); }

TEST(OptionCodec, TextsThatMeanTheSameGiveEqualValues) {
  EXPECT_EQ(value_of("memory", "2048"), value_of("memory", "current=2048"));
  EXPECT_EQ(value_of("tags", "Web;db"), value_of("tags", "db,web web"));
  EXPECT_EQ(value_of("agent", "1"), value_of("agent", "type=virtio,enabled=on"));
  EXPECT_EQ(value_of("agent", "1,guest-fsfreeze=0"), value_of("agent", "enabled=1,freeze-fs=0"));
  EXPECT_EQ(value_of("cpu", "host,flags=+aes;-pcid"), value_of("cpu", "flags=-pcid;+aes,cputype=host,hidden=0"));
  EXPECT_EQ(value_of("net0", "virtio=aa:bb:cc:00:11:22,bridge=vmbr0"),
            value_of("net0", "bridge=vmbr0,model=virtio,macaddr=AA:BB:CC:00:11:22,firewall=0"));
  EXPECT_EQ(value_of("hostpci0", "0000:01:00.0,pcie=1"), value_of("hostpci0", "pcie=yes,host=01:00.0,rombar=1"));
  EXPECT_EQ(value_of("hostpci0", "0000:0A:00;0a:00.1"), value_of("hostpci0", "0a:00;0000:0a:00.1"));
  EXPECT_NE(value_of("hostpci0", "0001:0a:00"), value_of("hostpci0", "0a:00"));
  EXPECT_EQ(value_of("onboot", "1"), value_of("onboot", "yes"));
  EXPECT_EQ(value_of("hotplug", "1"), value_of("hotplug", "usb,disk,network"));
  EXPECT_EQ(value_of("cpulimit", "2"), value_of("cpulimit", "2.0"));
  EXPECT_EQ(value_of("ide2", "local:iso/a.iso"), value_of("ide2", "local:iso/a.iso,media=cdrom,size=600M"));
  EXPECT_EQ(value_of("description", "note\n"), value_of("description", "note"));
  EXPECT_EQ(value_of("startup", "3,up=10"), value_of("startup", "up=10,order=3"));
  EXPECT_NE(value_of("net0", "virtio,bridge=vmbr0"), value_of("net0", "virtio=AA:BB:CC:00:11:22,bridge=vmbr0"));
  EXPECT_NE(value_of("boot", "order=scsi0;net0"), value_of("boot", "order=net0;scsi0"));
}

TEST(OptionCodec, PrintsAsPveDoes) {
  EXPECT_EQ(canonical("net0", "bridge=vmbr0,tag=12,macaddr=aa:bb:cc:00:11:22,model=virtio"),
            "virtio=AA:BB:CC:00:11:22,bridge=vmbr0,tag=12");
  EXPECT_EQ(canonical("net0", "e1000e,bridge=vmbr0"), "e1000e,bridge=vmbr0");
  EXPECT_EQ(canonical("tags", "b A b"), "a;b");
  EXPECT_EQ(canonical("boot", "order=scsi0;ide2"), "order=scsi0;ide2");
  EXPECT_EQ(canonical("boot", "cdn"), "legacy=cdn");
  EXPECT_EQ(canonical("hotplug", "0"), "0");
  EXPECT_EQ(canonical("machine", "q35,viommu=virtio"), "q35,viommu=virtio");
  EXPECT_EQ(canonical("hostpci1", "mapping=gpu0,x-vga=1,pcie=1"), "mapping=gpu0,pcie=1,x-vga=1");
  EXPECT_EQ(canonical("ipconfig0", "ip=dhcp,ip6=auto"), "ip=dhcp,ip6=auto");
  EXPECT_EQ(canonical("numa0", "cpus=0-3,memory=1024.0"), "cpus=0-3,memory=1024");
  EXPECT_EQ(canonical("nameserver", "9.9.9.9, 1.1.1.1"), "9.9.9.9 1.1.1.1");
  EXPECT_EQ(canonical("rng0", "/dev/urandom,max_bytes=1024"), "/dev/urandom");
  const Setting& block = *find_setting(Home::kStorageOption, "blocksize");
  EXPECT_EQ(print_option(block, *parse_option(block, "16K")), "16k");
  EXPECT_EQ(print_option(block, *parse_option(block, "1m")), "1M");
  EXPECT_EQ(print_option(block, *parse_option(block, "8192")), "8k");
  const Setting& content = *find_setting(Home::kStorageOption, "content");
  EXPECT_EQ(print_option(content, *parse_option(content, "rootdir,images")), "images,rootdir");
}

TEST(OptionCodec, SshKeysAreDecodedAndEncoded) {
  const std::string text = "ssh-ed25519%20AAAA%2Bx%3D%3D%20me%40host%0Assh-rsa%20B%20y%0A";
  EXPECT_EQ(value_of("sshkeys", text), OptionValue(std::string("ssh-ed25519 AAAA+x== me@host\nssh-rsa B y")));
  EXPECT_EQ(canonical("sshkeys", text), "ssh-ed25519%20AAAA%2Bx%3D%3D%20me%40host%0Assh-rsa%20B%20y");
}

TEST(OptionCodec, RefusesWhatPveWouldRefuse) {
  const std::vector<std::pair<const char*, const char*>> cases = {{"cores", "0"},
                                                                  {"cores", "x"},
                                                                  {"cores", "1 "},
                                                                  {"memory", "8"},
                                                                  {"cpulimit", "nan"},
                                                                  {"cpulimit", "129"},
                                                                  {"onboot", "maybe"},
                                                                  {"bios", "uefi"},
                                                                  {"net0", "bridge=b"},
                                                                  {"net0", "virtio=zz"},
                                                                  {"net0", "virtio,tga=1"},
                                                                  {"net0", "virtio,tag=1,tag=2"},
                                                                  {"net0", "virtio,tag="},
                                                                  {"agent", "type=isa"},
                                                                  {"hostpci0", "pcie=1"},
                                                                  {"hostpci0",
                                                                   "0000: 0\x9c"
                                                                   "0:b"},
                                                                  {"hostpci0", "1:00.0"},
                                                                  {"hostpci0", "01:00.g"},
                                                                  {"hostpci0", "012:01:00.0"},
                                                                  {"hostpci0", "01:00.0;gpu"},
                                                                  {"hotplug", "network,floppy"},
                                                                  {"boot", "order=foo"},
                                                                  {"boot", "floppy"},
                                                                  {"rng0", "/dev/null"},
                                                                  {"name", "a\nb"},
                                                                  {"audio0", "driver=spice"},
                                                                  {"scsi0", "cache=none"},
                                                                  {"vga", "type=std,memory=x"}};
  for (const auto& [key, text] : cases) {
    const auto value = parse_option(vm(key), text);
    EXPECT_FALSE(value.ok()) << key << "=" << text;
    if (!value.ok()) {
      EXPECT_NE(value.error().message.find(key[0]), std::string::npos);
    }
  }
  const Setting& block = *find_setting(Home::kZvolProperty, "volblocksize");
  EXPECT_FALSE(parse_option(block, "12k").ok());
  EXPECT_FALSE(parse_option(block, "32M").ok());
}

TEST(OptionCodec, LiveTextsAreReadWhateverTheyHold) {
  const OptionValue future = decode_option(vm("net0"), "virtio=AA:BB:CC:00:11:22,bridge=vmbr0,newkey=7");
  ASSERT_TRUE(std::holds_alternative<PropertyString>(future));
  EXPECT_EQ(*std::get<PropertyString>(future).find("newkey"), "7");
  EXPECT_EQ(print_option(vm("net0"), future), "virtio=AA:BB:CC:00:11:22,bridge=vmbr0,newkey=7");
  EXPECT_EQ(decode_option(vm("bios"), "coreboot"), OptionValue(std::string("coreboot")));
  EXPECT_EQ(decode_option(vm("cores"), "many"), OptionValue(std::string("many")));
  EXPECT_EQ(decode_option(vm("cores"), "0"), OptionValue(std::int64_t{0}));
}

TEST(OptionCodec, HandMadeValuesAreNormalised) {
  PropertyString device;
  device.set("mapping", "gpu0");
  device.set("pcie", "yes");
  const auto value = normalise_option(vm("hostpci0"), device);
  ASSERT_TRUE(value.ok());
  EXPECT_EQ(*value, value_of("hostpci0", "mapping=gpu0,pcie=1"));
  device.set("mapping", "gpu0,romfile=x");
  EXPECT_FALSE(normalise_option(vm("hostpci0"), device).ok());
  EXPECT_EQ(*normalise_option(vm("tags"), StringList{"B", "a", "b"}), value_of("tags", "a;b"));
}

TEST(OptionCodec, DiskSizes) {
  EXPECT_EQ(parse_disk_size("32G"), 32_GiB);
  EXPECT_EQ(parse_disk_size("528K"), 528_KiB);
  EXPECT_EQ(parse_disk_size("1.5G"), 1536_MiB);
  EXPECT_EQ(parse_disk_size("4MiB"), 4_MiB);
  EXPECT_EQ(parse_disk_size("4194304"), 4_MiB);
  for (const char* text :
       {"", "G", "-1G", "1.G", "1P", "1GB", "99999999999999999999", "18446744073709551615T", "1 G"}) {
    EXPECT_EQ(parse_disk_size(text), std::nullopt) << text;
  }
  EXPECT_EQ(print_disk_size(1536_MiB), "1536M");
  EXPECT_EQ(print_disk_size(1024_GiB), "1T");
  EXPECT_EQ(print_disk_size(ByteSize{513}), "513");
  EXPECT_EQ(print_disk_size(ByteSize{0}), "0");
}

/// Any text: pieces of real ones, separators, and bytes nobody expects.
std::string hostile_text(std::mt19937_64& random) {
  static const std::vector<std::string> kPieces = {"virtio",
                                                   "=",
                                                   ",",
                                                   ";",
                                                   ":",
                                                   "order",
                                                   "scsi0",
                                                   "none",
                                                   "model",
                                                   "AA:BB:CC:DD:EE:FF",
                                                   "1",
                                                   "0",
                                                   "on",
                                                   "\n",
                                                   "current",
                                                   "2048",
                                                   "flags",
                                                   "+aes",
                                                   "local",
                                                   "/",
                                                   "..",
                                                   "%",
                                                   "%00",
                                                   "%4",
                                                   "size",
                                                   "32G",
                                                   "1.5",
                                                   "e9",
                                                   "-",
                                                   "media=cdrom",
                                                   "iso/a.iso",
                                                   "vm-100-disk-0",
                                                   "vm-1-cloudinit",
                                                   std::string("\x00\xff", 2),
                                                   "cache",
                                                   "legacy=",
                                                   "host=",
                                                   "0000:01:00.0"};
  std::string text;
  const std::size_t pieces = random() % 9;
  for (std::size_t i = 0; i < pieces; ++i) {
    if (random() % 8 == 0) {
      text += static_cast<char>(random() % 256);
    } else {
      text += kPieces[random() % kPieces.size()];
    }
  }
  return text;
}

TEST(OptionCodec, PrintedValuesReadBackAsThemselves) {
  const std::uint64_t seed = std::random_device{}();
  std::cout << "seed " << seed << "\n";
  std::mt19937_64 random(seed);
  const auto rows = setting_catalogue();
  std::size_t legal = 0;
  for (int i = 0; i < 60000; ++i) {
    const Setting& row = rows[random() % rows.size()];
    const std::string text = hostile_text(random);
    const auto value = parse_option(row, text);
    if (!value.ok()) continue;
    ++legal;
    const auto again = parse_option(row, print_option(row, *value));
    ASSERT_TRUE(again.ok()) << row.name << " <" << text << "> printed <" << print_option(row, *value) << ">";
    ASSERT_EQ(*again, *value) << row.name << " <" << text << "> printed <" << print_option(row, *value) << ">";
  }
  EXPECT_GT(legal, 5000U);
}

TEST(OptionCodec, LiveValuesReadBackAsThemselves) {
  const std::uint64_t seed = std::random_device{}();
  std::cout << "seed " << seed << "\n";
  std::mt19937_64 random(seed);
  const auto rows = setting_catalogue();
  for (int i = 0; i < 60000; ++i) {
    const Setting& row = rows[random() % rows.size()];
    const std::string text = hostile_text(random);
    const OptionValue value = decode_option(row, text);
    ASSERT_EQ(decode_option(row, print_option(row, value)), value)
        << row.name << " <" << text << "> printed <" << print_option(row, value) << ">";
  }
}

}  // namespace
}  // namespace pvr
