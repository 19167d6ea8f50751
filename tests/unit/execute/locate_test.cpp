#include <gtest/gtest.h>

#include <set>

#include "reconciler/execute/cluster_config.h"
#include "reconciler/execute/guest_config.h"
#include "reconciler/execute/guest_disks.h"
#include "reconciler/execute/guest_lifecycle.h"
#include "reconciler/execute/guest_power.h"
#include "reconciler/execute/move_disk.h"

namespace pvr {
namespace {

// locate() of every procedure over all combinations of what it looks at: it always answers a phase of its own, reaches
// every one of them, and never goes to work on a guest that is not there.
template <class Procedure, std::size_t Members>
struct Sweep {
  using Phase = typename Procedure::Phase;
  std::set<std::size_t> phases = {};

  template <class Make>
  void over(unsigned combinations, Make make) {
    for (unsigned bits = 0; bits < combinations; ++bits) {
      const auto phase = static_cast<std::size_t>(Procedure::locate(make(bits)));
      ASSERT_LE(phase, static_cast<std::size_t>(Phase::kConflict)) << "combination " << bits;
      phases.insert(phase);
    }
    EXPECT_EQ(phases.size(), Members) << "a phase cannot be reached";
  }
};

bool bit(unsigned bits, unsigned index) { return ((bits >> index) & 1U) != 0; }

TEST(Locate, MoveDiskIsTotal) {
  using P = MoveDiskProcedure;
  Sweep<P, 4> sweep;
  sweep.over(64, [](unsigned b) {
    return P::Seen{.exists = bit(b, 0),
                   .move_running = bit(b, 1),
                   .place = static_cast<P::Place>((b >> 2U) & 3U),
                   .waits = bit(b, 4),
                   .old_kept = bit(b, 5)};
  });
}

TEST(Locate, MoveDiskNeverCopiesADiskWithAPendingEntry) {
  using P = MoveDiskProcedure;
  for (unsigned place = 0; place < 4; ++place) {
    for (const bool kept : {false, true}) {
      const P::Seen seen{.exists = true,
                         .move_running = false,
                         .place = static_cast<P::Place>(place),
                         .waits = true,
                         .old_kept = kept};
      EXPECT_EQ(P::locate(seen), P::Phase::kConflict);
    }
  }
}

TEST(Locate, MoveDiskAwaitsARunningMoveInsteadOfStartingASecond) {
  using P = MoveDiskProcedure;
  EXPECT_EQ(
      P::locate(
          {.exists = true, .move_running = true, .place = P::Place::kOriginal, .waits = false, .old_kept = false}),
      P::Phase::kBusy);
}

TEST(Locate, MoveDiskIsNotFinishedWhenTheOldVolumeIsNotKept) {
  using P = MoveDiskProcedure;
  EXPECT_EQ(
      P::locate({.exists = true, .move_running = false, .place = P::Place::kMoved, .waits = false, .old_kept = false}),
      P::Phase::kConflict);
}

TEST(Locate, ConfigurationProceduresAreTotal) {
  Sweep<SetVmOptionsProcedure, 3> options;
  options.over(4, [](unsigned b) { return SetVmOptionsProcedure::Seen{.exists = bit(b, 0), .as_wanted = bit(b, 1)}; });
  Sweep<SetDriveOptionsProcedure, 3> drive;
  drive.over(8, [](unsigned b) {
    return SetDriveOptionsProcedure::Seen{.exists = bit(b, 0), .same_volume = bit(b, 1), .as_wanted = bit(b, 2)};
  });
}

TEST(Locate, DiskProceduresAreTotal) {
  Sweep<AddDiskProcedure, 3> add;
  add.over(6,
           [](unsigned b) { return AddDiskProcedure::Seen{.exists = bit(b, 0), .slot = static_cast<SlotUse>(b / 2)}; });
  Sweep<AttachVolumeProcedure, 4> attach;
  attach.over(32, [](unsigned b) {
    return AttachVolumeProcedure::Seen{.exists = bit(b, 0),
                                       .attached_here = bit(b, 1),
                                       .attached_elsewhere = bit(b, 2),
                                       .attached_astray = bit(b, 3),
                                       .slot_taken = bit(b, 4)};
  });
  Sweep<DetachDiskProcedure, 3> detach;
  detach.over(16, [](unsigned b) {
    return DetachDiskProcedure::Seen{.exists = bit(b, 0), .attached = bit(b, 1), .taken = bit(b, 2), .kept = bit(b, 3)};
  });
  Sweep<DestroyVolumeProcedure, 3> destroy;
  destroy.over(16, [](unsigned b) {
    return DestroyVolumeProcedure::Seen{
        .exists = bit(b, 0), .attached = bit(b, 1), .unused = bit(b, 2), .listed = bit(b, 3)};
  });
  Sweep<ResizeDiskProcedure, 3> resize;
  resize.over(8, [](unsigned b) {
    return ResizeDiskProcedure::Seen{.exists = bit(b, 0), .same_volume = bit(b, 1), .large_enough = bit(b, 2)};
  });
}

TEST(Locate, DestroyVolumeNeverFreesWhatASlotHolds) {
  for (unsigned b = 0; b < 4; ++b)
    EXPECT_EQ(
        DestroyVolumeProcedure::locate({.exists = true, .attached = true, .unused = bit(b, 0), .listed = bit(b, 1)}),
        DestroyVolumeProcedure::Phase::kConflict);
}

TEST(Locate, GuestProceduresAreTotal) {
  Sweep<CreateVmProcedure, 4> create;
  create.over(8, [](unsigned b) {
    return CreateVmProcedure::Seen{.exists = bit(b, 0), .ours = bit(b, 1), .locked = bit(b, 2)};
  });
  Sweep<CloneVmProcedure, 4> clone;
  clone.over(8, [](unsigned b) {
    return CloneVmProcedure::Seen{.exists = bit(b, 0), .ours = bit(b, 1), .locked = bit(b, 2)};
  });
  Sweep<DestroyVmProcedure, 3> destroy;
  destroy.over(16, [](unsigned b) {
    return DestroyVmProcedure::Seen{
        .exists = bit(b, 0), .identified = bit(b, 1), .is_protected = bit(b, 2), .running = bit(b, 3)};
  });
  Sweep<RestartVmProcedure, 4> restart;
  restart.over(16, [](unsigned b) {
    return RestartVmProcedure::Seen{
        .exists = bit(b, 0), .running = bit(b, 1), .stopped_before = bit(b, 2), .started_again = bit(b, 3)};
  });
  Sweep<StartVmProcedure, 3> start;
  start.over(8, [](unsigned b) {
    return StartVmProcedure::Seen{.exists = bit(b, 0), .running = bit(b, 1), .is_template = bit(b, 2)};
  });
  Sweep<StopVmProcedure, 3> stop;
  stop.over(4, [](unsigned b) { return StopVmProcedure::Seen{.exists = bit(b, 0), .running = bit(b, 1)}; });
}

TEST(Locate, ClusterProceduresAreTotal) {
  const auto seen = [](unsigned b) {
    return EntrySeen{.present = bit(b, 0), .as_wanted = bit(b, 1), .changed = bit(b, 2)};
  };
  Sweep<CreateStorageProcedure, 3>().over(8, seen);
  Sweep<UpdateStorageProcedure, 3>().over(8, seen);
  Sweep<CreatePoolProcedure, 2>().over(8, seen);
  Sweep<AddToPoolProcedure, 3>().over(8, seen);
  Sweep<SetHaProcedure, 3>().over(8, seen);
  Sweep<RemoveHaProcedure, 2>().over(8, seen);
  Sweep<SetReplicationProcedure, 4>().over(8, seen);
}

TEST(Locate, AnUnidentifiedGuestIsNeverDestroyed) {
  for (unsigned b = 0; b < 4; ++b)
    EXPECT_EQ(DestroyVmProcedure::locate(
                  {.exists = true, .identified = false, .is_protected = bit(b, 0), .running = bit(b, 1)}),
              DestroyVmProcedure::Phase::kConflict);
}

}  // namespace
}  // namespace pvr
