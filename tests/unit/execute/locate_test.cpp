#include <gtest/gtest.h>

#include <set>

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

TEST(Locate, ProceduresOfNodesAreTotal) {
  Sweep<SetArcLimitsProcedure, 4>().over(16, [](unsigned b) {
    return SetArcLimitsProcedure::Seen{
        .zfs = bit(b, 0), .foreign = bit(b, 1), .file_as_wanted = bit(b, 2), .limits_as_wanted = bit(b, 3)};
  });
  Sweep<SetPoolPropertiesProcedure, 3>().over(
      4, [](unsigned b) { return SetPoolPropertiesProcedure::Seen{.present = bit(b, 0), .as_wanted = bit(b, 1)}; });
  Sweep<SetTrimTimerProcedure, 4>().over(8, [](unsigned b) {
    return SetTrimTimerProcedure::Seen{.present = bit(b, 0), .wanted = bit(b, 1), .others = bit(b, 2)};
  });
}

TEST(Locate, AnUnidentifiedGuestIsNeverDestroyed) {
  for (unsigned b = 0; b < 4; ++b)
    EXPECT_EQ(DestroyVmProcedure::locate(
                  {.exists = true, .identified = false, .is_protected = bit(b, 0), .running = bit(b, 1)}),
              DestroyVmProcedure::Phase::kConflict);
}

RecreateZvolProcedure::Seen recreate_seen(unsigned b) {
  using P = RecreateZvolProcedure;
  return {.exists = bit(b, 0),
          .same_volume = bit(b, 1),
          .stopped = bit(b, 2),
          .at_name = static_cast<P::Here>((b >> 3U) & 3U),
          .at_work = static_cast<P::Here>((b >> 5U) & 3U),
          .retired = bit(b, 7),
          .guarded = bit(b, 8),
          .fits = bit(b, 9),
          .complete = bit(b, 10),
          .verified = bit(b, 11),
          .settled = bit(b, 12)};
}

TEST(Locate, RecreateZvolIsTotal) {
  Sweep<RecreateZvolProcedure, 10> sweep;
  sweep.over(1U << 13U, recreate_seen);
}

TEST(Locate, RecreateZvolNeverRenamesWhatIsNotVerifiedOrInUse) {
  using P = RecreateZvolProcedure;
  for (unsigned b = 0; b < (1U << 13U); ++b) {
    const P::Seen seen = recreate_seen(b);
    const P::Phase phase = P::locate(seen);
    if (phase == P::Phase::kVerified || phase == P::Phase::kRetired) {
      EXPECT_TRUE(seen.verified && seen.fits && seen.guarded && seen.stopped) << b;
      EXPECT_EQ(seen.at_work, P::Here::kNew) << b;
    }
    // Thrown away is only the new one, and only while the old one has its name.
    if (phase == P::Phase::kLeftover) {
      EXPECT_EQ(seen.at_name, P::Here::kOld) << b;
      EXPECT_EQ(seen.at_work, P::Here::kNew) << b;
    }
    if (seen.at_name == P::Here::kStranger || seen.at_work == P::Here::kStranger) {
      EXPECT_EQ(phase, P::Phase::kConflict) << b;
    }
  }
}

TEST(Locate, RollBackZvolIsTotal) {
  using P = RollBackZvolProcedure;
  Sweep<P, 5> sweep;
  sweep.over(3U << 5U, [](unsigned b) {
    return P::Seen{.exists = bit(b, 0),
                   .same_volume = bit(b, 1),
                   .stopped = bit(b, 2),
                   .at_name = static_cast<P::Here>(b >> 5U),
                   .kept = bit(b, 3),
                   .settled = bit(b, 4)};
  });
}

TEST(Locate, SwapZvolIsTotalAndNeverRemovesAnEntryThatNamesData) {
  using P = SwapZvolProcedure;
  Sweep<P, 5> sweep;
  const auto make = [](unsigned b) {
    return P::Seen{.exists = bit(b, 0),
                   .waits = bit(b, 1),
                   .stopped = bit(b, 2),
                   .drive = static_cast<P::Names>(b >> 7U),
                   .staged = bit(b, 3),
                   .renamed = bit(b, 4),
                   .dangling = bit(b, 5),
                   .noted = bit(b, 6)};
  };
  sweep.over(3U << 7U, make);
  for (unsigned b = 0; b < (3U << 7U); ++b) {
    const P::Seen seen = make(b);
    if (P::locate(seen) == P::Phase::kPointed && seen.dangling) {
      EXPECT_FALSE(seen.staged) << b;
    }
    if (P::locate(seen) == P::Phase::kStaged || P::locate(seen) == P::Phase::kRenamed) {
      EXPECT_TRUE(seen.stopped) << b;
    }
  }
}

TEST(Locate, DatasetProceduresAreTotal) {
  Sweep<CreateDatasetProcedure, 3> create;
  create.over(4, [](unsigned b) { return CreateDatasetProcedure::Seen{.present = bit(b, 0), .is_volume = bit(b, 1)}; });
  Sweep<SetZvolPropertiesProcedure, 3> set;
  set.over(4,
           [](unsigned b) { return SetZvolPropertiesProcedure::Seen{.present = bit(b, 0), .as_wanted = bit(b, 1)}; });
  Sweep<RetireVolumeProcedure, 3> retire;
  retire.over(16, [](unsigned b) {
    return RetireVolumeProcedure::Seen{
        .exists = bit(b, 0), .attached = bit(b, 1), .present = bit(b, 2), .marked = bit(b, 3)};
  });
  Sweep<DestroyDatasetProcedure, 3> destroy;
  destroy.over(8, [](unsigned b) {
    return DestroyDatasetProcedure::Seen{.present = bit(b, 0), .same = bit(b, 1), .unused = bit(b, 2)};
  });
  Sweep<DeleteStorageProcedure, 3> remove;
  remove.over(4, [](unsigned b) { return DeleteStorageProcedure::Seen{.present = bit(b, 0), .empty = bit(b, 1)}; });
  Sweep<BackUpVmProcedure, 3> backup;
  backup.over(4, [](unsigned b) { return BackUpVmProcedure::Seen{.exists = bit(b, 0), .fresh = bit(b, 1)}; });
}

TEST(Locate, NothingIsDestroyedThatIsNotThePlannedOneAndUnused) {
  using P = DestroyDatasetProcedure;
  for (unsigned b = 0; b < 8; ++b) {
    const P::Seen seen{.present = bit(b, 0), .same = bit(b, 1), .unused = bit(b, 2)};
    if (P::locate(seen) != P::Phase::kPresent) continue;
    EXPECT_TRUE(seen.present && seen.same && seen.unused) << b;
  }
}

}  // namespace
}  // namespace pvr
