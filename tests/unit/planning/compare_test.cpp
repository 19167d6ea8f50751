// One value against another: what is the same, what waits, what must be written, and when that takes effect.

#include "reconciler/planning/compare.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "tests/unit/planning/world.h"

namespace pvr::testing {
namespace {

// "differs at-once", "waits", "in sync" …: how `key` stands when the guest is as `change` makes it.
std::string stands(const ResolvedVm& wanted, const LiveVm& present, std::string_view key) {
  LiveState state = cluster();
  put(state, present);
  const Diff all = diff(fleet({wanted}), state, DiffDetail::kEverything);
  for (const SettingChange& change : all.vms.at(0).options) {
    if (change.key != key) continue;
    const char* effect = change.effect == TakesEffect::kAtOnce      ? "at once"
                         : change.effect == TakesEffect::kHotplug   ? "hotplug"
                         : change.effect == TakesEffect::kAtRestart ? "at restart"
                                                                    : "otherwise";
    switch (change.state) {
      case SettingState::kInSync:
        return "in sync";
      case SettingState::kWaitsForRestart:
        return "waits";
      case SettingState::kFindingOnly:
        return "finding";
      case SettingState::kCannotTell:
        return "cannot tell";
      case SettingState::kDiffers:
        return std::string("differs, ") + effect;
    }
  }
  return "not there";
}
struct Option {
  const char* key;
  const char* wanted;
  const char* live;  // nothing: not there
  const char* stands;
  PowerState power = PowerState::kRunning;
};
std::string stands(
    const Option& one, const std::function<void(LiveVm&)>& change = [](LiveVm&) {}) {
  ResolvedVm wanted = vm("a", 201);
  set(wanted, one.key, one.wanted);
  LiveVm present = guest(201, one.power);
  if (*one.live != '\0') set(present, one.key, one.live);
  change(present);
  return stands(wanted, present, one.key);
}

TEST(CompareOption, ATableOfWhatIsTheSame) {
  const Option cases[] = {
      {"description", "text", "text \n\t", "in sync"},
      {"description", "text", "text more", "differs, at once"},
      {"description", "text", "", "differs, at once"},
      {"cpuunits", "10000", "20000", "in sync"},
      {"cpuunits", "9999", "20000", "differs, at once"},
      {"machine", "q35", "pc-q35-9.0", "in sync"},
      {"machine", "q35", "q35", "in sync"},
      {"machine", "pc", "pc-i440fx-9.0", "in sync"},
      {"machine", "q35", "pc-i440fx-9.0", "differs, at restart"},
      {"machine", "pc-q35-9.0", "q35", "differs, at restart"},
      {"machine", "pc-q35-9.0", "pc-q35-8.0", "differs, at restart"},
      {"agent", "1", "1,type=virtio", "in sync"},
      {"agent", "1,type=isa", "1,type=virtio", "differs, at restart"},
      {"smbios1", "serial=abc", "serial=abc,uuid=11111111-2222-3333-4444-000000000201", "in sync"},
      {"smbios1", "serial=abc", "serial=xyz,uuid=11111111-2222-3333-4444-000000000201", "differs, at restart"},
      {"net0", "virtio,bridge=vmbr0", "virtio=BC:24:11:00:00:09,bridge=vmbr0", "in sync"},
      {"net0", "virtio=BC:24:11:00:00:01,bridge=vmbr0", "virtio=BC:24:11:00:00:09,bridge=vmbr0", "differs, hotplug"},
      {"net0", "virtio,bridge=vmbr0", "virtio=BC:24:11:00:00:09,bridge=vmbr0,firewall=1", "differs, hotplug"},
      {"vmgenid", "1", "11111111-2222-3333-4444-000000000201", "in sync"},
      {"vmgenid", "1", "", "differs, at restart"},
      {"cores", "4", "2", "differs, at restart"},
      {"cores", "4", "2", "differs, at restart", PowerState::kPaused},
      {"cores", "4", "2", "differs, at once", PowerState::kStopped},
      {"cores", "1", "", "in sync"},
      {"balloon", "512", "1024", "differs, at once"},
      {"balloon", "0", "1024", "differs, at restart"},
      {"balloon", "1024", "0", "differs, at restart"},
      {"onboot", "1", "", "differs, at once"},
      {"onboot", "0", "", "in sync"}};
  for (const Option& one : cases) EXPECT_EQ(stands(one), one.stands) << one.key << " " << one.wanted << " " << one.live;
}

TEST(CompareOption, WhatIsNotComparedIsSaidToBeUnknown) {
  EXPECT_EQ(stands({"cipassword", "x", "**********", ""}), "cannot tell");
  EXPECT_EQ(stands({"cipassword", "x", "", ""}), "differs, at once");
  ResolvedVm wanted = vm("a", 201);
  wanted.options.set("cipassword", Resolved{.origin = FromDocument{.layer = Layer::kVm}});
  EXPECT_EQ(stands(wanted, guest(201), "cipassword"), "in sync");
}

TEST(CompareOption, AChangeThatWaitsIsNotSentAgainAndAWrongOneIs) {
  const auto cores = [](const char* wanted, LiveOption live, PowerState power = PowerState::kRunning) {
    return stands({"cores", wanted, "", "", power}, [&](LiveVm& guest) { guest.options.set("cores", live); });
  };
  EXPECT_EQ(cores("4", {.current = "2", .pending = "4"}), "waits");
  EXPECT_EQ(cores("4", {.current = "4", .pending = "2"}), "differs, at restart");
  EXPECT_EQ(cores("4", {.current = "2", .pending = "4"}, PowerState::kStopped), "in sync");
  EXPECT_EQ(cores("4", {.current = "4", .pending = "4"}), "in sync");
  EXPECT_EQ(cores("1", {.current = "2", .pending_delete = true}), "waits");
  EXPECT_EQ(cores("2", {.current = "2", .pending_delete = true}), "differs, at restart");
  EXPECT_EQ(cores("4", {.has_current = false, .pending = "4"}), "waits");
}

// Memory that is plugged in comes in DIMMs; only a running guest with memory hotplug and NUMA has them.
TEST(CompareOption, PluggedMemoryMayEndALittleAbove) {
  const auto memory = [](const char* wanted, const char* live, const char* hotplug, const char* numa,
                         PowerState power = PowerState::kRunning) {
    return stands({"memory", wanted, live, "", power}, [&](LiveVm& guest) {
      if (*hotplug != '\0') set(guest, "hotplug", hotplug);
      if (*numa != '\0') set(guest, "numa", numa);
    });
  };
  EXPECT_EQ(memory("2048", "2559", "memory", "1"), "in sync");
  EXPECT_EQ(memory("2048", "2560", "memory", "1"), "differs, hotplug");
  EXPECT_EQ(memory("2048", "2047", "memory", "1"), "differs, hotplug");
  EXPECT_EQ(memory("2048", "2559", "memory", ""), "differs, at restart");
  EXPECT_EQ(memory("2048", "2559", "memory", "0"), "differs, at restart");
  EXPECT_EQ(memory("2048", "2559", "disk", "1"), "differs, at restart");
  EXPECT_EQ(memory("2048", "2559", "", "1"), "differs, at restart");
  EXPECT_EQ(memory("2048", "2559", "memory", "1", PowerState::kStopped), "differs, at once");
}

TEST(CompareOption, HotplugIsWhatTheGuestSays) {
  const auto net = [](const char* hotplug, PowerState power = PowerState::kRunning) {
    return stands({"net0", "virtio,bridge=vmbr1", "virtio=BC:24:11:00:00:09,bridge=vmbr0", "", power},
                  [&](LiveVm& guest) {
                    if (*hotplug != '\0') set(guest, "hotplug", hotplug);
                  });
  };
  EXPECT_EQ(net(""), "differs, hotplug");
  EXPECT_EQ(net("1"), "differs, hotplug");
  EXPECT_EQ(net("0"), "differs, at restart");
  EXPECT_EQ(net("network"), "differs, hotplug");
  EXPECT_EQ(net("disk,usb"), "differs, at restart");
  EXPECT_EQ(net("", PowerState::kStopped), "differs, at once");
}

TEST(CompareOption, TheBootOrderMayEndInWhatPveAppends) {
  const auto boot = [](const char* wanted, const char* live) {
    return stands({"boot", wanted, live, ""}, [](LiveVm& guest) {
      attach(guest, "scsi0", "san:vm-201-disk-0,size=32G");
      attach(guest, "ide2", "local:iso/x.iso,media=cdrom");
    });
  };
  EXPECT_EQ(boot("order=scsi0", "order=scsi0"), "in sync");
  EXPECT_EQ(boot("order=net0", "order=net0;ide2"), "in sync");
  EXPECT_EQ(boot("order=net0", "order=net0;scsi0"), "differs, at restart");
  EXPECT_EQ(boot("order=net0", "order=net0;ide2;scsi0"), "differs, at restart");
  EXPECT_EQ(boot("order=net0", "order=net0;ide3"), "differs, at restart");
  EXPECT_EQ(boot("order=net0", "order=ide2;net0"), "differs, at restart");
  EXPECT_EQ(boot("order=net0;ide2", "order=net0"), "differs, at restart");
  EXPECT_EQ(boot("order=scsi0", ""), "differs, at restart");
}

TEST(CompareOption, ARuleThatOnlyAdvisesIsAFinding) {
  ResolvedVm wanted = vm("a", 201);
  wanted.options.set("numa", by_rule(Home::kVmOption, "numa", "1", "N1"));
  wanted.options.find("numa")->finding_only = true;
  EXPECT_EQ(stands(wanted, guest(201), "numa"), "finding");
  LiveState state = cluster();
  put(state, guest(201));
  const Diff all = diff(fleet({wanted}), state);
  ASSERT_EQ(all.findings.size(), 1U);
  EXPECT_EQ(all.findings[0].what, "numa is unset, the rules advise 1.");
  EXPECT_EQ(all.findings[0].rule, "N1");
  EXPECT_EQ(all.findings[0].severity, Severity::kWarning);
  EXPECT_FALSE(has_changes(all));
}

TEST(CompareCd, TheMediumCountsAndADriveComesWithARestart) {
  const auto cd = [](const char* wanted, const char* live, PowerState power = PowerState::kRunning,
                     const char* pending = "") {
    ResolvedVm guest_wish = vm("a", 201);
    guest_wish.options.set("ide2", *wanted != '\0' ? Resolved{.value = std::string(wanted)} : Resolved{});
    LiveVm present = guest(201, power);
    if (*live != '\0') {
      LiveDrive& drive = attach(present, "ide2", live);
      LiveVm after = guest(201);
      if (*pending != '\0') drive.pending = attach(after, "ide2", pending).current;
    }
    return stands(guest_wish, present, "ide2");
  };
  const char* a = "local:iso/a.iso,media=cdrom";
  EXPECT_EQ(cd("local:iso/a.iso", a), "in sync");
  EXPECT_EQ(cd("local:iso/a.iso,media=cdrom", a), "in sync");
  EXPECT_EQ(cd("local:iso/b.iso", a), "differs, at once");
  EXPECT_EQ(cd("none", a), "differs, at once");
  EXPECT_EQ(cd("none", "none,media=cdrom"), "in sync");
  EXPECT_EQ(cd("local:iso/a.iso", ""), "differs, at restart");
  EXPECT_EQ(cd("local:iso/a.iso", "", PowerState::kStopped), "differs, at once");
  EXPECT_EQ(cd("", a), "differs, at restart");
  EXPECT_EQ(cd("", a, PowerState::kStopped), "differs, at once");
  EXPECT_EQ(cd("", ""), "in sync");
  EXPECT_EQ(cd("local:iso/a.iso", "san:vm-201-disk-0,size=1G"), "cannot tell");
  EXPECT_EQ(cd("local:iso/b.iso", a, PowerState::kRunning, "local:iso/b.iso,media=cdrom"), "waits");
  EXPECT_EQ(cd("local:iso/b.iso", a, PowerState::kStopped, "local:iso/b.iso,media=cdrom"), "in sync");
  EXPECT_EQ(cd("local:iso/a.iso", a, PowerState::kRunning, "local:iso/b.iso,media=cdrom"), "differs, at once");
}

// ---- drives ----

std::string drive_settings(const ResolvedVm& wanted, const LiveState& state) {
  std::string out;
  const Diff all = diff(fleet({wanted}), state);
  for (const VmDiff& guest : all.vms)
    for (const DiskDiff& disk : guest.disks)
      for (const SettingChange& change : disk.settings)
        out += change.key + "=" + to_text(change.desired.value) +
               (change.state == SettingState::kWaitsForRestart ? " (waits)" : "") +
               (change.note.empty() ? "" : " [" + change.note + "]") + " ";
  return out;
}

TEST(CompareDrive, ATableOfUnsetAndPendingOptions) {
  struct Case {
    const char* wanted;
    const char* current;
    const char* pending;
    const char* settings;
    PowerState power = PowerState::kRunning;
  };
  const Case cases[] = {
      {"discard=on", "", "", "discard=on "},
      {"discard=on", "discard=on", "", ""},
      {"discard=on", "", "discard=on", "discard=on (waits) "},
      {"discard=on", "", "discard=on", "", PowerState::kStopped},
      {"discard=on", "discard=on", "ssd=1", "discard=on "},
      {"discard=ignore", "", "", ""},
      {"ssd=0", "", "", ""},
      {"cache=none", "", "", ""},
      {"cache=writeback", "", "", "cache=writeback [unset (= none here)] "},
      {"cache=none", "cache=writeback", "", "cache=none "},
      {"aio=io_uring", "", "", ""},
      {"aio=native", "", "", "aio=native [unset (= io_uring here)] "},
      {"aio=native,cache=none", "cache=writeback", "", "aio=native [unset (= io_uring here)] cache=none "}};
  for (const Case& one : cases) {
    SCOPED_TRACE(std::string(one.wanted) + " | " + one.current + " | " + one.pending);
    ResolvedVm wanted = vm("a", 201);
    wanted.disks = {disk("root", "scsi0", "SSD-r10", "32G", one.wanted)};
    LiveState state = cluster();
    LiveVm present = guest(201, one.power);
    const auto text = [](const char* options) {
      return std::string("SSD-r10:vm-201-disk-0,") + (*options != '\0' ? options + std::string(",") : "") + "size=32G";
    };
    LiveDrive& drive = attach(present, "scsi0", text(one.current));
    LiveVm after = guest(201);
    if (*one.pending != '\0') drive.pending = attach(after, "scsi0", text(one.pending)).current;
    put(state, present);
    EXPECT_EQ(drive_settings(wanted, state), one.settings);
  }
}

TEST(CompareDrive, WhatIsForbiddenGoesUnlessItIsLeft) {
  const auto settings = [](const char* current, const char* pending, bool left, const char* storage = "SSD-r10") {
    ResolvedVm wanted = vm("a", 201);
    wanted.disks = {disk("root", "scsi0", storage, "32G")};
    wanted.disks[0].forbidden = {{.key = "cache", .value = "writeback", .rule = "C1", .left = left},
                                 {.key = "iothread", .value = "1", .rule = "I1", .left = left}};
    LiveState state = cluster();
    LiveVm present = guest(201);
    const auto text = [](const char* options) { return std::string("SSD-r10:vm-201-disk-0,") + options + ",size=32G"; };
    LiveDrive& drive = attach(present, "scsi0", text(current));
    LiveVm after = guest(201);
    if (*pending != '\0') drive.pending = attach(after, "scsi0", text(pending)).current;
    put(state, present);
    const Plan made = plan(fleet({wanted}), state);
    return drive_settings(wanted, state) + refusals(made);
  };
  EXPECT_EQ(settings("cache=none", "", false), "");
  EXPECT_EQ(settings("cache=writeback", "", false), "cache=unset ");
  EXPECT_EQ(settings("iothread=1", "", false), "iothread=unset ");
  EXPECT_EQ(settings("iothread=0", "", false), "");
  EXPECT_EQ(settings("cache=writeback", "", true), "");
  EXPECT_EQ(settings("cache=writeback", "ssd=1", false), "cache=unset (waits) ");
  EXPECT_EQ(settings("cache=writeback", "cache=none", false), "");
  EXPECT_EQ(settings("ssd=1", "cache=writeback", false), "cache=unset ");
  EXPECT_EQ(settings("cache=writeback", "", true, "nfs"),
            "storage=nfs vm/a/root: change scsi0: cache=writeback stays as it is (leave:), and rule C1 forbids it on "
            "storage \"nfs\" => take cache out of leave:, or state another value\n");
}

TEST(CompareDrive, OptionsOfAnotherBusAreNotLookedFor) {
  const auto settings = [](const char* at, const char* options) {
    ResolvedVm wanted = vm("a", 201);
    wanted.disks = {disk("root", at, "SSD-r10", "32G", options)};
    LiveState state = cluster();
    LiveVm present = guest(201);
    attach(present, at, "SSD-r10:vm-201-disk-0,size=32G");
    put(state, present);
    return drive_settings(wanted, state);
  };
  EXPECT_EQ(settings("scsi0", "ssd=1,iothread=1"), "iothread=1 ssd=1 ");
  EXPECT_EQ(settings("virtio0", "ssd=1,iothread=1"), "iothread=1 ");
  EXPECT_EQ(settings("sata0", "ssd=1,iothread=1"), "ssd=1 ");
  EXPECT_EQ(settings("ide0", "ssd=1,iothread=1"), "ssd=1 ");
  EXPECT_EQ(settings("efidisk0", "efitype=4m,pre-enrolled-keys=1"), "efitype=4m pre-enrolled-keys=1 ");
  EXPECT_EQ(settings("tpmstate0", "version=v2.0"), "version=v2.0 ");
}

TEST(ComparePlace, StorageFormatAndSize) {
  const auto place = [](const std::function<void(ResolvedDisk&, LiveState&)>& change) {
    ResolvedVm wanted = vm("a", 201);
    wanted.disks = {disk("root", "scsi0", "nfs", "32G")};
    LiveState state = cluster();
    LiveVm present = guest(201);
    attach(present, "scsi0", "nfs:201/vm-201-disk-0.raw,size=32G");
    put(state, present);
    change(wanted.disks[0], state);
    const Diff all = diff(fleet({wanted}), state);
    std::string out = drive_settings(wanted, state);
    for (const VmDiff& guest : all.vms)
      for (const DiskDiff& one : guest.disks)
        out += "| " + one.move_to.value_or("") + " " + one.move_why + one.format_to.value_or("") +
               (one.grow_to ? to_text(*one.grow_to) : "") + one.blocked;
    for (const Finding& finding : all.findings) out += " ! " + finding.what;
    return out;
  };
  const auto format = [](ResolvedDisk& d, const char* text, bool finding = false) {
    d.settings.set("format", {.value = std::string(text), .finding_only = finding});
  };
  EXPECT_EQ(place([](ResolvedDisk&, LiveState&) {}), "");
  EXPECT_EQ(place([](ResolvedDisk& d, LiveState&) { d = disk("root", "scsi0", "san", "32G"); }),
            "storage=san | san the disk belongs on another storage");
  EXPECT_EQ(place([](ResolvedDisk& d, LiveState&) {
              d = disk("root", "scsi0", "san", "32G");
              d.settings.find("storage")->finding_only = true;
            }),
            "storage=san |   ! storage is nfs, the rules advise san.");
  EXPECT_EQ(place([&](ResolvedDisk& d, LiveState&) { format(d, "raw"); }), "");
  EXPECT_EQ(place([&](ResolvedDisk& d, LiveState&) { format(d, "qcow2"); }), "format=qcow2 |  qcow2");
  EXPECT_EQ(place([&](ResolvedDisk& d, LiveState&) { format(d, "qcow2", true); }),
            "format=qcow2 |   ! format is raw, the rules advise qcow2.");
  EXPECT_EQ(place([](ResolvedDisk& d, LiveState&) { d = disk("root", "scsi0", "nfs", "33G"); }), "size=33GiB |  33GiB");
  // A directory pads to 1 KiB.
  EXPECT_EQ(
      place([](ResolvedDisk& d, LiveState&) { d.settings.find("size")->value = ByteSize{(32_GiB).bytes - 1023}; }), "");
  EXPECT_NE(place([](ResolvedDisk& d, LiveState&) {
              d.settings.find("size")->value = ByteSize{(32_GiB).bytes - 1024};
            }).find("PVE does not shrink disks"),
            std::string::npos);
  EXPECT_EQ(place([](ResolvedDisk& d, LiveState&) {
              d.settings.find("size")->value = ByteSize{(32_GiB).bytes + 1};
            }).substr(0, 5),
            "size=");
  EXPECT_EQ(place([](ResolvedDisk&, LiveState& s) {
              s.volumes.clear();
              s.vms[0].drives[0].current->size.reset();
            }),
            "");
}

// ---- who is where ----

TEST(CompareGuest, AGuestOnAnotherNodeIsTold) {
  const auto told_of = [](const char* node, Mobility mobility, PowerState power) {
    LiveState state = cluster(true);
    put(state, guest(201, power));
    ResolvedVm wanted = vm("a", 201);
    wanted.node = node;
    wanted.mobility = mobility;
    std::string out;
    for (const Finding& finding : diff(fleet({wanted}), state).findings)
      out += (finding.severity == Severity::kWarning ? "warning: " : "notice: ") + finding.what + " " + finding.fix;
    return out;
  };
  const std::string where = "It is on node \"pve1\", the fleet says \"pve2\"; guests are not migrated. ";
  EXPECT_EQ(told_of("pve1", Mobility::kPinned, PowerState::kRunning), "");
  EXPECT_EQ(told_of("pve2", Mobility::kPinned, PowerState::kRunning),
            "warning: " + where + "qm migrate 201 pve2 --online");
  EXPECT_EQ(told_of("pve2", Mobility::kMobile, PowerState::kStopped), "notice: " + where + "qm migrate 201 pve2");
  EXPECT_EQ(
      told_of("pve9", Mobility::kMobile, PowerState::kStopped),
      "notice: It is on node \"pve1\", the fleet says \"pve9\"; guests are not migrated. There is no node \"pve9\" "
      "in the cluster.");
}

TEST(CompareGuest, PowerIsWantedOnlyWhereItDiffers) {
  const auto power_to = [](VmState wish, PowerState power, bool is_template = false) {
    LiveState state = cluster();
    LiveVm present = guest(201, power);
    present.is_template = is_template;
    put(state, present);
    ResolvedVm wanted = vm("a", 201);
    wanted.state = wish;
    const Diff all = diff(fleet({wanted}), state);
    EXPECT_EQ(has_changes(all), !all.vms.empty());
    return all.vms.empty() ? std::nullopt : all.vms[0].power_to;
  };
  EXPECT_EQ(power_to(VmState::kRunning, PowerState::kStopped), PowerState::kRunning);
  EXPECT_EQ(power_to(VmState::kRunning, PowerState::kStopped, true), std::nullopt);
  EXPECT_EQ(power_to(VmState::kRunning, PowerState::kRunning), std::nullopt);
  EXPECT_EQ(power_to(VmState::kRunning, PowerState::kPaused), std::nullopt);
  EXPECT_EQ(power_to(VmState::kStopped, PowerState::kRunning), PowerState::kStopped);
  EXPECT_EQ(power_to(VmState::kStopped, PowerState::kPaused), PowerState::kStopped);
  EXPECT_EQ(power_to(VmState::kStopped, PowerState::kStopped), std::nullopt);
  EXPECT_EQ(power_to(VmState::kPresent, PowerState::kRunning), std::nullopt);
  EXPECT_EQ(power_to(VmState::kPresent, PowerState::kStopped), std::nullopt);
}

// ---- storages ----

TEST(CompareStorage, ATableOfProperties) {
  struct Case {
    const char* id;
    const char* key;
    const char* wanted;
    const char* said;
  };
  const Case cases[] = {{"SSD-r10", "content", "rootdir,images", ""},
                        {"SSD-r10", "content", "images", "content "},
                        {"SSD-r10", "sparse", "1", ""},
                        {"SSD-r10", "sparse", "0", "sparse "},
                        {"SSD-r10", "blocksize", "16K", ""},
                        {"SSD-r10", "pool", "tank", ""},
                        {"SSD-r10", "pool", "lake", "pool ! pool is tank, the fleet says lake"},
                        {"san", "vgname", "other", "vgname ! vgname is vg_san, the fleet says other"},
                        {"san", "shared", "1", ""}};
  for (const Case& one : cases) {
    ResolvedFleet wanted = fleet({});
    const LiveState state = cluster();
    const LiveStorage& live = *std::ranges::find(state.storages, one.id, &LiveStorage::id);
    wanted.storages = {{.id = one.id, .type = live.type}};
    wanted.storages[0].properties.set(one.key, stated(Home::kStorageOption, one.key, one.wanted));
    const Diff all = diff(wanted, state);
    std::string said;
    for (const StorageDiff& storage : all.storages) {
      for (const SettingChange& change : storage.properties) said += change.key + " ";
      for (const std::string& fixed : storage.fixed) said += "! " + fixed;
    }
    EXPECT_EQ(said, one.said) << one.id << " " << one.key << " " << one.wanted;
    EXPECT_EQ(has_changes(all), !said.empty());
    wanted.storages[0].reference_only = true;
    EXPECT_TRUE(diff(wanted, state).storages.empty());
  }
}

}  // namespace
}  // namespace pvr::testing
