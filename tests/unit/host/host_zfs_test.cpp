#include "providers/host/host_zfs.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <string>

#include "providers/host/zfs_errors.h"
#include "providers/host/zfs_names.h"
#include "simulator/simulator.h"
#include "tests/support/simulated_runner.h"
#include "tests/support/simulated_transport.h"

namespace pvr {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr const char* kCluster = R"(
cluster: {name: lab, seed: 3}
nodes:
  pve1:
    memory: 64GiB
    zfs: 2.3.9
    pools:
      tank: {size: 100GiB, layout: mirror, media: ssd, autotrim: true, scrub_age: 3d, compression: lz4,
             datasets: [tank/data], properties: {tank/data: {sync: disabled}},
             vdevs: [{class: special, layout: mirror, disks: 2, media: nvme}]}
      bulk: {size: 10TiB, layout: raidz2, disks: 6, media: hdd}
    host: {arc_max: 8GiB, swaps: [{device: /dev/zd0, size: 8GiB}], timers: [fstrim.timer], trim_cron: true,
           modprobe: {zfs_arc_max: 8589934592}}
  pve2: {memory: 32GiB, pools: {tank: {size: 100GiB}}}
storages:
  z8: {type: zfspool, pool: tank/z8, blocksize: 8k, content: images}
vms:
  101: {node: pve1, status: running, config: {name: a, memory: 512, scsi0: "z8:vm-101-disk-0,size=8G"}}
  102: {node: pve1, config: {name: b, memory: 512, scsi0: "z8:vm-102-disk-0,size=4G"}}
  103: {node: pve2, config: {name: c, memory: 512}}
)";
constexpr const char* kUsed = "tank/z8/vm-101-disk-0";
constexpr const char* kFree = "tank/z8/vm-102-disk-0";

class OnSimulator : public ::testing::Test {
 protected:
  std::unique_ptr<pvesim::Simulator> sim_ = pvesim::Simulator::from_text(kCluster, {.manual_clock = true});
  testing::SimulatedClock clock_{*sim_};
  testing::SimulatedRunner runner_{*sim_};
  HostZfs zfs_{runner_, clock_, {.sudo = true, .copy_program = "#"}};

  [[nodiscard]] LiveDataset dataset(const std::string& name) {
    auto found = zfs_.dataset("pve1", name);
    EXPECT_TRUE(found.ok()) << found.error().message;
    return found.ok() && *found ? **found : LiveDataset{};
  }
  [[nodiscard]] pvesim::ZvolInfo zvol(const std::string& name) const {
    for (pvesim::ZvolInfo& one : sim_->zvols())
      if (one.name == name) return std::move(one);
    return {};
  }
};

TEST_F(OnSimulator, OneRoundTripReadsANode) {
  const auto host = zfs_.host("pve1");
  ASSERT_TRUE(host.ok()) << host.error().message;
  EXPECT_EQ(runner_.round_trips(), 1);
  EXPECT_THAT(host->gaps, IsEmpty());
  EXPECT_EQ(host->zfs_version, "2.3.9");
  EXPECT_EQ(host->memory, 64_GiB);
  EXPECT_EQ(host->arc_max, 8_GiB);
  ASSERT_EQ(host->zpools.size(), 2U);
  const LiveZpool* tank = host->zpool("tank");
  ASSERT_NE(tank, nullptr);
  EXPECT_TRUE(tank->autotrim);
  EXPECT_EQ(tank->last_scrub, 1767225600 - 3 * 86400);
  ASSERT_EQ(tank->vdevs.size(), 2U);
  EXPECT_EQ(tank->vdevs[0].kind, "mirror");
  EXPECT_EQ(tank->vdevs[0].ashift, 12U);
  EXPECT_EQ(tank->vdevs[1].role, VdevClass::kSpecial);
  EXPECT_EQ(host->zpool("bulk")->vdevs[0].kind, "raidz2");
  EXPECT_THAT(host->zpool("bulk")->vdevs[0].devices, SizeIs(6));
  EXPECT_EQ(host->zpool("bulk")->vdevs[0].media, Media::kHdd);
  const LiveDataset* used = host->dataset(kUsed);
  ASSERT_NE(used, nullptr);
  EXPECT_TRUE(used->is_volume);
  EXPECT_EQ(used->bytes("volblocksize"), 8_KiB);
  EXPECT_GT(used->bytes("refreservation"), 8_GiB) << "a thick zvol reserves more than its size";
  EXPECT_EQ(used->text("compression"), "lz4");
  EXPECT_EQ(host->dataset("tank/data")->text("sync"), "disabled");
  ASSERT_EQ(host->swaps.size(), 1U);
  EXPECT_TRUE(host->swaps[0].on_zfs);
  EXPECT_THAT(host->trim_timers, ElementsAre("/etc/cron.d/zfsutils-linux", "fstrim.timer"));
  EXPECT_EQ(*host->modprobe_options.find("zfs_arc_max"), "8589934592");
}

TEST_F(OnSimulator, SettingsAreReadInOneRoundTripWithoutDatasets) {
  const auto host = zfs_.settings("pve1");
  ASSERT_TRUE(host.ok()) << host.error().message;
  EXPECT_EQ(runner_.round_trips(), 1);
  EXPECT_THAT(host->datasets, IsEmpty());
  EXPECT_EQ(host->arc_max, 8_GiB);
  ASSERT_NE(host->zpool("tank"), nullptr);
  EXPECT_TRUE(host->zpool("tank")->autotrim);
  ASSERT_EQ(host->modprobe.size(), 1U);
  EXPECT_EQ(host->modprobe[0].file, "/etc/modprobe.d/zfs.conf");
}

TEST_F(OnSimulator, HostileNamesOfParametersPoolsAndTimersNeverTravel) {
  FlatMap<std::string> set;
  set.set("autotrim", "on");
  EXPECT_EQ(zfs_.set_pool_properties("pve1", "-f", set).error().kind, ErrorKind::kRejected);
  EXPECT_EQ(zfs_.set_pool_properties("pve1", "tank/data", set).error().kind, ErrorKind::kRejected);
  EXPECT_EQ(zfs_.set_parameters("pve1", {{"../../../../etc/passwd", "1"}}).error().kind, ErrorKind::kRejected);
  EXPECT_EQ(zfs_.set_parameters("pve1", {{"zfs_arc_max", "1\n2"}}).error().kind, ErrorKind::kRejected);
  FlatMap<std::string> options;
  options.set("zfs_arc_max", "1 install zfs /bin/sh");
  EXPECT_EQ(zfs_.write_modprobe("pve1", options).error().kind, ErrorKind::kRejected);
  for (const char* unit : {"--root=/x.timer", "a b.timer", "x.service", "../x.timer"})
    EXPECT_EQ(zfs_.set_timer("pve1", unit, true).error().kind, ErrorKind::kRejected) << unit;
  EXPECT_EQ(runner_.round_trips(), 0);
}

TEST_F(OnSimulator, OneRoundTripReadsTheFilesOfAllGuests) {
  ASSERT_TRUE(zfs_.host("pve1").ok());
  const auto files = zfs_.guest_files("pve1");
  ASSERT_TRUE(files.ok()) << files.error().message;
  EXPECT_EQ(runner_.round_trips(), 2);
  ASSERT_EQ(files->size(), 3U);
  EXPECT_EQ((*files)[2].node, "pve2");
  for (const GuestFile& file : *files) EXPECT_EQ(file.text, sim_->vm_config_text(static_cast<int>(file.vmid.number)));
}

TEST_F(OnSimulator, AnAddressThatLeadsToAnotherMachineIsRefused) {
  class Elsewhere final : public CommandRunner {
   public:
    explicit Elsewhere(CommandRunner& inner) : inner_(inner) {}
    Result<CommandOutput> run(const Command& command) override {
      Command other = command;
      other.node = "pve2";
      return inner_.run(other);
    }

   private:
    CommandRunner& inner_;
  } elsewhere(runner_);
  HostZfs zfs(elsewhere, clock_, {});
  const Status set = zfs.set_properties("pve1", "tank", [] {
    FlatMap<std::string> map;
    map.set("sync", "disabled");
    return map;
  }());
  ASSERT_FALSE(set.ok());
  EXPECT_EQ(set.error().kind, ErrorKind::kRejected);
  EXPECT_THAT(set.error().message, HasSubstr("calls itself \"pve2\""));
  EXPECT_EQ(zfs.host("pve1").error().kind, ErrorKind::kRejected);
}

TEST_F(OnSimulator, AThickVolumeBecomesThinWhileItIsOpen) {
  FlatMap<std::string> set;
  set.set("refreservation", "none");
  set.set("compression", "zstd");
  set.set("pvereconcile:operation", "42");
  const Status done = zfs_.set_properties("pve1", kUsed, set);
  ASSERT_TRUE(done.ok()) << done.error().message;
  const LiveDataset now = dataset(kUsed);
  EXPECT_EQ(now.bytes("refreservation"), ByteSize{0});
  EXPECT_EQ(now.text("compression"), "zstd");
  EXPECT_THAT(now.own, ::testing::Contains("compression"));
  EXPECT_EQ(*now.marks.find("operation"), "42");
  FlatMap<std::string> unset;
  unset.set("compression", "");
  unset.set("pvereconcile:operation", "");
  ASSERT_TRUE(zfs_.set_properties("pve1", kUsed, unset).ok());
  EXPECT_EQ(dataset(kUsed).text("compression"), "lz4");
  EXPECT_TRUE(dataset(kUsed).marks.empty());
}

TEST_F(OnSimulator, VolblocksizeIsReadOnlyAndNothingChanges) {
  FlatMap<std::string> set;
  set.set("volblocksize", "16384");
  const Status done = zfs_.set_properties("pve1", kFree, set);
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().kind, ErrorKind::kRejected);
  EXPECT_THAT(done.error().message, HasSubstr("'volblocksize' is readonly"));
  EXPECT_EQ(done.error().effect, Effect::kNone);
}

TEST_F(OnSimulator, ANewVolumeIsThinAndItsLinkIsThere) {
  FlatMap<std::string> properties;
  properties.set("pvereconcile:operation", "7");
  const Status made = zfs_.create_zvol(
      "pve1", {.name = "tank/z8/pvr-new", .size = 4_GiB, .volblocksize = 4_KiB, .properties = properties});
  ASSERT_TRUE(made.ok()) << made.error().message << " (a warning on stderr is no failure)";
  const LiveDataset now = dataset("tank/z8/pvr-new");
  EXPECT_EQ(now.bytes("volblocksize"), 4_KiB);
  EXPECT_EQ(now.bytes("refreservation"), ByteSize{0});
  EXPECT_EQ(*now.marks.find("operation"), "7");
  const auto held = zfs_.holders("pve1", "tank/z8/pvr-new");
  ASSERT_TRUE(held.ok()) << held.error().message;
  EXPECT_THAT(*held, IsEmpty());
  const auto marked = zfs_.marked("pve1", "tank/z8");
  ASSERT_TRUE(marked.ok());
  ASSERT_EQ(marked->size(), 1U);
  EXPECT_EQ(marked->front().name, "tank/z8/pvr-new");
}

TEST_F(OnSimulator, ASizeThatWouldBeRoundedIsRefusedBefore) {
  const Status made = zfs_.create_zvol("pve1", {.name = "tank/z8/odd", .size = {1000001}, .volblocksize = 16_KiB});
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().kind, ErrorKind::kRejected);
  EXPECT_EQ(zvol("tank/z8/odd").name, "");
}

TEST_F(OnSimulator, ADatasetServesAStorageAtOnce) {
  ASSERT_TRUE(zfs_.create_dataset("pve1", "tank/z64", {}).ok());
  EXPECT_EQ(dataset("tank/z64").text("canmount"), "off");
  const auto storage = sim_->admin_call("POST", "/storage",
                                        {{"storage", "z64"},
                                         {"type", "zfspool"},
                                         {"pool", "tank/z64"},
                                         {"blocksize", "64k"},
                                         {"nodes", "pve1"},
                                         {"content", "images"}});
  ASSERT_EQ(storage.status, 200) << storage.body;
  const auto disk = sim_->admin_call("POST", "/nodes/pve1/storage/z64/content",
                                     {{"vmid", "102"}, {"filename", "vm-102-disk-1"}, {"size", "1G"}});
  ASSERT_EQ(disk.status, 200) << disk.reason << disk.body;
  EXPECT_EQ(dataset("tank/z64/vm-102-disk-1").bytes("volblocksize"), 64_KiB);
  const Status again = zfs_.create_dataset("pve1", "tank/z64", {});
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().kind, ErrorKind::kConflict);
  EXPECT_EQ(zfs_.create_dataset("pve1", "tank/no/such", {}).error().kind, ErrorKind::kRejected);
}

TEST_F(OnSimulator, AVolumeInUseIsNotRenamedThoughZfsWould) {
  const Status renamed = zfs_.rename("pve1", kUsed, "tank/z8/pvr-retired");
  ASSERT_FALSE(renamed.ok());
  EXPECT_EQ(renamed.error().kind, ErrorKind::kLocked);
  EXPECT_THAT(renamed.error().message, HasSubstr("(kvm)"));
  EXPECT_EQ(zvol(kUsed).name, kUsed);
  EXPECT_EQ(sim_->run_command("pve1", {"zfs", "rename", kUsed, "tank/z8/pvr-retired"}).exit_code, 0)
      << "fact: ZFS itself does not ask";
  sim_->guest_write(101, "scsi0");
  EXPECT_EQ(zvol("tank/z8/pvr-retired").properties.size(), 0U);
}

TEST_F(OnSimulator, ARenameKeepsContentGuidAndMarksAndTheSpace) {
  const pvesim::ZvolInfo before = zvol(kFree);
  FlatMap<std::string> mark;
  mark.set("pvereconcile:retired", "1");
  ASSERT_TRUE(zfs_.set_properties("pve1", kFree, mark).ok());
  const auto available = dataset("tank").bytes("available");
  const Status renamed = zfs_.rename("pve1", kFree, "tank/data/pvr-retired-102");
  ASSERT_TRUE(renamed.ok()) << renamed.error().message;
  const pvesim::ZvolInfo after = zvol("tank/data/pvr-retired-102");
  EXPECT_EQ(after.fingerprint, before.fingerprint);
  EXPECT_EQ(after.guid, before.guid);
  EXPECT_EQ(dataset("tank").bytes("available"), available);
  EXPECT_EQ(*dataset("tank/data/pvr-retired-102").marks.find("retired"), "1");
  EXPECT_FALSE(sim_->volume("z8:vm-102-disk-0").has_value()) << "PVE does not see it any more";
  EXPECT_EQ(zfs_.rename("pve1", kFree, "tank/data/x").error().kind, ErrorKind::kNotFound);
  ASSERT_TRUE(zfs_.create_zvol("pve1", {.name = kFree, .size = 4_GiB, .volblocksize = 16_KiB}).ok());
  const Status taken = zfs_.rename("pve1", "tank/data/pvr-retired-102", kFree);
  ASSERT_FALSE(taken.ok());
  EXPECT_EQ(taken.error().kind, ErrorKind::kConflict);
}

TEST_F(OnSimulator, OnlyTheDatasetThatIsMeantIsDestroyed) {
  const std::string guid(dataset(kFree).text("guid"));
  EXPECT_EQ(zfs_.destroy("pve1", kFree, "1").error().kind, ErrorKind::kConflict);
  EXPECT_EQ(zfs_.destroy("pve1", kFree, "").error().kind, ErrorKind::kConflict);
  EXPECT_EQ(zfs_.destroy("pve1", "tank", guid).error().kind, ErrorKind::kRejected);
  ASSERT_TRUE(zfs_.snapshot("pve1", kFree, "before").ok());
  EXPECT_EQ(zfs_.destroy("pve1", kFree, guid).error().kind, ErrorKind::kRejected) << "it has a snapshot";
  EXPECT_EQ(zvol(kFree).name, kFree);
  ASSERT_TRUE(zfs_.destroy_snapshot("pve1", kFree, "before").ok());
  EXPECT_EQ(zfs_.destroy_snapshot("pve1", kFree, "before").error().kind, ErrorKind::kNotFound);
  const Status done = zfs_.destroy("pve1", kFree, guid);
  ASSERT_TRUE(done.ok()) << done.error().message;
  EXPECT_EQ(zvol(kFree).name, "");
  EXPECT_EQ(zfs_.destroy("pve1", kFree, guid).error().kind, ErrorKind::kNotFound);
}

TEST_F(OnSimulator, AFreshVolumeIsBusyForAMomentAndIsDestroyedAllTheSame) {
  ASSERT_EQ(sim_->run_command("pve1", {"zfs", "create", "-s", "-V", "1G", "tank/z8/fresh"}).exit_code, 0);
  EXPECT_THAT(sim_->run_command("pve1", {"zfs", "destroy", "tank/z8/fresh"}).err, HasSubstr("dataset is busy"));
  const Status done = zfs_.destroy("pve1", "tank/z8/fresh", std::string(dataset("tank/z8/fresh").text("guid")));
  EXPECT_TRUE(done.ok()) << done.error().message;
}

TEST_F(OnSimulator, AnOpenVolumeStaysBusy) {
  sim_->hold_zvol("pve1", kFree, "4711 (dd)");
  const auto held = zfs_.holders("pve1", kFree);
  ASSERT_TRUE(held.ok());
  EXPECT_THAT(*held, ElementsAre("4711 (dd)"));
  const Status done = zfs_.destroy("pve1", kFree, std::string(dataset(kFree).text("guid")));
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().kind, ErrorKind::kLocked);
}

TEST_F(OnSimulator, CopiesAndComparesContents) {
  ASSERT_TRUE(zfs_.create_zvol("pve1", {.name = "tank/z8/pvr-new", .size = 4_GiB, .volblocksize = 16_KiB}).ok());
  const ZvolCopy copy{.source = kFree, .target = "tank/z8/pvr-new"};
  auto sums = zfs_.compare("pve1", copy, {}, {});
  ASSERT_TRUE(sums.ok()) << sums.error().message;
  EXPECT_FALSE(sums->equal());
  CopyProgress last;
  const Status done = zfs_.copy("pve1", copy, [&](const CopyProgress& now) { last = now; }, {});
  ASSERT_TRUE(done.ok()) << done.error().text();
  EXPECT_EQ(last.done, last.total);
  EXPECT_GT(last.total.bytes, 0U);
  EXPECT_EQ(zvol("tank/z8/pvr-new").fingerprint, zvol(kFree).fingerprint);
  sums = zfs_.compare("pve1", copy, {}, {});
  ASSERT_TRUE(sums.ok());
  EXPECT_TRUE(sums->equal());
}

TEST_F(OnSimulator, ACopyThatWasKilledGoesOn) {
  ASSERT_TRUE(zfs_.create_zvol("pve1", {.name = "tank/z8/pvr-new", .size = 4_GiB, .volblocksize = 16_KiB}).ok());
  const ZvolCopy copy{.source = kFree, .target = "tank/z8/pvr-new"};
  sim_->add_fault({.action = pvesim::FaultAction::kHostCut, .path = "perl - copy *"});
  const Status cut = zfs_.copy("pve1", copy, {}, {});
  ASSERT_FALSE(cut.ok());
  EXPECT_EQ(cut.error().effect, Effect::kPossible);
  EXPECT_NE(zvol("tank/z8/pvr-new").fingerprint, zvol(kFree).fingerprint);
  EXPECT_TRUE(zvol("tank/z8/pvr-new").properties.contains("pvereconcile:copied"));
  ASSERT_TRUE(zfs_.copy("pve1", copy, {}, {}).ok());
  EXPECT_EQ(zvol("tank/z8/pvr-new").fingerprint, zvol(kFree).fingerprint);
}

TEST_F(OnSimulator, ChangesSinceASnapshotNeedTheSameBase) {
  ASSERT_TRUE(zfs_.snapshot("pve1", kFree, "one").ok());
  ASSERT_TRUE(zfs_.create_zvol("pve1", {.name = "tank/z8/pvr-new", .size = 4_GiB, .volblocksize = 16_KiB}).ok());
  const ZvolCopy first{.source = std::string(kFree) + "@one", .target = "tank/z8/pvr-new"};
  ASSERT_TRUE(zfs_.copy("pve1", first, {}, {}).ok());
  sim_->start_vm(102);
  sim_->guest_write(102, "scsi0");
  sim_->stop_vm(102);
  ASSERT_TRUE(zfs_.snapshot("pve1", kFree, "two").ok());
  EXPECT_THAT(dataset(kFree).snapshots, ElementsAre("one", "two"));
  const ZvolCopy second{.source = std::string(kFree) + "@two", .since = "one", .target = "tank/z8/pvr-new"};
  ASSERT_TRUE(zfs_.copy("pve1", second, {}, {}).ok());
  const auto sums = zfs_.compare("pve1", {.source = kFree, .target = "tank/z8/pvr-new"}, {}, {});
  ASSERT_TRUE(sums.ok());
  EXPECT_TRUE(sums->equal());
}

TEST_F(OnSimulator, ALostConnectionTellsWhatMayHaveHappened) {
  sim_->add_fault({.action = pvesim::FaultAction::kHostLoseAnswer, .path = "zfs rename *"});
  const Status lost = zfs_.rename("pve1", kFree, "tank/z8/pvr-retired");
  ASSERT_FALSE(lost.ok());
  EXPECT_EQ(lost.error().kind, ErrorKind::kUnreachable);
  EXPECT_EQ(lost.error().effect, Effect::kPossible);
  EXPECT_EQ(zvol("tank/z8/pvr-retired").name, "tank/z8/pvr-retired");
  sim_->node_down("pve1");
  EXPECT_EQ(zfs_.host("pve1").error().kind, ErrorKind::kUnreachable);
}

TEST_F(OnSimulator, HostileNamesNeverTravel) {
  for (const char* bad : {"", "tank/x;reboot", "-r", "tank/../x", "tank//x", "tank/x y", "tank/$(id)", "/tank", "tank/",
                          "tank/x@s", "1tank/x", "tank/-x"}) {
    EXPECT_EQ(zfs_.dataset("pve1", bad).error().kind, ErrorKind::kRejected) << bad;
    EXPECT_EQ(zfs_.rename("pve1", kFree, bad).error().kind, ErrorKind::kRejected) << bad;
    EXPECT_EQ(zfs_.create_dataset("pve1", bad, {}).error().kind, ErrorKind::kRejected) << bad;
    EXPECT_EQ(zfs_.destroy("pve1", bad, "1").error().kind, ErrorKind::kRejected) << bad;
    EXPECT_EQ(zfs_.copy("pve1", {.source = kFree, .target = bad}, {}, {}).error().kind, ErrorKind::kRejected) << bad;
    if (std::string_view(bad).find('@') != std::string_view::npos) continue;  // a snapshot may be a source
    EXPECT_EQ(zfs_.copy("pve1", {.source = bad, .target = kFree}, {}, {}).error().kind, ErrorKind::kRejected) << bad;
  }
  FlatMap<std::string> set;
  set.set("Sync=x", "a");
  EXPECT_EQ(zfs_.set_properties("pve1", kFree, set).error().kind, ErrorKind::kRejected);
}

// ---- texts of other commands

class Recorded final : public CommandRunner {
 public:
  explicit Recorded(CommandOutput answer) : answer_(std::move(answer)) {}
  Result<CommandOutput> run(const Command& command) override {
    if (command.argv.front() == "uname") return CommandOutput{.out = "pve1\n"};
    if (!command.on_line) return answer_;
    std::string_view rest = answer_.out;
    for (auto end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
      command.on_line(rest.substr(0, end));
      rest.remove_prefix(end + 1);
    }
    return CommandOutput{.exit_code = answer_.exit_code, .err = answer_.err};
  }

 private:
  CommandOutput answer_;
};

struct Said {
  int exit_code;
  const char* err;
  ErrorKind kind;
};
class WhatItMeans : public ::testing::TestWithParam<Said> {};

TEST_P(WhatItMeans, IsToldByKindWithTheLastLineAsMessage) {
  const Command command{.node = "pve1", .argv = {"zfs", "x"}, .acts = true};
  const Error error = classify_command(command, {.exit_code = GetParam().exit_code, .err = GetParam().err});
  EXPECT_EQ(error.kind, GetParam().kind) << GetParam().err;
  EXPECT_EQ(error.effect, Effect::kNone);
  EXPECT_FALSE(error.message.empty());
}

INSTANTIATE_TEST_SUITE_P(
    Facts, WhatItMeans,
    ::testing::Values(Said{1, "cannot open 'pool/x': dataset does not exist\n", ErrorKind::kNotFound},
                      Said{1, "cannot create 'pool/x/y': parent does not exist\n", ErrorKind::kRejected},
                      Said{1, "cannot destroy 'pool/x': dataset is busy\n", ErrorKind::kLocked},
                      Said{1, "cannot rename 'pool/a': dataset already exists\n", ErrorKind::kConflict},
                      Said{1, "cannot rename to 'other/a': datasets must be within same pool\n", ErrorKind::kRejected},
                      Said{255, "cannot set property for 'pool/x': 'volblocksize' is readonly\n", ErrorKind::kRejected},
                      Said{254, "cannot set property for 'pool/x': size is greater than available space\n",
                           ErrorKind::kRejected},
                      Said{255, "cannot set property for 'pool/x': permission denied\n", ErrorKind::kForbidden},
                      Said{1, "sudo: a password is required\n", ErrorKind::kForbidden},
                      Said{1, "cannot create 'pool/x': out of space\n", ErrorKind::kRejected},
                      Said{2, "bad property list: invalid property 'x'\nusage:\n\tget ...\n", ErrorKind::kRejected},
                      Said{127, "sh: 1: zfs: not found\n", ErrorKind::kServer}, Said{1, "", ErrorKind::kServer}));

TEST(ClassifyCommand, ACommandThatWasKilledMayHaveActed) {
  const Error error = classify_command({.node = "pve1", .argv = {"zfs"}, .acts = true}, {.exit_code = 137});
  EXPECT_EQ(error.effect, Effect::kPossible);
}

TEST(CopyProgram, WhatItSaysIsReadStrictly) {
  testing::ManualClock clock;
  const auto answer = [&](CommandOutput output) {
    Recorded runner(std::move(output));
    HostZfs zfs(runner, clock, {.copy_program = "#"});
    return zfs.compare("pve1", {.source = "tank/a", .target = "tank/b"}, {}, {});
  };
  const std::string sum(64, 'a');
  const auto good = answer({.out = "total 10\ndone 10\nsource " + sum + "\ntarget " + sum + "\nend\n"});
  ASSERT_TRUE(good.ok()) << good.error().message;
  EXPECT_TRUE(good->equal());
  EXPECT_EQ(answer({.out = "total 10\ndone 10\n"}).error().kind, ErrorKind::kServer);
  EXPECT_EQ(answer({.out = "source " + sum + "\nend\n"}).error().kind, ErrorKind::kMalformed);
  EXPECT_EQ(answer({.out = "total ten\nend\n"}).error().kind, ErrorKind::kMalformed);
  EXPECT_EQ(answer({.out = "source ../../x\ntarget " + sum + "\nend\n"}).error().kind, ErrorKind::kMalformed);
  const auto failed = answer({.exit_code = 5, .out = "total 10\n", .err = "noise\nread error at 4096\n"});
  EXPECT_EQ(failed.error().message, "read error at 4096");
}

TEST(Names, SayWhatIsWrong) {
  EXPECT_EQ(dataset_problem("tank/vm-101-disk-0"), "");
  EXPECT_EQ(dataset_problem("rpool/data/a.b:c_d-e"), "");
  EXPECT_THAT(dataset_problem("tank/a b"), HasSubstr("letters, digits"));
  EXPECT_THAT(dataset_problem(std::string("tank/") + std::string(260, 'x')), HasSubstr("longer"));
  EXPECT_EQ(snapshot_problem("pvereconcile-copy"), "");
  EXPECT_NE(snapshot_problem("a@b"), "");
  EXPECT_EQ(property_problem("pvereconcile:operation", "any text"), "");
  EXPECT_NE(property_problem("a=b", ""), "");
  EXPECT_NE(property_problem("compression", "on\n"), "");
}

}  // namespace
}  // namespace pvr
