// From a fleet file to another block size: plans, runs, kills and what is left, with host access to simulated nodes.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "reconciler/model/retired.h"
#include "simulator/world/world.h"
#include "tests/scenarios/fleet.h"

namespace pvr::scenario {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kStorages = R"(
version: 1
cluster: {limits: {retention: 7d}}
storages:
  z16: {type: zfspool, pool: tank/vbs16k, blocksize: 16k, sparse: true, content: [images, rootdir], media: ssd}
  z64: {type: zfspool, pool: tank/vbs64k, blocksize: 64k, sparse: true, content: [images, rootdir], media: ssd}
)";
// app runs, db is stopped; both disks stay on z16, where new zvols get 16k.
const std::string kWanted = std::string(kStorages) + R"(
vms:
  app: {vmid: 120, node: pve1, disks: {data: {slot: scsi1, size: 4GiB, storage: z16, volblocksize: 64k}}}
  db:  {vmid: 121, node: pve1, disks: {root: {slot: scsi0, size: 8GiB, storage: z16, volblocksize: 64k}}}
)";

struct Way {
  const char* name = "";
  Allowance allow = {};
  const char* procedures = "";   // of the running guest's disk
  bool stopped_too = true;       // whether it is a way for the guest that is stopped
  bool storage_changed = false;  // new zvols on z16 get 64k, only the disks are older

  [[nodiscard]] std::shared_ptr<const FleetDocument> document() const {
    std::string text = kWanted;
    if (storage_changed) text.replace(text.find("blocksize: 16k"), 14, "blocksize: 64k");
    return fleet(text);
  }
  /// What an administrator did before.
  void prepare(World& world) const {
    if (!storage_changed) return;
    EXPECT_EQ(world.sim().admin_call("PUT", "/storage/z16", {{"blocksize", "64k"}}).status, 200);
  }
};
void PrintTo(const Way& way, std::ostream* out) { *out << way.name; }

const Way kInPlace = {"InPlace", {.restart = true, .offline_copy = true}, "recreate-zvol"};
// Without --allow offline-copy nothing is copied of a stopped guest.
const Way kSwap = {"Swap", {.restart = true}, "move-disk retire-volume swap-zvol", false};
// The running guest's disk goes without downtime; the stopped one's is copied once, in place.
const Way kOutAndBack = {
    "OutAndBack", {.restart = true, .offline_copy = true}, "move-disk retire-volume move-disk", true, true};

std::string steps_of(const Plan& plan, const std::string& part) {
  std::string text;
  for (const Operation& operation : plan.operations) {
    if (operation.address.name != "app" || operation.address.part != part) continue;
    if (!std::holds_alternative<SetDriveOptions>(operation.procedure))
      text += (text.empty() ? "" : " ") + std::string(procedure_name(operation.procedure));
  }
  return text;
}

std::string volid(World& world, int vmid, const std::string& slot) {
  const std::string drive = value_of(world.sim(), vmid, slot);
  return drive.substr(0, drive.find(','));
}

class Surgery : public ::testing::TestWithParam<Way> {};

TEST_P(Surgery, AppliesAndLeavesNothingToDo) {
  World world(kLab);
  GetParam().prepare(world);
  const auto document = GetParam().document();
  const auto contents = world.referenced_contents();
  const PlanResult first = plan_fleet(world, document, &world.zfs(), GetParam().allow);
  EXPECT_EQ(steps_of(first.plan, "data"), GetParam().procedures) << text_of(first.plan);
  const ApplyReport report = world.run_with_host(first.plan);
  ASSERT_TRUE(report.all_done()) << text_of(first.plan) << text_of(report);
  EXPECT_EQ(world.sim().volume(volid(world, 120, "scsi1"))->volblocksize, 64 << 10);
  EXPECT_THAT(volid(world, 120, "scsi1"), HasSubstr("z16:"));
  EXPECT_TRUE(world.sim().vm_running(120));
  for (const auto& [fingerprint, volumes] : contents)
    EXPECT_TRUE(world.referenced_contents().contains(fingerprint)) << volumes.front();
  // What is kept is the volume from before, wherever the disk went by.
  for (const std::string& left : world.sim().leftovers()) {
    const std::string key = left.substr(left.find(':') + 1);
    EXPECT_THAT(value_of(world.sim(), 120, key), HasSubstr("z16:vm-120-disk-1")) << left;
  }
  const PlanResult second = plan_fleet(world, document, &world.zfs(), GetParam().allow);
  EXPECT_TRUE(second.plan.empty()) << text_of(second.plan);
}

TEST_P(Surgery, KilledAtAnyEffectTheNextRunConverges) {
  const auto document = GetParam().document();
  World calm(kLab);
  GetParam().prepare(calm);
  const auto count = std::make_shared<Fate>();
  ASSERT_TRUE(calm.run_with_host(plan_fleet(calm, document, &calm.zfs(), GetParam().allow).plan, count).all_done());
  ASSERT_GT(count->effects(), 8);
  for (const bool after : {false, true}) {
    for (int nth = 1; nth <= count->effects(); ++nth) {
      const std::string when = std::string("killed ") + (after ? "after" : "before") + " effect " + std::to_string(nth);
      World world(kLab);
      GetParam().prepare(world);
      const std::uint64_t app = world.sim().volume("z16:vm-120-disk-1")->fingerprint;
      const std::uint64_t db = world.sim().volume("z16:vm-121-disk-0")->fingerprint;
      const auto intact = [&](const std::string& moment) {
        for (const std::uint64_t content : {app, db})
          EXPECT_TRUE(std::ranges::any_of(world.sim().zvols(),
                                          [&](const pvesim::ZvolInfo& z) { return z.fingerprint == content; }))
              << when << ", " << moment;
      };
      const auto killed = world.run_with_host(plan_fleet(world, document, &world.zfs(), GetParam().allow).plan,
                                              std::make_shared<Fate>(nth, after));
      EXPECT_FALSE(killed.all_done()) << when;
      intact("at once");
      world.let_time_pass();
      intact("later");
      for (int attempt = 0; attempt < 3; ++attempt) {
        const PlanResult next = plan_fleet(world, document, &world.zfs(), GetParam().allow);
        if (next.plan.empty()) break;
        const ApplyReport report = world.run_with_host(next.plan);
        EXPECT_TRUE(report.all_done()) << when << text_of(next.plan) << text_of(report);
        if (!report.all_done()) break;
      }
      const PlanResult last = plan_fleet(world, document, &world.zfs(), GetParam().allow);
      EXPECT_TRUE(last.plan.empty()) << when << text_of(last.plan);
      EXPECT_TRUE(world.sim().vm_running(120)) << when;
      EXPECT_FALSE(world.sim().vm_running(121)) << when;
      for (const auto& [vmid, slot, content] : {std::tuple(120, "scsi1", app), std::tuple(121, "scsi0", db)}) {
        const auto now = world.sim().volume(volid(world, vmid, slot));
        ASSERT_TRUE(now) << when;
        EXPECT_EQ(now->fingerprint, content) << when;
        const bool changes = vmid == 120 || GetParam().stopped_too;
        EXPECT_EQ(now->volblocksize, changes ? 64 << 10 : 16 << 10) << when;
      }
      EXPECT_THAT(world.sim().unreferenced_disks(), IsEmpty()) << when;
      EXPECT_TRUE(std::ranges::none_of(world.sim().zvols(), [](const pvesim::ZvolInfo& z) {
        return z.name.find("pvereconcile-new-") != std::string::npos;
      })) << when;
      EXPECT_EQ(world.sim().start_vm(121), "OK") << when;
      for (const auto& [key, unused] : world.sim().vm_config(120)) {
        if (!key.starts_with("unused") || unused == "z16:vm-120-disk-1") continue;
        // Brought back by an ordinary move after the kill: that keeps what it leaves, and gc knows it.
        const auto zvol = world.zfs().dataset("pve1", "tank/vbs64k/" + unused.substr(unused.find(':') + 1));
        ASSERT_TRUE(zvol && zvol->has_value()) << when << ": " << unused;
        EXPECT_TRUE(retired_from(**zvol)) << when << ": " << unused;
      }
      if (HasFailure()) return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EachWay, Surgery, ::testing::Values(kInPlace, kSwap, kOutAndBack),
                         [](const auto& which) { return std::string(which.param.name); });

// A guest that was stopped for a copy that fails is started again, and may write again.
TEST(SurgeryFails, TheGuestIsStartedAgain) {
  World world(kLab);
  const auto document = fleet(kWanted);
  const PlanResult planned = plan_fleet(world, document, &world.zfs(), kInPlace.allow);
  const ApplyReport report = world.run_with_host(planned.plan, std::make_shared<Fate>(), [&](const Command& command) {
    if (runs(command, "compare")) spoil_copies(world);
  });
  EXPECT_FALSE(report.all_done());
  EXPECT_TRUE(world.sim().vm_running(120)) << text_of(report);
  const auto zvol = world.zfs().dataset("pve1", "tank/vbs16k/vm-120-disk-1");
  EXPECT_EQ((*zvol)->text("readonly"), "off");
}

TEST(ClassDataset, IsMadeOnDemandWithItsStorage) {
  World world(kLab);
  const auto document = fleet(R"(
version: 1
storages:
  z16: {type: zfspool, pool: tank/vbs16k, blocksize: 16k, sparse: true, content: [images, rootdir], media: ssd, nodes: [pve1],
        classes: {models: {blocksize: 128k}}}
lanes: {pinned: {pve1: z16}}
vms:
  db: {vmid: 121, node: pve1, lane: pinned, disks: {root: {slot: scsi0, size: 8GiB, volblocksize: 128k}}}
)");
  const Allowance allow{.restart = true, .offline_copy = true};
  const PlanResult planned = plan_fleet(world, document, &world.zfs(), allow);
  const ApplyReport report = world.run_with_host(planned.plan);
  ASSERT_TRUE(report.all_done()) << text_of(planned.plan) << text_of(report);
  const auto dataset = world.zfs().dataset("pve1", "tank/vbs16k/models");
  const bool there = dataset && dataset->has_value();
  const bool stays = volid(world, 121, "scsi0").starts_with("z16:");
  EXPECT_TRUE(there || stays) << text_of(planned.plan);
  EXPECT_EQ(world.sim().volume(volid(world, 121, "scsi0"))->volblocksize, 128 << 10);
  const PlanResult second = plan_fleet(world, document, &world.zfs(), allow);
  EXPECT_TRUE(second.plan.empty()) << text_of(second.plan);
}

Result<PlanResult> gc(World& world, const std::shared_ptr<const FleetDocument>& document, bool allowed) {
  const auto pve = world.client();
  EngineOptions options;
  options.plan.allow.destroy = allowed;
  options.zfs = &world.zfs();
  return plan_gc(*pve, world.clock(), document, options);
}

TEST_P(Surgery, RetiredVolumesGoAfterTheirRetentionAndNotBefore) {
  World world(kLab);
  GetParam().prepare(world);
  const auto document = GetParam().document();
  ASSERT_TRUE(world.run_with_host(plan_fleet(world, document, &world.zfs(), GetParam().allow).plan).all_done());
  const std::size_t zvols = world.sim().zvols().size();
  world.sim().advance(std::chrono::hours(6 * 24));
  const auto early = gc(world, document, true);
  ASSERT_TRUE(early);
  EXPECT_TRUE(early->plan.empty()) << text_of(early->plan);
  world.sim().advance(std::chrono::hours(2 * 24));
  const auto asked = gc(world, document, false);
  EXPECT_TRUE(asked->plan.empty());
  const std::size_t disks = GetParam().stopped_too ? 2 : 1;
  ASSERT_EQ(asked->plan.blocked.size(), disks) << text_of(asked->plan);
  EXPECT_EQ(asked->plan.blocked[0].remedy, "--allow destroy");
  const auto due = gc(world, document, true);
  ASSERT_EQ(due->plan.operations.size(), disks) << text_of(due->plan);
  const std::uint64_t app = world.sim().volume(volid(world, 120, "scsi1"))->fingerprint;
  const ApplyReport report = world.run_with_host(due->plan);
  ASSERT_TRUE(report.all_done()) << text_of(report);
  EXPECT_EQ(world.sim().zvols().size(), zvols - disks);
  EXPECT_EQ(world.sim().volume(volid(world, 120, "scsi1"))->fingerprint, app);
  EXPECT_THAT(world.sim().leftovers(), IsEmpty());
  EXPECT_TRUE(gc(world, document, true)->plan.empty());
}

// The plan was made while the list of guests still said "stopped".
TEST(Rollback, NeverExchangesADiskBelowARunningGuest) {
  World world(kLab);
  const auto document = fleet(kWanted);
  ASSERT_TRUE(world.run_with_host(plan_fleet(world, document, &world.zfs(), kSwap.allow).plan).all_done());
  ASSERT_TRUE(world.sim().vm_running(120));
  const std::string drive = value_of(world.sim(), 120, "scsi1");
  const auto report =
      world.run_with_host(World::plan_of({AttachVolume{.vmid = Vmid{120},
                                                       .slot = {Bus::kScsi, 1},
                                                       .volume = volume("z16:vm-120-disk-1"),
                                                       .replaces = volume(volid(world, 120, "scsi1"))}}));
  ASSERT_EQ(report.operations.size(), 1U);
  EXPECT_EQ(report.operations[0].outcome, Outcome::kConflict) << text_of(report);
  EXPECT_EQ(value_of(world.sim(), 120, "scsi1"), drive);
}

TEST(Gc, AClassGoesWithItsDatasetWhenNothingIsThereAnyMore) {
  World world(kLab);
  const std::string with_class = R"(
version: 1
storages:
  z16: {type: zfspool, pool: tank/vbs16k, blocksize: 16k, sparse: true, content: [images, rootdir], media: ssd, nodes: [pve1],
        classes: {models: {blocksize: 128k}}}
lanes: {pinned: {pve1: z16}}
vms:
  db: {vmid: 121, node: pve1, lane: pinned, disks: {root: {slot: scsi0, size: 8GiB})";
  const auto wanted = fleet(with_class + ", models: {slot: scsi1, size: 1GiB, volblocksize: 128k}}}\n");
  const auto unused = fleet(with_class + "}}\n");
  const PlanResult planned = plan_fleet(world, wanted, &world.zfs());
  ASSERT_TRUE(world.run_with_host(planned.plan).all_done()) << text_of(planned.plan);
  const std::string volume = volid(world, 121, "scsi1");
  ASSERT_THAT(volume, ::testing::StartsWith("z16-models:")) << text_of(planned.plan);
  const auto there = [&] {
    const auto dataset = world.zfs().dataset("pve1", "tank/vbs16k/models");
    const bool entry = world.sim().storage_cfg().find("z16-models") != std::string::npos;
    EXPECT_EQ(dataset && dataset->has_value(), entry);
    return entry;
  };
  // Wanted by a disk; not wanted, but a guest has a volume on it; and not even that, but the volume is there.
  EXPECT_TRUE(gc(world, wanted, true)->plan.empty());
  EXPECT_TRUE(gc(world, unused, true)->plan.empty());
  const std::string drive = value_of(world.sim(), 121, "scsi1");
  world.sim().inspect([](pvesim::World& inside) { inside.vms.at(121).config.values.erase("scsi1"); });
  EXPECT_TRUE(gc(world, unused, true)->plan.empty());
  // A slot that names a volume of the class, which is gone: the entry is what tells where it was.
  world.sim().inspect([&](pvesim::World& inside) {
    inside.vms.at(121).config.values["scsi1"] = drive;
    for (auto& [key, backing] : inside.backings)
      if (key.find("models") != std::string::npos) backing.volumes.clear();
  });
  EXPECT_TRUE(gc(world, unused, true)->plan.empty());
  EXPECT_TRUE(there());

  world.sim().inspect([](pvesim::World& inside) { inside.vms.at(121).config.values.erase("scsi1"); });
  const auto asked = gc(world, unused, false);
  EXPECT_TRUE(asked->plan.empty());
  ASSERT_EQ(asked->plan.blocked.size(), 1U) << text_of(asked->plan);
  EXPECT_EQ(asked->plan.blocked[0].remedy, "--allow destroy");
  const auto due = gc(world, unused, true);
  const ApplyReport report = world.run_with_host(due->plan);
  EXPECT_TRUE(report.all_done()) << text_of(due->plan) << text_of(report);
  EXPECT_FALSE(there());
  EXPECT_TRUE(gc(world, unused, true)->plan.empty());
}

TEST(Gc, TheLastCopyStays) {
  World world(kLab);
  const auto document = fleet(kWanted);
  ASSERT_TRUE(world.run_with_host(plan_fleet(world, document, &world.zfs(), kInPlace.allow).plan).all_done());
  world.sim().advance(std::chrono::hours(10 * 24));
  // Somebody destroys the live one.
  world.sim().inspect([](pvesim::World& cluster) {
    for (auto& [key, backing] : cluster.backings) backing.volumes.erase("vm-121-disk-0");
  });
  const auto due = gc(world, document, true);
  EXPECT_EQ(due->plan.operations.size(), 1U) << text_of(due->plan);
  ASSERT_EQ(due->plan.blocked.size(), 1U);
  EXPECT_THAT(due->plan.blocked[0].why, HasSubstr("last copy"));
}

TEST(Gc, TheLastCopyStaysWhenWhatTookItsPlaceVanished) {
  World world(kLab);
  kOutAndBack.prepare(world);
  const auto document = kOutAndBack.document();
  ASSERT_TRUE(world.run_with_host(plan_fleet(world, document, &world.zfs(), kOutAndBack.allow).plan).all_done());
  world.sim().advance(std::chrono::hours(10 * 24));
  const auto goes = [](const Plan& plan) {
    return std::ranges::any_of(plan.operations, [](const Operation& operation) {
      const auto* destroyed = std::get_if<DestroyVolume>(&operation.procedure);
      return destroyed != nullptr && destroyed->vmid == Vmid{120};
    });
  };
  EXPECT_TRUE(goes(gc(world, document, true)->plan));
  const std::string live = volid(world, 120, "scsi1");
  world.sim().inspect([name = live.substr(live.find(':') + 1)](pvesim::World& cluster) {
    for (auto& [key, backing] : cluster.backings) backing.volumes.erase(name);
  });
  const auto due = gc(world, document, true);
  EXPECT_FALSE(goes(due->plan)) << text_of(due->plan);
  EXPECT_TRUE(std::ranges::any_of(due->plan.blocked, [&](const BlockedItem& item) {
    return item.why.find(live) != std::string::npos && item.why.find("last copy") != std::string::npos;
  })) << text_of(due->plan);
}

TEST_P(Surgery, RollbackPutsTheOldVolumeBack) {
  World world(kLab);
  GetParam().prepare(world);
  const auto document = GetParam().document();
  const std::uint64_t before = world.sim().volume("z16:vm-120-disk-1")->fingerprint;
  ASSERT_TRUE(world.run_with_host(plan_fleet(world, document, &world.zfs(), GetParam().allow).plan).all_done());
  // Fact: the list of guests tells of a start only with the next round of the nodes' status.
  world.sim().advance(std::chrono::minutes(1));
  world.sim().guest_write(120, "scsi1");
  const std::uint64_t written = world.sim().volume(volid(world, 120, "scsi1"))->fingerprint;
  ASSERT_NE(written, before);
  const auto pve = world.client();
  EngineOptions options;
  options.zfs = &world.zfs();
  const auto refused = plan_rollback(*pve, world.clock(), document, options, "vm/app/data");
  ASSERT_TRUE(refused);
  ASSERT_EQ(refused->plan.blocked.size(), 1U) << text_of(refused->plan);
  EXPECT_EQ(refused->plan.blocked[0].remedy, "--allow restart");
  options.plan.allow.restart = true;
  const auto planned = plan_rollback(*pve, world.clock(), document, options, "vm/app/data");
  ASSERT_TRUE(planned);
  const ApplyReport report = world.run_with_host(planned->plan);
  ASSERT_TRUE(report.all_done()) << text_of(planned->plan) << text_of(report);
  const auto now = world.sim().volume(volid(world, 120, "scsi1"));
  ASSERT_TRUE(now);
  EXPECT_EQ(now->fingerprint, before);
  EXPECT_EQ(now->volblocksize, 16 << 10);
  EXPECT_TRUE(world.sim().vm_running(120));
  // What was written since is kept, retired.
  const auto all = world.sim().zvols();
  const auto at = std::ranges::find(all, written, &pvesim::ZvolInfo::fingerprint);
  ASSERT_NE(at, all.end());
  const auto retired = world.zfs().dataset("pve1", at->name);
  ASSERT_TRUE(retired && retired->has_value());
  EXPECT_TRUE(retired_from(**retired)) << at->name;
  world.sim().guest_write(120, "scsi1");
}

}  // namespace
}  // namespace pvr::scenario
