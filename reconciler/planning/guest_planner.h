#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "reconciler/model/guest_options.h"
#include "reconciler/planning/bind_disks.h"
#include "reconciler/planning/compare.h"
#include "reconciler/planning/plan_builder.h"
#include "reconciler/planning/power_obstacle.h"

namespace pvr {

// One guest's part of a plan. plan_guest.cpp has the order and the power, plan_guest_options.cpp its options,
// plan_guest_disks.cpp its disks where they are, plan_guest_moves.cpp their moves.

[[nodiscard]] inline bool is_change(const SettingChange& change) { return change.state == SettingState::kDiffers; }

// When an operation may run, seen from the guest.
enum class Moment : std::uint8_t { kNow, kAfterRestart, kWhileStopped };

// One guest that exists, or that a clone of this plan makes. Operations are collected by moment, because a restart (or
// a stop and a start) separates them, and are given to the builder in the end.
class GuestPlanner {
 public:
  GuestPlanner(PlanBuilder& builder, const ResolvedVm& vm, const VmDiff& diff, const LiveVm& guest,
               std::optional<OperationId> base)
      : b_(builder),
        vm_(vm),
        diff_(diff),
        guest_(guest),
        base_(base),
        allow_(builder.allowance(vm)),
        mode_(mode_of(guest)),
        ha_(builder.ha_managed(vm.vmid)),
        protected_(option_text(guest, "protection") == "1") {}

  void run();

 private:
  struct Planned {
    Operation operation = {};
    std::vector<DriveSlot> slots = {};
  };
  [[nodiscard]] const ResolvedDisk& desired(const DiskDiff& disk) const {
    return *std::ranges::find(vm_.disks, disk.name, &ResolvedDisk::name);
  }
  [[nodiscard]] ResourceAddress address(const DiskDiff& disk) const {
    return {.kind = AddressKind::kVm, .name = vm_.name, .part = disk.name};
  }
  [[nodiscard]] bool is_new() const { return base_.has_value(); }
  [[nodiscard]] bool plugs(DriveSlot slot) const;
  [[nodiscard]] bool boots_from(DriveSlot slot) const;
  [[nodiscard]] Impact written_impact(bool live) const;
  void put(Moment moment, Operation op, std::vector<DriveSlot> slots);
  // After a change that a running guest does not take over by itself.
  void expect_restart(Moment moment);

  // A stopped guest that runs when this plan is through: because the fleet says so, or because HA will start it.
  [[nodiscard]] bool starts() const;

  // ---- options ----
  [[nodiscard]] bool refused(const SettingChange& change);
  void write_options(const std::vector<const SettingChange*>& changes, bool live);

  // What takes effect at once comes first; `boot` names disks that must exist, and protection would be in the way of
  // the disks.
  [[nodiscard]] static bool is_late(const SettingChange& change) {
    return change.key == "boot" || (change.key == "protection" && change.desired.value == OptionValue(true));
  }
  [[nodiscard]] static bool is_live(const SettingChange& change) {
    return change.effect == TakesEffect::kAtOnce || change.effect == TakesEffect::kHotplug;
  }

  /// Pending, but before the drives: their iothreads need it.
  [[nodiscard]] static bool brings_iothreads(const SettingChange& change) {
    return change.key == "scsihw" && change.desired.value == OptionValue(std::string("virtio-scsi-single"));
  }

  void early_options();
  void late_options();

  // ---- disks ----
  void plan_disk(const DiskDiff& disk);
  [[nodiscard]] Operation disk_operation(const DiskDiff& disk, Procedure procedure) const;

  // The storage is there, on the node, and replication allows it. Blocks otherwise.
  [[nodiscard]] const StorageView* target_storage(const DiskDiff& disk, const std::string& storage,
                                                  const std::string& what);
  [[nodiscard]] std::string replication_refuses(const DiskDiff& disk, const StorageView& target) const;
  // Fact: PVE refuses to write a drive of a replicated guest that it can neither replicate nor is told to leave out,
  // also where the drive has been there before. Empty: it does not.
  [[nodiscard]] std::string replication_refuses_write(const DiskDiff& disk, const VolumeId& volume) const;
  [[nodiscard]] bool left_out_of_replication(const DiskDiff& disk) const;
  void add_disk(const DiskDiff& disk);
  void attach(const DiskDiff& disk);
  void take_away(const DiskDiff& disk);

  // A move's way, or why there is none.
  struct Route {
    std::optional<Moment> moment = {};
    bool drop_aio_first = false;
    std::string why = {};
    std::string remedy = {};
  };
  // What PVE only noted of a stopped guest's disk (a task of its died, or its node) it does at the next start.
  [[nodiscard]] std::optional<PlanBuilder::Refusal> waits_for_start(const DiskDiff& disk) const;
  [[nodiscard]] Route route(const DiskDiff& disk, const StorageView& target, std::optional<Moment> decided) const;

  // Settings of the disk that must be written, apart from those only the refused target storage would need.
  [[nodiscard]] std::vector<const SettingChange*> drive_changes(const DiskDiff& disk, bool move_refused) const;
  void write_drive(const DiskDiff& disk, DriveSlot slot, const VolumeId& volume,
                   const std::vector<const SettingChange*>& changes, bool live, Moment moment);

  // Whether and how a disk moves.
  struct Decision {
    Route way = {};
    std::optional<Operation> move = {};
    bool refused = false;
  };
  // `decided`: when the disk is changed, if that is not open any more.
  [[nodiscard]] Decision decide(const DiskDiff& disk, DriveSlot slot, std::optional<Moment> decided);
  [[nodiscard]] bool runs_at(Moment moment) const {
    return mode_.running ? moment != Moment::kWhileStopped : moment == Moment::kAfterRestart;
  }

  // Move, grow and options of a disk that is (or will be) at `slot`. `changes`: the drive options that are still to be
  // written; `aio_waits`: aio is, besides.
  void carry_out(const DiskDiff& disk, DriveSlot slot, Moment moment, Decision decision,
                 std::vector<const SettingChange*> changes, bool aio_waits);
  void write_all(const DiskDiff& disk, DriveSlot slot, const VolumeId& volume,
                 const std::vector<const SettingChange*>& changes, Moment moment);
  std::optional<Operation> move_operation(const DiskDiff& disk, DriveSlot slot, std::optional<Moment> decided,
                                          Route& way);
  [[nodiscard]] bool target_refuses_io_uring(const DiskDiff& disk) const;
  [[nodiscard]] bool holds_back_aio(const DiskDiff& disk, const std::vector<const SettingChange*>& changes) const;
  void drop_aio(const DiskDiff& disk, DriveSlot slot, const VolumeId& volume);

  // Set (again) on the new storage, where unset would mean something else.
  void set_aio_after_move(const DiskDiff& disk, DriveSlot slot, const VolumeId& volume);
  void grow(const DiskDiff& disk, DriveSlot slot, const VolumeId& volume, Moment moment);
  void report_unchangeable(const DiskDiff& disk);

  // ---- zvols ----
  // What is asked of the block size of one zvol.
  struct Blocks {
    const StorageView* here = nullptr;  // where the volume is
    const StorageView* home = nullptr;  // where it belongs
    ByteSize wanted = {};
    std::optional<ByteSize> live = {};  // unknown without host access
    ByteSize size = {};
    const LiveDataset* zvol = nullptr;
    const LiveHost* host = nullptr;
  };
  [[nodiscard]] std::optional<Blocks> blocks_of(const DiskDiff& disk) const;
  // Why this strategy cannot be taken is in the offer; else its price.
  [[nodiscard]] StrategyOffer offer_class_move(const DiskDiff& disk, const Blocks& blocks);
  [[nodiscard]] StrategyOffer offer_out_and_back(const DiskDiff& disk, const Blocks& blocks);
  [[nodiscard]] StrategyOffer offer_swap(const DiskDiff& disk, const Blocks& blocks);
  [[nodiscard]] StrategyOffer offer_in_place(const DiskDiff& disk, const Blocks& blocks);
  [[nodiscard]] const StorageView* scratch_for(const DiskDiff& disk, const Blocks& blocks, std::string& why);
  [[nodiscard]] const StorageView* staging_for(const Blocks& blocks) const;
  // What is in the way of every strategy, or of those that work below PVE.
  [[nodiscard]] StrategyOffer refused_offer(Strategy strategy, std::string why, std::string remedy) const;
  [[nodiscard]] std::optional<PlanBuilder::Refusal> below_pve_refuses(const DiskDiff& disk, const Blocks& blocks) const;
  [[nodiscard]] std::optional<PlanBuilder::Refusal> unhealthy(const StorageView& storage) const;
  [[nodiscard]] std::chrono::seconds copy_time(ByteSize bytes) const;
  // kNone: nothing is to be chosen, or the class move was, which is an ordinary move. kPlanned: the disk with all its
  // settings. kRefused: no way is open, and to move the disk all the same is none.
  enum class Choice : std::uint8_t { kNone, kPlanned, kRefused };
  [[nodiscard]] Choice choose_strategy(const DiskDiff& disk);
  void carry_out_strategy(const DiskDiff& disk, const Blocks& blocks, Strategy strategy, const StrategyOffer& offer);
  void go_on(const DiskDiff& disk);
  void zvol_properties(const DiskDiff& disk, DriveSlot slot, const VolumeId& volume, Moment moment);
  void retire_after_move(const DiskDiff& disk, DriveSlot slot, const VolumeId& old, Moment moment);
  // A backup that the fleet requires before data is rewritten: one that is there, one that is made first, or a reason.
  [[nodiscard]] std::optional<PlanBuilder::Refusal> backup_refuses();

  // ---- the end ----
  void note_waiting();
  OperationId give(Planned planned);
  void complete(Planned& planned) const;
  // After everything so far; everything later comes after it.
  void give_barrier(Procedure procedure, Impact impact, std::string what, std::string reason);
  void give_all(std::vector<Planned>& list);
  [[nodiscard]] bool ha_will_start() const { return vm_.ha && vm_.ha->enabled && !ha_; }

  // What keeps the guest from being stopped and started. Everything that needs neither is planned all the same, and
  // written as what waits for a restart.
  void heed_power_obstacle();
  void tell_power_obstacle();
  // What has to be done first before `usual` is any use.
  [[nodiscard]] std::string way_out(std::string_view usual) const {
    return obstacle_ && mode_.running ? obstacle_->remedy : std::string(usual);
  }

  [[nodiscard]] std::optional<PowerObstacle> power_obstacle() const;
  void emit();
  [[nodiscard]] std::string restart_reason() const;

  PlanBuilder& b_;
  const ResolvedVm& vm_;
  const VmDiff& diff_;
  const LiveVm& guest_;
  std::optional<OperationId> base_;
  Allowance allow_;
  GuestMode mode_;
  bool ha_ = false;
  bool protected_ = false;
  std::vector<Planned> now_ = {};
  std::vector<Planned> restarted_ = {};
  std::vector<Planned> stopped_ = {};
  std::vector<Planned> final_ = {};  // after restarted_, before the second restart
  std::vector<Planned> destroy_ = {};
  std::optional<Planned> backup_ = {};  // before everything else of the guest
  SettingChange own_uuid_ = {};
  bool starts_ = starts();  // a stopped guest that this plan starts
  // The fleet wants it stopped, and stopping is allowed (for a copy, which this stop serves as well).
  bool stops_ = diff_.power_to == PowerState::kStopped && (allow_.restart || allow_.offline_copy);
  std::optional<PowerObstacle> obstacle_ = {};
  bool power_wanted_ = false;   // it would be started, or is allowed to be restarted, were it not for the obstacle
  bool is_up_ = mode_.running;  // as the operations given so far leave it
  bool pending_now_ = false;
  bool pending_restarted_ = false;
  bool waiting_ = false;
  std::optional<OperationId> backed_up_ = {};
  std::optional<OperationId> barrier_ = {};
  std::map<DriveSlot, OperationId> last_on_slot_ = {};
  std::vector<OperationId> given_ = {};
  bool needs_controller_ = false;               // the controller that iothreads need is still to be set …
  std::optional<OperationId> controller_ = {};  // … by this
};

}  // namespace pvr
