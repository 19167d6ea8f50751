#include "simulator/wire/formats.h"

#include <gtest/gtest.h>

namespace pvesim {
namespace {

struct FormatCase {
  const char* format;
  const char* value;
  const char* error;  // "" = fits
};

class Formats : public testing::TestWithParam<FormatCase> {};

TEST_P(Formats, SayWhatPveSays) {
  EXPECT_TRUE(is_known_format(GetParam().format));
  EXPECT_EQ(check_format(GetParam().format, GetParam().value), GetParam().error);
}

// Texts as recorded from the real API, or as its sources print them.
INSTANTIATE_TEST_SUITE_P(
    Table, Formats,
    testing::Values(
        FormatCase{"pve-vmid", "100", ""}, FormatCase{"pve-vmid", "999999999", ""},
        FormatCase{"pve-vmid", "99", "value does not look like a valid VM ID\n"},
        FormatCase{"pve-vmid", "0100", "value does not look like a valid VM ID\n"},
        FormatCase{"pve-vmid", "1000000000", "value does not look like a valid VM ID\n"},
        FormatCase{"pve-node", "pve-1", ""},
        FormatCase{"pve-node", "bad_node!", "value does not look like a valid node name\n"},
        FormatCase{"pve-storage-id", "tank.vm-1", ""},
        FormatCase{"pve-storage-id", "1bad", "storage ID '1bad' contains illegal characters\n"},
        FormatCase{"pve-storage-id", "bad-", "storage ID 'bad-' contains illegal characters\n"},
        FormatCase{"pve-storage-id", "a", "storage ID 'a' cannot be shorter than 2 characters\n"},
        FormatCase{"pve-configid", "snap_1", ""},
        FormatCase{"pve-configid", "1bad", "invalid configuration ID '1bad'\n"},
        FormatCase{"pve-configid", "x", "invalid configuration ID 'x'\n"},
        FormatCase{"pve-configid-list", "ab,cd;ef gh", ""},
        FormatCase{"pve-configid-list", "ab,1x", "invalid configuration ID '1x'\n"},
        FormatCase{"pve-configid-list", "", ""}, FormatCase{"dns-name", "web-1.example.com", ""},
        FormatCase{"dns-name", "bad_name!", "value does not look like a valid DNS name\n"},
        FormatCase{"dns-name", "a..b", "value does not look like a valid DNS name\n"},
        FormatCase{"pve-tag", "prod_1.x+y-z", ""}, FormatCase{"pve-tag", "-x", "invalid characters in tag\n"},
        FormatCase{"pve-tag-list", "bad tag!", "invalid characters in tag\n"},
        FormatCase{"pve-storage-path", "/srv/d1", ""},
        FormatCase{"pve-storage-path", "relative", "value does not look like a valid absolute path\n"},
        FormatCase{"pve-storage-zfs-blocksize", "16k", ""}, FormatCase{"pve-storage-zfs-blocksize", "512", ""},
        FormatCase{"pve-storage-zfs-blocksize", "16m", ""},
        FormatCase{
            "pve-storage-zfs-blocksize", "3k",
            "value '3k' is not a valid ZFS blocksize. Must be a power of 2 between 512B and 16MiB (e.g., 4k, 8k, "
            "16k, 64k, 1m).\n"},
        FormatCase{"pve-storage-content-list", "images,iso,import", ""},
        FormatCase{"pve-storage-content-list", "images,bogus", "invalid content type 'bogus'\n"},
        FormatCase{"pve-volume-id", "tank:vm-100-disk-0", ""},
        FormatCase{"pve-volume-id", "tank", "unable to parse volume ID 'tank'\n"},
        FormatCase{"pve-userid", "op@pve", ""},
        FormatCase{"pve-userid", "nobody", "value 'nobody' does not look like a valid user name\n"},
        FormatCase{"pve-userid", "a", "user name 'a' is too short\n"},
        FormatCase{"pve-priv-list", "VM.Audit VM.Config.CPU", ""},
        FormatCase{"pve-priv-list", "VM.Bogus", "invalid privilege 'VM.Bogus'\n"},
        FormatCase{"pve-tokenid", "op@pve!ci2", ""},
        FormatCase{"pve-tokenid", "op@pve", "value 'op@pve' does not look like a valid token ID\n"},
        FormatCase{"pve-poolid", "p1/sub/leaf", ""},
        FormatCase{"pve-poolid", "a/b/c/d", "pool name 'a/b/c/d' contains invalid characters\n"},
        FormatCase{"pve-ha-resource-or-vm-id", "100", ""}, FormatCase{"pve-ha-resource-or-vm-id", "vm:100", ""},
        FormatCase{"pve-ha-resource-or-vm-id", "100x", "value does not look like a valid ha resource id\n"},
        FormatCase{"pve-ha-node-list", "n1:2,n2", ""},
        FormatCase{"pve-ha-node-list", "n1:x", "value does not look like a valid ha node\n"},
        FormatCase{"pve-replication-job-id", "100-0", ""},
        FormatCase{"pve-replication-job-id", "100", "invalid replication job id '100'\n"},
        FormatCase{"pve-calendar-event", "*/15", ""}, FormatCase{"pve-calendar-event", "mon..fri 22:30", ""},
        FormatCase{"pve-calendar-event", "daily", ""},
        FormatCase{"pve-calendar-event", "whenever", "invalid calendar event 'whenever'\n"},
        FormatCase{"email-opt", "", ""}, FormatCase{"email-opt", "a@b.example", ""},
        FormatCase{"email-opt", "nope", "value does not look like a valid email address\n"},
        FormatCase{"CIDR", "10.0.0.0/24", ""}, FormatCase{"CIDR", "fd00::/64", ""},
        FormatCase{"CIDR", "10.0.0.0", "value does not look like a valid CIDR network\n"},
        FormatCase{"address", "10.0.0.300", ""},  // a DNS name as far as its rule goes
        FormatCase{"address", "a_b", "value does not look like a valid address: a_b\n"},
        FormatCase{"pve-startup-order", "order=1,up=30", ""}, FormatCase{"pve-startup-order", "5", ""},
        FormatCase{"pve-startup-order", "late", "unable to parse startup options\n"},
        FormatCase{"mac-prefix", "BC:24:11", ""},
        FormatCase{"mac-prefix", "BD:24:11", "value is not a valid unicast MAC address prefix\n"},
        FormatCase{"ipv4", "10.0.0.1", ""},
        FormatCase{"ipv4", "10.0.0.256", "value does not look like a valid IPv4 address\n"},
        FormatCase{"ipv6", "fd00::1", ""}, FormatCase{"ipv6", "::ffff:10.0.0.1", ""},
        FormatCase{"ipv6", "1::2::3", "value does not look like a valid IPv6 address\n"},
        FormatCase{"ipv6", "1:2:3:4:5:6:7:8:9", "value does not look like a valid IPv6 address\n"},
        FormatCase{"pve-ipv4-config", "dhcp", ""}, FormatCase{"pve-ipv4-config", "192.0.2.1/24", ""},
        FormatCase{"pve-ipv4-config", "fd00::1/64", "value does not look like a valid ipv4 network configuration\n"},
        FormatCase{"mac-addr", "BC:24:11:00:00:01", ""},
        FormatCase{"mac-addr", "BD:24:11:00:00:01", "value does not look like a valid unicast MAC address\n"},
        FormatCase{"pve-qm-boot", "order=scsi0;net0", ""}, FormatCase{"pve-qm-boot", "cdn", ""},
        FormatCase{"pve-qm-boot", "order=scsi31",
                   "format error\nboot.order: invalid format - invalid boot device 'scsi31'\n\n"},
        FormatCase{"pve-hotplug-features", "disk,usb", ""},
        FormatCase{"pve-hotplug-features", "disc", "invalid hotplug feature 'disc'\n"},
        FormatCase{"pve-cpuset", "0-3,8", ""}, FormatCase{"pve-cpuset", "0-", "unable to parse cpuset option\n"},
        FormatCase{"pve-phys-bits", "host", ""},
        FormatCase{"pve-phys-bits", "65", "value must be an integer between 8 and 64 or 'host'\n"},
        FormatCase{"pve-volume-id-or-qm-path", "none", ""}, FormatCase{"pve-volume-id-or-qm-path", "/dev/sdb", ""},
        FormatCase{"pve-volume-id-or-qm-path", "tank", "unable to parse volume ID 'tank'\n"},
        FormatCase{"disk-size", "1.5T", ""},
        FormatCase{"disk-size", "1X", "value does not look like a valid disk size: 1X\n"},
        FormatCase{"storage-pair-list", "a1:b1,c1", ""}, FormatCase{"urlencoded", "ssh-rsa%20AAAA", ""},
        FormatCase{"urlencoded", "a b", "invalid urlencoded string: a b\n"}));

TEST(SplitList, TakesEverySeparatorOfPve) {
  const std::string text("a,b;c d\te\0f,,", 13);
  EXPECT_EQ(split_list(text), (std::vector<std::string>{"a", "b", "c", "d", "e", "f"}));
  EXPECT_TRUE(split_list(" ,; ").empty());
}

TEST(NumberText, FollowsPerl) {
  for (const char* good : {"1", "-1", "+7", "1.", ".5", "1.5e3", "1E-2"}) EXPECT_TRUE(is_number_text(good)) << good;
  for (const char* bad : {"", "1x", "e3", ".", "0x10", "1e", "--1"}) EXPECT_FALSE(is_number_text(bad)) << bad;
  EXPECT_TRUE(is_integer_text("+12"));
  EXPECT_FALSE(is_integer_text("1.5"));
  EXPECT_FALSE(is_integer_text(""));
}

TEST(LooseBoolean, OnlyInsidePropertyStrings) {
  EXPECT_EQ(parse_loose_boolean("Yes"), true);
  EXPECT_EQ(parse_loose_boolean("off"), false);
  EXPECT_EQ(parse_loose_boolean("2"), std::nullopt);
}

TEST(KnownFormat, EndingsDoNotMatter) {
  EXPECT_TRUE(is_known_format("pve-vmid-list"));
  EXPECT_FALSE(is_known_format("no-such-format"));
}

}  // namespace
}  // namespace pvesim
