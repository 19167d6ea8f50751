// Plans word by word: what is done with what parameters, in which order, under which locks and guards, and for which
// reasons.

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "reconciler/planning/verify_plan.h"
#include "tests/unit/planning/world.h"

namespace pvr::testing {
namespace {

WrittenSettings ha_settings(std::string_view key, std::string_view text) {
  WrittenSettings out;
  out.set(key, {.value = option(Home::kHa, key, text)});
  return out;
}

TEST(ToldPlan, ANewGuestWithEverythingItNeeds) {
  ResolvedVm wanted = vm("new", 500);
  wanted.state = VmState::kRunning;
  wanted.pool = "prod/web";
  wanted.uuid = "11111111-2222-3333-4444-000000000500";
  wanted.ha = WrittenHa{.settings = ha_settings("max_restart", "2")};
  wanted.replication = {{.target = "pve2"}};
  set(wanted, "cores", "2");
  set(wanted, "cdrom", "local:iso/d.iso");
  wanted.disks = {disk("data", "scsi1", "local", "0.5GiB", "discard=on"),
                  disk("models", "scsi2", "SSD-r10-models", "64GiB"), disk("root", "scsi0", "SSD-r10", "20GiB")};
  wanted.disks[0].settings.set("format", {.value = std::string("qcow2")});
  wanted.disks[2].settings.set("format", {.value = std::string("raw")});
  wanted.disks[2].import_from = "local:import/debian.qcow2";
  ResolvedFleet all = fleet({wanted});
  all.storages = {{.id = "SSD-r10", .type = "zfspool"},
                  {.id = "SSD-r10-models", .type = "zfspool", .class_of = "SSD-r10", .class_name = "models"}};
  all.storages[0].properties.set("pool", stated(Home::kStorageOption, "pool", "tank"));
  all.storages[0].properties.set("sparse", stated(Home::kStorageOption, "sparse", "1"));
  all.storages[1].properties.set("pool", stated(Home::kStorageOption, "pool", "tank/models"));
  auto document = std::make_shared<FleetDocument>();
  document->pools = {{.id = "prod", .comment = Spanned<std::string>{.value = "all of it"}}, {.id = "prod/web"}};
  document->cluster.ssh_user = Spanned<std::string>{.value = "root"};
  all.document = document;
  LiveState state = cluster(true);
  std::erase_if(state.storages, [](const LiveStorage& s) { return s.id.starts_with("SSD"); });
  for (const char* node : {"pve1", "pve2"}) {
    LiveHost host{.node = node, .zfs_version = "2.3.9"};
    host.datasets = {{.name = "tank"}};
    state.hosts.push_back(host);
  }
  EXPECT_EQ(told(plan(all, state)), R"(1 storage/SSD-r10 [no running guest affected]
  {"id":"SSD-r10","name":"create-storage","properties":{"pool":"tank","sparse":"1"},"type":"zfspool"}
  after ; locks storage/SSD-r10; node ; guard   storage-digest
  pool: unset -> tank [no running guest affected] (stated in the fleet file)
  sparse: unset -> 1 [no running guest affected] (stated in the fleet file)
2 storage/SSD-r10-models [no running guest affected]
  {"dataset":"tank/models","name":"create-dataset","node":"pve1"}
  after ; locks zfs/pve1/tank; node pve1; guard   
  pool: none -> tank/models on pve1 [no running guest affected] rule Z4 (the storage needs a dataset of its own)
3 storage/SSD-r10-models [no running guest affected]
  {"dataset":"tank/models","name":"create-dataset","node":"pve2"}
  after ; locks zfs/pve2/tank; node pve2; guard   
  pool: none -> tank/models on pve2 [no running guest affected] rule Z4 (the storage needs a dataset of its own)
4 storage/SSD-r10-models [no running guest affected]
  {"id":"SSD-r10-models","name":"create-storage","properties":{"pool":"tank/models"},"type":"zfspool"}
  after 1 2 3; locks storage/SSD-r10-models; node ; guard   storage-digest
  pool: unset -> tank/models [no running guest affected] (stated in the fleet file)
5 pool/prod [no running guest affected]
  {"comment":"all of it","id":"prod","name":"create-pool"}
  after ; locks pool/prod; node ; guard   
6 pool/prod/web [no running guest affected]
  {"id":"prod/web","name":"create-pool"}
  after 5; locks pool/prod/web; node ; guard   
7 vm/new [no running guest affected]
  {"disks":{"ide2":"local:iso/d.iso,media=cdrom","scsi0":"SSD-r10:0,import-from=local:import/debian.qcow2","scsi1":"local:0.5,discard=on,format=qcow2","scsi2":"SSD-r10-models:64"},"name":"create-vm","node":"pve1","options":{"cores":"2","name":"new","smbios1":"uuid=11111111-2222-3333-4444-000000000500"},"pool":"prod/web","uuid":"11111111-2222-3333-4444-000000000500","vmid":500}
  after 1 4 6; locks copy/pve1 storage/SSD-r10 storage/SSD-r10-models storage/local vm/500; node pve1; guard   
  vm: none -> 500 on pve1 [no running guest affected] (the guest does not exist yet)
  cdrom: unset -> local:iso/d.iso,media=cdrom [no running guest affected] (stated in the fleet file)
  cores: unset -> 2 [no running guest affected] (stated in the fleet file)
  scsi1: none -> local:0.5,discard=on,format=qcow2 [no running guest affected] (stated in the fleet file)
  scsi1 discard: unset -> on [no running guest affected] rule D1
  scsi2: none -> SSD-r10-models:64 [no running guest affected] (stated in the fleet file)
  scsi0: none -> SSD-r10:0,import-from=local:import/debian.qcow2 [no running guest affected] (stated in the fleet file)
8 vm/new/root [no running guest affected]
  {"name":"resize-disk","size":21474836480,"slot":"scsi0","vmid":500,"volume":"SSD-r10:"}
  after 7; locks vm/500; node pve1; guard   
  size: size of the image -> 20GiB [no running guest affected] (stated in the fleet file)
9 ha/new [no running guest affected]
  {"create":true,"name":"set-ha","set":{"max_restart":"2"},"sid":"vm:500"}
  after 7 8; locks vm/500; node ; guard   
  max_restart: unset -> 2 [no running guest affected] (stated in the fleet file)
10 replication/new/pve2 [no running guest affected]
  {"create":true,"id":"500-0","name":"set-replication","target":"pve2"}
  after 7 8 9; locks vm/500; node ; guard   
  target:  -> pve2 [no running guest affected] (stated in the fleet file)
)");
  // The class's dataset is there on one node; nobody could look at the other.
  state.hosts[0].datasets.push_back({.name = "tank/models"});
  state.hosts[1].readable = false;
  PlanOptions options;
  const auto storage_steps = [&] {
    const Plan made = plan(all, state, options);
    std::string out;
    for (const Operation& op : made.operations)
      if (op.address.kind == AddressKind::kStorage) out += std::string(procedure_name(op.procedure)) + " ";
    for (const Finding& finding : made.findings) out += finding.what + finding.fix;
    return out + refusals(made);
  };
  EXPECT_EQ(storage_steps(),
            "create-storage create-storage Its dataset tank/models must exist before the storage is created; that "
            "cannot be seen from here.On pve1, pve2: zfs create -p tank/models");
  options.dataset_exists = [](std::string_view node, std::string_view) { return std::optional(node == "pve2"); };
  EXPECT_EQ(storage_steps(), "create-storage create-storage ");
  options.dataset_exists = [](std::string_view, std::string_view) { return std::optional(false); };
  EXPECT_EQ(
      storage_steps(),
      "create-storage storage/SSD-r10-models: create storage \"SSD-r10-models\": dataset tank/models does not exist on "
      "pve2 => on pve2: zfs create -p tank/models\n"
      "vm/new: create the guest: one of its disks cannot be made => see the disk\n"
      "vm/new/models: create scsi2: dataset tank/models does not exist on pve2 => on pve2: zfs create -p tank/models\n"
      "ha/new: put the guest under HA: the guest itself cannot be created => see there\n"
      "replication/new/pve2: replicate the guest: the guest itself cannot be created => see there\n");
  // Without its parent nothing can be made.
  state.hosts[1] = {.node = "pve2", .zfs_version = "2.3.9"};
  EXPECT_EQ(
      storage_steps(),
      "create-storage storage/SSD-r10-models: create storage \"SSD-r10-models\": dataset tank/models does not exist on "
      "pve2 => on pve2: zfs create -p tank/models\n"
      "vm/new: create the guest: one of its disks cannot be made => see the disk\n"
      "vm/new/models: create scsi2: dataset tank/models does not exist on pve2 => on pve2: zfs create -p tank/models\n"
      "ha/new: put the guest under HA: the guest itself cannot be created => see there\n"
      "replication/new/pve2: replicate the guest: the guest itself cannot be created => see there\n");
}

LiveVm the_template() {
  LiveVm source = guest(9000, PowerState::kStopped);
  source.name = "tpl";
  source.is_template = true;
  set(source, "template", "1");
  set(source, "smbios1", "uuid=9000");
  set(source, "vmgenid", "x");
  set(source, "cores", "1");
  source.options.set("numa", LiveOption{.has_current = false, .pending = "1"});
  set(source, "net0", "virtio=BC:24:11:AA:AA:AA,bridge=vmbr0");
  attach(source, "scsi0", "nfs:9000/base-9000-disk-0.raw,discard=on,size=3G");
  attach(source, "ide2", "local:iso/x.iso,media=cdrom");
  attach(source, "unused0", "nfs:9000/base-9000-disk-1.raw");
  return source;
}

TEST(ToldPlan, AFullCloneAndWhatFollowsIt) {
  ResolvedVm wanted = vm("dns", 202);
  wanted.clone = "tpl";
  wanted.pool = "prod";
  wanted.uuid = "11111111-2222-3333-4444-000000000202";
  wanted.state = VmState::kRunning;
  set(wanted, "cores", "2");
  set(wanted, "net0", "virtio,bridge=vmbr0");
  set(wanted, "numa", "0");
  wanted.disks = {disk("root", "scsi0", "san", "16GiB", "aio=io_uring,discard=on")};
  LiveState state = cluster();
  put(state, the_template());
  EXPECT_EQ(told(plan(fleet({wanted}), state)), R"(1 pool/prod [no running guest affected]
  {"id":"prod","name":"create-pool"}
  after ; locks pool/prod; node ; guard   
2 vm/dns [no running guest affected]
  {"full":true,"name":"clone-vm","pool":"prod","source":9000,"source_node":"pve1","storage":"san","vmid":202}
  after 1; locks copy/pve1 storage/san vm/202; node pve1; guard   
  copy {"bytes":3221225472,"estimate":31,"peak_extra":3221225472,"target_node":"pve1","target_storage":"san"}
  vm: none -> full clone of 9000 on pve1 [no running guest affected] (the guest does not exist yet)
3 vm/dns [no running guest affected]
  {"name":"set-vm-options","set":{"cores":"2","smbios1":"uuid=11111111-2222-3333-4444-000000000202"},"vmid":202}
  after 2; locks vm/202; node pve1; guard   
  cores: 1 -> 2 [no running guest affected] (stated in the fleet file)
  smbios1: unset -> uuid=11111111-2222-3333-4444-000000000202 [no running guest affected]
4 vm/dns/root [no running guest affected]
  {"name":"resize-disk","size":17179869184,"slot":"scsi0","vmid":202,"volume":"san:"}
  after 2; locks storage/san vm/202; node pve1; guard   
  size: 3GiB -> 16GiB [no running guest affected] (stated in the fleet file)
5 vm/dns/root [no running guest affected]
  {"name":"set-drive-options","set":{"aio":"io_uring"},"slot":"scsi0","vmid":202,"volume":"san:"}
  after 2 4; locks vm/202; node pve1; guard   
  aio: unset (= native here) -> io_uring [no running guest affected] rule D1
6 vm/dns [no running guest affected]
  {"name":"start-vm","vmid":202}
  after 2 3 4 5; locks vm/202; node pve1; guard   
  power: stopped -> running [no running guest affected] (the fleet wants it to run)
)");
  wanted.disks = {disk("data", "scsi1", "SSD-r10", "8GiB"), disk("root", "scsi0", "nfs", "3GiB", "discard=on")};
  wanted.pool.reset();
  wanted.uuid.reset();
  wanted.state = VmState::kPresent;
  wanted.ha = WrittenHa{.settings = ha_settings("state", "started")};
  EXPECT_EQ(told(plan(fleet({wanted}), state)), R"(1 vm/dns [no running guest affected]
  {"full":true,"name":"clone-vm","source":9000,"source_node":"pve1","vmid":202}
  after ; locks copy/pve1 vm/202; node pve1; guard   
  copy {"bytes":3221225472,"estimate":31,"peak_extra":3221225472,"target_node":"pve1","target_storage":"nfs"}
  vm: none -> full clone of 9000 on pve1 [no running guest affected] (the guest does not exist yet)
2 vm/dns [no running guest affected]
  {"name":"set-vm-options","set":{"cores":"2"},"vmid":202}
  after 1; locks vm/202; node pve1; guard   
  cores: 1 -> 2 [no running guest affected] (stated in the fleet file)
3 vm/dns/data [no running guest affected]
  {"name":"add-disk","size":8589934592,"slot":"scsi1","storage":"SSD-r10","vmid":202}
  after 1; locks storage/SSD-r10 vm/202; node pve1; guard   
  volume: none -> new on SSD-r10, 8GiB [no running guest affected] (the disk has no volume yet)
4 ha/dns [no running guest affected]
  {"create":true,"name":"set-ha","sid":"vm:202"}
  after 1 2 3; locks vm/202; node ; guard   
  ha: not managed -> managed [no running guest affected] (stated in the fleet file)
)");
}

TEST(ToldPlan, ALinkedCloneOnAnotherNode) {
  ResolvedVm wanted = vm("dns", 202);
  wanted.clone = "9000";
  wanted.linked_clone = true;
  wanted.node = "pve2";
  LiveState state = cluster(true);
  LiveVm source = the_template();
  source.drives.clear();
  attach(source, "scsi0", "nfs:9000/base-9000-disk-0.raw,size=3G");
  put(state, source);
  EXPECT_EQ(told(plan(fleet({wanted}), state)), R"(1 vm/dns [no running guest affected]
  {"name":"clone-vm","source":9000,"source_node":"pve1","target_node":"pve2","vmid":202}
  after ; locks vm/202; node pve1; guard   
  vm: none -> linked clone of 9000 on pve2 [no running guest affected] (the guest does not exist yet)
)");
}

TEST(ToldPlan, AGuestIsTakenAwayLast) {
  ResolvedVm gone = vm("old", 201);
  gone.state = VmState::kAbsent;
  LiveState state = cluster();
  put(state, guest(201));
  state.ha.push_back({.sid = "vm:201"});
  EXPECT_EQ(told(plan(fleet({gone}), state, {.allow = {.destroy = true}})), R"(1 vm/old [no running guest affected]
  {"name":"remove-ha","sid":"vm:201"}
  after ; locks vm/201; node pve1; guard digest-201 uuid-201 
  ha: managed -> not managed [no running guest affected] (state: absent in the fleet file)
2 vm/old [restart]
  {"name":"stop-vm","vmid":201}
  after 1; locks vm/201; node pve1; guard  uuid-201 
  power: running -> stopped [restart] (state: absent in the fleet file)
3 vm/old [destroy]
  {"name":"destroy-vm","uuid":"uuid-201","vmid":201}
  after 2; locks vm/201; node pve1; guard  uuid-201 
  vm: 201 -> destroyed [destroy] (state: absent in the fleet file)
)");
}

// A running guest of which nearly everything changes.
struct Changed {
  ResolvedVm wanted = vm("a", 201);
  LiveState state = cluster(true);
  Changed() {
    set(wanted, "onboot", "1");
    set(wanted, "cores", "4");
    set(wanted, "boot", "order=scsi0");
    set(wanted, "protection", "1");
    set(wanted, "scsihw", "virtio-scsi-single");
    wanted.options.set("description", Resolved{.origin = FromDocument{.layer = Layer::kVm}});
    wanted.disks = {disk("big", "scsi1", "SSD-r10", "16GiB", "discard=on,mbps_rd=100"),
                    disk("gone", "scsi2", "san", "8GiB"),
                    disk("image", "scsi3", "nfs", "9GiB", "ssd=1"),
                    disk("kept", "scsi4", "san", "8GiB"),
                    disk("moved", "scsi5", "san", "8GiB", "iothread=1"),
                    disk("new", "scsi6", "nfs", "1.5GiB"),
                    disk("root", "scsi0", "nfs", "8GiB")};
    wanted.disks[1].absent = true;
    wanted.disks[2].import_from = "local:import/x.qcow2";
    wanted.disks[2].settings.set("format", {.value = std::string("qcow2")});
    wanted.disks[3].detached = true;
    LiveVm present = guest(201);
    set(present, "description", "text");
    present.options.set("sockets", LiveOption{.current = "1", .pending = "2"});
    attach(present, "scsi0", "nfs:201/vm-201-disk-0.raw,size=8G");
    attach(present, "scsi1", "SSD-r10:vm-201-disk-1,size=8G");
    attach(present, "scsi2", "san:vm-201-disk-2,size=8G");
    attach(present, "scsi4", "san:vm-201-disk-4,size=8G");
    attach(present, "scsi5", "nfs:201/vm-201-disk-5.raw,size=8G");
    put(state, present);
  }
};

TEST(ToldPlan, ARunningGuestWhoseRestartIsAllowedAndOneWhoseIsNot) {
  const Changed world;
  EXPECT_EQ(told(plan(fleet({world.wanted}), world.state, {.allow = {.restart = true, .destroy = true}})),
            R"(1 vm/a [live]
  {"name":"set-vm-options","set":{"onboot":"1"},"unset":["description"],"vmid":201}
  after ; locks vm/201; node pve1; guard digest-201 uuid-201 
  description: text -> unset [live] (stated in the fleet file)
  onboot: unset -> 1 [live] (stated in the fleet file)
2 vm/a [restart]
  {"name":"set-vm-options","set":{"scsihw":"virtio-scsi-single"},"vmid":201}
  after ; locks vm/201; node pve1; guard  uuid-201 
  scsihw: unset -> virtio-scsi-single [restart] (stated in the fleet file)
3 vm/a/big [live]
  {"name":"resize-disk","size":17179869184,"slot":"scsi1","vmid":201,"volume":"SSD-r10:vm-201-disk-1"}
  after 2; locks storage/SSD-r10 vm/201; node pve1; guard  uuid-201 
  size: 8GiB -> 16GiB [live] (stated in the fleet file)
4 vm/a/big [live]
  {"name":"set-drive-options","set":{"mbps_rd":"100"},"slot":"scsi1","vmid":201,"volume":"SSD-r10:vm-201-disk-1"}
  after 2 3; locks vm/201; node pve1; guard  uuid-201 
  mbps_rd: unset -> 100 [live] rule D1
5 vm/a/big [restart]
  {"name":"set-drive-options","set":{"discard":"on"},"slot":"scsi1","vmid":201,"volume":"SSD-r10:vm-201-disk-1"}
  after 2 4; locks vm/201; node pve1; guard  uuid-201 
  discard: unset -> on [restart] rule D1
6 vm/a/gone [live]
  {"name":"detach-disk","slot":"scsi2","vmid":201,"volume":"san:vm-201-disk-2"}
  after 2; locks vm/201; node pve1; guard  uuid-201 
  scsi2: san:vm-201-disk-2 -> not attached [live] (stated in the fleet file)
7 vm/a/image [live]
  {"format":"qcow2","import_from":"local:import/x.qcow2","name":"add-disk","options":{"ssd":"1"},"slot":"scsi3","storage":"nfs","vmid":201}
  after 2; locks copy/pve1 storage/nfs vm/201; node pve1; guard  uuid-201 
  copy {"bytes":9663676416,"estimate":93,"peak_extra":9663676416,"target_node":"pve1","target_storage":"nfs"}
  volume: none -> import of local:import/x.qcow2 on nfs [live] (the disk has no volume yet)
  ssd: unset -> 1 [live] rule D1
8 vm/a/image [live]
  {"name":"resize-disk","size":9663676416,"slot":"scsi3","vmid":201,"volume":"nfs:"}
  after 2 7; locks vm/201; node pve1; guard  uuid-201 
  size: size of the image -> 9GiB [live] (stated in the fleet file)
9 vm/a/kept [live]
  {"name":"detach-disk","slot":"scsi4","vmid":201,"volume":"san:vm-201-disk-4"}
  after 2; locks vm/201; node pve1; guard  uuid-201 
  scsi4: san:vm-201-disk-4 -> not attached [live] (stated in the fleet file)
10 vm/a/moved [online copy]
  {"name":"move-disk","slot":"scsi5","storage":"san","vmid":201,"volume":"nfs:201/vm-201-disk-5.raw"}
  after 2; locks copy/pve1 storage/san vm/201; node pve1; guard  uuid-201 
  copy {"bytes":8589934592,"estimate":82,"peak_extra":8589934592,"target_node":"pve1","target_storage":"san"}
  storage: nfs -> san [online copy] (stated in the fleet file; the disk belongs on another storage)
11 vm/a/moved [restart]
  {"name":"set-drive-options","set":{"iothread":"1"},"slot":"scsi5","vmid":201,"volume":"san:"}
  after 2 10; locks vm/201; node pve1; guard  uuid-201 
  iothread: unset -> 1 [restart] rule D1
12 vm/a/new [live]
  {"name":"add-disk","size":1610612736,"slot":"scsi6","storage":"nfs","vmid":201}
  after 2; locks storage/nfs vm/201; node pve1; guard  uuid-201 
  volume: none -> new on nfs, 1.5GiB [live] (the disk has no volume yet)
13 vm/a [restart]
  {"name":"set-vm-options","set":{"boot":"order=scsi0","cores":"4"},"vmid":201}
  after ; locks vm/201; node pve1; guard  uuid-201 
  boot: unset -> scsi0 [restart] (stated in the fleet file)
  cores: unset -> 4 [restart] (stated in the fleet file)
14 vm/a [live]
  {"name":"set-vm-options","set":{"protection":"1"},"vmid":201}
  after ; locks vm/201; node pve1; guard  uuid-201 
  protection: unset -> 1 [live] (stated in the fleet file)
15 vm/a [restart]
  {"name":"restart-vm","vmid":201}
  after 1 2 3 4 5 6 7 8 9 10 11 12 13 14; locks vm/201; node pve1; guard  uuid-201 
  power: running -> restarted [restart] (makes pending changes active, also those nobody declared: sockets)
16 vm/a/gone [destroy]
  {"name":"destroy-volume","vmid":201,"volume":"san:vm-201-disk-2"}
  after 2 6 15; locks storage/san vm/201; node pve1; guard  uuid-201 
  volume: san:vm-201-disk-2 -> destroyed [destroy] (stated in the fleet file)
)");
  EXPECT_EQ(told(plan(fleet({world.wanted}), world.state)), R"(1 vm/a [live]
  {"name":"set-vm-options","set":{"onboot":"1"},"unset":["description"],"vmid":201}
  after ; locks vm/201; node pve1; guard digest-201 uuid-201 
  description: text -> unset [live] (stated in the fleet file)
  onboot: unset -> 1 [live] (stated in the fleet file)
2 vm/a [pending until restart]
  {"name":"set-vm-options","set":{"scsihw":"virtio-scsi-single"},"vmid":201}
  after ; locks vm/201; node pve1; guard  uuid-201 
  scsihw: unset -> virtio-scsi-single [pending until restart] (stated in the fleet file)
3 vm/a/big [live]
  {"name":"resize-disk","size":17179869184,"slot":"scsi1","vmid":201,"volume":"SSD-r10:vm-201-disk-1"}
  after 2; locks storage/SSD-r10 vm/201; node pve1; guard  uuid-201 
  size: 8GiB -> 16GiB [live] (stated in the fleet file)
4 vm/a/big [live]
  {"name":"set-drive-options","set":{"mbps_rd":"100"},"slot":"scsi1","vmid":201,"volume":"SSD-r10:vm-201-disk-1"}
  after 2 3; locks vm/201; node pve1; guard  uuid-201 
  mbps_rd: unset -> 100 [live] rule D1
5 vm/a/big [pending until restart]
  {"name":"set-drive-options","set":{"discard":"on"},"slot":"scsi1","vmid":201,"volume":"SSD-r10:vm-201-disk-1"}
  after 2 4; locks vm/201; node pve1; guard  uuid-201 
  discard: unset -> on [pending until restart] rule D1
6 vm/a/image [live]
  {"format":"qcow2","import_from":"local:import/x.qcow2","name":"add-disk","options":{"ssd":"1"},"slot":"scsi3","storage":"nfs","vmid":201}
  after 2; locks copy/pve1 storage/nfs vm/201; node pve1; guard  uuid-201 
  copy {"bytes":9663676416,"estimate":93,"peak_extra":9663676416,"target_node":"pve1","target_storage":"nfs"}
  volume: none -> import of local:import/x.qcow2 on nfs [live] (the disk has no volume yet)
  ssd: unset -> 1 [live] rule D1
7 vm/a/image [live]
  {"name":"resize-disk","size":9663676416,"slot":"scsi3","vmid":201,"volume":"nfs:"}
  after 2 6; locks vm/201; node pve1; guard  uuid-201 
  size: size of the image -> 9GiB [live] (stated in the fleet file)
8 vm/a/kept [live]
  {"name":"detach-disk","slot":"scsi4","vmid":201,"volume":"san:vm-201-disk-4"}
  after 2; locks vm/201; node pve1; guard  uuid-201 
  scsi4: san:vm-201-disk-4 -> not attached [live] (stated in the fleet file)
9 vm/a/moved [online copy]
  {"name":"move-disk","slot":"scsi5","storage":"san","vmid":201,"volume":"nfs:201/vm-201-disk-5.raw"}
  after 2; locks copy/pve1 storage/san vm/201; node pve1; guard  uuid-201 
  copy {"bytes":8589934592,"estimate":82,"peak_extra":8589934592,"target_node":"pve1","target_storage":"san"}
  storage: nfs -> san [online copy] (stated in the fleet file; the disk belongs on another storage)
10 vm/a/moved [pending until restart]
  {"name":"set-drive-options","set":{"iothread":"1"},"slot":"scsi5","vmid":201,"volume":"san:"}
  after 2 9; locks vm/201; node pve1; guard  uuid-201 
  iothread: unset -> 1 [pending until restart] rule D1
11 vm/a/new [live]
  {"name":"add-disk","size":1610612736,"slot":"scsi6","storage":"nfs","vmid":201}
  after 2; locks storage/nfs vm/201; node pve1; guard  uuid-201 
  volume: none -> new on nfs, 1.5GiB [live] (the disk has no volume yet)
12 vm/a [pending until restart]
  {"name":"set-vm-options","set":{"boot":"order=scsi0","cores":"4"},"vmid":201}
  after ; locks vm/201; node pve1; guard  uuid-201 
  boot: unset -> scsi0 [pending until restart] (stated in the fleet file)
  cores: unset -> 4 [pending until restart] (stated in the fleet file)
13 vm/a [live]
  {"name":"set-vm-options","set":{"protection":"1"},"vmid":201}
  after ; locks vm/201; node pve1; guard  uuid-201 
  protection: unset -> 1 [live] (stated in the fleet file)
vm/a/gone: remove scsi2 and destroy its volume: this destroys data => --allow destroy
)");
}

TEST(ToldPlan, TheSameGuestStopped) {
  Changed world;
  world.state.vms[0].power = PowerState::kStopped;
  world.state.vms[0].options.erase("sockets");
  EXPECT_EQ(told(plan(fleet({world.wanted}), world.state, {.allow = everything()})),
            R"(1 vm/a [no running guest affected]
  {"name":"set-vm-options","set":{"cores":"4","onboot":"1"},"unset":["description"],"vmid":201}
  after ; locks vm/201; node pve1; guard digest-201 uuid-201 
  cores: unset -> 4 [no running guest affected] (stated in the fleet file)
  description: text -> unset [no running guest affected] (stated in the fleet file)
  onboot: unset -> 1 [no running guest affected] (stated in the fleet file)
2 vm/a [no running guest affected]
  {"name":"set-vm-options","set":{"scsihw":"virtio-scsi-single"},"vmid":201}
  after ; locks vm/201; node pve1; guard  uuid-201 
  scsihw: unset -> virtio-scsi-single [no running guest affected] (stated in the fleet file)
3 vm/a/big [no running guest affected]
  {"name":"resize-disk","size":17179869184,"slot":"scsi1","vmid":201,"volume":"SSD-r10:vm-201-disk-1"}
  after 2; locks storage/SSD-r10 vm/201; node pve1; guard  uuid-201 
  size: 8GiB -> 16GiB [no running guest affected] (stated in the fleet file)
4 vm/a/big [no running guest affected]
  {"name":"set-drive-options","set":{"discard":"on","mbps_rd":"100"},"slot":"scsi1","vmid":201,"volume":"SSD-r10:vm-201-disk-1"}
  after 2 3; locks vm/201; node pve1; guard  uuid-201 
  discard: unset -> on [no running guest affected] rule D1
  mbps_rd: unset -> 100 [no running guest affected] rule D1
5 vm/a/gone [no running guest affected]
  {"name":"detach-disk","slot":"scsi2","vmid":201,"volume":"san:vm-201-disk-2"}
  after 2; locks vm/201; node pve1; guard  uuid-201 
  scsi2: san:vm-201-disk-2 -> not attached [no running guest affected] (stated in the fleet file)
6 vm/a/image [no running guest affected]
  {"format":"qcow2","import_from":"local:import/x.qcow2","name":"add-disk","options":{"ssd":"1"},"slot":"scsi3","storage":"nfs","vmid":201}
  after 2; locks copy/pve1 storage/nfs vm/201; node pve1; guard  uuid-201 
  copy {"bytes":9663676416,"estimate":93,"peak_extra":9663676416,"target_node":"pve1","target_storage":"nfs"}
  volume: none -> import of local:import/x.qcow2 on nfs [no running guest affected] (the disk has no volume yet)
  ssd: unset -> 1 [no running guest affected] rule D1
7 vm/a/image [no running guest affected]
  {"name":"resize-disk","size":9663676416,"slot":"scsi3","vmid":201,"volume":"nfs:"}
  after 2 6; locks vm/201; node pve1; guard  uuid-201 
  size: size of the image -> 9GiB [no running guest affected] (stated in the fleet file)
8 vm/a/kept [no running guest affected]
  {"name":"detach-disk","slot":"scsi4","vmid":201,"volume":"san:vm-201-disk-4"}
  after 2; locks vm/201; node pve1; guard  uuid-201 
  scsi4: san:vm-201-disk-4 -> not attached [no running guest affected] (stated in the fleet file)
9 vm/a/moved [offline copy]
  {"name":"move-disk","slot":"scsi5","storage":"san","vmid":201,"volume":"nfs:201/vm-201-disk-5.raw"}
  after 2; locks copy/pve1 storage/san vm/201; node pve1; guard  uuid-201 
  copy {"bytes":8589934592,"downtime":82,"estimate":82,"peak_extra":8589934592,"target_node":"pve1","target_storage":"san"}
  storage: nfs -> san [offline copy] (stated in the fleet file; the disk belongs on another storage)
10 vm/a/moved [no running guest affected]
  {"name":"set-drive-options","set":{"iothread":"1"},"slot":"scsi5","vmid":201,"volume":"san:"}
  after 2 9; locks vm/201; node pve1; guard  uuid-201 
  iothread: unset -> 1 [no running guest affected] rule D1
11 vm/a/new [no running guest affected]
  {"name":"add-disk","size":1610612736,"slot":"scsi6","storage":"nfs","vmid":201}
  after 2; locks storage/nfs vm/201; node pve1; guard  uuid-201 
  volume: none -> new on nfs, 1.5GiB [no running guest affected] (the disk has no volume yet)
12 vm/a [no running guest affected]
  {"name":"set-vm-options","set":{"boot":"order=scsi0","protection":"1"},"vmid":201}
  after ; locks vm/201; node pve1; guard  uuid-201 
  boot: unset -> scsi0 [no running guest affected] (stated in the fleet file)
  protection: unset -> 1 [no running guest affected] (stated in the fleet file)
13 vm/a/gone [destroy]
  {"name":"destroy-volume","vmid":201,"volume":"san:vm-201-disk-2"}
  after 2 5; locks storage/san vm/201; node pve1; guard  uuid-201 
  volume: san:vm-201-disk-2 -> destroyed [destroy] (stated in the fleet file)
)");
}

TEST(ToldPlan, IoUringGoesForTheMoveAndComesBack) {
  ResolvedVm wanted = vm("a", 201);
  wanted.disks = {disk("root", "scsi0", "san", "32GiB", "aio=io_uring,cache=none,ssd=1")};
  LiveState state = cluster();
  LiveVm present = guest(201);
  attach(present, "scsi0", "nfs:201/vm-201-disk-0.raw,aio=io_uring,size=32G");
  put(state, present);
  EXPECT_EQ(told(plan(fleet({wanted}), state, {.allow = {.restart = true}})), R"(1 vm/a/root [restart]
  {"name":"set-drive-options","set":{"aio":""},"slot":"scsi0","vmid":201,"volume":"nfs:201/vm-201-disk-0.raw"}
  after ; locks vm/201; node pve1; guard digest-201 uuid-201 
  aio: io_uring -> unset, for the move [restart] rule A5 (PVE refuses a live move to this storage while io_uring is stated)
2 vm/a/root [restart]
  {"name":"set-drive-options","set":{"ssd":"1"},"slot":"scsi0","vmid":201,"volume":"nfs:201/vm-201-disk-0.raw"}
  after 1; locks vm/201; node pve1; guard  uuid-201 
  ssd: unset -> 1 [restart] rule D1
3 vm/a [restart]
  {"name":"restart-vm","vmid":201}
  after 1 2; locks vm/201; node pve1; guard  uuid-201 
  power: running -> restarted [restart] (makes pending changes active)
4 vm/a/root [online copy]
  {"name":"move-disk","slot":"scsi0","storage":"san","vmid":201,"volume":"nfs:201/vm-201-disk-0.raw"}
  after 2 3; locks copy/pve1 storage/san vm/201; node pve1; guard  uuid-201 
  copy {"bytes":34359738368,"estimate":328,"peak_extra":34359738368,"target_node":"pve1","target_storage":"san"}
  storage: nfs -> san [online copy] (stated in the fleet file; the disk belongs on another storage)
5 vm/a/root [restart]
  {"name":"set-drive-options","set":{"aio":"io_uring"},"slot":"scsi0","vmid":201,"volume":"san:"}
  after 3 4; locks vm/201; node pve1; guard  uuid-201 
  aio: unset -> io_uring [restart] rule D1
6 vm/a [restart]
  {"name":"restart-vm","vmid":201}
  after 1 2 3 4 5; locks vm/201; node pve1; guard  uuid-201 
  power: running -> restarted [restart] (makes what was set after the move active)
)");
}

TEST(ToldPlan, ADiskInAnotherSlot) {
  ResolvedVm wanted = vm("a", 201);
  wanted.disks = {disk("data", "virtio3", "san", "64GiB", "backup=0"), disk("root", "scsi0", "san", "32GiB")};
  wanted.disks[0].settings.set("discard", Resolved{.origin = FromRule{.rule = "D1"}});
  LiveState state = cluster();
  LiveVm present = guest(201);
  attach(present, "scsi0", "san:vm-201-disk-0,size=32G");
  attach(present, "scsi1", "san:vm-201-disk-1,discard=on,mbps_rd=9,size=64G,ssd=1");
  put(state, present);
  EXPECT_EQ(told(plan(fleet({wanted}), state, {.allow = {.restart = true}})), R"(1 vm/a [restart]
  {"again":true,"name":"stop-vm","vmid":201}
  after ; locks vm/201; node pve1; guard digest-201 uuid-201 
  power: running -> stopped [restart] (what follows needs the guest stopped)
2 vm/a/data [restart]
  {"from":"scsi1","name":"attach-volume","options":{"backup":"0","mbps_rd":"9"},"slot":"virtio3","vmid":201,"volume":"san:vm-201-disk-1"}
  after 1; locks vm/201; node pve1; guard  uuid-201 
  slot: scsi1 -> virtio3 [restart] (the disk's data is in san:vm-201-disk-1)
  backup: unset -> 0 [restart] rule D1
  discard: on -> unset [restart] rule D1
3 vm/a [no running guest affected] in any case
  {"name":"start-vm","vmid":201}
  after 1 2; locks vm/201; node pve1; guard  uuid-201 
  power: stopped -> running [no running guest affected] (it ran before)
)");
}

TEST(ToldPlan, HaReplicationPoolsAndStorages) {
  LiveState state = cluster(true);
  state.ha_digest = "ha-digest";
  state.replication_digest = "replication-digest";
  state.pools = {"old"};
  std::vector<ResolvedVm> wanted;
  const auto add = [&](std::uint32_t id, std::optional<WrittenHa> ha, std::vector<WrittenReplication> jobs) {
    wanted.push_back(vm("vm-" + std::to_string(id), id));
    wanted.back().ha = std::move(ha);
    wanted.back().replication = std::move(jobs);
    put(state, guest(id));
  };
  const auto managed = [&](std::uint32_t id, const char* restarts) {
    state.ha.push_back({.sid = "vm:" + std::to_string(id)});
    state.ha.back().properties.set("state", "enabled");
    state.ha.back().properties.set("comment", "x");
    state.ha.back().properties.set("max_restart", restarts);
  };
  const auto job = [](const char* target, const char* rate) {
    WrittenReplication out{.target = target};
    if (*rate != '\0') out.settings.set("rate", {.value = option(Home::kReplication, "rate", rate)});
    return out;
  };
  add(201, WrittenHa{}, {});
  add(202, WrittenHa{.settings = ha_settings("state", "started")}, {});
  managed(202, "1");
  add(203, WrittenHa{.settings = ha_settings("max_restart", "2")}, {});
  managed(203, "1");
  // What is so already is neither written again nor told.
  wanted.back().ha->settings.set("comment", {.value = option(Home::kHa, "comment", "x")});
  add(204, WrittenHa{.enabled = false}, {});
  managed(204, "1");
  add(205, WrittenHa{.settings = {}}, {job("pve2", "")});
  managed(205, "1");
  wanted.back().ha->settings.set("comment", {.value = OptionValue{}});
  add(206, {}, {job("pve2", "10")});
  add(207, {}, {job("pve2", "10")});
  wanted.back().replication[0].settings.set("schedule", {.value = option(Home::kReplication, "schedule", "*/5")});
  state.replication = {{.id = "207-3", .guest = {207}, .target = "pve2"}};
  state.replication[0].properties.set("rate", "20");
  state.replication[0].properties.set("schedule", "*/5");
  add(208, WrittenHa{.enabled = false}, {});
  wanted[0].pool = "new/below";
  wanted[1].pool = "old";
  wanted[2].pool = "old";
  ResolvedFleet all = fleet(wanted);
  auto document = std::make_shared<FleetDocument>();
  document->pools = {{.id = "new"}};
  all.document = document;
  all.storages = {{.id = "nfs", .type = "nfs"}, {.id = "san", .type = "lvm"}};
  all.storages[0].properties.set("content", stated(Home::kStorageOption, "content", "images,iso"));
  all.storages[1].properties.set("content", stated(Home::kStorageOption, "content", "images"));
  all.storages[1].properties.set("nodes", Resolved{.origin = FromDocument{.layer = Layer::kStorage}});
  std::ranges::find(state.storages, "san", &LiveStorage::id)->properties.set("nodes", "pve1");
  EXPECT_EQ(told(plan(all, state)), R"(1 storage/nfs [no running guest affected]
  {"id":"nfs","name":"update-storage","set":{"content":"images,iso"}}
  after ; locks storage/nfs; node ; guard   storage-digest
  content: images -> images,iso [no running guest affected] (stated in the fleet file)
2 storage/san [no running guest affected]
  {"id":"san","name":"update-storage","unset":["nodes"]}
  after ; locks storage/san; node ; guard   storage-digest
  nodes: pve1 -> unset [no running guest affected] (stated in the fleet file)
3 pool/new [no running guest affected]
  {"id":"new","name":"create-pool"}
  after ; locks pool/new; node ; guard   
4 pool/new/below [no running guest affected]
  {"id":"new/below","name":"create-pool"}
  after 3; locks pool/new/below; node ; guard   
5 pool/new/below [no running guest affected]
  {"id":"new/below","name":"add-to-pool","vmid":201}
  after 4; locks pool/new/below; node ; guard   
  members:  -> 201 [no running guest affected] (stated in the fleet file)
6 pool/old [no running guest affected]
  {"id":"old","name":"add-to-pool","vmid":202}
  after ; locks pool/old; node ; guard   
  members:  -> 202 [no running guest affected] (stated in the fleet file)
7 pool/old [no running guest affected]
  {"id":"old","name":"add-to-pool","vmid":203}
  after ; locks pool/old; node ; guard   
  members:  -> 203 [no running guest affected] (stated in the fleet file)
8 ha/vm-201 [no running guest affected]
  {"create":true,"name":"set-ha","sid":"vm:201"}
  after ; locks vm/201; node ; guard digest-201 uuid-201 ha-digest
  ha: not managed -> managed [no running guest affected] (stated in the fleet file)
9 ha/vm-203 [no running guest affected]
  {"name":"set-ha","set":{"max_restart":"2"},"sid":"vm:203"}
  after ; locks vm/203; node ; guard digest-203 uuid-203 ha-digest
  max_restart: 1 -> 2 [no running guest affected] (stated in the fleet file)
10 ha/vm-204 [no running guest affected]
  {"name":"remove-ha","sid":"vm:204"}
  after ; locks vm/204; node ; guard digest-204 uuid-204 ha-digest
  ha: managed -> not managed [no running guest affected] (stated in the fleet file)
11 ha/vm-205 [no running guest affected]
  {"name":"set-ha","sid":"vm:205","unset":["comment"]}
  after ; locks vm/205; node ; guard digest-205 uuid-205 ha-digest
  comment: x -> unset [no running guest affected] (stated in the fleet file)
12 replication/vm-205/pve2 [no running guest affected]
  {"create":true,"id":"205-0","name":"set-replication","target":"pve2"}
  after 11; locks vm/205; node ; guard   replication-digest
  target:  -> pve2 [no running guest affected] (stated in the fleet file)
13 replication/vm-206/pve2 [no running guest affected]
  {"create":true,"id":"206-0","name":"set-replication","set":{"rate":"10"},"target":"pve2"}
  after ; locks vm/206; node ; guard   replication-digest
  rate: unset -> 10 [no running guest affected] (stated in the fleet file)
  target:  -> pve2 [no running guest affected] (stated in the fleet file)
14 replication/vm-207/pve2 [no running guest affected]
  {"id":"207-3","name":"set-replication","set":{"rate":"10"},"target":"pve2"}
  after ; locks vm/207; node ; guard   replication-digest
  rate: 20 -> 10 [no running guest affected] (stated in the fleet file)
)");
}

// ---- the plan as a whole ----

TEST(ToldPlan, ItsInputsAreNoted) {
  ResolvedFleet all = fleet({vm("a", 201)});
  auto document = std::make_shared<FleetDocument>();
  document->hash = "hash";
  document->cluster.ssh_user = Spanned<std::string>{.value = "ops"};
  document->cluster.ssh_sudo = true;
  document->cluster.ssh_port = 2222;
  document->cluster.ssh_hosts.set("pve1", Spanned<std::string>{.value = "10.0.0.1"});
  document->cluster.ssh_local = false;
  all.document = document;
  LiveState state = cluster();
  put(state, guest(201));
  state.gaps = {"a gap"};
  state.quorate = false;
  state.partial = true;
  PlanOptions options;
  options.now = std::chrono::sys_days(std::chrono::year(2026) / 11 / 21) + std::chrono::hours(1);
  Plan made = plan(all, state, options);
  EXPECT_EQ(made.gaps,
            (std::vector<std::string>{"The cluster has no quorum, so nothing can be changed now.", "a gap"}));
  EXPECT_TRUE(made.partial);
  EXPECT_EQ(made.inputs.document_hash, "hash");
  EXPECT_EQ(made.inputs.cluster_name, "lab");
  EXPECT_EQ(made.inputs.made_at, "2026-11-21T01:00:00Z");
  ASSERT_TRUE(made.inputs.ssh);
  EXPECT_EQ(made.inputs.ssh->user, "ops");
  EXPECT_TRUE(made.inputs.ssh->sudo);
  EXPECT_EQ(made.inputs.ssh->port, 2222U);
  EXPECT_EQ(made.inputs.ssh->local, false);
  ASSERT_NE(made.inputs.ssh->hosts.find("pve1"), nullptr);
  EXPECT_EQ(*made.inputs.ssh->hosts.find("pve1"), "10.0.0.1");
  EXPECT_TRUE(made.inputs.allow.empty());
  using Words = std::vector<std::string>;
  EXPECT_EQ(plan(all, state, {.allow = {.restart = true}}).inputs.allow, Words{"restart"});
  EXPECT_EQ(plan(all, state, {.allow = {.offline_copy = true}}).inputs.allow, Words{"offline-copy"});
  EXPECT_EQ(plan(all, state, {.allow = {.destroy = true}}).inputs.allow, Words{"destroy"});
  EXPECT_EQ(made.unchanged_vms, 1U);
}

TEST(ToldPlan, SectionDigestsAreNotedForWhatTheyGuard) {
  ResolvedVm wanted = vm("a", 201);
  wanted.ha = WrittenHa{};
  wanted.replication = {{.target = "pve2"}};
  ResolvedFleet all = fleet({wanted});
  all.storages = {{.id = "new", .type = "dir"}};
  all.storages[0].properties.set("path", stated(Home::kStorageOption, "path", "/x"));
  LiveState state = cluster(true);
  put(state, guest(201));
  state.ha_digest = "h";
  state.replication_digest = "r";
  const Plan made = plan(all, state);
  const std::map<std::string, std::string> expected = {
      {"ha", "h"}, {"replication", "r"}, {"storage", "storage-digest"}, {"vm/201", "digest-201"}};
  EXPECT_EQ(made.inputs.digests, expected) << show(made);
}

TEST(PlanTargets, AreFoundByKindAndNameAndPart) {
  ResolvedVm wanted = vm("a", 201);
  wanted.disks = {disk("root", "scsi0", "san", "32GiB")};
  ResolvedFleet all = fleet({wanted});
  all.storages = {{.id = "san", .type = "lvm"}};
  all.hosts = {{.node = "pve1", .parts = {{.name = ""}, {.name = "tank"}}}};
  auto document = std::make_shared<FleetDocument>();
  document->pools = {{.id = "prod"}};
  all.document = document;
  const LiveState state = cluster();
  const Diff difference = diff(all, state);
  const auto known = [&](const char* target) { return make_plan(all, difference, state, {.targets = {target}}).ok(); };
  for (const char* target : {"vm/a", "vm/a/root", "storage/san", "pool/prod", "host/pve1", "host/pve1/tank", "ha/a"})
    EXPECT_TRUE(known(target)) << target;
  for (const char* target :
       {"vm/b", "vm/a/data", "storage/nfs", "pool/test", "host/pve2", "host/pve1/lake", "ha/b", "x", ""})
    EXPECT_FALSE(known(target)) << target;
  all.document.reset();
  EXPECT_FALSE(known("pool/prod"));
}

TEST(PlanTargets, KeepOnlyWhatIsSaidOfThem) {
  std::vector<ResolvedVm> wanted;
  LiveState state = cluster();
  for (const std::uint32_t id : {201U, 202U}) {
    wanted.push_back(vm("vm-" + std::to_string(id), id));
    set(wanted.back(), "args", "-x");  // refused
    set(wanted.back(), "cores", "2");  // waits
    wanted.back().options.set("numa", by_rule(Home::kVmOption, "numa", "1", "N1"));
    wanted.back().options.find("numa")->finding_only = true;
    LiveVm present = guest(id);
    present.options.set("cores", LiveOption{.current = "1", .pending = "2"});
    put(state, present);
  }
  const Plan one = plan(fleet(wanted), state, {.targets = {"vm/vm-202"}});
  ASSERT_EQ(one.blocked.size(), 1U) << show(one);
  EXPECT_EQ(one.blocked[0].address.name, "vm-202");
  ASSERT_EQ(one.waiting.size(), 1U);
  EXPECT_EQ(one.waiting[0].address.name, "vm-202");
  ASSERT_EQ(one.findings.size(), 1U);
  EXPECT_EQ(one.findings[0].where.name, "vm-202");
  EXPECT_EQ(one.unchanged_vms, 0U);
}

// A guest that waits for a restart is no unchanged one, one that is in order is.
TEST(ToldPlan, UnchangedGuestsAreCounted) {
  LiveState state = cluster();
  for (const std::uint32_t id : {201U, 202U, 203U}) put(state, guest(id));
  state.vms[0].options.set("cores", LiveOption{.current = "1", .pending = "2"});
  state.vms[1].options.set("cores", LiveOption{.current = "1"});
  ResolvedVm waits = vm("a", 201);
  set(waits, "cores", "2");
  ResolvedVm blocked = vm("b", 202);
  blocked.state = VmState::kStopped;
  EXPECT_EQ(plan(fleet({waits, blocked, vm("c", 203)}), state).unchanged_vms, 1U);
}

// ---- memory ----

TEST(PlanMemory, EveryBoundary) {
  struct Case {
    PowerState power;
    const char* configured;  // MiB; nothing: unset
    const char* wanted;
    VmState state;
    ByteSize room;
    const char* operations;
    std::size_t blocked;
  };
  const Case cases[] = {// Another guest of 1 GiB runs there.
                        {PowerState::kRunning, "1024", "2048", VmState::kPresent, 3_GiB, "set-vm-options", 0},
                        {PowerState::kRunning, "1024", "2048", VmState::kPresent, ByteSize{(3_GiB).bytes - 1}, "", 1},
                        {PowerState::kPaused, "1024", "2048", VmState::kPresent, ByteSize{(3_GiB).bytes - 1}, "", 1},
                        {PowerState::kStopped, "1024", "2048", VmState::kPresent, 1_GiB, "set-vm-options", 0},
                        {PowerState::kStopped, "1024", "2048", VmState::kRunning, ByteSize{(3_GiB).bytes - 1}, "", 2},
                        {PowerState::kStopped, "1024", "2048", VmState::kRunning, 3_GiB, "set-vm-options start-vm", 0},
                        {PowerState::kStopped, "1024", "1024", VmState::kRunning, ByteSize{(2_GiB).bytes - 1}, "", 1},
                        {PowerState::kStopped, "1024", "512", VmState::kRunning,
                         ByteSize{(1_GiB).bytes + (512_MiB).bytes}, "set-vm-options start-vm", 0},
                        {PowerState::kStopped, "1024", "512", VmState::kRunning,
                         ByteSize{(1_GiB).bytes + (511_MiB).bytes}, "set-vm-options", 1},
                        {PowerState::kRunning, "2048", "2048", VmState::kRunning, 1_GiB, "", 0},
                        {PowerState::kRunning, "", "512", VmState::kPresent, 1_GiB, "", 0},
                        {PowerState::kRunning, "", "513", VmState::kPresent, 1_GiB, "", 1}};
  for (const Case& one : cases) {
    SCOPED_TRACE(std::string(one.configured) + " " + one.wanted + " " + to_text(one.room));
    LiveState state = cluster();
    LiveVm present = guest(201, one.power);
    if (*one.configured != '\0') {
      set(present, "memory", one.configured);
      present.memory = ByteSize{std::stoull(one.configured) << 20U};
    }
    put(state, present);
    LiveVm other = guest(202);
    other.memory = 1_GiB;
    put(state, other);
    LiveVm off = guest(203, PowerState::kStopped);
    off.memory = 64_GiB;
    put(state, off);
    ResolvedVm wanted = vm("a", 201);
    wanted.state = one.state;
    set(wanted, "memory", one.wanted);
    PlanOptions options;
    options.guest_memory = [&](const std::string& node) {
      return node == "pve1" ? std::optional(one.room) : std::nullopt;
    };
    const Plan made = plan(fleet({wanted}), state, options);
    EXPECT_EQ(names(made), one.operations) << show(made);
    EXPECT_EQ(made.blocked.size(), one.blocked) << show(made);
  }
}

// One disk of the template lies there already, the other one does not.
TEST(PlanClone, GoesToTheStorageThatAllItsDisksBelongOn) {
  ResolvedVm wanted = vm("a", 201);
  wanted.clone = "9000";
  wanted.disks = {disk("root", "scsi0", "san", "3GiB"), disk("data", "scsi1", "san", "3GiB")};
  LiveState state = cluster();
  LiveVm source = guest(9000, PowerState::kStopped);
  attach(source, "scsi0", "nfs:9000/base-9000-disk-0.raw,size=3G");
  attach(source, "scsi1", "san:base-9000-disk-1,size=3G");
  put(state, source);
  EXPECT_EQ(all<CloneVm>(plan(fleet({wanted}), state)).at(0).storage, "san");
  wanted.disks[1] = disk("data", "scsi1", "thick", "3GiB");
  EXPECT_EQ(all<CloneVm>(plan(fleet({wanted}), state)).at(0).storage, "");
}

// A stop that serves a copy makes everything active that was written before it.
TEST(PlanImpact, WhatIsWrittenBeforeAStopIsActiveAfterIt) {
  ResolvedVm wanted = vm("a", 201);
  set(wanted, "cores", "4");
  wanted.disks = {disk("tpm", "tpmstate0", "SSD-r10", "")};
  LiveState state = cluster();
  LiveVm present = guest(201);
  attach(present, "tpmstate0", "san:vm-201-disk-1,size=4M,version=v2.0");
  put(state, present);
  const auto impact = [&](const PlanOptions& options) {
    const Plan made = plan(fleet({wanted}), state, options);
    for (const Operation& op : made.operations)
      if (std::holds_alternative<SetVmOptions>(op.procedure)) return op.impact;
    return Impact::kNone;
  };
  EXPECT_EQ(impact({.allow = {.offline_copy = true}}), Impact::kRestart);
  EXPECT_EQ(impact({}), Impact::kPendingRestart);
}

// What HA is told already starts nothing in this plan.
TEST(PlanHa, ThatIsRightIsNoReasonToStartAGuest) {
  ResolvedVm wanted = vm("a", 201);
  wanted.disks = {disk("root", "scsi0", "san", "8GiB")};
  wanted.ha = WrittenHa{};
  wanted.ha->settings.set("state", {.value = option(Home::kHa, "state", "started")});
  LiveState state = cluster();
  LiveVm present = guest(201, PowerState::kStopped);
  attach(present, "scsi0", "nfs:201/vm-201-disk-0.raw,size=8G");
  put(state, present);
  LiveHa ha{.sid = "vm:201"};
  ha.properties.set("state", "started");
  state.ha = {ha};
  const Diff whole = diff(fleet({wanted}), state, DiffDetail::kEverything);
  const Checked<Plan> made = make_plan(fleet({wanted}), whole, state, {});
  EXPECT_EQ(names(*made.value), "") << show(*made.value);
}

}  // namespace
}  // namespace pvr::testing
