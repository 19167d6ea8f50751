// Volumes that two guests use: a shared disk of a cluster of guests, or a mistake. PVE frees the source of a move
// whoever else names it, so the tool must not start one.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconciler/observe/observe.h"
#include "simulator/world/world.h"
#include "tests/scenarios/fleet.h"

namespace pvr::scenario {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr const char* kCluster = R"(
cluster: {name: lab, seed: 5}
users:
  - {name: root@pam, password: secret, tokens: [{id: ci, secret: s-root, privsep: false}]}
nodes:
  pve1: {cpu: 8, memory: 64GiB, pools: {tank: {size: 1TiB, media: ssd}}}
  pve2: {cpu: 8, memory: 64GiB, pools: {tank: {size: 1TiB, media: ssd}}}
backends:
  san: {kind: lvm-vg, size: 2TiB}
storages:
  z16: {type: zfspool, pool: tank/z16, blocksize: 16k, sparse: 1, content: images}
  zalias: {type: zfspool, pool: tank/z16, blocksize: 16k, sparse: 1, content: images}
  z64: {type: zfspool, pool: tank/z64, blocksize: 64k, sparse: 1, content: images}
  san: {type: lvm, vgname: san, shared: 1, content: images}
vms:
  100:
    node: pve1
    config: {name: one, memory: 1024, scsihw: virtio-scsi-single, scsi0: "z16:vm-100-disk-0,size=4G",
             scsi1: "z16:vm-100-disk-1,size=2G", scsi2: "san:vm-100-disk-0,size=2G"}
  101:
    node: pve1
    config: {name: two, memory: 1024, scsihw: virtio-scsi-single, scsi0: "z16:vm-101-disk-0,size=4G",
             scsi1: "z16:vm-100-disk-1,size=2G"}
  102:
    node: pve2
    config: {name: three, memory: 1024, scsihw: virtio-scsi-single, scsi2: "san:vm-100-disk-0,size=2G"}
)";

class AVolumeOfTwoGuests : public ::testing::TestWithParam<bool> {
 protected:
  // With host access the other guests are read from /etc/pve, without it through the API.
  ZfsReader* zfs() { return GetParam() ? &world_.zfs() : nullptr; }
  static std::string fleet_of(const std::string& vms) {
    return "version: 1\nstorages: {z16: {manage: false}, zalias: {manage: false}, z64: {manage: false}, "
           "san: {manage: false}}\nlanes: {pinned: {pve1: z16, pve2: z16}, shared: san}\nvms:\n" +
           vms;
  }
  static std::string guest(int vmid, const std::string& disks, const std::string& more = "") {
    return "  g" + std::to_string(vmid) + ": {vmid: " + std::to_string(vmid) + ", node: pve1, lane: pinned, disks: {" +
           disks + "}" + more + "}\n";
  }
  /// Plans and applies; all contents are in the slots they were in.
  std::string carry_out(const std::string& vms) {
    const auto before = slots();
    const PlanResult planned = plan_fleet(world_, fleet(fleet_of(vms)), zfs());
    if (GetParam())
      static_cast<void>(world_.run_with_host(planned.plan));
    else
      static_cast<void>(world_.run_plan(planned.plan));
    const auto now = slots();
    for (const auto& [slot, content] : before) {
      const auto at = now.find(slot);
      EXPECT_TRUE(at != now.end() && at->second == content) << slot << "\n" << text_of(planned.plan);
    }
    return text_of(planned.plan);
  }
  /// "100:scsi0" → content.
  std::map<std::string, std::uint64_t> slots() {
    std::map<std::string, std::uint64_t> found;
    for (const pvesim::VolumeInfo& volume : world_.sim().volumes())
      for (const std::string& by : volume.referenced_by)
        if (by.find("unused") == std::string::npos) found[by] = volume.fingerprint;
    return found;
  }

  World world_{kCluster};
};

TEST_P(AVolumeOfTwoGuests, IsNotMovedByEither) {
  EXPECT_THAT(carry_out(guest(100, "data: {slot: scsi1, size: 2GiB, storage: z64}")),
              AllOf(HasSubstr("z16:vm-100-disk-1: guest 101 uses it, too (scsi1)"), Not(HasSubstr("move-disk"))));
  EXPECT_THAT(carry_out(guest(101, "data: {slot: scsi1, size: 2GiB, storage: z64}")),
              AllOf(HasSubstr("z16:vm-100-disk-1: guest 100 uses it, too (scsi1)"), Not(HasSubstr("move-disk"))));
  // On a shared storage guests of other nodes count.
  EXPECT_THAT(carry_out(guest(100, "data: {slot: scsi2, size: 2GiB, storage: z64}")),
              HasSubstr("san:vm-100-disk-0: guest 102 uses it, too (scsi2)"));
}

TEST_P(AVolumeOfTwoGuests, IsNotMadeAnewByEither) {
  const std::string plan = carry_out(
      guest(101, "root: {slot: scsi0, size: 4GiB}, data: {slot: scsi1, size: 2GiB, storage: z16, volblocksize: 64k}"));
  EXPECT_THAT(plan, AllOf(Not(HasSubstr("recreate-zvol")), Not(HasSubstr("move-disk")), Not(HasSubstr("swap-zvol"))));
  // Without host access nobody knows which block size it has.
  if (GetParam()) {
    EXPECT_THAT(plan, HasSubstr("in place: z16:vm-100-disk-1: guest 100 uses it, too (scsi1)"));
  }
}

TEST_P(AVolumeOfTwoGuests, IsNotDestroyedWithADiskOrAGuest) {
  EXPECT_THAT(carry_out(guest(101, "data: {slot: scsi1, size: 2GiB, storage: z16, state: absent}")),
              AllOf(HasSubstr("guest 100 uses it, too (scsi1)"), Not(HasSubstr("destroy-volume"))));
  EXPECT_THAT(carry_out("  g100: {vmid: 100, state: absent}\n"), HasSubstr("guest 101 uses it, too (scsi1)"));
}

// Its node is offline: what it uses, only the files of the other nodes tell.
TEST_P(AVolumeOfTwoGuests, IsNotDestroyedWhereAGuestThatCannotBeLookedAtMayUseIt) {
  world_.sim().node_down("pve2");
  EXPECT_THAT(carry_out(guest(100, "data: {slot: scsi2, size: 2GiB, storage: san, state: absent}")),
              AllOf(HasSubstr(GetParam() ? "san:vm-100-disk-0: guest 102 uses it, too (scsi2)"
                                         : "san:vm-100-disk-0: guest 102 may use it, too, and cannot be looked at"),
                    Not(HasSubstr("destroy-volume"))));
  world_.sim().inspect([](pvesim::World& inside) { inside.vms.at(101).config.values.erase("scsi1"); });
  EXPECT_THAT(carry_out("  g100: {vmid: 100, state: absent}\n"),
              AllOf(HasSubstr("san:vm-100-disk-0: guest 102"), Not(HasSubstr("destroy-vm"))));
  // No guest of another node uses what lies on this one.
  const std::string local = text_of(
      plan_fleet(world_, fleet(fleet_of(guest(100, "root: {slot: scsi0, size: 4GiB, state: absent}"))), zfs()).plan);
  EXPECT_THAT(local, Not(HasSubstr("guest 102")));
}

// It carries the number of 100, nothing of that guest names it, and that guest wants a disk.
TEST_P(AVolumeOfTwoGuests, IsNotTakenForADiskThatIsMissing) {
  world_.sim().inspect([](pvesim::World& inside) {
    inside.vms.at(100).config.values.erase("scsi1");
    inside.vms.at(100).config.values.erase("scsi2");
  });
  const std::string plan = carry_out(guest(100, "data: {slot: scsi1, size: 2GiB, storage: z16}"));
  EXPECT_THAT(plan, AllOf(Not(HasSubstr("attach")), HasSubstr("add-disk")));
  const auto now = slots();
  EXPECT_NE(now.at("100:scsi1"), now.at("101:scsi1"));
}

TEST_P(AVolumeOfTwoGuests, IsFoundUnderTheOtherNameOfItsDataset) {
  world_.sim().set_config(101, "scsi1", "zalias:vm-100-disk-1,size=2G");
  EXPECT_THAT(carry_out(guest(100, "data: {slot: scsi1, size: 2GiB, storage: z64}")),
              HasSubstr("z16:vm-100-disk-1: guest 101 uses it, too (scsi1)"));
}

// Of one that only a snapshot names the API tells no more than that there are snapshots.
TEST_P(AVolumeOfTwoGuests, CountsWhereASnapshotOfItsOwnerMayNeedIt) {
  world_.sim().inspect([](pvesim::World& inside) {
    inside.vms.at(100).config.values.erase("scsi2");
    inside.vms.at(102).config.values.erase("scsi2");
  });
  ASSERT_EQ(world_.sim().create_snapshot(100, "before"), "OK");
  world_.sim().inspect([](pvesim::World& inside) { inside.vms.at(100).config.values.erase("scsi1"); });
  EXPECT_THAT(carry_out(guest(101, "data: {slot: scsi1, size: 2GiB, storage: z64}")),
              AnyOf(HasSubstr("by its name it is guest 100's, and snapshots of that one may need it"),
                    HasSubstr("guest 100 uses it, too (scsi1)")));
}

TEST_P(AVolumeOfTwoGuests, IsNoObstacleForWhatLeavesItWhereItIs) {
  EXPECT_THAT(carry_out(guest(101, "data: {slot: scsi1, size: 2GiB, storage: z16, discard: on}")),
              Not(HasSubstr("uses it, too")));
  EXPECT_THAT(value_of(world_.sim(), 101, "scsi1"), HasSubstr("discard=on"));
  // One that is its own may go where it likes.
  const std::string plan = text_of(
      plan_fleet(world_, fleet(fleet_of(guest(101, "root: {slot: scsi0, size: 4GiB, storage: z64}"))), zfs()).plan);
  EXPECT_THAT(plan, AllOf(AnyOf(HasSubstr("move-disk"), HasSubstr("swap-zvol")), Not(HasSubstr("uses it, too"))));
}

INSTANTIATE_TEST_SUITE_P(Read, AVolumeOfTwoGuests, ::testing::Bool(), [](const auto& row) {
  return row.param ? std::string("FromTheFiles") : std::string("ThroughTheApi");
});

// Only who moves or destroys something has to know of the others.
TEST(OtherGuests, AreReadOnlyWhereItMatters) {
  World world(kCluster);
  const auto read_others = [&](const std::string& disk) {
    const auto pve = world.client();
    const auto document = fleet(
        "version: 1\nstorages: {z16: {manage: false}, z64: {manage: false}}\nlanes: {pinned: {pve1: z16}}\nvms:\n"
        "  g101: {vmid: 101, node: pve1, lane: pinned, disks: {root: {" +
        disk + "}}}\n");
    EngineOptions options;
    options.plan.allow.offline_copy = true;
    const auto planned = plan(*pve, world.clock(), document, options);
    EXPECT_TRUE(planned) << (planned ? "" : planned.error().text());
    return planned && !planned->live.vm(Vmid{100})->drives.empty();
  };
  EXPECT_FALSE(read_others("slot: scsi0, size: 6GiB, discard: on"));
  EXPECT_TRUE(read_others("slot: scsi0, size: 4GiB, storage: z64"));
}

// Of a stopped guest's qcow2 on LVM only the entries note the size, and another guest has grown it since.
TEST(OtherGuests, TellTheSizeOfWhatIsNotListed) {
  World world(
      std::string(kQcow2OnLvm) +
      R"(  120: {node: pve1, config: {name: a, memory: 512, scsihw: virtio-scsi-single, scsi0: "san:vm-120-disk-0.qcow2,size=8G"}}
  121: {node: pve1, config: {name: b, memory: 512, scsihw: virtio-scsi-single, scsi0: "san:vm-120-disk-0.qcow2,size=8G"}}
)");
  world.sim().set_config(121, "scsi0", "san:vm-120-disk-0.qcow2,size=5G");
  const auto wanting = [&](const std::string& size) {
    return text_of(plan_fleet(world, fleet("version: 1\nstorages: {san: {manage: false}}\nlanes: {pinned: {pve1: "
                                           "san}}\nvms:\n  b: {vmid: 121, node: pve1, lane: pinned, disks: {data: "
                                           "{slot: scsi0, size: " +
                                           size + "}}}\n"))
                       .plan);
  };
  EXPECT_THAT(wanting("6GiB"), AllOf(HasSubstr("the volume has 8GiB, the fleet says 6GiB, and PVE does not shrink"),
                                     Not(HasSubstr("resize-disk"))));
  EXPECT_THAT(wanting("9GiB"), HasSubstr("size: 8GiB -> 9GiB"));
}

}  // namespace
}  // namespace pvr::scenario
