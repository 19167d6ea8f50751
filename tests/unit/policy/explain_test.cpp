#include "reconciler/resolve/explain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/policy/fleet_support.h"

namespace pvr::test {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr std::string_view kFleet = R"(storages:
  tank: {type: zfspool, pool: tank/vms}
  lvm: {type: lvm, vgname: v}
lanes:
  pinned: tank
roles:
  database:
    extends: specialty-linux
    disks: {data: {purpose: database, logbias: latency}}
vms:
  a:
    vmid: 100
    role: database
    disks:
      data: {slot: scsi1, aio: threads}
      plain: {slot: scsi2, storage: lvm}
      root: {slot: scsi0}
)";

class Explain : public ::testing::Test {
 protected:
  ResolvedFleet fleet_ = resolve_or_die(kFleet);
  const ResolvedVm& vm_ = *find_vm(fleet_, "a");

  Explanation disk(std::string_view name, std::string_view key) const {
    return explain(fleet_, vm_, *find_disk(vm_, name), key).value();
  }
};

TEST_F(Explain, ARuleSaysItsReasonInOneLine) {
  EXPECT_EQ(one_line(disk("root", "cache")),
            "cache=none  rule C1: past the host page cache; on ZFS the ARC is already the cache [S0]");
}

TEST_F(Explain, TheChainNamesThePlaceWhatItReplacedAndWhatFlagsIt) {
  EXPECT_EQ(chain_text(disk("scsi1", "aio")),
            "aio=threads  override, fleet.yaml:16:32 (disk)\n"
            "  instead of io_uring, rule A1 (default) [S0, S3]\n"
            "  flagged by rule A4: threads together with an O_DIRECT cache mode costs a thread switch per request and "
            "gains nothing [S0, S3]");
}

TEST_F(Explain, AValueOfARoleNamesRoleAndPlace) {
  EXPECT_THAT(one_line(disk("data", "logbias")), HasSubstr("logbias=latency  role database, fleet.yaml:10:"));
  EXPECT_THAT(one_line(disk("data", "volblocksize")), HasSubstr("rule Z1: database"));
}

TEST_F(Explain, AnAioThatStaysUnsetSaysWhatItMeansAndWhy) {
  EXPECT_THAT(one_line(disk("plain", "aio")),
              AllOf(HasSubstr("aio unset (PVE: native)  rule A5:"), HasSubstr("nothing is written")));
  EXPECT_FALSE(disk("plain", "aio").managed);
}

TEST_F(Explain, EachKeyOfAZvolHasTheReasonOfItsOwnRule) {
  const std::pair<std::string_view, std::string_view> reasons[] = {
      {"volblocksize", "volblocksize=16k  rule Z1: general use"},
      {"provisioning", "provisioning=thin  rule Z3: ZFS allocates when it writes"},
      {"sync", "sync=standard  rule Z5: honours the flushes"},
      {"logbias", "logbias=latency  rule Z6: synchronous writes answer"},
      {"compression", "compression=lz4  rule Z6: costs next to nothing"},
      {"primarycache", "primarycache=all  rule Z6: the ARC is the read cache"}};
  for (const auto& [key, line] : reasons) EXPECT_THAT(one_line(disk("root", key)), StartsWith(line));
}

TEST_F(Explain, ADefaultThatChangesNothingOnAnOsDiskSaysSo) {
  EXPECT_THAT(disk("root", "volblocksize").note, HasSubstr("nothing is changed"));
}

TEST_F(Explain, TheLaneIsTheReasonOfAStorage) {
  EXPECT_THAT(one_line(disk("root", "storage")), HasSubstr("storage=tank  lane pinned, fleet.yaml:"));
}

TEST_F(Explain, SmallDisksFollowNoRulesOfDisks) {
  const ResolvedFleet fleet = resolve_or_die(R"(
storages: {tank: {type: zfspool, pool: tank/vms}}
lanes: {pinned: tank}
vms: {a: {vmid: 100, role: specialty-linux, efidisk: true, cloud_init: true, disks: {root: {slot: scsi0}}}}
)");
  const ResolvedVm& vm = *find_vm(fleet, "a");
  for (const std::string_view name : {"efidisk", "cloudinit"}) {
    std::vector<std::string> keys;
    for (const Explanation& e : explain_all(fleet, vm, *find_disk(vm, name))) keys.push_back(e.key);
    EXPECT_THAT(keys, ElementsAre("slot", "storage")) << name;
  }
}

TEST_F(Explain, OptionsOfTheVm) {
  const Explanation cpu = explain(fleet_, vm_, "cpu").value();
  EXPECT_THAT(one_line(cpu), HasSubstr("cpu=host  role specialty-linux, builtin_roles.yaml:"));
  const Explanation scsihw = explain(fleet_, vm_, "scsihw").value();
  EXPECT_THAT(chain_text(scsihw), HasSubstr("instead of virtio-scsi-single, rule I1 (default) [S0, S3]"));
  EXPECT_FALSE(explain(fleet_, vm_, "description").has_value());
}

TEST_F(Explain, PropertiesOfAStorage) {
  EXPECT_THAT(one_line(explain(fleet_, *find_storage(fleet_, "tank"), "sparse").value()),
              HasSubstr("sparse=1  rule Z3:"));
}

TEST_F(Explain, EveryLineOfADiskHasAReason) {
  for (const Explanation& e : explain_all(fleet_, vm_, *find_disk(vm_, "data"))) {
    EXPECT_FALSE(e.from.empty()) << e.key;
    EXPECT_FALSE(e.value.empty()) << e.key;
  }
}

TEST(Roles, TheFourBuiltinsAreListedAndShown) {
  const auto document = load_or_die(kFleet);
  std::vector<std::string> names;
  for (const RoleView& role : list_roles(*document)) {
    names.push_back(role.name);
    EXPECT_EQ(role.builtin, role.name != "database");
    EXPECT_FALSE(role.os.empty());
  }
  EXPECT_THAT(names, ElementsAre("database", "generalized-linux", "generalized-windows", "specialty-linux",
                                 "specialty-windows"));
  const RoleView shown = show_role(*document, "database").value();
  EXPECT_THAT(shown.chain, ElementsAre("specialty-linux"));
  EXPECT_EQ(shown.lane, "pinned");
  EXPECT_THAT(shown.settings, Contains(AllOf(Field(&RoleSetting::key, "cpu"), Field(&RoleSetting::value, "host"),
                                             Field(&RoleSetting::from, "specialty-linux"))));
  EXPECT_THAT(shown.settings,
              Contains(AllOf(Field(&RoleSetting::where, "disks.data"), Field(&RoleSetting::value, "database"))));
  EXPECT_FALSE(show_role(*document, "nobody").has_value());
}

}  // namespace
}  // namespace pvr::test
