// The crash table: every procedure is killed before and after each effect of each step its transition table declares.
// The table says which steps there are; a step that no run here reached fails the test, so a new one cannot be missed.

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <type_traits>

#include "reconciler/execute/backup_vm.h"
#include "reconciler/execute/cluster_config.h"
#include "reconciler/execute/datasets.h"
#include "reconciler/execute/guest_config.h"
#include "reconciler/execute/guest_disks.h"
#include "reconciler/execute/guest_lifecycle.h"
#include "reconciler/execute/guest_power.h"
#include "reconciler/execute/hosts.h"
#include "reconciler/execute/move_disk.h"
#include "reconciler/execute/recreate_zvol.h"
#include "simulator/world/world.h"
#include "tests/scenarios/world.h"

namespace pvr::scenario {
namespace {

template <class... P>
struct Carriers {
  static constexpr std::size_t kCount = sizeof...(P);
  /// (name in plans, steps) of each.
  static std::map<std::string, std::set<std::string>> tables() {
    std::map<std::string, std::set<std::string>> all;
    (
        [&] {
          auto& steps = all[std::string(procedure_name(Procedure(typename P::Params{})))];
          for (const auto& step : P::kSteps) steps.insert(std::string(step.name));
        }(),
        ...);
    return all;
  }
};
using AllCarriers =
    Carriers<CreateStorageProcedure, UpdateStorageProcedure, DeleteStorageProcedure, CreatePoolProcedure,
             AddToPoolProcedure, SetHaProcedure, RemoveHaProcedure, SetReplicationProcedure, CreateVmProcedure,
             CloneVmProcedure, DestroyVmProcedure, SetVmOptionsProcedure, SetDriveOptionsProcedure, AddDiskProcedure,
             AttachVolumeProcedure, DetachDiskProcedure, DestroyVolumeProcedure, ResizeDiskProcedure, MoveDiskProcedure,
             RestartVmProcedure, StartVmProcedure, StopVmProcedure, CreateDatasetProcedure, SetZvolPropertiesProcedure,
             RetireVolumeProcedure, DestroyDatasetProcedure, SwapZvolProcedure, RecreateZvolProcedure,
             RollBackZvolProcedure, BackUpVmProcedure, SetArcLimitsProcedure, SetPoolPropertiesProcedure,
             SetTrimTimerProcedure>;
static_assert(AllCarriers::kCount == std::variant_size_v<Procedure>, "every procedure of a plan has its table here");

constexpr DriveSlot kScsi0{Bus::kScsi, 0};
constexpr DriveSlot kScsi1{Bus::kScsi, 1};
constexpr DriveSlot kScsi2{Bus::kScsi, 2};
constexpr Vmid kRuns{120};
constexpr Vmid kStopped{121};
constexpr const char* kDataset = "tank/vbs16k/vm-121-disk-0";

std::string guid_of(World& world, const std::string& dataset) {
  const auto found = world.zfs().dataset("pve1", dataset);
  return found && found->has_value() ? std::string((*found)->text("guid")) : std::string();
}

std::string hidden_zvol(World& world) {
  for (const pvesim::ZvolInfo& one : world.sim().zvols())
    if (one.name.find("/pvereconcile-") != std::string::npos) return one.name;
  return {};
}

Procedure recreate(World& world) {
  return RecreateZvol{.vmid = kStopped,
                      .slot = kScsi0,
                      .volume = volume("z16:vm-121-disk-0"),
                      .node = "pve1",
                      .dataset = kDataset,
                      .guid = guid_of(world, kDataset),
                      .volblocksize = 64_KiB};
}

/// One way into a procedure: what was done before, and the operation.
struct Row {
  std::function<std::vector<Procedure>(World&)> before = {};  // undisturbed, each by a run of its own
  std::function<Procedure(World&)> make;
};

Row row(Procedure wanted, std::vector<Procedure> before = {}) {
  return {[before = std::move(before)](World&) { return before; },
          [wanted = std::move(wanted)](World&) { return wanted; }};
}

std::vector<Row> rows() {
  const VolumeId first = volume("z16:vm-121-disk-0");
  const VolumeId second = volume("z16:vm-120-disk-1");
  const CreateStorage z128{
      .id = "z128", .type = "zfspool", .properties = map({{"pool", "tank/vbs128k"}, {"content", "images"}})};
  const CreateVm fresh{.node = "pve1",
                       .vmid = Vmid{200},
                       .options = map({{"name", "fresh"}, {"memory", "1024"}}),
                       .disks = map({{"scsi0", "z16:4"}}),
                       .uuid = "11111111-2222-3333-4444-000000000200"};
  const SetHa managed{.sid = "vm:121", .create = true, .set = map({{"state", "stopped"}})};
  const SetReplication replicated{.id = "121-0", .create = true, .target = "pve2", .set = map({{"schedule", "*/30"}})};
  const MoveDisk move{.vmid = kStopped, .slot = kScsi0, .volume = first, .storage = "z64"};
  const DetachDisk detach{.vmid = kRuns, .slot = kScsi1, .volume = second};
  const CreateDataset dataset{.node = "pve1", .name = "tank/extra", .properties = map({{"mountpoint", "none"}})};
  return {
      row(z128),
      row(UpdateStorage{.id = "z64", .set = map({{"blocksize", "128k"}})}),
      row(DeleteStorage{.id = "z128"}, {z128}),
      row(CreatePool{.id = "prod", .comment = "production"}),
      row(AddToPool{.id = "prod", .vmid = kRuns}, {CreatePool{.id = "prod", .comment = "production"}}),
      row(managed),
      row(SetHa{.sid = "vm:122", .set = map({{"max_restart", "2"}})}),
      row(RemoveHa{.sid = "vm:121"}, {managed}),
      row(replicated),
      row(SetReplication{.id = "121-0", .set = map({{"schedule", "*/15"}})}, {replicated}),
      row(fresh),
      row(CloneVm{.source_node = "pve1",
                  .source = Vmid{900},
                  .vmid = Vmid{201},
                  .name = "dns",
                  .full = true,
                  .storage = "z64"}),
      row(DestroyVm{.vmid = Vmid{200}, .uuid = fresh.uuid}, {fresh}),
      row(SetVmOptions{.vmid = kRuns, .set = map({{"description", "app"}, {"cores", "4"}})}),
      row(SetDriveOptions{.vmid = kStopped, .slot = kScsi0, .volume = first, .set = map({{"ssd", "1"}})}),
      row(AddDisk{.vmid = kRuns, .slot = kScsi2, .storage = "z64", .size = 1_GiB}),
      row(AttachVolume{.vmid = kRuns, .slot = kScsi1, .volume = second}, {detach}),
      row(AttachVolume{.vmid = kStopped, .slot = kScsi2, .from = kScsi0, .volume = first}),
      row(detach),
      row(DestroyVolume{.vmid = kRuns, .volume = second}, {detach}),
      row(ResizeDisk{.vmid = kRuns, .slot = kScsi1, .volume = second, .size = 6_GiB}),
      row(move),
      row(MoveDisk{.vmid = kRuns, .slot = kScsi0, .volume = volume("z16:vm-120-disk-0"), .storage = "z64"}),
      row(RestartVm{.vmid = kRuns}),
      row(RestartVm{.vmid = Vmid{122}, .ha = true}),
      row(StartVm{.vmid = kStopped}),
      row(StopVm{.vmid = kRuns}),
      row(StopVm{.vmid = Vmid{122}, .ha = true}),
      row(dataset),
      row(SetZvolProperties{
          .vmid = kStopped, .slot = kScsi0, .volume = first, .node = "pve1", .set = map({{"compression", "zstd"}})}),
      {[move](World&) { return std::vector<Procedure>{move}; },
       [first](World& world) {
         return RetireVolume{.vmid = kStopped,
                             .slot = kScsi0,
                             .volume = first,
                             .node = "pve1",
                             .dataset = kDataset,
                             .guid = guid_of(world, kDataset)};
       }},
      {[dataset](World&) { return std::vector<Procedure>{dataset}; },
       [](World& world) {
         return DestroyDataset{.node = "pve1", .dataset = "tank/extra", .guid = guid_of(world, "tank/extra")};
       }},
      {[](World& world) { return std::vector<Procedure>{recreate(world)}; },
       [](World& world) {
         const std::string retired = hidden_zvol(world);
         return DestroyDataset{.node = "pve1", .dataset = retired, .guid = guid_of(world, retired)};
       }},
      {[move](World&) { return std::vector<Procedure>{move}; }, [](World&) { return swap_of(121); }},
      {{}, recreate},
      {[](World& world) { return std::vector<Procedure>{recreate(world)}; },
       [first](World& world) {
         return RollBackZvol{.vmid = kStopped,
                             .slot = kScsi0,
                             .volume = first,
                             .node = "pve1",
                             .dataset = kDataset,
                             .guid = guid_of(world, hidden_zvol(world))};
       }},
      row(BackUpVm{.vmid = kStopped, .storage = "local"}),
      row(SetArcLimits{.node = "pve1",
                       .max = 1_GiB,
                       .min = 256_MiB,
                       .options = map({{"zfs_arc_max", "1073741824"}, {"zfs_arc_min", "268435456"}})}),
      row(SetPoolProperties{.node = "pve1", .pool = "tank", .set = map({{"autotrim", "on"}})}),
      row(SetTrimTimer{.node = "pve1", .pool = "tank", .timer = "monthly"}),
      row(SetTrimTimer{.node = "pve1", .pool = "tank", .timer = "weekly"},
          {SetTrimTimer{.node = "pve1", .pool = "tank", .timer = "monthly"}}),
  };
}

/// The cluster as people see it: no generated ids, no time stamps.
std::string summary(World& world) {
  std::string text = world.sim().storage_cfg();
  for (const int vmid : world.sim().vmids()) {
    text += fmt::format("\n{} {}", vmid, world.sim().vm_running(vmid) ? "runs" : "stopped");
    for (const auto& [key, value] : world.sim().vm_config(vmid))
      if (key != "meta" && key != "smbios1" && key != "vmgenid") text += fmt::format("\n  {}: {}", key, value);
  }
  for (const pvesim::VolumeInfo& info : world.sim().volumes())
    if (info.owner != 0 && info.node != "pve2")
      text += fmt::format("\n{} {} {}", info.volid, info.size, info.volblocksize);
  int hidden = 0;
  for (const pvesim::ZvolInfo& zvol : world.sim().zvols())
    hidden += zvol.name.find("/pvereconcile-") != std::string::npos ? 1 : 0;
  world.sim().inspect([&text](pvesim::World& cluster) {
    for (const auto& [name, node] : cluster.nodes) {
      text += fmt::format("\n{} arc {} {}", name, node.host.arc_max, node.host.arc_min);
      for (const std::string& timer : node.host.timers) text += " " + timer;
      for (const auto& [pool, what] : node.pools) text += fmt::format(" {} autotrim {}", pool, what.autotrim);
      for (const auto& [path, file] : node.host.modprobe)
        if (path.ends_with(".conf")) text += "\n" + path + "\n" + file;
    }
  });
  return text + fmt::format("\n{} retired", hidden);
}

/// Every content a guest uses, wherever it lies.
std::set<std::uint64_t> kept(World& world) {
  std::set<std::uint64_t> all;
  for (const auto& [content, volumes] : world.referenced_contents()) all.insert(content);
  for (const pvesim::ZvolInfo& zvol : world.sim().zvols())
    if (zvol.name.find("/pvereconcile-") != std::string::npos) all.insert(zvol.fingerprint);
  all.erase(0);
  return all;
}

class CrashTable : public ::testing::Test {
 protected:
  struct Stage {
    std::unique_ptr<World> world;
    Plan plan;
  };
  Stage set(const Row& from) {
    Stage stage{std::make_unique<World>(kLab), {}};
    World& world = *stage.world;
    if (from.before)
      for (const Procedure& one : from.before(world)) {
        const auto report = world.run_with_host(World::plan_of({one}));
        EXPECT_TRUE(report.all_done()) << procedure_name(one) << text_of(report);
      }
    world.sim().advance(std::chrono::hours(1));
    stage.plan = World::plan_of({from.make(world)});
    static_cast<void>(world.events().take());
    return stage;
  }
  void note_steps(Stage& stage) {
    const std::string name(procedure_name(stage.plan.operations.front().procedure));
    for (const Event& event : stage.world->events().take())
      if (const auto* step = std::get_if<StepStarted>(&event)) reached_[name].insert(step->step);
  }
  static bool destroys(const Procedure& procedure) {
    return std::holds_alternative<DestroyVolume>(procedure) || std::holds_alternative<DestroyVm>(procedure) ||
           std::holds_alternative<DestroyDataset>(procedure);
  }

  /// What makes something of its own and cannot tell it from somebody else's.
  static bool makes(const Procedure& procedure) {
    return std::holds_alternative<AddDisk>(procedure) || std::holds_alternative<CloneVm>(procedure);
  }
  /// Volumes nothing names; replicas on the other node are named by nothing there.
  static std::set<std::string> orphans(World& world) {
    std::set<std::string> found;
    for (const pvesim::VolumeInfo& info : world.sim().volumes())
      if (info.owner != 0 && info.referenced_by.empty() && info.node != "pve2") found.insert(info.volid);
    return found;
  }

  std::map<std::string, std::set<std::string>> reached_;
};

/// Steps that need more than a kill: an own task that is still under way after the lease was broken (the simulated one
/// has ended by then), a source that changed since.
const std::set<std::string> kNeedMore = {"clone-vm/await-clone", "create-vm/await-create",
                                         "recreate-zvol/discard-old-copy"};

TEST_F(CrashTable, KilledAtEveryEffectOfEveryStepTheNextRunEndsWhereAnUndisturbedOneDoes) {
  int kills = 0;
  for (const Row& one : rows()) {
    Stage calm = set(one);
    const Procedure& procedure = calm.plan.operations.front().procedure;
    const std::string name(procedure_name(procedure));
    SCOPED_TRACE(name);
    const auto count = std::make_shared<Fate>();
    const auto undisturbed = calm.world->run_with_host(calm.plan, count);
    ASSERT_TRUE(undisturbed.all_done()) << text_of(undisturbed);
    ASSERT_GT(count->effects(), 0);
    note_steps(calm);
    const std::string expected = summary(*calm.world);
    for (int nth = 1; nth <= count->effects(); ++nth) {
      for (const bool after : {false, true}) {
        // At once: its work may still be under way. Later: it has ended.
        for (const bool later : {false, true}) {
          SCOPED_TRACE(fmt::format("killed {} effect {}, the next run {}", after ? "after" : "before", nth,
                                   later ? "later" : "at once"));
          Stage stage = set(one);
          World& world = *stage.world;
          const auto before = kept(world);
          const auto keeps = [&](World& now) {
            if (!destroys(procedure)) {
              EXPECT_THAT(kept(now), ::testing::IsSupersetOf(before));
            }
          };
          ASSERT_FALSE(world.run_with_host(stage.plan, std::make_shared<Fate>(nth, after)).all_done());
          ++kills;
          keeps(world);
          if (later) world.let_time_pass();
          keeps(world);
          auto options = world.options();
          options.lease.break_existing = true;
          const auto pve = world.client();
          const auto next =
              apply(stage.plan, {.pve = *pve, .clock = world.clock(), .events = world.events(), .zfs = &world.zfs()},
                    options, {});
          // What is there already is no work for these: the next plan does not hold them.
          const bool there = makes(procedure) && next.operations.front().outcome == Outcome::kConflict;
          EXPECT_TRUE(next.all_done() || there) << text_of(next);
          note_steps(stage);
          world.sim().settle();
          EXPECT_EQ(summary(world), expected);
          EXPECT_EQ(orphans(world), orphans(*calm.world));
          keeps(world);
        }
      }
    }
  }
  EXPECT_GT(kills, 200);
  for (const auto& [name, steps] : AllCarriers::tables())
    for (const std::string& step : steps)
      EXPECT_NE(reached_[name].contains(step), kNeedMore.contains(name + "/" + step))
          << "no run came through the step \"" << step << "\" of " << name;
}

}  // namespace
}  // namespace pvr::scenario
