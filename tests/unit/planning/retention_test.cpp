// What may go for good, and what is put back: every reason that keeps a retired volume, one by one.

#include "reconciler/planning/retention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "reconciler/model/retired.h"
#include "tests/unit/planning/world.h"

namespace pvr::testing {
namespace {

constexpr std::string_view kStamp = "20261101T120000Z";
const std::chrono::sys_seconds kRetiredAt = *parse_time_stamp(kStamp);
const std::string kHidden = "tank/pvereconcile-retired-vm-701-disk-1-20261101T120000Z";

LiveDataset zvol(std::string name, std::string guid) {
  LiveDataset out{.name = std::move(name), .is_volume = true};
  out.properties.set("guid", std::move(guid));
  return out;
}
LiveDataset retired_zvol_of(std::string name, std::string guid, std::string_view stamp = kStamp) {
  LiveDataset out = zvol(std::move(name), std::move(guid));
  out.marks.set(mark::kVmid, "701");
  out.marks.set(mark::kSlot, "scsi2");
  out.marks.set(mark::kRetiredAt, std::string(stamp));
  return out;
}
LiveDataset hidden_zvol(std::string_view stamp = kStamp) {
  LiveDataset out = retired_zvol_of("tank/pvereconcile-retired-vm-701-disk-1-" + std::string(stamp), "99", stamp);
  out.marks.set(mark::kName, "vm-701-disk-1");
  return out;
}
void add(LiveHost& host, LiveDataset dataset) {
  host.datasets.push_back(std::move(dataset));
  std::ranges::sort(host.datasets, {}, &LiveDataset::name);
}
LiveDataset& dataset(LiveState& state, std::string_view name) {
  return *std::ranges::find(state.hosts.at(0).datasets, name, &LiveDataset::name);
}

struct World {
  ResolvedFleet wanted;
  LiveState state = cluster();
  PlanOptions options{.allow = everything(), .now = kRetiredAt + kRetention};
};

// ai-01's scsi2 was moved: the old volume is unused0 and marked.
World after_a_move() {
  World world;
  ResolvedVm ai = vm("ai-01", 701);
  ai.disks = {disk("models", "scsi2", "SSD-r10", "256GiB")};
  world.wanted = fleet({ai});
  LiveVm present = guest(701);
  attach(present, "scsi2", "SSD-r10:vm-701-disk-1,cache=none,size=256G,x-new=1");
  attach(present, "unused0", "SSD-r10:vm-701-disk-0");
  put(world.state, present);
  list_volume(world.state, "SSD-r10:vm-701-disk-0", 256_GiB);
  LiveHost host{.node = "pve1", .zfs_version = "2.3.9"};
  add(host, zvol("tank/vm-701-disk-1", "11"));
  add(host, retired_zvol_of("tank/vm-701-disk-0", "10"));
  world.state.hosts = {host};
  return world;
}
// Its zvol was made anew in place: the old one has a name of ours.
World after_an_exchange() {
  World world = after_a_move();
  world.state.vms[0].drives.pop_back();
  std::erase_if(world.state.volumes, [](const LiveVolume& v) { return v.id.name == "vm-701-disk-0"; });
  std::erase_if(world.state.hosts[0].datasets, [](const LiveDataset& d) { return d.name == "tank/vm-701-disk-0"; });
  add(world.state.hosts[0], hidden_zvol());
  return world;
}

using Change = std::function<void(World&)>;
std::string gc(
    World world, const Change& change = [](World&) {}) {
  change(world);
  return told(make_gc_plan(world.wanted, world.state, world.options));
}

TEST(Gc, TellsWhatItDestroysUnderWhichGuards) {
  EXPECT_EQ(gc(after_a_move()), R"(1 vm/ai-01 [destroy]
  {"name":"destroy-volume","vmid":701,"volume":"SSD-r10:vm-701-disk-0"}
  after ; locks storage/SSD-r10 vm/701; node pve1; guard digest-701 uuid-701 
  scsi2: tank/vm-701-disk-0, retired 7 days ago -> destroyed [destroy] (its retention of 7 days is over)
)");
  EXPECT_EQ(gc(after_an_exchange()), R"(1 vm/ai-01 [destroy]
  {"dataset":"tank/pvereconcile-retired-vm-701-disk-1-20261101T120000Z","guid":"99","name":"destroy-dataset","node":"pve1"}
  after ; locks zfs/pve1/tank; node pve1; guard   
  scsi2: tank/pvereconcile-retired-vm-701-disk-1-20261101T120000Z, retired 7 days ago -> destroyed [destroy] (its retention of 7 days is over)
)");
}

TEST(Gc, TwoVolumesOfOneGuestAreGuardedByItsDigestOnce) {
  const std::string both = gc(after_a_move(), [](World& world) {
    attach(world.state.vms[0], "unused1", "SSD-r10:vm-701-disk-2");
    add(world.state.hosts[0], retired_zvol_of("tank/vm-701-disk-2", "12"));
  });
  EXPECT_NE(both.find("guard digest-701 uuid-701"), std::string::npos) << both;
  EXPECT_NE(both.find("guard  uuid-701"), std::string::npos) << both;
}

TEST(Gc, KeepsWhatIsYoungerThanTheRetention) {
  const auto after = [&](std::chrono::seconds age) {
    return gc(after_a_move(), [&](World& world) { world.options.now = kRetiredAt + age; });
  };
  EXPECT_EQ(after(kRetention - std::chrono::seconds(1)), "");
  EXPECT_NE(after(kRetention), "");
  // A retention of the fleet's own.
  const auto stated = [&](std::int64_t retention, std::chrono::seconds age) {
    return gc(after_a_move(), [&](World& world) {
      auto document = std::make_shared<FleetDocument>(*world.wanted.document);
      document->cluster.limits.set("retention", Spanned<OptionValue>{.value = OptionValue(retention)});
      world.wanted.document = document;
      world.options.now = kRetiredAt + age;
    });
  };
  using std::chrono::hours;
  EXPECT_EQ(stated(3600, std::chrono::seconds(3599)), "");
  EXPECT_NE(stated(3600, hours(1)).find("retired 1 hours ago -> destroyed"), std::string::npos);
  EXPECT_NE(stated(3600, hours(1)).find("its retention of 1 hours is over"), std::string::npos);
  EXPECT_NE(stated(3600, hours(47)).find("retired 47 hours ago"), std::string::npos);
  EXPECT_NE(stated(3600, hours(48)).find("retired 2 days ago"), std::string::npos);
}

struct Case {
  const char* what;
  Change change;
  const char* said;
};

TEST(Gc, EveryReasonToKeepAVolumeIsNamed) {
  const Case cases[] = {
      {"not allowed", [](World& w) { w.options.allow = {.restart = true, .offline_copy = true}; },
       R"(vm/ai-01: destroy tank/vm-701-disk-0 on pve1, retired 7 days ago: this destroys data => --allow destroy
)"},
      {"clones",
       [](World& w) {
         LiveDataset clone = zvol("tank/vm-9-disk-0", "5");
         clone.properties.set("origin", "tank/vm-701-disk-0@base");
         add(w.state.hosts[0], clone);
       },
       R"((!) vm/ai-01: destroy tank/vm-701-disk-0 on pve1, retired 7 days ago: other volumes are clones of it => destroy or promote those first
)"},
      {"in use again",
       [](World& w) {
         w.state.vms[0].drives.pop_back();
         attach(w.state.vms[0], "scsi3", "SSD-r10:vm-701-disk-0,size=256G");
       },
       ""},
      {"in use again at the next start",
       [](World& w) {
         LiveVm after = guest(701);
         w.state.vms[0].drives[0].pending = attach(after, "scsi2", "SSD-r10:vm-701-disk-0,size=256G").current;
       },
       ""},
      {"in no configuration", [](World& w) { w.state.vms[0].drives.pop_back(); },
       R"((!) vm/ai-01: destroy tank/vm-701-disk-0 on pve1, retired 7 days ago: no configuration names it => on pve1: pvesm free SSD-r10:vm-701-disk-0
)"},
      {"no successor", [](World& w) { w.state.vms[0].drives.erase(w.state.vms[0].drives.begin()); },
       R"((!) vm/ai-01: destroy tank/vm-701-disk-0 on pve1, retired 7 days ago: scsi2 of the guest holds nothing: this may be the last copy => look at it; then: qm set 701 --delete unused0
)"},
      {"a successor that is a path",
       [](World& w) {
         w.state.vms[0].drives.erase(w.state.vms[0].drives.begin());
         attach(w.state.vms[0], "scsi2", "/dev/sdb");
       },
       R"((!) vm/ai-01: destroy tank/vm-701-disk-0 on pve1, retired 7 days ago: scsi2 of the guest holds nothing: this may be the last copy => look at it; then: qm set 701 --delete unused0
)"},
      {"a successor nobody sees",
       [](World& w) {
         std::erase_if(w.state.volumes, [](const LiveVolume& v) { return v.id.name == "vm-701-disk-1"; });
       },
       R"((!) vm/ai-01: destroy tank/vm-701-disk-0 on pve1, retired 7 days ago: scsi2 of the guest names SSD-r10:vm-701-disk-1, which cannot be seen on its storage: this may be the last copy => find out where that volume is; pvereconcile rollback puts this one in its place
)"},
      {"snapshots", [](World& w) { w.state.vms[0].snapshots = {{.name = "s"}}; },
       R"((!) vm/ai-01: destroy tank/vm-701-disk-0 on pve1, retired 7 days ago: snapshots of the guest may need it => qm delsnapshot 701 NAME for each
)"},
      {"no guest", [](World& w) { w.state.vms.clear(); }, ""},
      {"guest unreadable", [](World& w) { w.state.vms[0].readable = false; }, ""},
      {"guest elsewhere", [](World& w) { w.state.vms[0].node = "pve2"; }, ""},
      {"on no storage", [](World& w) { dataset(w.state, "tank/vm-701-disk-0").name = "lake/vm-701-disk-0"; }, ""},
      {"no volume", [](World& w) { dataset(w.state, "tank/vm-701-disk-0").is_volume = false; }, ""},
      {"no mark", [](World& w) { dataset(w.state, "tank/vm-701-disk-0").marks = {}; }, ""},
      {"a mark nobody understands",
       [](World& w) { dataset(w.state, "tank/vm-701-disk-0").marks.set(mark::kSlot, "floppy"); }, ""},
      {"a node that does not answer",
       [](World& w) { w.state.hosts = {{.node = "pve1", .readable = false, .problem = "no route"}}; },
       "gap Node pve1 cannot be reached: no route\n"},
      {"no host access", [](World& w) { w.state.hosts.clear(); },
       "gap There is no host access (cluster.ssh), and only that tells which volumes are retired.\n"},
      {"gaps of the look", [](World& w) { w.state.gaps = {"one"}, w.options.now = kRetiredAt; }, "gap one\n"}};
  for (const Case& one : cases) {
    SCOPED_TRACE(one.what);
    EXPECT_EQ(gc(after_a_move(), one.change), one.said);
  }
}

TEST(Gc, AHiddenZvolGoesOnlyWhileWhatTookItsPlaceIsThere) {
  const Case cases[] = {
      {"successor gone",
       [](World& w) {
         std::erase_if(w.state.hosts[0].datasets, [](const auto& d) { return d.name == "tank/vm-701-disk-1"; });
       },
       R"((!) vm/ai-01: destroy tank/pvereconcile-retired-vm-701-disk-1-20261101T120000Z on pve1, retired 7 days ago: what took its place is not there any more: this may be the last copy => look at it; then on pve1: zfs destroy -r tank/pvereconcile-retired-vm-701-disk-1-20261101T120000Z
)"},
      {"successor no volume", [](World& w) { dataset(w.state, "tank/vm-701-disk-1").is_volume = false; },
       R"((!) vm/ai-01: destroy tank/pvereconcile-retired-vm-701-disk-1-20261101T120000Z on pve1, retired 7 days ago: what took its place is not there any more: this may be the last copy => look at it; then on pve1: zfs destroy -r tank/pvereconcile-retired-vm-701-disk-1-20261101T120000Z
)"},
      {"not settled", [](World& w) { dataset(w.state, "tank/vm-701-disk-1").marks.set(mark::kSettled, "no"); },
       R"((!) vm/ai-01: destroy tank/pvereconcile-retired-vm-701-disk-1-20261101T120000Z on pve1, retired 7 days ago: what took its place is not there any more: this may be the last copy => look at it; then on pve1: zfs destroy -r tank/pvereconcile-retired-vm-701-disk-1-20261101T120000Z
)"},
      {"no name", [](World& w) { dataset(w.state, kHidden).marks.erase(mark::kName); },
       R"((!) vm/ai-01: destroy tank/pvereconcile-retired-vm-701-disk-1-20261101T120000Z on pve1, retired 7 days ago: what took its place is not there any more: this may be the last copy => look at it; then on pve1: zfs destroy -r tank/pvereconcile-retired-vm-701-disk-1-20261101T120000Z
)"},
      // Its guest need not be there: a guest that is gone has taken its own volumes along.
      {"guest named by nobody", [](World& w) { w.wanted = fleet({}); }, R"(1 vm/guest-701 [destroy]
  {"dataset":"tank/pvereconcile-retired-vm-701-disk-1-20261101T120000Z","guid":"99","name":"destroy-dataset","node":"pve1"}
  after ; locks zfs/pve1/tank; node pve1; guard   
  scsi2: tank/pvereconcile-retired-vm-701-disk-1-20261101T120000Z, retired 7 days ago -> destroyed [destroy] (its retention of 7 days is over)
)"},
      {"no guest at all", [](World& w) { w.wanted = fleet({}), w.state.vms.clear(); }, R"(1 vm/701 [destroy]
  {"dataset":"tank/pvereconcile-retired-vm-701-disk-1-20261101T120000Z","guid":"99","name":"destroy-dataset","node":"pve1"}
  after ; locks zfs/pve1/tank; node pve1; guard   
  scsi2: tank/pvereconcile-retired-vm-701-disk-1-20261101T120000Z, retired 7 days ago -> destroyed [destroy] (its retention of 7 days is over)
)"}};
  for (const Case& one : cases) {
    SCOPED_TRACE(one.what);
    EXPECT_EQ(gc(after_an_exchange(), one.change), one.said);
  }
}

// The class "models" of SSD-r10 is declared and wanted by no disk any more.
World with_a_class(bool two_nodes = false) {
  World world;
  world.state = cluster(two_nodes);
  world.wanted = fleet({});
  auto document = std::make_shared<FleetDocument>();
  document->hash = "document-hash";
  WrittenStorage storage{.id = "SSD-r10"};
  storage.classes = {{.name = "models"}};
  document->storages = {storage};
  world.wanted.document = document;
  for (const LiveNode& node : world.state.nodes) {
    LiveHost host{.node = node.name, .zfs_version = "2.3.9"};
    LiveDataset models{.name = "tank/models"};
    models.properties.set("guid", "guid-of-" + node.name);
    add(host, models);
    world.state.hosts.push_back(host);
  }
  return world;
}

TEST(Gc, AClassThatNobodyUsesGoesWithItsDatasetOfEachNode) {
  EXPECT_EQ(gc(with_a_class(true)), R"(1 storage/SSD-r10-models [destroy]
  {"id":"SSD-r10-models","name":"delete-storage"}
  after ; locks storage/SSD-r10-models; node ; guard   
  storage: SSD-r10-models -> removed [destroy] rule Z4 (a block-size class that no disk uses)
2 storage/SSD-r10-models [destroy]
  {"dataset":"tank/models","guid":"guid-of-pve1","name":"destroy-dataset","node":"pve1"}
  after 1; locks zfs/pve1/tank; node pve1; guard   
  storage: tank/models on pve1 -> removed [destroy] rule Z4 (a block-size class that no disk uses)
3 storage/SSD-r10-models [destroy]
  {"dataset":"tank/models","guid":"guid-of-pve2","name":"destroy-dataset","node":"pve2"}
  after 1; locks zfs/pve2/tank; node pve2; guard   
  storage: tank/models on pve2 -> removed [destroy] rule Z4 (a block-size class that no disk uses)
)");
  const Case cases[] = {
      {"not allowed", [](World& w) { w.options.allow.destroy = false; },
       R"(storage/SSD-r10-models: remove storage "SSD-r10-models" and its dataset: this removes the entry and destroys its empty dataset => --allow destroy
)"},
      {"no dataset", [](World& w) { w.state.hosts[0].datasets.clear(); }, R"(1 storage/SSD-r10-models [destroy]
  {"id":"SSD-r10-models","name":"delete-storage"}
  after ; locks storage/SSD-r10-models; node ; guard   
  storage: SSD-r10-models -> removed [destroy] rule Z4 (a block-size class that no disk uses)
)"},
      {"something lies below", [](World& w) { add(w.state.hosts[0], zvol("tank/models/vm-1-disk-0", "1")); }, ""},
      {"something with a similar name", [](World& w) { add(w.state.hosts[0], zvol("tank/models2", "1")); },
       R"(1 storage/SSD-r10-models [destroy]
  {"id":"SSD-r10-models","name":"delete-storage"}
  after ; locks storage/SSD-r10-models; node ; guard   
  storage: SSD-r10-models -> removed [destroy] rule Z4 (a block-size class that no disk uses)
2 storage/SSD-r10-models [destroy]
  {"dataset":"tank/models","guid":"guid-of-pve1","name":"destroy-dataset","node":"pve1"}
  after 1; locks zfs/pve1/tank; node pve1; guard   
  storage: tank/models on pve1 -> removed [destroy] rule Z4 (a block-size class that no disk uses)
)"},
      {"a volume is listed", [](World& w) { list_volume(w.state, "SSD-r10-models:vm-1-disk-0", 1_GiB); }, ""},
      {"a guest names it",
       [](World& w) {
         LiveVm other = guest(900);
         attach(other, "scsi0", "SSD-r10-models:vm-900-disk-0");
         w.state.vms = {other};
       },
       ""},
      {"a guest will name it",
       [](World& w) {
         LiveVm other = guest(900);
         LiveDrive& drive = attach(other, "scsi0", "SSD-r10-models:vm-900-disk-0");
         std::swap(drive.current, drive.pending);
         w.state.vms = {other};
       },
       ""},
      {"a disk wants it", [](World& w) { w.wanted.storages = {{.id = "SSD-r10-models", .type = "zfspool"}}; }, ""},
      {"it is no zfspool",
       [](World& w) { std::ranges::find(w.state.storages, "SSD-r10-models", &LiveStorage::id)->type = "dir"; }, ""},
      {"it is not there",
       [](World& w) { std::erase_if(w.state.storages, [](const LiveStorage& s) { return s.id == "SSD-r10-models"; }); },
       ""},
      {"a node nobody looked at", [](World& w) { w.state.hosts[0].readable = false; },
       "gap Node pve1 cannot be reached: \n"},
      {"no document", [](World& w) { w.wanted.document = nullptr; }, ""}};
  for (const Case& one : cases) {
    SCOPED_TRACE(one.what);
    EXPECT_EQ(gc(with_a_class(), one.change), one.said);
  }
  // Under the id that the fleet gives it; and a node without the storage is not asked.
  World named = with_a_class(true);
  auto document = std::make_shared<FleetDocument>(*named.wanted.document);
  document->storages[0].classes = {{.name = "big", .id = Spanned<std::string>{.value = "SSD-r10-models"}}};
  named.wanted.document = document;
  std::ranges::find(named.state.storages, "SSD-r10-models", &LiveStorage::id)->properties.set("nodes", "pve2");
  named.state.hosts[0].readable = false;
  EXPECT_EQ(gc(named), R"(1 storage/SSD-r10-models [destroy]
  {"id":"SSD-r10-models","name":"delete-storage"}
  after ; locks storage/SSD-r10-models; node ; guard   
  storage: SSD-r10-models -> removed [destroy] rule Z4 (a block-size class that no disk uses)
2 storage/SSD-r10-models [destroy]
  {"dataset":"tank/models","guid":"guid-of-pve2","name":"destroy-dataset","node":"pve2"}
  after 1; locks zfs/pve2/tank; node pve2; guard   
  storage: tank/models on pve2 -> removed [destroy] rule Z4 (a block-size class that no disk uses)
gap Node pve1 cannot be reached: 
)");
}

TEST(Gc, SaysWhatItWasMadeFromAndWhatWasAllowed) {
  World world = after_a_move();
  world.state.partial = true;
  const Plan made = make_gc_plan(world.wanted, world.state, world.options);
  EXPECT_EQ(made.inputs.allow, std::vector<std::string>{"destroy"});
  EXPECT_EQ(made.inputs.document_hash, "document-hash");
  EXPECT_EQ(made.inputs.cluster_name, "lab");
  EXPECT_TRUE(made.partial);
  world.options.allow = {};
  EXPECT_TRUE(make_gc_plan(world.wanted, world.state, world.options).inputs.allow.empty());
}

// ---- rollback ----

std::string back(
    World world, const Change& change = [](World&) {}, const std::string& target = "vm/ai-01/models") {
  change(world);
  const Checked<Plan> made = make_rollback_plan(world.wanted, world.state, world.options, target);
  return made.ok() ? told(*made.value) : made.diagnostics.at(0).detail;
}

TEST(Rollback, TellsEachStepOfBothWays) {
  EXPECT_EQ(back(after_a_move()), R"(1 vm/ai-01 [restart]
  {"again":true,"name":"stop-vm","vmid":701}
  after ; locks vm/701; node pve1; guard digest-701 uuid-701 
  power: running -> stopped [restart] (what was asked for needs the guest stopped)
2 vm/ai-01/models [restart]
  {"name":"attach-volume","options":{"cache":"none","x-new":"1"},"replaces":"SSD-r10:vm-701-disk-1","slot":"scsi2","vmid":701,"volume":"SSD-r10:vm-701-disk-0"}
  after 1; locks vm/701; node pve1; guard  uuid-701 
  volume: SSD-r10:vm-701-disk-1 -> tank/vm-701-disk-0, as it was on 20261101T120000Z [restart] (asked for; what was written since is in the volume that is retired now)
3 vm/ai-01/models [no running guest affected]
  {"dataset":"tank/vm-701-disk-0","name":"set-zvol-properties","node":"pve1","set":{"pvereconcile:retired-at":""},"slot":"scsi2","vmid":701,"volume":"SSD-r10:vm-701-disk-0"}
  after 2; locks vm/701; node pve1; guard  uuid-701 
  mark: retired -> none [no running guest affected] (it is in use again)
4 vm/ai-01/models [no running guest affected]
  {"dataset":"tank/vm-701-disk-1","guid":"11","name":"retire-volume","node":"pve1","slot":"scsi2","vmid":701,"volume":"SSD-r10:vm-701-disk-1"}
  after 3; locks vm/701; node pve1; guard  uuid-701 
  volume: SSD-r10:vm-701-disk-1 -> retired [no running guest affected] (the older one takes its place)
5 vm/ai-01 [no running guest affected] in any case
  {"name":"start-vm","vmid":701}
  after 4; locks vm/701; node pve1; guard  uuid-701 
  power: stopped -> running [no running guest affected] (what was asked for needs the guest stopped)
)");
  EXPECT_EQ(back(after_an_exchange()), R"(1 vm/ai-01 [restart]
  {"again":true,"name":"stop-vm","vmid":701}
  after ; locks vm/701; node pve1; guard digest-701 uuid-701 
  power: running -> stopped [restart] (what was asked for needs the guest stopped)
2 vm/ai-01/models [restart]
  {"dataset":"tank/vm-701-disk-1","guid":"99","name":"roll-back-zvol","node":"pve1","slot":"scsi2","vmid":701,"volume":"SSD-r10:vm-701-disk-1"}
  after 1; locks storage/SSD-r10 vm/701; node pve1; guard  uuid-701 
  volume: SSD-r10:vm-701-disk-1 -> tank/pvereconcile-retired-vm-701-disk-1-20261101T120000Z, as it was on 20261101T120000Z [restart] (asked for; what was written since is in the volume that is retired now)
3 vm/ai-01 [no running guest affected] in any case
  {"name":"start-vm","vmid":701}
  after 2; locks vm/701; node pve1; guard  uuid-701 
  power: stopped -> running [no running guest affected] (what was asked for needs the guest stopped)
)");
  EXPECT_EQ(back(after_an_exchange(), [](World& w) { w.state.vms[0].power = PowerState::kStopped; }),
            R"(1 vm/ai-01/models [no running guest affected]
  {"dataset":"tank/vm-701-disk-1","guid":"99","name":"roll-back-zvol","node":"pve1","slot":"scsi2","vmid":701,"volume":"SSD-r10:vm-701-disk-1"}
  after ; locks storage/SSD-r10 vm/701; node pve1; guard digest-701 uuid-701 
  volume: SSD-r10:vm-701-disk-1 -> tank/pvereconcile-retired-vm-701-disk-1-20261101T120000Z, as it was on 20261101T120000Z [no running guest affected] (asked for; what was written since is in the volume that is retired now)
)");
  // The volume that goes is on a storage without marks.
  EXPECT_EQ(back(after_a_move(),
                 [](World& w) {
                   w.state.vms[0].power = PowerState::kStopped;
                   w.state.vms[0].drives.erase(w.state.vms[0].drives.begin());
                   attach(w.state.vms[0], "scsi2", "san:vm-701-disk-4,size=256G");
                 }),
            R"(1 vm/ai-01/models [no running guest affected]
  {"name":"attach-volume","replaces":"san:vm-701-disk-4","slot":"scsi2","vmid":701,"volume":"SSD-r10:vm-701-disk-0"}
  after ; locks vm/701; node pve1; guard digest-701 uuid-701 
  volume: san:vm-701-disk-4 -> tank/vm-701-disk-0, as it was on 20261101T120000Z [no running guest affected] (asked for; what was written since is in the volume that is retired now)
2 vm/ai-01/models [no running guest affected]
  {"dataset":"tank/vm-701-disk-0","name":"set-zvol-properties","node":"pve1","set":{"pvereconcile:retired-at":""},"slot":"scsi2","vmid":701,"volume":"SSD-r10:vm-701-disk-0"}
  after 1; locks vm/701; node pve1; guard  uuid-701 
  mark: retired -> none [no running guest affected] (it is in use again)
)");
  const std::string under_ha = back(after_a_move(), [](World& w) { w.state.ha.push_back({.sid = "vm:701"}); });
  EXPECT_NE(under_ha.find(R"({"again":true,"ha":true)"), std::string::npos) << under_ha;
  EXPECT_NE(under_ha.find(R"({"ha":true,"name":"start-vm")"), std::string::npos) << under_ha;
  EXPECT_EQ(back(
                after_a_move(), [](World&) {}, "vm/ai-01/scsi2"),
            back(after_a_move()));
}

TEST(Rollback, EveryReasonItCannotBeIsNamed) {
  const Case cases[] = {
      {"no host access", [](World& w) { w.state.hosts.clear(); },
       R"(vm/ai-01/models: put the retired volume of scsi2 back: it needs host access (SSH), and there is none => state cluster.ssh: {user: …} in the fleet file
)"},
      {"locked", [](World& w) { w.state.vms[0].lock = "backup"; },
       R"(vm/ai-01/models: put the retired volume of scsi2 back: the guest is locked (backup) => wait until it ends
)"},
      {"empty slot", [](World& w) { w.state.vms[0].drives.erase(w.state.vms[0].drives.begin()); },
       R"(vm/ai-01/models: put the retired volume of scsi2 back: scsi2 holds no volume => attach one first
)"},
      {"pending", [](World& w) { w.state.vms[0].drives[0].pending = w.state.vms[0].drives[0].current; },
       R"(vm/ai-01/models: put the retired volume of scsi2 back: the disk has a change that waits for a restart => restart the guest first, or revert it
)"},
      {"nothing retired", [](World& w) { dataset(w.state, "tank/vm-701-disk-0").marks = {}; },
       R"(vm/ai-01/models: put the retired volume of scsi2 back: no volume is marked as retired from scsi2 => 
)"},
      {"not of this guest", [](World& w) { dataset(w.state, "tank/vm-701-disk-0").marks.set(mark::kVmid, "702"); },
       R"(vm/ai-01/models: put the retired volume of scsi2 back: no volume is marked as retired from scsi2 => 
)"},
      {"not of this slot", [](World& w) { dataset(w.state, "tank/vm-701-disk-0").marks.set(mark::kSlot, "scsi1"); },
       R"(vm/ai-01/models: put the retired volume of scsi2 back: no volume is marked as retired from scsi2 => 
)"},
      {"not unused", [](World& w) { w.state.vms[0].drives.pop_back(); },
       R"(vm/ai-01/models: put the retired volume of scsi2 back: no volume is marked as retired from scsi2 => 
)"},
      {"no volume", [](World& w) { dataset(w.state, "tank/vm-701-disk-0").is_volume = false; },
       R"(vm/ai-01/models: put the retired volume of scsi2 back: no volume is marked as retired from scsi2 => 
)"},
      {"runs", [](World& w) { w.options.allow = {.offline_copy = true, .destroy = true}; },
       R"(vm/ai-01/models: put the retired volume of scsi2 back: the guest must be stopped for it => --allow restart
)"},
      {"given up by HA", [](World& w) { w.state.vms[0].ha_state = "error"; },
       R"(vm/ai-01/models: put the retired volume of scsi2 back: HA has given the guest up (service state "error") and refuses to start or stop it => find out why it did not start, then: ha-manager set vm:701 --state disabled; ha-manager set vm:701 --state started
)"},
      {"unreadable", [](World& w) { w.state.vms[0].readable = false; },
       R"(vm/ai-01/models: put a retired volume back: the guest cannot be read => 
)"},
      {"not there", [](World& w) { w.state.vms.clear(); },
       R"(vm/ai-01/models: put a retired volume back: the guest cannot be read => 
)"}};
  for (const Case& one : cases) {
    SCOPED_TRACE(one.what);
    EXPECT_EQ(back(after_a_move(), one.change), one.said);
  }
  for (const char* target : {"vm/ai-01/nothing", "vm/ai-01", "vm/nobody/models", "storage/SSD-r10", "nonsense"})
    EXPECT_EQ(back(
                  after_a_move(), [](World&) {}, target),
              std::string("\"") + target + "\" is no disk of this fleet. Write vm/NAME and the disk's name.");
  // A stopped guest needs no permission, and HA's opinion of it is no obstacle.
  const auto stopped = [](World& w) {
    w.options.allow = {};
    w.state.vms[0].power = PowerState::kStopped;
    w.state.vms[0].ha_state = "error";
  };
  EXPECT_NE(back(after_an_exchange(), stopped).find("roll-back-zvol"), std::string::npos);
}

TEST(Rollback, TakesTheYoungestThatBelongsThere) {
  const auto taken = [](const Change& change) {
    World world = after_an_exchange();
    change(world);
    const Checked<Plan> made = make_rollback_plan(world.wanted, world.state, world.options, "vm/ai-01/models");
    const auto steps = all<RollBackZvol>(*made.value);
    return steps.empty() ? std::string() : steps[0].guid;
  };
  const auto another = [](World& world, std::string_view stamp) {
    LiveDataset other = hidden_zvol(stamp);
    other.properties.set("guid", "100");
    add(world.state.hosts[0], other);
  };
  EXPECT_EQ(taken([&](World& w) { another(w, "20261102T120000Z"); }), "100");
  EXPECT_EQ(taken([&](World& w) { another(w, "20261031T120000Z"); }), "99");
  // It goes back under its name: another one's name would be taken.
  EXPECT_EQ(taken([&](World& w) { dataset(w.state, kHidden).marks.set(mark::kName, "vm-701-disk-5"); }), "");
  EXPECT_EQ(taken([&](World& w) {
              w.state.vms[0].drives.clear();
              attach(w.state.vms[0], "scsi2", "SSD-r10-models:vm-701-disk-1,size=256G");
            }),
            "");
  EXPECT_EQ(taken([&](World& w) {
              w.state.vms[0].drives.clear();
              attach(w.state.vms[0], "scsi2", "nowhere:vm-701-disk-1,size=256G");
            }),
            "");
}

TEST(Rollback, SaysWhetherTheRestartWasAllowed) {
  World world = after_a_move();
  using Words = std::vector<std::string>;
  const auto allowed = [&] {
    return make_rollback_plan(world.wanted, world.state, world.options, "vm/ai-01/models").value->inputs.allow;
  };
  EXPECT_EQ(allowed(), Words{"restart"});
  world.options.allow = {};
  EXPECT_EQ(allowed(), Words{});
}

}  // namespace
}  // namespace pvr::testing
