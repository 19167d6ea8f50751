// Every way to another block size word by word: what it costs, why it won or lost, what would open it; and what each
// does.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <span>

#include "reconciler/model/retired.h"
#include "tests/unit/planning/strategy_world.h"

namespace pvr::testing {
namespace {

using ::testing::HasSubstr;

struct Case {
  const char* what;
  std::function<void(LiveState&, ResolvedVm&, PlanOptions&)> change;
  const char* ways;
};

// "swap*: why => remedy | needs; bytes, peak, seconds, downtime": '*' was chosen, '+' is possible.
std::string ways(const Plan& plan) {
  std::string out = names(plan) + "\n";
  for (const StrategyChoice& choice : plan.choices)
    for (const StrategyOffer& one : choice.offers) {
      out += fmt::format("{}{}: {}", to_text(one.strategy), one.chosen ? "*" : one.possible ? "+" : "", one.why);
      if (!one.remedy.empty()) out += " => " + one.remedy;
      if (one.possible)
        out += fmt::format(" | {}; {}, peak {}, {} s, down {} s", one.needs, to_human(one.bytes),
                           to_human(one.peak_extra), one.estimate.count(), one.downtime.count());
      out += "\n";
    }
  return out;
}

LiveStorage& storage_of(LiveState& state, std::string_view id) {
  return *std::ranges::find(state.storages, id, &LiveStorage::id);
}
void full(LiveState& state, std::string_view id) {
  for (auto& [node, on] : storage_of(state, id).on_node) on.available = 10_GiB;
}
void pending_ssd(LiveState& state) {
  LiveDrive& drive = state.vms[0].drives[0];
  drive.pending = *drive.current;
  drive.pending->options.set("ssd", option(Home::kDriveOption, "ssd", "1"));
}
// The guest holds one more disk whose volume is gone from the storage.
void lose_a_volume(LiveState& state, std::string_view storage) {
  for (auto& [node, on] : storage_of(state, storage).on_node) on.listed = true;
  attach(state.vms[0], "scsi9", std::string(storage) + ":vm-701-disk-9,size=1G");
}
void given_up_by_ha(LiveState& state) {
  state.ha = {{.sid = "vm:701"}};
  state.vms[0].ha_state = "error";
}

// The disk belongs in the class "models" of its storage.
ResolvedFleet in_a_class(ResolvedVm wanted) {
  ResolvedFleet all = fleet({std::move(wanted)});
  ResolvedStorage models{
      .id = "SSD-r10-models", .type = "zfspool", .class_of = "SSD-r10", .class_name = "models", .reference_only = true};
  all.storages = {{.id = "SSD-r10", .type = "zfspool", .reference_only = true}, models};
  return all;
}

ResolvedFleet alone(ResolvedVm wanted) { return fleet({std::move(wanted)}); }

// Each case changes copies of the cluster and of what is wanted, with everything allowed.
void expect_ways(std::span<const Case> cases, const LiveState& live, const ResolvedVm& disks,
                 ResolvedFleet (*fleet_of)(ResolvedVm)) {
  for (const Case& one : cases) {
    SCOPED_TRACE(one.what);
    LiveState state = live;
    ResolvedVm wanted = disks;
    PlanOptions options = allowing(true, true);
    one.change(state, wanted, options);
    EXPECT_EQ(ways(plan(fleet_of(wanted), state, options)), one.ways);
  }
}

TEST(StrategyWays, OfADiskThatBelongsInAClass) {
  const Case cases[] = {
      {"plain", [](LiveState&, ResolvedVm&, PlanOptions&) {}, R"(move-disk retire-volume
class move*: the cheapest that is possible and allowed | API; 256 GiB, peak 256 GiB, 2622 s, down 0 s
out and back: the disk belongs on "SSD-r10-models", not back on "SSD-r10"
swap+: the guest would be stopped for about 30 s; class move needs no downtime | API, host access, storage "SSD-r10-models"; 256 GiB, peak 256 GiB, 2622 s, down 30 s
in place+: the guest would be stopped for about 1311 s; class move needs no downtime | host access; 64 GiB, peak 256 GiB, 1311 s, down 1311 s
)"},
      {"plain, at a rate", [](LiveState&, ResolvedVm&, PlanOptions& o) { o.copy_rate = {(1_GiB).bytes - 1}; },
       R"(move-disk retire-volume
class move*: the cheapest that is possible and allowed | API; 256 GiB, peak 256 GiB, 257 s, down 0 s
out and back: the disk belongs on "SSD-r10-models", not back on "SSD-r10"
swap+: the guest would be stopped for about 30 s; class move needs no downtime | API, host access, storage "SSD-r10-models"; 256 GiB, peak 256 GiB, 257 s, down 30 s
in place+: the guest would be stopped for about 129 s; class move needs no downtime | host access; 64 GiB, peak 256 GiB, 129 s, down 129 s
)"},
      {"stopped", [](LiveState& s, ResolvedVm&, PlanOptions&) { s.vms[0].power = PowerState::kStopped; },
       R"(recreate-zvol
class move+: the guest would be stopped for about 2622 s instead of 1311 s | API; 256 GiB, peak 256 GiB, 2622 s, down 2622 s
out and back: the disk belongs on "SSD-r10-models", not back on "SSD-r10"
swap+: the guest would be stopped for about 2622 s instead of 1311 s | API, host access, storage "SSD-r10-models"; 256 GiB, peak 256 GiB, 2622 s, down 2622 s
in place*: the cheapest that is possible and allowed | host access; 64 GiB, peak 256 GiB, 1311 s, down 1311 s
)"},
      {"stopped, and started by this plan",
       [](LiveState& s, ResolvedVm& w, PlanOptions& o) {
         s.vms[0].power = PowerState::kStopped;
         w.state = VmState::kRunning;
         o.allow.offline_copy = false;
       },
       R"(start-vm move-disk retire-volume
class move*: the cheapest that is possible and allowed | API; 256 GiB, peak 256 GiB, 2622 s, down 0 s
out and back: the disk belongs on "SSD-r10-models", not back on "SSD-r10"
swap: the disk cannot be moved now: it has a change that waits for a restart => restart the guest first, or revert the change
in place: the guest would be stopped while the disk is copied => --allow offline-copy
)"},
      {"without host access", [](LiveState& s, ResolvedVm&, PlanOptions&) { s.hosts.clear(); }, R"(move-disk
class move*: the cheapest that is possible and allowed | API; 256 GiB, peak 256 GiB, 2622 s, down 0 s
out and back: the disk belongs on "SSD-r10-models", not back on "SSD-r10"
swap: it needs host access (SSH), and there is none => state cluster.ssh: {user: …} in the fleet file
in place: it needs host access (SSH), and there is none => state cluster.ssh: {user: …} in the fleet file
)"},
      {"not on this node",
       [](LiveState& s, ResolvedVm&, PlanOptions&) { storage_of(s, "SSD-r10-models").properties.set("nodes", "pve7"); },
       R"(stop-vm recreate-zvol start-vm
class move: storage "SSD-r10-models" is not available on node "pve1" => add pve1 to its nodes:
out and back: the disk belongs on "SSD-r10-models", not back on "SSD-r10"
swap: no other storage on zpool "tank" makes zvols of 128KiB => give storage "SSD-r10" a class with blocksize 128KiB
in place*: the cheapest that is possible and allowed | host access; 64 GiB, peak 256 GiB, 1311 s, down 1311 s
)"},
      {"replicated to where it is not",
       [](LiveState& s, ResolvedVm&, PlanOptions&) {
         s.replication.push_back({.id = "701-0", .guest = Vmid{701}, .target = "pve7"});
       },
       R"(
class move: the guest is replicated to pve7, and storage "SSD-r10-models" cannot be replicated there => state replicate: off on the disk, or remove the replication job
out and back: the disk belongs on "SSD-r10-models", not back on "SSD-r10"
swap: the guest is replicated, and its replicas would not fit the new zvol => remove the replication job and declare it again afterwards
in place: the guest is replicated, and its replicas would not fit the new zvol => remove the replication job and declare it again afterwards
)"},
      {"a volume there is gone", [](LiveState& s, ResolvedVm&, PlanOptions&) { lose_a_volume(s, "SSD-r10-models"); },
       R"(
class move: scsi9 names SSD-r10-models:vm-701-disk-9, which is not on the storage of node pve1: PVE could give that name to a new volume => bring it back (from a backup, or take the guest to where it is), or give it up: qm set 701 --delete scsi9
out and back: the disk belongs on "SSD-r10-models", not back on "SSD-r10"
swap: the guest must be stopped for the rename => bring it back (from a backup, or take the guest to where it is), or give it up: qm set 701 --delete scsi9
in place: the guest would be stopped while the disk is copied => bring it back (from a backup, or take the guest to where it is), or give it up: qm set 701 --delete scsi9
)"},
      {"a sick pool", [](LiveState& s, ResolvedVm&, PlanOptions&) { s.hosts[0].zpools[0].health = "DEGRADED"; }, R"(
class move: zpool "tank" on pve1 is DEGRADED => mend the pool first (on pve1: zpool status tank)
out and back: the disk belongs on "SSD-r10-models", not back on "SSD-r10"
swap: zpool "tank" on pve1 is DEGRADED => mend the pool first (on pve1: zpool status tank)
in place: zpool "tank" on pve1 is DEGRADED => mend the pool first (on pve1: zpool status tank)
)"},
      {"a pool only the API says to be sick",
       [](LiveState& s, ResolvedVm&, PlanOptions&) {
         s.hosts.clear();
         s.nodes[0].zpools = {{.name = "tank", .health = "FAULTED"}};
       },
       R"(
class move: zpool "tank" on pve1 is FAULTED => mend the pool first (on pve1: zpool status tank)
out and back: the disk belongs on "SSD-r10-models", not back on "SSD-r10"
swap: it needs host access (SSH), and there is none => state cluster.ssh: {user: …} in the fleet file
in place: it needs host access (SSH), and there is none => state cluster.ssh: {user: …} in the fleet file
)"},
      {"snapshots", [](LiveState& s, ResolvedVm&, PlanOptions&) { s.vms[0].snapshots = {{.name = "s"}}; },
       R"(stop-vm recreate-zvol start-vm
class move: the guest has snapshots, which would stay on the old volume => qm listsnapshot 701, then qm delsnapshot 701 NAME for each
out and back: the disk belongs on "SSD-r10-models", not back on "SSD-r10"
swap: the guest has snapshots, which name the volume where it lies now => qm listsnapshot 701, then qm delsnapshot 701 NAME for each
in place*: the cheapest that is possible and allowed | host access; 64 GiB, peak 256 GiB, 1311 s, down 1311 s
)"},
      {"no room", [](LiveState& s, ResolvedVm&, PlanOptions&) { full(s, "SSD-r10"), full(s, "SSD-r10-models"); }, R"(
class move: zpool "tank" on pve1 has 10 GiB available, this plan would add 256 GiB there (rule Z10) => make room, or --force-capacity
out and back: the disk belongs on "SSD-r10-models", not back on "SSD-r10"
swap: zpool "tank" on pve1 has 10 GiB available, this plan would add 256 GiB there (rule Z10) => make room, or --force-capacity
in place: zpool "tank" on pve1 has 10 GiB available, this plan would add 256 GiB there (rule Z10) => make room, or --force-capacity
)"},
      {"a class of other blocks",
       [](LiveState& s, ResolvedVm&, PlanOptions&) {
         storage_of(s, "SSD-r10-models").properties.set("blocksize", "64k");
       },
       R"(stop-vm recreate-zvol start-vm
class move: the fleet says that the disk belongs on "SSD-r10-models", where new zvols get 64KiB => leave storage: out and give "SSD-r10-models" a class with blocksize 128KiB
out and back: the disk belongs on "SSD-r10-models", not back on "SSD-r10"
swap: no other storage on zpool "tank" makes zvols of 128KiB => give storage "SSD-r10" a class with blocksize 128KiB
in place*: the cheapest that is possible and allowed | host access; 64 GiB, peak 256 GiB, 1311 s, down 1311 s
)"},
      {"it has the blocks already, where it is",
       [](LiveState& s, ResolvedVm&, PlanOptions&) {
         zvol_in(s, "tank/vm-701-disk-1").properties.set("volblocksize", "131072");
       },
       "\n"},
      {"a pending change", [](LiveState& s, ResolvedVm&, PlanOptions&) { pending_ssd(s); },
       R"(restart-vm move-disk retire-volume
class move*: the cheapest that is possible and allowed | API; 256 GiB, peak 256 GiB, 2622 s, down 0 s
out and back: the disk belongs on "SSD-r10-models", not back on "SSD-r10"
swap: the disk cannot be moved now: it has a change that waits for a restart => restart the guest first, or revert the change
in place+: the guest would be stopped for about 1311 s; class move needs no downtime | host access; 64 GiB, peak 256 GiB, 1311 s, down 1311 s
)"}};
  expect_ways(cases, live_with(), wanting("SSD-r10-models"), in_a_class);
}

// What no way is open for is not moved all the same.
TEST(StrategyWays, ARefusedDiskStaysWhereItIsAndKeepsItsOtherSettings) {
  const auto planned = [](const std::function<void(LiveState&, ResolvedVm&)>& change) {
    LiveState state = live_with();
    ResolvedVm wanted = wanting("SSD-r10-models");
    wanted.disks[0].settings.set("mbps_rd", by_rule(Home::kDriveOption, "mbps_rd", "100", "D1"));
    change(state, wanted);
    const Plan made = plan(in_a_class(wanted), state, allowing(true, true));
    return fmt::format("{}, {} blocked", names(made), made.blocked.size());
  };
  EXPECT_EQ(planned([](LiveState& s, ResolvedVm&) { s.hosts[0].zpools[0].health = "DEGRADED"; }),
            "set-drive-options, 1 blocked");
  EXPECT_EQ(planned([](LiveState&, ResolvedVm& w) { w.require_backup = "24h"; }), "set-drive-options, 1 blocked");
  // It has the right blocks and belongs where new zvols get others: only its zvol itself may be taken there.
  LiveState state = live_with();
  storage_of(state, "SSD-r10-models").properties.set("blocksize", "64k");
  zvol_in(state, "tank/vm-701-disk-1").properties.set("volblocksize", "131072");
  set(state.vms[0], "protection", "1");
  const Plan made = plan(fleet({wanting("SSD-r10-models")}), state, allowing(true, true));
  EXPECT_EQ(names(made), "");
  EXPECT_EQ(made.blocked.size(), 1U) << show(made);
}

TEST(StrategyWays, OfADiskThatStaysWhereNewZvolsAreRight) {
  const Case cases[] = {
      {"plain", [](LiveState&, ResolvedVm&, PlanOptions&) {}, R"(move-disk retire-volume move-disk
class move: the disk is on the storage of that block size already, and PVE moves nothing to where it is
out and back*: the cheapest that is possible and allowed | API, scratch storage "SSD-r10-models"; 512 GiB, peak 512 GiB, 5243 s, down 0 s
swap+: the guest would be stopped for about 30 s; out and back needs no downtime | API, host access, storage "SSD-r10-models"; 256 GiB, peak 256 GiB, 2622 s, down 30 s
in place+: the guest would be stopped for about 1311 s; out and back needs no downtime | host access; 64 GiB, peak 256 GiB, 1311 s, down 1311 s
)"},
      {"stopped", [](LiveState& s, ResolvedVm&, PlanOptions&) { s.vms[0].power = PowerState::kStopped; },
       R"(recreate-zvol
class move: the disk is on the storage of that block size already, and PVE moves nothing to where it is
out and back+: the guest would be stopped for about 5243 s instead of 1311 s | API, scratch storage "SSD-r10-models"; 512 GiB, peak 512 GiB, 5243 s, down 5243 s
swap+: the guest would be stopped for about 2622 s instead of 1311 s | API, host access, storage "SSD-r10-models"; 256 GiB, peak 256 GiB, 2622 s, down 2622 s
in place*: the cheapest that is possible and allowed | host access; 64 GiB, peak 256 GiB, 1311 s, down 1311 s
)"},
      {"stopped, nothing allowed",
       [](LiveState& s, ResolvedVm&, PlanOptions& o) {
         s.vms[0].power = PowerState::kStopped;
         o.allow = {};
       },
       R"(
class move: the disk is on the storage of that block size already, and PVE moves nothing to where it is
out and back: the guest is stopped, and could not be started while the copy runs => --allow offline-copy, or start the guest
swap: the guest is stopped, and could not be started while the copy runs => --allow offline-copy, or start the guest
in place: the guest would be stopped while the disk is copied => --allow offline-copy
)"},
      {"nothing says where it belongs",
       [](LiveState&, ResolvedVm& w, PlanOptions&) { w.disks[0].settings.erase("storage"); },
       R"(stop-vm recreate-zvol start-vm
class move: the disk is on the storage of that block size already, and PVE moves nothing to where it is
out and back: nothing says where the disk belongs, so nobody would bring it back after an interruption => state storage: SSD-r10 on the disk
swap+: it copies 256 GiB instead of 64 GiB | API, host access, storage "SSD-r10-models"; 256 GiB, peak 256 GiB, 2622 s, down 30 s
in place*: the cheapest that is possible and allowed | host access; 64 GiB, peak 256 GiB, 1311 s, down 1311 s
)"},
      {"a pending change", [](LiveState& s, ResolvedVm&, PlanOptions&) { pending_ssd(s); },
       R"(stop-vm recreate-zvol start-vm
class move: the disk is on the storage of that block size already, and PVE moves nothing to where it is
out and back: the disk cannot be moved now: it has a change that waits for a restart => restart the guest first, or revert the change
swap: the disk cannot be moved now: it has a change that waits for a restart => restart the guest first, or revert the change
in place*: the cheapest that is possible and allowed | host access; 64 GiB, peak 256 GiB, 1311 s, down 1311 s
)"},
      {"a pending change, nothing allowed",
       [](LiveState& s, ResolvedVm&, PlanOptions& o) { pending_ssd(s), o.allow = {}; }, R"(
class move: the disk is on the storage of that block size already, and PVE moves nothing to where it is
out and back: the disk has a change that waits for a restart; moved now, PVE would switch back to the old volume at that restart => --allow restart, restart the guest yourself, or qm set with --revert
swap: the guest must be stopped for the rename => --allow restart
in place: the guest would be stopped while the disk is copied => --allow offline-copy
)"},
      {"a volume there is gone", [](LiveState& s, ResolvedVm&, PlanOptions&) { lose_a_volume(s, "SSD-r10"); }, R"(
class move: the disk is on the storage of that block size already, and PVE moves nothing to where it is
out and back: scsi9 names SSD-r10:vm-701-disk-9, which is not on the storage of node pve1: PVE could give that name to a new volume => bring it back (from a backup, or take the guest to where it is), or give it up: qm set 701 --delete scsi9
swap: the guest must be stopped for the rename => bring it back (from a backup, or take the guest to where it is), or give it up: qm set 701 --delete scsi9
in place: the guest would be stopped while the disk is copied => bring it back (from a backup, or take the guest to where it is), or give it up: qm set 701 --delete scsi9
)"},
      {"a volume on the scratch storage is gone",
       [](LiveState& s, ResolvedVm&, PlanOptions&) { lose_a_volume(s, "SSD-r10-models"); },
       R"(move-disk retire-volume move-disk
class move: the disk is on the storage of that block size already, and PVE moves nothing to where it is
out and back*: the cheapest that is possible and allowed | API, scratch storage "local"; 512 GiB, peak 512 GiB, 5243 s, down 0 s
swap: the guest must be stopped for the rename => bring it back (from a backup, or take the guest to where it is), or give it up: qm set 701 --delete scsi9
in place: the guest would be stopped while the disk is copied => bring it back (from a backup, or take the guest to where it is), or give it up: qm set 701 --delete scsi9
)"},
      {"scratch only on the other dataset of the pool",
       [](LiveState& s, ResolvedVm&, PlanOptions&) {
         std::erase_if(s.storages, [](const LiveStorage& one) { return one.type != "zfspool"; });
       },
       R"(move-disk retire-volume move-disk
class move: the disk is on the storage of that block size already, and PVE moves nothing to where it is
out and back*: the cheapest that is possible and allowed | API, scratch storage "SSD-r10-models"; 512 GiB, peak 512 GiB, 5243 s, down 0 s
swap+: the guest would be stopped for about 30 s; out and back needs no downtime | API, host access, storage "SSD-r10-models"; 256 GiB, peak 256 GiB, 2622 s, down 30 s
in place+: the guest would be stopped for about 1311 s; out and back needs no downtime | host access; 64 GiB, peak 256 GiB, 1311 s, down 1311 s
)"},
      {"the other entry shows the same dataset",
       [](LiveState& s, ResolvedVm&, PlanOptions&) {
         std::erase_if(s.storages, [](const LiveStorage& one) { return one.type != "zfspool"; });
         storage_of(s, "SSD-r10-models").properties.set("pool", "tank");
       },
       R"(stop-vm recreate-zvol start-vm
class move: the disk is on the storage of that block size already, and PVE moves nothing to where it is
out and back: there is no scratch storage for 256 GiB: no other storage of the node takes disk images => make room on another storage of the node, or add one
swap: no other storage on zpool "tank" makes zvols of 128KiB => give storage "SSD-r10" a class with blocksize 128KiB
in place*: the cheapest that is possible and allowed | host access; 64 GiB, peak 256 GiB, 1311 s, down 1311 s
)"},
      {"scratch is not active",
       [](LiveState& s, ResolvedVm&, PlanOptions&) {
         std::erase_if(s.storages, [](const LiveStorage& one) { return one.type != "zfspool"; });
         storage_of(s, "SSD-r10-models").on_node["pve1"].active = false;
       },
       R"(stop-vm recreate-zvol start-vm
class move: the disk is on the storage of that block size already, and PVE moves nothing to where it is
out and back: there is no scratch storage for 256 GiB: no other storage of the node takes disk images => make room on another storage of the node, or add one
swap+: it copies 256 GiB instead of 64 GiB | API, host access, storage "SSD-r10-models"; 256 GiB, peak 256 GiB, 2622 s, down 30 s
in place*: the cheapest that is possible and allowed | host access; 64 GiB, peak 256 GiB, 1311 s, down 1311 s
)"},
      {"only zvols are left as scratch",
       [](LiveState& s, ResolvedVm&, PlanOptions&) {
         for (const char* id : {"local", "nfs", "thick"}) full(s, id);
       },
       R"(move-disk retire-volume move-disk
class move: the disk is on the storage of that block size already, and PVE moves nothing to where it is
out and back*: the cheapest that is possible and allowed | API, scratch storage "SSD-r10-models"; 512 GiB, peak 512 GiB, 5243 s, down 0 s
swap+: the guest would be stopped for about 30 s; out and back needs no downtime | API, host access, storage "SSD-r10-models"; 256 GiB, peak 256 GiB, 2622 s, down 30 s
in place+: the guest would be stopped for about 1311 s; out and back needs no downtime | host access; 64 GiB, peak 256 GiB, 1311 s, down 1311 s
)"},
      {"everything is full",
       [](LiveState& s, ResolvedVm&, PlanOptions&) {
         for (LiveStorage& one : s.storages) full(s, one.id);
       },
       R"(
class move: the disk is on the storage of that block size already, and PVE moves nothing to where it is
out and back: there is no scratch storage for 256 GiB: storage "thick" has 10 GiB available, this plan would add 256 GiB there (rule Z10) => make room on another storage of the node, or add one
swap: zpool "tank" on pve1 has 10 GiB available, this plan would add 256 GiB there (rule Z10) => make room, or --force-capacity
in place: zpool "tank" on pve1 has 10 GiB available, this plan would add 256 GiB there (rule Z10) => make room, or --force-capacity
)"},
      {"replicated",
       [](LiveState& s, ResolvedVm&, PlanOptions&) {
         s.replication.push_back({.id = "701-0", .guest = Vmid{701}, .target = "pve7"});
       },
       R"(
class move: the disk is on the storage of that block size already, and PVE moves nothing to where it is
out and back: there is no scratch storage for 256 GiB: no other storage of the node takes disk images => make room on another storage of the node, or add one
swap: the guest is replicated, and its replicas would not fit the new zvol => remove the replication job and declare it again afterwards
in place: the guest is replicated, and its replicas would not fit the new zvol => remove the replication job and declare it again afterwards
)"}};
  expect_ways(cases, storage_fixed(), wanting(), alone);
}

TEST(StrategyWays, OfADiskThatStaysWhereNewZvolsAreNot) {
  const Case cases[] = {
      {"plain", [](LiveState&, ResolvedVm&, PlanOptions&) {}, R"(stop-vm recreate-zvol start-vm
class move: the fleet says that the disk belongs on "SSD-r10", where new zvols get 16KiB => leave storage: out and give "SSD-r10" a class with blocksize 128KiB
out and back: new zvols on "SSD-r10" get 16KiB => declare blocksize: 128KiB for storage "SSD-r10"
swap+: it copies 256 GiB instead of 64 GiB | API, host access, storage "SSD-r10-models"; 256 GiB, peak 256 GiB, 2622 s, down 30 s
in place*: the cheapest that is possible and allowed | host access; 64 GiB, peak 256 GiB, 1311 s, down 1311 s
)"},
      {"only restarts", [](LiveState&, ResolvedVm&, PlanOptions& o) { o.allow.offline_copy = false; },
       R"(move-disk retire-volume stop-vm swap-zvol start-vm
class move: the fleet says that the disk belongs on "SSD-r10", where new zvols get 16KiB => leave storage: out and give "SSD-r10" a class with blocksize 128KiB
out and back: new zvols on "SSD-r10" get 16KiB => declare blocksize: 128KiB for storage "SSD-r10"
swap*: the cheapest that is possible and allowed | API, host access, storage "SSD-r10-models"; 256 GiB, peak 256 GiB, 2622 s, down 30 s
in place: the guest would be stopped while the disk is copied => --allow offline-copy
)"},
      {"only offline copies", [](LiveState&, ResolvedVm&, PlanOptions& o) { o.allow.restart = false; },
       R"(stop-vm recreate-zvol start-vm
class move: the fleet says that the disk belongs on "SSD-r10", where new zvols get 16KiB => leave storage: out and give "SSD-r10" a class with blocksize 128KiB
out and back: new zvols on "SSD-r10" get 16KiB => declare blocksize: 128KiB for storage "SSD-r10"
swap: the guest must be stopped for the rename => --allow restart
in place*: the cheapest that is possible and allowed | host access; 64 GiB, peak 256 GiB, 1311 s, down 1311 s
)"},
      {"stopped", [](LiveState& s, ResolvedVm&, PlanOptions&) { s.vms[0].power = PowerState::kStopped; },
       R"(recreate-zvol
class move: the fleet says that the disk belongs on "SSD-r10", where new zvols get 16KiB => leave storage: out and give "SSD-r10" a class with blocksize 128KiB
out and back: new zvols on "SSD-r10" get 16KiB => declare blocksize: 128KiB for storage "SSD-r10"
swap+: the guest would be stopped for about 2622 s instead of 1311 s | API, host access, storage "SSD-r10-models"; 256 GiB, peak 256 GiB, 2622 s, down 2622 s
in place*: the cheapest that is possible and allowed | host access; 64 GiB, peak 256 GiB, 1311 s, down 1311 s
)"},
      {"stopped, with a change that waits",
       [](LiveState& s, ResolvedVm&, PlanOptions&) {
         s.vms[0].power = PowerState::kStopped;
         pending_ssd(s);
       },
       R"(
class move: the fleet says that the disk belongs on "SSD-r10", where new zvols get 16KiB => leave storage: out and give "SSD-r10" a class with blocksize 128KiB
out and back: new zvols on "SSD-r10" get 16KiB => declare blocksize: 128KiB for storage "SSD-r10"
swap: the disk has a change that waits for the guest's next start => start the guest, or: qm set 701 --revert scsi2
in place: the disk has a change that waits for the guest's next start => start the guest, or: qm set 701 --revert scsi2
)"},
      {"to be stopped",
       [](LiveState&, ResolvedVm& w, PlanOptions& o) {
         w.state = VmState::kStopped;
         o.allow.restart = false;
       },
       R"(stop-vm recreate-zvol
class move: the fleet says that the disk belongs on "SSD-r10", where new zvols get 16KiB => leave storage: out and give "SSD-r10" a class with blocksize 128KiB
out and back: new zvols on "SSD-r10" get 16KiB => declare blocksize: 128KiB for storage "SSD-r10"
swap+: it copies 256 GiB instead of 64 GiB | API, host access, storage "SSD-r10-models"; 256 GiB, peak 256 GiB, 2622 s, down 30 s
in place*: the cheapest that is possible and allowed | host access; 64 GiB, peak 256 GiB, 1311 s, down 1311 s
)"},
      {"a template",
       [](LiveState& s, ResolvedVm&, PlanOptions&) {
         s.vms[0].power = PowerState::kStopped;
         s.vms[0].is_template = true;
       },
       R"(
class move: the fleet says that the disk belongs on "SSD-r10", where new zvols get 16KiB => leave storage: out and give "SSD-r10" a class with blocksize 128KiB
out and back: new zvols on "SSD-r10" get 16KiB => declare blocksize: 128KiB for storage "SSD-r10"
swap: other volumes are linked clones of this one => move those first, which makes them full
in place: other volumes are linked clones of this one => move those first, which makes them full
)"},
      {"given up by HA", [](LiveState& s, ResolvedVm&, PlanOptions&) { given_up_by_ha(s); }, R"(
class move: the fleet says that the disk belongs on "SSD-r10", where new zvols get 16KiB => leave storage: out and give "SSD-r10" a class with blocksize 128KiB
out and back: new zvols on "SSD-r10" get 16KiB => declare blocksize: 128KiB for storage "SSD-r10"
swap: HA has given the guest up (service state "error") and refuses to start or stop it => find out why it did not start, then: ha-manager set vm:701 --state disabled; ha-manager set vm:701 --state started
in place: HA has given the guest up (service state "error") and refuses to start or stop it => find out why it did not start, then: ha-manager set vm:701 --state disabled; ha-manager set vm:701 --state started
)"},
      {"HA says error, but it does not manage it",
       [](LiveState& s, ResolvedVm&, PlanOptions&) { s.vms[0].ha_state = "error"; }, R"(stop-vm recreate-zvol start-vm
class move: the fleet says that the disk belongs on "SSD-r10", where new zvols get 16KiB => leave storage: out and give "SSD-r10" a class with blocksize 128KiB
out and back: new zvols on "SSD-r10" get 16KiB => declare blocksize: 128KiB for storage "SSD-r10"
swap+: it copies 256 GiB instead of 64 GiB | API, host access, storage "SSD-r10-models"; 256 GiB, peak 256 GiB, 2622 s, down 30 s
in place*: the cheapest that is possible and allowed | host access; 64 GiB, peak 256 GiB, 1311 s, down 1311 s
)"},
      {"one snapshot",
       [](LiveState& s, ResolvedVm&, PlanOptions&) { zvol_in(s, "tank/vm-701-disk-1").snapshots = {"one"}; },
       R"(move-disk retire-volume stop-vm swap-zvol start-vm
class move: the fleet says that the disk belongs on "SSD-r10", where new zvols get 16KiB => leave storage: out and give "SSD-r10" a class with blocksize 128KiB
out and back: new zvols on "SSD-r10" get 16KiB => declare blocksize: 128KiB for storage "SSD-r10"
swap*: the cheapest that is possible and allowed | API, host access, storage "SSD-r10-models"; 256 GiB, peak 256 GiB, 2622 s, down 30 s
in place: the zvol has 1 snapshot ("one") => state snapshots: keep (or drop) on the disk
)"},
      {"a snapshot of ours",
       [](LiveState& s, ResolvedVm&, PlanOptions&) {
         zvol_in(s, "tank/vm-701-disk-1").snapshots = {"pvereconcile-20261121T081500Z"};
       },
       R"(stop-vm recreate-zvol start-vm
class move: the fleet says that the disk belongs on "SSD-r10", where new zvols get 16KiB => leave storage: out and give "SSD-r10" a class with blocksize 128KiB
out and back: new zvols on "SSD-r10" get 16KiB => declare blocksize: 128KiB for storage "SSD-r10"
swap+: it copies 256 GiB instead of 64 GiB | API, host access, storage "SSD-r10-models"; 256 GiB, peak 256 GiB, 2622 s, down 30 s
in place*: the cheapest that is possible and allowed | host access; 64 GiB, peak 256 GiB, 1311 s, down 1311 s
)"},
      {"an origin of nothing",
       [](LiveState& s, ResolvedVm&, PlanOptions&) { zvol_in(s, "tank/vm-701-disk-1").properties.set("origin", "-"); },
       R"(stop-vm recreate-zvol start-vm
class move: the fleet says that the disk belongs on "SSD-r10", where new zvols get 16KiB => leave storage: out and give "SSD-r10" a class with blocksize 128KiB
out and back: new zvols on "SSD-r10" get 16KiB => declare blocksize: 128KiB for storage "SSD-r10"
swap+: it copies 256 GiB instead of 64 GiB | API, host access, storage "SSD-r10-models"; 256 GiB, peak 256 GiB, 2622 s, down 30 s
in place*: the cheapest that is possible and allowed | host access; 64 GiB, peak 256 GiB, 1311 s, down 1311 s
)"},
      {"the slot waits to be emptied",
       [](LiveState& s, ResolvedVm&, PlanOptions&) { s.vms[0].drives[0].pending_delete = true; }, "\n"},
      {"nobody asked for the tools", [](LiveState& s, ResolvedVm&, PlanOptions&) { s.hosts[0].tools.clear(); },
       R"(stop-vm recreate-zvol start-vm
class move: the fleet says that the disk belongs on "SSD-r10", where new zvols get 16KiB => leave storage: out and give "SSD-r10" a class with blocksize 128KiB
out and back: new zvols on "SSD-r10" get 16KiB => declare blocksize: 128KiB for storage "SSD-r10"
swap+: it copies 256 GiB instead of 64 GiB | API, host access, storage "SSD-r10-models"; 256 GiB, peak 256 GiB, 2622 s, down 30 s
in place*: the cheapest that is possible and allowed | host access; 64 GiB, peak 256 GiB, 1311 s, down 1311 s
)"},
      {"staging is full",
       [](LiveState& s, ResolvedVm&, PlanOptions&) { full(s, "SSD-r10"), full(s, "SSD-r10-models"); },
       R"(
class move: the fleet says that the disk belongs on "SSD-r10", where new zvols get 16KiB => leave storage: out and give "SSD-r10" a class with blocksize 128KiB
out and back: new zvols on "SSD-r10" get 16KiB => declare blocksize: 128KiB for storage "SSD-r10"
swap: zpool "tank" on pve1 has 10 GiB available, this plan would add 256 GiB there (rule Z10) => make room, or --force-capacity
in place: zpool "tank" on pve1 has 10 GiB available, this plan would add 256 GiB there (rule Z10) => make room, or --force-capacity
)"},
      {"staging is on another pool",
       [](LiveState& s, ResolvedVm&, PlanOptions&) {
         storage_of(s, "SSD-r10-models").properties.set("pool", "lake/models");
       },
       R"(stop-vm recreate-zvol start-vm
class move: the fleet says that the disk belongs on "SSD-r10", where new zvols get 16KiB => leave storage: out and give "SSD-r10" a class with blocksize 128KiB
out and back: new zvols on "SSD-r10" get 16KiB => declare blocksize: 128KiB for storage "SSD-r10"
swap: no other storage on zpool "tank" makes zvols of 128KiB => give storage "SSD-r10" a class with blocksize 128KiB
in place*: the cheapest that is possible and allowed | host access; 64 GiB, peak 256 GiB, 1311 s, down 1311 s
)"},
      {"staging takes no images",
       [](LiveState& s, ResolvedVm&, PlanOptions&) {
         storage_of(s, "SSD-r10-models").properties.set("content", "rootdir");
       },
       R"(stop-vm recreate-zvol start-vm
class move: the fleet says that the disk belongs on "SSD-r10", where new zvols get 16KiB => leave storage: out and give "SSD-r10" a class with blocksize 128KiB
out and back: new zvols on "SSD-r10" get 16KiB => declare blocksize: 128KiB for storage "SSD-r10"
swap: no other storage on zpool "tank" makes zvols of 128KiB => give storage "SSD-r10" a class with blocksize 128KiB
in place*: the cheapest that is possible and allowed | host access; 64 GiB, peak 256 GiB, 1311 s, down 1311 s
)"},
      {"a volume on the staging storage is gone",
       [](LiveState& s, ResolvedVm&, PlanOptions&) { lose_a_volume(s, "SSD-r10-models"); }, R"(
class move: the fleet says that the disk belongs on "SSD-r10", where new zvols get 16KiB => leave storage: out and give "SSD-r10" a class with blocksize 128KiB
out and back: new zvols on "SSD-r10" get 16KiB => declare blocksize: 128KiB for storage "SSD-r10"
swap: the guest must be stopped for the rename => bring it back (from a backup, or take the guest to where it is), or give it up: qm set 701 --delete scsi9
in place: the guest would be stopped while the disk is copied => bring it back (from a backup, or take the guest to where it is), or give it up: qm set 701 --delete scsi9
)"},
      {"the zvol is smaller inside",
       [](LiveState& s, ResolvedVm&, PlanOptions&) {
         zvol_in(s, "tank/vm-701-disk-1").properties.set("referenced", std::to_string((900_GiB).bytes));
       },
       R"(move-disk retire-volume stop-vm swap-zvol start-vm
class move: the fleet says that the disk belongs on "SSD-r10", where new zvols get 16KiB => leave storage: out and give "SSD-r10" a class with blocksize 128KiB
out and back: new zvols on "SSD-r10" get 16KiB => declare blocksize: 128KiB for storage "SSD-r10"
swap*: the cheapest that is possible and allowed | API, host access, storage "SSD-r10-models"; 256 GiB, peak 256 GiB, 2622 s, down 30 s
in place+: the guest would be stopped for about 5243 s instead of 30 s | host access; 256 GiB, peak 256 GiB, 5243 s, down 5243 s
)"},
      {"the pool would be full to the last byte",
       [](LiveState& s, ResolvedVm&, PlanOptions&) {
         for (const char* id : {"SSD-r10", "SSD-r10-models"})
           for (auto& [node, on] : storage_of(s, id).on_node) on.total = 4_TiB, on.available = 256_GiB;
       },
       R"(
class move: the fleet says that the disk belongs on "SSD-r10", where new zvols get 16KiB => leave storage: out and give "SSD-r10" a class with blocksize 128KiB
out and back: new zvols on "SSD-r10" get 16KiB => declare blocksize: 128KiB for storage "SSD-r10"
swap: zpool "tank" on pve1 would be 100 % full; from 90 % on nothing is added (rule Z10) => make room, or --force-capacity
in place: zpool "tank" on pve1 would be 100 % full; from 90 % on nothing is added (rule Z10) => make room, or --force-capacity
)"}};
  expect_ways(cases, live_with(), wanting(), alone);
}

// Only what is stated is changed, and only where it can be known.
TEST(StrategyWays, AreNotLookedForWithoutNeed) {
  const auto choices = [](const std::function<void(LiveState&, ResolvedVm&)>& change) {
    LiveState state = live_with();
    ResolvedVm wanted = wanting();
    change(state, wanted);
    return plan(fleet({wanted}), state, allowing(true, true)).choices.size();
  };
  EXPECT_EQ(choices([](LiveState&, ResolvedVm&) {}), 1U);
  EXPECT_EQ(choices([](LiveState& s, ResolvedVm&) {
              zvol_in(s, "tank/vm-701-disk-1").properties.set("volblocksize", "131072");
            }),
            0U);
  EXPECT_EQ(choices([](LiveState& s, ResolvedVm&) { storage_of(s, "SSD-r10").type = "dir"; }), 0U);
  EXPECT_EQ(choices([](LiveState&, ResolvedVm& w) { w.disks[0].settings.find("storage")->value = std::string("nfs"); }),
            0U);
  EXPECT_EQ(choices([](LiveState&, ResolvedVm& w) { w.disks[0].settings.erase("volblocksize"); }), 0U);
  // To a storage of its own with other blocks than wanted: the plain move would lose the right ones.
  EXPECT_EQ(choices([](LiveState& s, ResolvedVm& w) {
              w.disks[0].settings.find("storage")->value = std::string("SSD-r10-models");
              storage_of(s, "SSD-r10-models").properties.set("blocksize", "64k");
              zvol_in(s, "tank/vm-701-disk-1").properties.set("volblocksize", "131072");
            }),
            1U);
}

TEST(StrategyOperations, WordByWord) {
  ResolvedVm wanted = wanting();
  wanted.disks[0].settings.set("discard", by_rule(Home::kDriveOption, "discard", "on", "D1"));
  wanted.disks[0].settings.set("compression", stated(Home::kZvolProperty, "compression", "zstd"));
  wanted.disks[0].settings.set("sync", by_rule(Home::kZvolProperty, "sync", "always", "Z9"));
  const auto changed = [](LiveState state) {
    LiveDataset& zvol = zvol_in(state, "tank/vm-701-disk-1");
    zvol.properties.set("refreservation", "292057776128");
    zvol.properties.set("primarycache", "metadata");
    zvol.properties.set("logbias", "throughput");
    zvol.own = {"primarycache"};
    return state;
  };
  const PlanOptions both = allowing(true, true);
  EXPECT_EQ(told(plan(fleet({wanted}), changed(storage_fixed()), both)), R"(1 vm/ai-01/models [online copy]
  {"name":"move-disk","slot":"scsi2","storage":"SSD-r10-models","vmid":701,"volume":"SSD-r10:vm-701-disk-1"}
  after ; locks copy/pve1 storage/SSD-r10-models vm/701; node pve1; guard digest-701 uuid-701 
  copy {"bytes":274877906944,"estimate":2622,"peak_extra":274877906944,"target_node":"pve1","target_storage":"SSD-r10-models"}
  volblocksize: 16KiB -> 128KiB on "SSD-r10-models" [online copy] (stated in the fleet file; strategy: out and back)
2 vm/ai-01/models [no running guest affected]
  {"dataset":"tank/vm-701-disk-1","guid":"4711","name":"retire-volume","node":"pve1","slot":"scsi2","vmid":701,"volume":"SSD-r10:vm-701-disk-1"}
  after 1; locks vm/701; node pve1; guard  uuid-701 
  volume: SSD-r10:vm-701-disk-1 -> retired [no running guest affected] (The move leaves it behind; it is kept until its retention is over.)
3 vm/ai-01/models [online copy]
  {"name":"move-disk","remove_source":true,"slot":"scsi2","storage":"SSD-r10","vmid":701,"volume":"SSD-r10-models:"}
  after 2; locks copy/pve1 storage/SSD-r10 vm/701; node pve1; guard  uuid-701 
  copy {"bytes":274877906944,"estimate":2622,"peak_extra":274877906944,"target_node":"pve1","target_storage":"SSD-r10"}
  volblocksize: 16KiB -> 128KiB on "SSD-r10" [online copy] (stated in the fleet file; strategy: out and back)
4 vm/ai-01/models [live]
  {"name":"set-zvol-properties","node":"pve1","set":{"compression":"zstd"},"slot":"scsi2","vmid":701,"volume":"SSD-r10:"}
  after 3; locks vm/701; node pve1; guard  uuid-701 
  compression: on -> zstd (new blocks only) [live] (stated in the fleet file)
5 vm/ai-01/models [restart]
  {"name":"set-drive-options","set":{"discard":"on"},"slot":"scsi2","vmid":701,"volume":"SSD-r10:"}
  after 4; locks vm/701; node pve1; guard  uuid-701 
  discard: unset -> on [restart] rule D1
6 vm/ai-01 [restart]
  {"name":"restart-vm","vmid":701}
  after 1 2 3 4 5; locks vm/701; node pve1; guard  uuid-701 
  power: running -> restarted [restart] (makes pending changes active)
choice vm/ai-01/models: give scsi2 volblocksize 128KiB
  class move: the disk is on the storage of that block size already, and PVE moves nothing to where it is =>  | ; 0 B, peak 0 B, 0 s, down 0 s
  out and back (chosen): the cheapest that is possible and allowed =>  | API, scratch storage "SSD-r10-models"; 549755813888 B, peak 549755813888 B, 5243 s, down 0 s
  swap (possible): the guest would be stopped for about 30 s; out and back needs no downtime =>  | API, host access, storage "SSD-r10-models"; 274877906944 B, peak 274877906944 B, 2622 s, down 30 s
  in place (possible): the guest would be stopped for about 1311 s; out and back needs no downtime =>  | host access; 68719476736 B, peak 274877906944 B, 1311 s, down 1311 s
)");
  EXPECT_EQ(told(plan(fleet({wanted}), changed(live_with()), both)), R"(1 vm/ai-01 [restart]
  {"again":true,"name":"stop-vm","vmid":701}
  after ; locks vm/701; node pve1; guard digest-701 uuid-701 
  power: running -> stopped [restart] (what follows needs the guest stopped)
2 vm/ai-01/models [offline copy]
  {"dataset":"tank/vm-701-disk-1","guid":"4711","name":"recreate-zvol","node":"pve1","properties":{"compression":"zstd","primarycache":"metadata"},"slot":"scsi2","snapshots":"refuse","thick":true,"vmid":701,"volblocksize":131072,"volume":"SSD-r10:vm-701-disk-1"}
  after 1; locks copy/pve1 storage/SSD-r10 vm/701; node pve1; guard  uuid-701 
  copy {"bytes":68719476736,"downtime":1311,"estimate":1311,"peak_extra":274877906944,"target_node":"pve1","target_storage":"SSD-r10"}
  volblocksize: 16KiB -> 128KiB [offline copy] (stated in the fleet file; strategy: in place)
3 vm/ai-01/models [live]
  {"name":"set-zvol-properties","node":"pve1","set":{"sync":"always"},"slot":"scsi2","vmid":701,"volume":"SSD-r10:vm-701-disk-1"}
  after 1 2; locks vm/701; node pve1; guard  uuid-701 
  sync: standard -> always [live] rule Z9
4 vm/ai-01/models [restart]
  {"name":"set-drive-options","set":{"discard":"on"},"slot":"scsi2","vmid":701,"volume":"SSD-r10:vm-701-disk-1"}
  after 1 3; locks vm/701; node pve1; guard  uuid-701 
  discard: unset -> on [restart] rule D1
5 vm/ai-01 [no running guest affected] in any case
  {"name":"start-vm","vmid":701}
  after 1 2 3 4; locks vm/701; node pve1; guard  uuid-701 
  power: stopped -> running [no running guest affected] (it ran before)
choice vm/ai-01/models: give scsi2 volblocksize 128KiB
  class move: the fleet says that the disk belongs on "SSD-r10", where new zvols get 16KiB => leave storage: out and give "SSD-r10" a class with blocksize 128KiB | ; 0 B, peak 0 B, 0 s, down 0 s
  out and back: new zvols on "SSD-r10" get 16KiB => declare blocksize: 128KiB for storage "SSD-r10" | ; 0 B, peak 0 B, 0 s, down 0 s
  swap (possible): it copies 256 GiB instead of 64 GiB =>  | API, host access, storage "SSD-r10-models"; 274877906944 B, peak 274877906944 B, 2622 s, down 30 s
  in place (chosen): the cheapest that is possible and allowed =>  | host access; 68719476736 B, peak 274877906944 B, 1311 s, down 1311 s
)");
  EXPECT_EQ(told(plan(fleet({wanted}), changed(live_with()), allowing(true, false))), R"(1 vm/ai-01/models [online copy]
  {"name":"move-disk","slot":"scsi2","storage":"SSD-r10-models","vmid":701,"volume":"SSD-r10:vm-701-disk-1"}
  after ; locks copy/pve1 storage/SSD-r10-models vm/701; node pve1; guard digest-701 uuid-701 
  copy {"bytes":274877906944,"estimate":2622,"peak_extra":274877906944,"target_node":"pve1","target_storage":"SSD-r10-models"}
  volblocksize: 16KiB -> 128KiB on "SSD-r10-models" [online copy] (stated in the fleet file; strategy: swap)
2 vm/ai-01/models [no running guest affected]
  {"dataset":"tank/vm-701-disk-1","guid":"4711","name":"retire-volume","node":"pve1","slot":"scsi2","vmid":701,"volume":"SSD-r10:vm-701-disk-1"}
  after 1; locks vm/701; node pve1; guard  uuid-701 
  volume: SSD-r10:vm-701-disk-1 -> retired [no running guest affected] (The move leaves it behind; it is kept until its retention is over.)
3 vm/ai-01 [restart]
  {"again":true,"name":"stop-vm","vmid":701}
  after 1 2; locks vm/701; node pve1; guard  uuid-701 
  power: running -> stopped [restart] (what follows needs the guest stopped)
4 vm/ai-01/models [restart]
  {"from":"tank/models","name":"swap-zvol","node":"pve1","slot":"scsi2","storage":"SSD-r10","to":"tank","vmid":701,"volume":"SSD-r10-models:"}
  after 2 3; locks storage/SSD-r10 storage/SSD-r10-models vm/701; node pve1; guard  uuid-701 
  volblocksize: on "SSD-r10-models" -> 128KiB on "SSD-r10" [restart] (stated in the fleet file; strategy: swap)
5 vm/ai-01/models [live]
  {"name":"set-zvol-properties","node":"pve1","set":{"compression":"zstd"},"slot":"scsi2","vmid":701,"volume":"SSD-r10:"}
  after 3 4; locks vm/701; node pve1; guard  uuid-701 
  compression: on -> zstd (new blocks only) [live] (stated in the fleet file)
6 vm/ai-01/models [restart]
  {"name":"set-drive-options","set":{"discard":"on"},"slot":"scsi2","vmid":701,"volume":"SSD-r10:"}
  after 3 5; locks vm/701; node pve1; guard  uuid-701 
  discard: unset -> on [restart] rule D1
7 vm/ai-01 [no running guest affected] in any case
  {"name":"start-vm","vmid":701}
  after 1 2 3 4 5 6; locks vm/701; node pve1; guard  uuid-701 
  power: stopped -> running [no running guest affected] (it ran before)
choice vm/ai-01/models: give scsi2 volblocksize 128KiB
  class move: the fleet says that the disk belongs on "SSD-r10", where new zvols get 16KiB => leave storage: out and give "SSD-r10" a class with blocksize 128KiB | ; 0 B, peak 0 B, 0 s, down 0 s
  out and back: new zvols on "SSD-r10" get 16KiB => declare blocksize: 128KiB for storage "SSD-r10" | ; 0 B, peak 0 B, 0 s, down 0 s
  swap (chosen): the cheapest that is possible and allowed =>  | API, host access, storage "SSD-r10-models"; 274877906944 B, peak 274877906944 B, 2622 s, down 30 s
  in place: the guest would be stopped while the disk is copied => --allow offline-copy | ; 0 B, peak 0 B, 0 s, down 0 s
)");
  wanted.disks[0].settings.set("provisioning", stated(Home::kZvolProperty, "provisioning", "thin"));
  wanted.disks[0].settings.set("sync", stated(Home::kZvolProperty, "sync", "always"));
  wanted.disks[0].settings.find("sync")->finding_only = true;
  wanted.disks[0].snapshots = "drop";
  LiveState stopped = changed(live_with(true, PowerState::kStopped));
  EXPECT_EQ(told(plan(fleet({wanted}), stopped, both)), R"(1 vm/ai-01/models [offline copy]
  {"dataset":"tank/vm-701-disk-1","guid":"4711","name":"recreate-zvol","node":"pve1","properties":{"compression":"zstd","primarycache":"metadata"},"slot":"scsi2","snapshots":"drop","vmid":701,"volblocksize":131072,"volume":"SSD-r10:vm-701-disk-1"}
  after ; locks copy/pve1 storage/SSD-r10 vm/701; node pve1; guard digest-701 uuid-701 
  copy {"bytes":68719476736,"downtime":1311,"estimate":1311,"peak_extra":274877906944,"target_node":"pve1","target_storage":"SSD-r10"}
  volblocksize: 16KiB -> 128KiB [offline copy] (stated in the fleet file; strategy: in place)
2 vm/ai-01/models [no running guest affected]
  {"name":"set-drive-options","set":{"discard":"on"},"slot":"scsi2","vmid":701,"volume":"SSD-r10:vm-701-disk-1"}
  after 1; locks vm/701; node pve1; guard  uuid-701 
  discard: unset -> on [no running guest affected] rule D1
choice vm/ai-01/models: give scsi2 volblocksize 128KiB
  class move: the fleet says that the disk belongs on "SSD-r10", where new zvols get 16KiB => leave storage: out and give "SSD-r10" a class with blocksize 128KiB | ; 0 B, peak 0 B, 0 s, down 0 s
  out and back: new zvols on "SSD-r10" get 16KiB => declare blocksize: 128KiB for storage "SSD-r10" | ; 0 B, peak 0 B, 0 s, down 0 s
  swap (possible): the guest would be stopped for about 2622 s instead of 1311 s =>  | API, host access, storage "SSD-r10-models"; 274877906944 B, peak 274877906944 B, 2622 s, down 2622 s
  in place (chosen): the cheapest that is possible and allowed =>  | host access; 68719476736 B, peak 274877906944 B, 1311 s, down 1311 s
finding vm/ai-01/models : sync is standard, the rules advise always. => State sync on the disk or in its role to have it changed.
)");
}

// --- what an interrupted run left, word by word

TEST(Unfinished, EachIsEndedByItsOwnOperation) {
  struct Left {
    const char* what;
    std::function<void(LiveState&, ResolvedVm&)> change;
    const char* said;
  };
  const auto mark_zvol = [](LiveState& s, std::string_view name, std::string_view text) {
    zvol_in(s, "tank/vm-701-disk-1").marks.set(name, std::string(text));
  };
  const auto put_in = [](LiveState& s, LiveDataset dataset) {
    s.hosts[0].datasets.push_back(std::move(dataset));
    std::ranges::sort(s.hosts[0].datasets, {}, &LiveDataset::name);
  };
  const auto swapped = [&](LiveState& s, std::string to) {
    LiveDataset renamed = zvol(std::move(to), 256_GiB, 128_KiB, "9");
    renamed.marks.set(mark::kSwapFrom, "SSD-r10:vm-701-disk-1");
    std::erase_if(s.hosts[0].datasets, [](const LiveDataset& d) { return d.name == "tank/vm-701-disk-1"; });
    put_in(s, renamed);
  };
  const Left cases[] = {
      {"not settled",
       [&](LiveState& s, ResolvedVm&) {
         mark_zvol(s, mark::kSettled, "no");
         mark_zvol(s, mark::kReplaces, "4710");
         LiveDataset old = zvol("tank/pvereconcile-retired-vm-701-disk-1-20261121T081500Z", 256_GiB, 16_KiB, "4710");
         old.properties.set("refreservation", "1");
         put_in(s, old);
       },
       R"(1 vm/ai-01/models [no running guest affected]
  {"dataset":"tank/vm-701-disk-1","guid":"4710","name":"recreate-zvol","node":"pve1","slot":"scsi2","snapshots":"refuse","thick":true,"vmid":701,"volblocksize":16384,"volume":"SSD-r10:vm-701-disk-1"}
  after ; locks copy/pve1 vm/701; node pve1; guard digest-701 uuid-701 
  volume: SSD-r10:vm-701-disk-1 -> the verified copy in its place [no running guest affected] (An exchange of zvols was interrupted.)
)"},
      {"not settled, and the old one is gone",
       [&](LiveState& s, ResolvedVm& w) {
         w.disks[0].snapshots = "keep";
         mark_zvol(s, mark::kSettled, "no");
         mark_zvol(s, mark::kReplaces, "4710");
       },
       R"(1 vm/ai-01/models [no running guest affected]
  {"dataset":"tank/vm-701-disk-1","guid":"4710","name":"recreate-zvol","node":"pve1","slot":"scsi2","snapshots":"keep","vmid":701,"volblocksize":16384,"volume":"SSD-r10:vm-701-disk-1"}
  after ; locks copy/pve1 vm/701; node pve1; guard digest-701 uuid-701 
  volume: SSD-r10:vm-701-disk-1 -> the verified copy in its place [no running guest affected] (An exchange of zvols was interrupted.)
)"},
      {"settled", [&](LiveState& s, ResolvedVm&) { mark_zvol(s, mark::kSettled, "yes"); }, ""},
      {"renamed, and the drive names the old place",
       [&](LiveState& s, ResolvedVm&) { swapped(s, "tank/models/vm-701-disk-3"); },
       R"(1 vm/ai-01/models [no running guest affected]
  {"from":"tank","name":"swap-zvol","node":"pve1","slot":"scsi2","storage":"SSD-r10-models","to":"tank/models","vmid":701,"volume":"SSD-r10:vm-701-disk-1"}
  after ; locks storage/SSD-r10-models vm/701; node pve1; guard digest-701 uuid-701 
  volume: SSD-r10:vm-701-disk-1 -> on "SSD-r10-models" [no running guest affected] (A swap was interrupted.)
)"},
      {"renamed to where no storage is", [&](LiveState& s, ResolvedVm&) { swapped(s, "tank/other/vm-701-disk-3"); },
       R"(vm/ai-01/models: end an interrupted swap: the storage of SSD-r10:vm-701-disk-1 is not there any more => declare it again
)"},
      {"swapped, and only the mark is left",
       [&](LiveState& s, ResolvedVm&) { mark_zvol(s, mark::kSwapFrom, "SSD-r10-models:vm-701-disk-4"); },
       R"(1 vm/ai-01/models [no running guest affected]
  {"from":"tank/models","name":"swap-zvol","node":"pve1","slot":"scsi2","storage":"SSD-r10","to":"tank","vmid":701,"volume":"SSD-r10-models:vm-701-disk-4"}
  after ; locks storage/SSD-r10 vm/701; node pve1; guard digest-701 uuid-701 
  volume: SSD-r10:vm-701-disk-1 -> on "SSD-r10" [no running guest affected] (A swap was interrupted.)
)"},
      {"swapped from a storage that is gone",
       [&](LiveState& s, ResolvedVm&) { mark_zvol(s, mark::kSwapFrom, "gone:vm-701-disk-4"); },
       R"(vm/ai-01/models: end an interrupted swap: the storage of gone:vm-701-disk-4 is not there any more => declare it again
)"},
      {"a mark of itself", [&](LiveState& s, ResolvedVm&) { mark_zvol(s, mark::kSwapFrom, "SSD-r10:vm-701-disk-1"); },
       ""},
      {"a mark that is no volume", [&](LiveState& s, ResolvedVm&) { mark_zvol(s, mark::kSwapFrom, "-"); }, ""},
      {"held",
       [&](LiveState& s, ResolvedVm&) {
         mark_zvol(s, mark::kGuard, "20261121T081500Z");
         zvol_in(s, "tank/vm-701-disk-1").properties.set("readonly", "on");
       },
       R"(1 vm/ai-01/models [no running guest affected]
  {"dataset":"tank/vm-701-disk-1","name":"set-zvol-properties","node":"pve1","set":{"readonly":""},"slot":"scsi2","vmid":701,"volume":"SSD-r10:vm-701-disk-1"}
  after ; locks vm/701; node pve1; guard digest-701 uuid-701 
  volume: SSD-r10:vm-701-disk-1 -> writable again [no running guest affected] (A copy that was interrupted held it, and the plan does not go on with it.)
finding vm/ai-01/models : An interrupted copy left tank/pvereconcile-new-vm-701-disk-1 on pve1; a later one starts anew. => To give it up for good, on pve1: zfs destroy tank/pvereconcile-new-vm-701-disk-1
)"},
      {"read-only by somebody else",
       [&](LiveState& s, ResolvedVm&) { zvol_in(s, "tank/vm-701-disk-1").properties.set("readonly", "on"); }, ""},
      {"guarded, and writable again",
       [&](LiveState& s, ResolvedVm&) { mark_zvol(s, mark::kGuard, "20261121T081500Z"); }, ""},
      {"not settled, below an HA that has given up",
       [&](LiveState& s, ResolvedVm&) {
         mark_zvol(s, mark::kSettled, "no");
         given_up_by_ha(s);
       },
       R"((!) vm/ai-01/models: end an interrupted exchange of zvols: HA has given the guest up (service state "error") and may start it when that is taken back => ha-manager set vm:701 --state disabled; plan and apply; ha-manager set vm:701 --state started
)"},
      {"held, below an HA that has given up",
       [&](LiveState& s, ResolvedVm&) {
         mark_zvol(s, mark::kGuard, "20261121T081500Z");
         zvol_in(s, "tank/vm-701-disk-1").properties.set("readonly", "on");
         given_up_by_ha(s);
       },
       R"(1 vm/ai-01/models [no running guest affected]
  {"dataset":"tank/vm-701-disk-1","name":"set-zvol-properties","node":"pve1","set":{"readonly":""},"slot":"scsi2","vmid":701,"volume":"SSD-r10:vm-701-disk-1"}
  after ; locks vm/701; node pve1; guard digest-701 uuid-701 
  volume: SSD-r10:vm-701-disk-1 -> writable again [no running guest affected] (A copy that was interrupted held it, and the plan does not go on with it.)
finding vm/ai-01/models : An interrupted copy left tank/pvereconcile-new-vm-701-disk-1 on pve1; a later one starts anew. => To give it up for good, on pve1: zfs destroy tank/pvereconcile-new-vm-701-disk-1
)"},
      {"not settled, and taken out of its slot by somebody",
       [&](LiveState& s, ResolvedVm&) {
         mark_zvol(s, mark::kSettled, "no");
         LiveDrive& drive = s.vms[0].drives[0];
         drive = {.slot = {Bus::kUnused, 0}, .current = Drive{.volume = drive.current->volume}};
       },
       // Once it is in its slot again, the next plan ends the exchange.
       R"(1 vm/ai-01/models [no running guest affected]
  {"from":"unused0","name":"attach-volume","slot":"scsi2","vmid":701,"volume":"SSD-r10:vm-701-disk-1"}
  after ; locks vm/701; node pve1; guard digest-701 uuid-701 
  slot: unused0 -> scsi2 [no running guest affected] (the disk's data is in SSD-r10:vm-701-disk-1)
)"}};
  for (const Left& one : cases) {
    SCOPED_TRACE(one.what);
    LiveState state = live_with(true, PowerState::kStopped);
    ResolvedVm wanted = vm("ai-01", 701);
    wanted.disks = {disk("models", "scsi2", "SSD-r10", "256GiB")};
    one.change(state, wanted);
    EXPECT_EQ(told(plan(fleet({wanted}), state)), one.said);
  }
}

// --- the age of a backup

TEST(RequireBackup, TheAgeIsReadInEveryUnitAndKeptToTheSecond) {
  ResolvedVm wanted = wanting();
  for (const auto& [text, seconds] :
       {std::pair{"90s", 90}, {"2m", 120}, {"3h", 10800}, {"2d", 172800}, {"1w", 604800}}) {
    wanted.require_backup = text;
    EXPECT_FALSE(plan(fleet({wanted}), with_backup(1'000'000), at(1'000'000 + seconds)).empty()) << text;
    const Plan late = plan(fleet({wanted}), with_backup(1'000'000), at(1'000'000 + seconds + 1));
    EXPECT_TRUE(late.empty()) << text;
    EXPECT_THAT(late.blocked.at(0).why, HasSubstr(std::string("not older than ") + text + ", the newest is "));
  }
}

TEST(RequireBackup, TheNewestCountsAndOnlyBackups) {
  ResolvedVm wanted = wanting();
  wanted.require_backup = "24h";
  const auto allowed = [&](const std::function<void(LiveState&)>& change) {
    LiveState state = with_backup(1'000'000);
    change(state);
    return !plan(fleet({wanted}), state, at(1'000'000 + 3600)).empty();
  };
  const auto archive = [](LiveState& state) -> LiveVolume& {
    return *std::ranges::find(state.volumes, "backup", &LiveVolume::content);
  };
  const auto another = [&](LiveState& state, const char* name, std::int64_t made) {
    LiveVolume other = archive(state);
    other.id.name = name;
    other.made = made;
    state.volumes.push_back(other);
    std::ranges::sort(state.volumes, {}, &LiveVolume::id);
  };
  EXPECT_TRUE(allowed([](LiveState&) {}));
  EXPECT_TRUE(allowed([&](LiveState& s) { another(s, "backup/z", 5); }));
  EXPECT_TRUE(allowed([&](LiveState& s) { archive(s).made = 5, another(s, "backup/z", 1'000'000); }));
  EXPECT_FALSE(allowed([&](LiveState& s) { archive(s).content = "images"; }));
  EXPECT_FALSE(allowed([&](LiveState& s) { archive(s).made.reset(); }));
  EXPECT_FALSE(allowed([&](LiveState& s) { archive(s).owner = Vmid{702}; }));
}

TEST(RequireBackup, WhereOneIsMade) {
  ResolvedVm wanted = wanting();
  wanted.require_backup = "take";
  const auto said = [&](const std::function<void(LiveState&)>& change) {
    LiveState state = with_backup(1'000'000);
    change(state);
    const Plan made = plan(fleet({wanted}), state, at(1'000'000));
    const auto steps = all<BackUpVm>(made);
    return steps.empty() ? refusals(made)
                         : steps[0].storage + ": " + made.operations[0].changes.at(0).from + " " +
                               made.operations[0].changes[0].to + " " + made.operations[0].locks.at(0);
  };
  EXPECT_EQ(said([](LiveState&) {}), "local: an older one a new one on local storage/local");
  EXPECT_EQ(said([](LiveState& s) { std::erase_if(s.volumes, [](const auto& v) { return v.content == "backup"; }); }),
            "local: none a new one on local storage/local");
  // The first that takes them and is active on the guest's node.
  EXPECT_EQ(said([](LiveState& s) { storage_of(s, "nfs").properties.set("content", "backup"); }),
            "local: an older one a new one on local storage/local");
  EXPECT_EQ(said([](LiveState& s) {
              storage_of(s, "nfs").properties.set("content", "backup");
              storage_of(s, "local").on_node["pve1"].active = false;
            }),
            "nfs: an older one a new one on nfs storage/nfs");
  EXPECT_EQ(said([](LiveState& s) {
              storage_of(s, "nfs").properties.set("content", "backup");
              storage_of(s, "local").on_node.erase("pve1");
            }),
            "nfs: an older one a new one on nfs storage/nfs");
  EXPECT_EQ(said([](LiveState& s) { storage_of(s, "local").on_node["pve1"].active = false; }),
            "vm/ai-01/models: give scsi2 volblocksize 128KiB: the fleet requires a backup first, and no storage of the "
            "node that takes backups could be read => name one in the fleet: storages: {ID: {manage: false}}\n");
}

// --- properties of a zvol that a move makes

TEST(ZvolProperties, OfANewZvolOnlyWhatIsStatedAndDoesNotComeFromItsParent) {
  const auto set_on_it = [](std::string_view key, const Resolved& wish, const std::function<void(LiveState&)>& change) {
    LiveState state = live_with();
    change(state);
    ResolvedVm wanted = wanting("SSD-r10-models");
    wanted.disks[0].settings.set(key, wish);
    std::string out;
    for (const SetZvolProperties& one : all<SetZvolProperties>(plan(fleet({wanted}), state)))
      for (const auto& [name, text] : one.set) out += name + "=" + text + " ";
    return out;
  };
  const auto nothing = [](LiveState&) {};
  const auto says = [](std::string_view key, std::string_view text) { return stated(Home::kZvolProperty, key, text); };
  EXPECT_EQ(set_on_it("sync", says("sync", "always"), nothing), "sync=always ");
  EXPECT_EQ(set_on_it("sync", says("sync", "always"),
                      [](LiveState& s) { zvol_in(s, "tank/models").properties.set("sync", "always"); }),
            "");
  EXPECT_EQ(set_on_it("sync", by_rule(Home::kZvolProperty, "sync", "always", "Z9"), nothing), "");
  Resolved reported = says("sync", "always");
  reported.finding_only = true;
  EXPECT_EQ(set_on_it("sync", reported, nothing), "");
  EXPECT_EQ(set_on_it("compression", says("compression", "lz4"), nothing), "");
  EXPECT_EQ(set_on_it("compression", says("compression", "zstd"), nothing), "compression=zstd ");
  EXPECT_EQ(set_on_it("provisioning", says("provisioning", "thin"), nothing), "");
  EXPECT_EQ(set_on_it("provisioning", says("provisioning", "thick"), nothing), "refreservation=auto ");
  const auto thick = [](LiveState& s) { storage_of(s, "SSD-r10-models").properties.erase("sparse"); };
  EXPECT_EQ(set_on_it("provisioning", says("provisioning", "thin"), thick), "refreservation=none ");
  EXPECT_EQ(set_on_it("provisioning", says("provisioning", "thick"), thick), "");
  const auto no_parent = [](LiveState& s) {
    std::erase_if(s.hosts[0].datasets, [](const LiveDataset& d) { return d.name == "tank/models"; });
  };
  EXPECT_EQ(set_on_it("sync", says("sync", "standard"), no_parent), "sync=standard ");
  EXPECT_EQ(set_on_it("provisioning", says("provisioning", "thin"), no_parent), "");
  EXPECT_EQ(set_on_it("sync", says("sync", "always"), [](LiveState& s) { s.hosts.clear(); }), "");
}

}  // namespace
}  // namespace pvr::testing
