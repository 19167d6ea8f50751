#include <fmt/format.h>

#include <algorithm>

#include "reconciler/model/effective.h"
#include "reconciler/planning/bind_disks.h"
#include "reconciler/planning/compare.h"
#include "reconciler/planning/diff_vm.h"
#include "reconciler/planning/plan_builder.h"

namespace pvr {
namespace {

bool is_change(const SettingChange& change) { return change.state == SettingState::kDiffers; }

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
        protected_(option_is(guest, "protection", "1")) {}

  void run() {
    early_options();
    for (const DiskDiff& disk : diff_.disks) plan_disk(disk);
    late_options();
    note_waiting();
    emit();
  }

 private:
  struct Planned {
    Operation operation = {};
    std::vector<DriveSlot> slots = {};
  };

  static bool option_is(const LiveVm& guest, std::string_view key, std::string_view text) {
    const LiveOption* option = guest.options.find(key);
    const std::string* configured = option != nullptr ? option->configured() : nullptr;
    return configured != nullptr && *configured == text;
  }
  [[nodiscard]] const ResolvedDisk& desired(const DiskDiff& disk) const {
    return *std::ranges::find(vm_.disks, disk.name, &ResolvedDisk::name);
  }
  [[nodiscard]] ResourceAddress address(const DiskDiff& disk) const {
    return {.kind = AddressKind::kVm, .name = vm_.name, .part = disk.name};
  }
  [[nodiscard]] bool is_new() const { return base_.has_value(); }
  [[nodiscard]] bool plugs(DriveSlot slot) const {
    // Fact: scsi and virtio drives come and go in a running guest with hotplug disk; the other buses wait for a
    // restart.
    if (!mode_.running) return true;
    return (slot.bus == Bus::kScsi || slot.bus == Bus::kVirtio) &&
           std::ranges::find(mode_.hotplug, "disk") != mode_.hotplug.end();
  }
  [[nodiscard]] Impact written_impact(bool live) const {
    if (!mode_.running) return Impact::kNone;
    if (live) return Impact::kLive;
    return allow_.restart || !stopped_.empty() ? Impact::kRestart : Impact::kPendingRestart;
  }
  void put(Moment moment, Operation op, std::vector<DriveSlot> slots) {
    auto& list = moment == Moment::kNow ? now_ : moment == Moment::kAfterRestart ? restarted_ : stopped_;
    list.push_back({std::move(op), std::move(slots)});
  }
  // After a change that a running guest does not take over by itself.
  void expect_restart(Moment moment) {
    if (!mode_.running && moment != Moment::kAfterRestart) return;
    if (moment == Moment::kNow) pending_now_ = true;
    if (moment == Moment::kAfterRestart) pending_restarted_ = true;
  }

  // A stopped guest that runs when this plan is through: because the fleet says so, or because HA will start it.
  [[nodiscard]] bool starts() const {
    if (mode_.running || guest_.is_template || vm_.state == VmState::kStopped) return false;
    if (diff_.power_to == PowerState::kRunning) return true;
    if (is_new()) return false;
    const auto at = std::ranges::find_if(b_.diff.ha, [&](const HaDiff& ha) { return ha.address.name == vm_.name; });
    if (at == b_.diff.ha.end() || at->action == HaDiff::Action::kDelete || at->action == HaDiff::Action::kNone)
      return false;
    const auto state = std::ranges::find(at->settings, "state", &SettingChange::key);
    if (state == at->settings.end())
      return at->action == HaDiff::Action::kCreate && !vm_.ha->settings.contains("state");
    return state->desired.value == OptionValue(std::string("started")) ||
           state->desired.value == OptionValue(std::string("enabled"));
  }

  // ---- options ----
  [[nodiscard]] bool refused(const SettingChange& change) {
    const auto& wanted = change.desired.value;
    if (change.effect == TakesEffect::kFixed) {
      b_.block(diff_.address, fmt::format("set {}", change.key), "PVE does not change this of a guest that exists",
               "make a new guest");
      return true;
    }
    const bool root_only =
        is_root_only(change.key, wanted) || (is_absent(wanted) && is_root_only(change.key, change.configured));
    if (!root_only || b_.options.as_root) return false;
    const std::string text = vm_option_text(change.key, wanted);
    b_.block(diff_.address, fmt::format("set {} to {}", change.key, to_text(wanted)),
             "only root@pam with a password may change it, no API token",
             is_absent(wanted)
                 ? fmt::format("on {}: qm set {} --delete {}", guest_.node, vm_.vmid.number, change.key)
                 : fmt::format("on {}: qm set {} --{} '{}'", guest_.node, vm_.vmid.number, change.key, text));
    return true;
  }

  void write_options(const std::vector<const SettingChange*>& changes, bool live) {
    if (changes.empty()) return;
    SetVmOptions set{.vmid = vm_.vmid};
    Operation op{.address = diff_.address, .impact = written_impact(live)};
    for (const SettingChange* change : changes) {
      if (is_absent(change->desired.value))
        set.unset.push_back(change->key);
      else
        set.set.set(change->key, vm_option_text(change->key, change->desired.value));
      op.changes.push_back(b_.line(*change, Home::kVmOption, op.impact));
    }
    op.procedure = std::move(set);
    if (!live) expect_restart(Moment::kNow);
    put(Moment::kNow, std::move(op), {});
  }

  // What takes effect at once comes first; `boot` names disks that must exist, and protection would be in the way of
  // the disks.
  [[nodiscard]] static bool is_late(const SettingChange& change) {
    return change.key == "boot" || (change.key == "protection" && change.desired.value == OptionValue(true));
  }
  [[nodiscard]] static bool is_live(const SettingChange& change) {
    return change.effect == TakesEffect::kAtOnce || change.effect == TakesEffect::kHotplug;
  }

  void early_options() {
    std::vector<const SettingChange*> live;
    for (const SettingChange& change : diff_.options) {
      if (!is_change(change) || !is_live(change) || is_late(change) || refused(change)) continue;
      live.push_back(&change);
      if (change.key == "protection") protected_ = false;
    }
    // A new guest gets the uuid the fleet states for it; a clone comes with one of its own.
    if (is_new() && vm_.uuid && !vm_.options.contains("smbios1")) {
      own_uuid_ = {.key = "smbios1", .state = SettingState::kDiffers, .effect = TakesEffect::kAtOnce};
      PropertyString smbios;
      smbios.set("uuid", *vm_.uuid);
      own_uuid_.desired.value = smbios;
      live.push_back(&own_uuid_);
    }
    write_options(live, true);
  }

  void late_options() {
    std::vector<const SettingChange*> live;
    std::vector<const SettingChange*> pending;
    for (const SettingChange& change : diff_.options) {
      if (!is_change(change) || (is_live(change) && !is_late(change)) || refused(change)) continue;
      (is_live(change) ? live : pending).push_back(&change);
    }
    write_options(pending, false);
    write_options(live, true);
  }

  // ---- disks ----
  void plan_disk(const DiskDiff& disk) {
    const std::string slot = to_text(disk.desired_slot);
    if (disk.match == DiskMatch::kAmbiguous || disk.match == DiskMatch::kWrongHolder) {
      const std::string what =
          disk.match == DiskMatch::kAmbiguous ? fmt::format("create {}", slot) : fmt::format("reconcile {}", slot);
      b_.block(address(disk), what, disk.blocked, disk.remedy);
      return;
    }
    if (disk.absent || disk.detached) {
      if (disk.match == DiskMatch::kInPlace) take_away(disk);
      return;
    }
    if (!disk.blocked.empty()) b_.block(address(disk), fmt::format("change {}", slot), disk.blocked, disk.remedy);
    switch (disk.match) {
      case DiskMatch::kMissing:
        add_disk(disk);
        break;
      case DiskMatch::kUnused:
      case DiskMatch::kOtherSlot:
        attach(disk);
        break;
      default:
        carry_out(disk, disk.desired_slot, Moment::kNow,
                  decide(disk, disk.desired_slot, mode_.running ? std::nullopt : std::optional(Moment::kNow)), true,
                  false);
        break;
    }
  }

  [[nodiscard]] Operation disk_operation(const DiskDiff& disk, Procedure procedure) const {
    Operation op{.address = address(disk)};
    op.procedure = std::move(procedure);
    return op;
  }

  // The storage is there, on the node, and replication allows it. Blocks otherwise.
  [[nodiscard]] const StorageView* target_storage(const DiskDiff& disk, const std::string& storage,
                                                  const std::string& what) {
    if (std::optional<PlanBuilder::Refusal> refusal = b_.refuses(storage, guest_.node)) {
      b_.block(address(disk), what, refusal->why, refusal->remedy);
      return nullptr;
    }
    const StorageView* view = b_.storages.find(storage);
    if (const std::string why = replication_refuses(disk, *view); !why.empty()) {
      b_.block(address(disk), what, why, "state replicate: off on the disk, or remove the replication job");
      return nullptr;
    }
    return view;
  }

  [[nodiscard]] std::string replication_refuses(const DiskDiff& disk, const StorageView& target) const {
    const Resolved* wish = desired(disk).settings.find("replicate");
    const LiveDrive* drive = guest_.drive(disk.desired_slot);
    const OptionValue* present =
        drive != nullptr && drive->current ? drive->current->options.find("replicate") : nullptr;
    if ((wish != nullptr && wish->value == OptionValue(false)) ||
        (present != nullptr && *present == OptionValue(false)))
      return {};
    const auto refuses = [&](const std::string& node) { return !target.has_zvols() || !target.on_node(node); };
    for (const LiveReplication& job : b_.live.replication) {
      if (job.guest == vm_.vmid && refuses(job.target)) {
        return fmt::format("the guest is replicated to {}, and storage \"{}\" cannot be replicated there", job.target,
                           target.id);
      }
    }
    return {};
  }

  void add_disk(const DiskDiff& disk) {
    const ResolvedDisk& wish = desired(disk);
    const std::string storage = desired_text(wish, "storage");
    const std::string what = fmt::format("create {}", to_text(disk.desired_slot));
    if (storage.empty()) {
      b_.block(address(disk), what, "nothing says on which storage",
               "give the VM's lane a storage, or state storage: on the disk");
      return;
    }
    const StorageView* view = target_storage(disk, storage, what);
    if (view == nullptr) return;
    AddDisk add{.vmid = vm_.vmid, .slot = disk.desired_slot, .storage = storage, .cloud_init = is_cloud_init(wish)};
    const bool sized_by_pve =
        add.cloud_init || disk.desired_slot.bus == Bus::kEfi || disk.desired_slot.bus == Bus::kTpm;
    const std::optional<ByteSize> size = desired_size(wish);
    if (!sized_by_pve && !size && !wish.import_from) {
      b_.block(address(disk), what, "nothing says how large", "state size: on the disk");
      return;
    }
    const ByteSize bytes = size.value_or(4_MiB);  // the largest that PVE makes by itself
    if (const std::optional<std::string> full =
            b_.space.reserve(*view, guest_.node, b_.space.taken(*view, guest_.node, bytes))) {
      b_.block(address(disk), what, *full + " (rule Z10)", "make room, or --force-capacity");
      return;
    }
    const bool live = plugs(disk.desired_slot);
    Operation op{.address = address(disk),
                 .impact = written_impact(live),
                 .after = b_.before_storage(storage),
                 .locks = {"storage/" + storage}};
    op.changes.push_back({.key = "volume",
                          .from = "none",
                          .to = fmt::format("new on {}", storage),
                          .reason = "the disk has no volume yet",
                          .impact = op.impact});
    if (wish.import_from) {
      add.import_from = *wish.import_from;
      op.changes.back().to = fmt::format("import of {} on {}", add.import_from, storage);
      op.copy = b_.copy_cost(*view, guest_.node, bytes, false);
      op.locks.push_back("copy/" + guest_.node);
    } else if (size) {
      add.size = *size;
      op.changes.back().to += fmt::format(", {}", to_text(*size));
    }
    if (!view->has_zvols()) add.format = desired_text(wish, "format");
    for (const SettingChange& change : disk.settings) {
      if (!is_change(change) || find_setting(Home::kDriveOption, change.key) == nullptr ||
          is_absent(change.desired.value))
        continue;
      add.options.set(change.key, drive_option_text(change.key, change.desired.value));
      op.changes.push_back(b_.line(change, Home::kDriveOption, op.impact));
    }
    op.procedure = std::move(add);
    if (!live) expect_restart(Moment::kNow);
    put(Moment::kNow, std::move(op), {disk.desired_slot});
    if (wish.import_from && size) {
      // The import has the source's size; PVE refuses to state another one with it.
      Operation grow = disk_operation(
          disk, ResizeDisk{.vmid = vm_.vmid, .slot = disk.desired_slot, .volume = {.storage = storage}, .size = *size});
      grow.impact = mode_.running ? Impact::kLive : Impact::kNone;
      grow.changes.push_back({.key = "size",
                              .from = "size of the image",
                              .to = to_text(*size),
                              .reason = "stated in the fleet file",
                              .impact = grow.impact});
      put(Moment::kNow, std::move(grow), {disk.desired_slot});
    }
  }

  void attach(const DiskDiff& disk) {
    const bool other_slot = disk.match == DiskMatch::kOtherSlot;
    const std::string what = fmt::format("attach {} as {}", to_text(*disk.volume), to_text(disk.desired_slot));
    Moment moment = Moment::kNow;
    if (mode_.running && (other_slot || !plugs(disk.desired_slot))) {
      // Another slot is another device for the guest, so it is changed while nobody looks.
      if (!allow_.restart && !stops_) {
        b_.block(address(disk), what, "the guest runs and would lose the device for a moment",
                 "--allow restart, or stop the guest");
        return;
      }
      moment = Moment::kWhileStopped;
    }
    AttachVolume procedure{.vmid = vm_.vmid, .slot = disk.desired_slot, .from = disk.live_slot, .volume = *disk.volume};
    const LiveDrive* from = disk.live_slot ? guest_.drive(*disk.live_slot) : nullptr;
    if (const Drive* kept = from != nullptr ? from->configured() : nullptr; kept != nullptr && other_slot) {
      for (const auto& [key, value] : kept->options) procedure.options.set(key, drive_option_text(key, value));
    }
    const bool offline = moment == Moment::kWhileStopped;
    Decision decision =
        decide(disk, disk.desired_slot, offline || !mode_.running ? std::optional(moment) : std::nullopt);
    // io_uring would be in the way of a move that follows while the guest runs.
    const bool aio_waits = decision.move && runs_at(*decision.way.moment) && target_refuses_io_uring(disk);
    if (aio_waits) procedure.options.erase("aio");
    Operation op{.address = address(disk),
                 .impact = !mode_.running           ? Impact::kNone
                           : moment == Moment::kNow ? Impact::kLive
                                                    : Impact::kRestart};
    op.changes.push_back({.key = "slot",
                          .from = disk.live_slot ? to_text(*disk.live_slot) : "not attached",
                          .to = to_text(disk.desired_slot),
                          .reason = fmt::format("the disk's data is in {}", to_text(*disk.volume)),
                          .impact = op.impact});
    for (const SettingChange& change : disk.settings) {
      if (!is_change(change) || find_setting(Home::kDriveOption, change.key) == nullptr) continue;
      if (change.key == "aio" && aio_waits) continue;
      if (is_absent(change.desired.value))
        procedure.options.erase(change.key);
      else
        procedure.options.set(change.key, drive_option_text(change.key, change.desired.value));
      op.changes.push_back(b_.line(change, Home::kDriveOption, op.impact));
    }
    op.procedure = std::move(procedure);
    std::vector<DriveSlot> slots = {disk.desired_slot};
    if (disk.live_slot) slots.push_back(*disk.live_slot);
    put(moment, std::move(op), std::move(slots));
    carry_out(disk, disk.desired_slot, moment, std::move(decision), false, aio_waits);
  }

  void take_away(const DiskDiff& disk) {
    const std::string slot = to_text(disk.desired_slot);
    const std::string what =
        disk.absent ? fmt::format("remove {} and destroy its volume", slot) : fmt::format("detach {}", slot);
    if (disk.absent && !allow_.destroy) {
      b_.block(address(disk), what, "this destroys data", "--allow destroy");
      return;
    }
    if (protected_) {
      b_.block(address(disk), what, "the guest is protected", "state protection: off first");
      return;
    }
    if (!disk.volume) {
      b_.block(address(disk), what, "it is a device of the host, not a volume",
               fmt::format("qm set {} --delete {}", vm_.vmid.number, slot));
      return;
    }
    if (!plugs(disk.desired_slot) && disk.absent) {
      b_.block(address(disk), what, "this bus lets a drive go only while the guest is stopped",
               "stop the guest, then plan again");
      return;
    }
    if (disk.absent && guest_.has_snapshots()) {
      b_.block(address(disk), what, "snapshots of the guest may need the volume",
               fmt::format("qm delsnapshot {} NAME for each", vm_.vmid.number));
      return;
    }
    const bool live = plugs(disk.desired_slot);
    Operation op =
        disk_operation(disk, DetachDisk{.vmid = vm_.vmid, .slot = disk.desired_slot, .volume = *disk.volume});
    op.impact = written_impact(live);
    op.changes.push_back({.key = slot,
                          .from = to_text(*disk.volume),
                          .to = "not attached",
                          .reason = "stated in the fleet file",
                          .impact = op.impact});
    if (!live) expect_restart(Moment::kNow);
    put(Moment::kNow, std::move(op), {disk.desired_slot});
    // PVE frees a cloud-init volume when its drive goes.
    if (!disk.absent || is_cloud_init(desired(disk))) return;
    Operation destroy = disk_operation(disk, DestroyVolume{.vmid = vm_.vmid, .volume = *disk.volume});
    destroy.impact = Impact::kDestroy;
    destroy.locks = {"storage/" + disk.volume->storage};
    destroy.changes.push_back({.key = "volume",
                               .from = to_text(*disk.volume),
                               .to = "destroyed",
                               .reason = "stated in the fleet file",
                               .impact = Impact::kDestroy});
    destroy_.push_back({std::move(destroy), {disk.desired_slot}});
  }

  // A move's way, or why there is none.
  struct Route {
    std::optional<Moment> moment = {};
    bool drop_aio_first = false;
    std::string why = {};
    std::string remedy = {};
  };

  [[nodiscard]] Route route(const DiskDiff& disk, const StorageView& target, std::optional<Moment> decided) const {
    const LiveDrive* drive = disk.live_slot ? guest_.drive(*disk.live_slot) : nullptr;
    const Drive* running = drive != nullptr && drive->current ? &*drive->current : nullptr;
    if (guest_.has_snapshots()) {
      return {.why = "the guest has snapshots, which would stay on the old volume",
              .remedy = fmt::format("qm listsnapshot {0}, then qm delsnapshot {0} NAME for each", vm_.vmid.number)};
    }
    if (guest_.is_template && b_.storages.has_children(*disk.volume)) {
      return {.why = "other guests are linked clones of this volume",
              .remedy = "move those guests' disks first, which makes them full copies"};
    }
    if (is_new()) return {.moment = decided};
    const bool will_stop = diff_.power_to == PowerState::kStopped;
    const bool tpm = disk.desired_slot.bus == Bus::kTpm;
    if (decided == Moment::kWhileStopped) {
      if (allow_.offline_copy) return {.moment = decided};
      if (!will_stop && !tpm) return {.moment = Moment::kAfterRestart};  // once it runs again
      return {.why = "it would be copied while the guest is stopped", .remedy = "--allow offline-copy"};
    }
    if (!mode_.running && (allow_.offline_copy || !starts_)) {
      if (allow_.offline_copy) return {.moment = Moment::kNow};
      return {.why = "the guest is stopped, and could not be started while the copy runs",
              .remedy = "--allow offline-copy, or start the guest"};
    }
    if (tpm) {
      if (allow_.offline_copy) return {.moment = Moment::kWhileStopped};
      return {.why = "PVE does not move the TPM state of a running guest",
              .remedy = "--allow offline-copy, or stop the guest"};
    }
    const auto text_of = [&](std::string_view key) -> std::string {
      const OptionValue* value = running != nullptr ? running->options.find(key) : nullptr;
      const auto* text = value != nullptr ? std::get_if<std::string>(value) : nullptr;
      return text != nullptr ? *text : std::string();
    };
    const CacheMode cache = parse_cache(text_of("cache")).value_or(effective_cache(target.kind));
    const bool io_uring = text_of("aio") == "io_uring" && refuses_io_uring_move(target.kind, cache);
    const bool pending = drive != nullptr && drive->has_pending();
    if (!mode_.running && !io_uring) return {.moment = Moment::kAfterRestart};  // right after its start
    if (!io_uring && !pending) return {.moment = Moment::kNow};
    if (will_stop) {
      // No restart will come that this could wait for; the stop does.
      if (allow_.offline_copy) return {.moment = Moment::kWhileStopped};
      return {.why = "it can only be moved when the guest is stopped, as the fleet wants it",
              .remedy = "--allow offline-copy, once it is stopped"};
    }
    if (allow_.restart) return {.moment = Moment::kAfterRestart, .drop_aio_first = io_uring};
    if (allow_.offline_copy) return {.moment = Moment::kWhileStopped};
    if (io_uring) {
      return {.why =
                  "PVE refuses to move a running disk with aio=io_uring to that kind of storage (rule A5); aio must go "
                  "first, which takes a restart",
              .remedy = "--allow restart (or --allow offline-copy)"};
    }
    return {.why =
                "the disk has a change that waits for a restart; moved now, PVE would switch back to the old volume at "
                "that restart",
            .remedy = "--allow restart, restart the guest yourself, or qm set with --revert"};
  }

  // Settings of the disk that must be written, apart from those only the refused target storage would need.
  [[nodiscard]] std::vector<const SettingChange*> drive_changes(const DiskDiff& disk, bool move_refused) const {
    std::vector<const SettingChange*> list;
    const StorageView* here = disk.volume ? b_.storages.find(disk.volume->storage) : nullptr;
    for (const SettingChange& change : disk.settings) {
      if (!is_change(change) || find_setting(Home::kDriveOption, change.key) == nullptr) continue;
      if (move_refused && here != nullptr && is_absent(change.configured)) {
        const Resolved* cache = desired(disk).settings.find("cache");
        const OptionValue unset =
            effective_drive_option(change.key, here->kind, disk.desired_slot.bus, image_format(*disk.volume),
                                   cache != nullptr ? cache->value : OptionValue{});
        if (unset == change.desired.value) continue;
      }
      list.push_back(&change);
    }
    return list;
  }

  void write_drive(const DiskDiff& disk, DriveSlot slot, const VolumeId& volume,
                   const std::vector<const SettingChange*>& changes, bool live, Moment moment) {
    if (changes.empty()) return;
    SetDriveOptions set{.vmid = vm_.vmid, .slot = slot, .volume = volume};
    Operation op{.address = address(disk)};
    op.impact = moment == Moment::kWhileStopped ? Impact::kRestart : written_impact(live);
    for (const SettingChange* change : changes) {
      set.set.set(change->key, drive_option_text(change->key, change->desired.value));
      op.changes.push_back(b_.line(*change, Home::kDriveOption, op.impact));
    }
    op.procedure = std::move(set);
    if (!live) expect_restart(moment);
    put(moment, std::move(op), {slot});
  }

  // Whether and how a disk moves.
  struct Decision {
    Route way = {};
    std::optional<Operation> move = {};
    bool refused = false;
  };
  // `decided`: when the disk is changed, if that is not open any more.
  [[nodiscard]] Decision decide(const DiskDiff& disk, DriveSlot slot, std::optional<Moment> decided) {
    Decision out;
    if (!disk.move_to && !disk.format_to) return out;
    out.move = move_operation(disk, slot, decided, out.way);
    out.refused = !out.move;
    return out;
  }
  [[nodiscard]] bool runs_at(Moment moment) const {
    return mode_.running ? moment != Moment::kWhileStopped : moment == Moment::kAfterRestart;
  }

  // Move, grow and options of a disk that is (or will be) at `slot`. `options`: whether its drive options are still to
  // be written; `aio_waits`: all but aio are.
  void carry_out(const DiskDiff& disk, DriveSlot slot, Moment moment, Decision decision, bool options, bool aio_waits) {
    VolumeId volume = disk.volume.value_or(VolumeId{});
    const Route& way = decision.way;
    std::optional<Operation>& move = decision.move;
    const bool move_refused = decision.refused;
    const Moment copy_moment = move ? *way.moment : moment;
    std::vector<const SettingChange*> changes =
        options ? drive_changes(disk, move_refused) : std::vector<const SettingChange*>{};
    if (way.moment == Moment::kAfterRestart) {
      // The restart that the move waits for makes these active as well; but io_uring would be in the move's way.
      const bool later = way.drop_aio_first || holds_back_aio(disk, changes) || aio_waits;
      if (way.drop_aio_first) drop_aio(disk, slot, volume);
      if (later) {
        std::erase_if(changes, [](const SettingChange* change) { return change->key == "aio"; });
        set_aio_after_move(disk, slot, volume);
      }
      write_all(disk, slot, volume, changes, Moment::kNow);
      changes.clear();
    }
    if (move) {
      volume = {.storage = std::get<MoveDisk>(move->procedure).storage};
      put(copy_moment, std::move(*move), {slot});
    }
    if (disk.grow_to) grow(disk, slot, volume, copy_moment);
    write_all(disk, slot, volume, changes, copy_moment);
    const Resolved* aio = desired(disk).settings.find("aio");
    if (aio_waits && way.moment != Moment::kAfterRestart && aio != nullptr && !is_absent(aio->value)) {
      const SettingChange held{.key = "aio", .state = SettingState::kDiffers, .desired = *aio};
      write_drive(disk, slot, volume, {&held}, false, copy_moment);
    }
    report_unchangeable(disk);
  }

  void write_all(const DiskDiff& disk, DriveSlot slot, const VolumeId& volume,
                 const std::vector<const SettingChange*>& changes, Moment moment) {
    std::vector<const SettingChange*> live;
    std::vector<const SettingChange*> pending;
    const LiveDrive* drive = guest_.drive(slot);
    // Fact: one pending option makes the whole drive string pending, so live ones travel alone, and not at all while
    // something waits.
    const bool waits = mode_.running && moment == Moment::kNow && drive != nullptr && drive->has_pending();
    for (const SettingChange* change : changes) {
      if (change->effect == TakesEffect::kFixed) {
        b_.block(address(disk), fmt::format("set {} of {}", change->key, to_text(slot)),
                 "it is decided when the volume is made",
                 fmt::format("remove {} and let it be made again; what the guest stored there is lost", to_text(slot)));
        continue;
      }
      const bool at_once = is_live(*change) && !waits;
      (at_once || moment == Moment::kWhileStopped || !mode_.running ? live : pending).push_back(change);
    }
    write_drive(disk, slot, volume, live, true, moment);
    write_drive(disk, slot, volume, pending, false, moment);
  }

  std::optional<Operation> move_operation(const DiskDiff& disk, DriveSlot slot, std::optional<Moment> decided,
                                          Route& way) {
    const std::string storage = disk.move_to.value_or(disk.volume ? disk.volume->storage : "");
    const std::string what = disk.move_to ? fmt::format("move {} to storage \"{}\"", to_text(slot), storage)
                                          : fmt::format("convert {} to {}", to_text(slot), disk.format_to.value_or(""));
    const StorageView* view = target_storage(disk, storage, what);
    if (view == nullptr) return std::nullopt;
    way = route(disk, *view, decided);
    if (!way.moment) {
      b_.block(address(disk), what, way.why, way.remedy);
      return std::nullopt;
    }
    const ByteSize size = disk.live_size.value_or(ByteSize{});
    const bool after_start = !mode_.running && *way.moment == Moment::kAfterRestart;
    const bool offline = !after_start && (!mode_.running || *way.moment == Moment::kWhileStopped);
    CopyCost cost = b_.copy_cost(*view, guest_.node, size, offline && !is_new());
    if (const std::optional<std::string> full = b_.space.reserve(*view, guest_.node, cost.peak_extra)) {
      b_.block(address(disk), what, *full + " (rule Z10)", "make room, or --force-capacity");
      way = {};
      return std::nullopt;
    }
    MoveDisk procedure{.vmid = vm_.vmid,
                       .slot = slot,
                       .volume = disk.volume.value_or(VolumeId{}),
                       .storage = storage,
                       .bandwidth = b_.options.copy_rate};
    if (disk.format_to)
      procedure.format = *disk.format_to;
    else if (!view->has_zvols())
      procedure.format = desired_text(desired(disk), "format");
    Operation op{.address = address(disk),
                 .impact = is_new()  ? Impact::kNone
                           : offline ? Impact::kOfflineCopy
                                     : Impact::kOnlineCopy};
    op.after = b_.before_storage(storage);
    op.locks = {"storage/" + storage, "copy/" + guest_.node};
    op.copy = std::move(cost);
    for (const SettingChange& change : disk.settings) {
      if (change.key != "storage" && change.key != "format") continue;
      PlannedChange line = b_.line(change, Home::kDiskPlace, op.impact);
      if (!disk.move_why.empty())
        line.reason = line.reason.empty() ? disk.move_why : line.reason + "; " + disk.move_why;
      op.changes.push_back(std::move(line));
    }
    op.procedure = std::move(procedure);
    return op;
  }

  [[nodiscard]] bool target_refuses_io_uring(const DiskDiff& disk) const {
    const StorageView* target = disk.move_to ? b_.storages.find(*disk.move_to) : nullptr;
    return target != nullptr && refuses_io_uring_move(target->kind, CacheMode::kWriteback);
  }
  [[nodiscard]] bool holds_back_aio(const DiskDiff& disk, const std::vector<const SettingChange*>& changes) const {
    return target_refuses_io_uring(disk) &&
           std::ranges::any_of(changes, [](const SettingChange* change) { return change->key == "aio"; });
  }

  void drop_aio(const DiskDiff& disk, DriveSlot slot, const VolumeId& volume) {
    SetDriveOptions set{.vmid = vm_.vmid, .slot = slot, .volume = volume};
    set.set.set("aio", "");
    Operation op = disk_operation(disk, std::move(set));
    op.impact = written_impact(false);
    op.changes.push_back({.key = "aio",
                          .from = "io_uring",
                          .to = "unset, for the move",
                          .rule = "A5",
                          .reason = "PVE refuses a live move to this storage while io_uring is stated",
                          .impact = op.impact});
    expect_restart(Moment::kNow);
    put(Moment::kNow, std::move(op), {slot});
  }

  // Set (again) on the new storage, where unset would mean something else.
  void set_aio_after_move(const DiskDiff& disk, DriveSlot slot, const VolumeId& volume) {
    const Resolved* aio = desired(disk).settings.find("aio");
    const StorageView* target = disk.move_to ? b_.storages.find(*disk.move_to) : nullptr;
    if (aio == nullptr || target == nullptr) return;
    const Resolved* cache = desired(disk).settings.find("cache");
    const OptionValue unset = effective_drive_option("aio", target->kind, slot.bus, image_format(volume),
                                                     cache != nullptr ? cache->value : OptionValue{});
    if (is_absent(aio->value) || aio->value == unset) return;
    SetDriveOptions again{.vmid = vm_.vmid, .slot = slot, .volume = {.storage = target->id}};
    again.set.set("aio", drive_option_text("aio", aio->value));
    Operation later = disk_operation(disk, std::move(again));
    later.impact = Impact::kRestart;
    SettingChange change{.key = "aio", .state = SettingState::kDiffers, .desired = *aio};
    later.changes.push_back(b_.line(change, Home::kDriveOption, Impact::kRestart));
    expect_restart(Moment::kAfterRestart);
    final_.push_back({std::move(later), {slot}});
  }

  void grow(const DiskDiff& disk, DriveSlot slot, const VolumeId& volume, Moment moment) {
    const StorageView* view = b_.storages.find(volume.storage);
    const std::string what = fmt::format("grow {} to {}", to_text(slot), to_text(*disk.grow_to));
    if (view != nullptr) {
      const ByteSize more{disk.grow_to->bytes - disk.live_size.value_or(ByteSize{}).bytes};
      if (const std::optional<std::string> full =
              b_.space.reserve(*view, guest_.node, b_.space.taken(*view, guest_.node, more))) {
        b_.block(address(disk), what, *full + " (rule Z10)", "make room, or --force-capacity");
        return;
      }
    }
    Operation op =
        disk_operation(disk, ResizeDisk{.vmid = vm_.vmid, .slot = slot, .volume = volume, .size = *disk.grow_to});
    const bool up = mode_.running ? moment != Moment::kWhileStopped : moment == Moment::kAfterRestart;
    op.impact = up ? Impact::kLive : Impact::kNone;
    op.locks = {"storage/" + volume.storage};
    for (const SettingChange& change : disk.settings)
      if (change.key == "size") op.changes.push_back(b_.line(change, Home::kDiskPlace, op.impact));
    put(moment, std::move(op), {slot});
  }

  void report_unchangeable(const DiskDiff& disk) {
    for (const SettingChange& change : disk.settings) {
      if (!is_change(change) || find_setting(Home::kZvolProperty, change.key) == nullptr) continue;
      b_.block(
          address(disk),
          fmt::format("give {} {} {}", to_text(disk.desired_slot), change.key, to_text(change.desired.value)),
          fmt::format("the zvol has {}, and it is already on its storage; {} is fixed when a zvol is made",
                      to_text(change.configured), change.key),
          "state another storage: for the disk, apply, state this one again and apply: each move makes a new zvol");
    }
  }

  // ---- the end ----
  void note_waiting() {
    const auto wait = [&](const ResourceAddress& where, const SettingChange& change) {
      if (change.state != SettingState::kWaitsForRestart) return;
      b_.touched.insert(vm_.name);
      b_.plan.waiting.push_back({.address = where,
                                 .key = change.key,
                                 .running = to_text(change.running),
                                 .configured = to_text(change.configured)});
      waiting_ = true;
    };
    for (const SettingChange& change : diff_.options) wait(diff_.address, change);
    for (const DiskDiff& disk : diff_.disks)
      for (const SettingChange& change : disk.settings) wait(address(disk), change);
  }

  OperationId give(Planned planned) {
    complete(planned);
    const OperationId id = b_.add(std::move(planned.operation));
    for (const DriveSlot slot : planned.slots) last_on_slot_[slot] = id;
    given_.push_back(id);
    return id;
  }
  void complete(Planned& planned) const {
    Operation& op = planned.operation;
    op.node = guest_.node;
    op.locks.push_back(fmt::format("vm/{}", vm_.vmid.number));
    if (base_) op.after.push_back(*base_);
    if (barrier_) op.after.push_back(*barrier_);
    for (const DriveSlot slot : planned.slots)
      if (const auto at = last_on_slot_.find(slot); at != last_on_slot_.end()) op.after.push_back(at->second);
    if (!is_new()) {
      if (given_.empty()) op.guard.digest = guest_.digest;
      op.guard.uuid = guest_.uuid;
    }
  }
  // After everything so far; everything later comes after it.
  void give_barrier(Procedure procedure, Impact impact, std::string what, std::string reason) {
    Operation op{.address = diff_.address, .impact = impact, .after = given_};
    const bool stops = std::holds_alternative<StopVm>(procedure);
    op.procedure = std::move(procedure);
    op.changes.push_back({.key = "power",
                          .from = is_up_ ? "running" : "stopped",
                          .to = std::move(what),
                          .reason = std::move(reason),
                          .impact = impact});
    is_up_ = !stops;
    barrier_ = give({std::move(op), {}});
  }
  void give_all(std::vector<Planned>& list) {
    for (Planned& planned : list) give(std::move(planned));
    list.clear();
  }
  [[nodiscard]] bool ha_will_start() const { return vm_.ha && vm_.ha->enabled && !ha_; }

  void emit() {
    give_all(now_);
    const bool stop_wanted = diff_.power_to == PowerState::kStopped;
    if (!stopped_.empty()) {
      give_barrier(StopVm{.vmid = vm_.vmid, .ha = ha_}, Impact::kRestart, "stopped",
                   "what follows needs the guest stopped");
      give_all(stopped_);
      if (!stop_wanted) give_barrier(StartVm{.vmid = vm_.vmid, .ha = ha_}, Impact::kNone, "running", "it ran before");
    } else if (mode_.running && allow_.restart && !stop_wanted && (pending_now_ || waiting_ || !restarted_.empty())) {
      give_barrier(RestartVm{.vmid = vm_.vmid, .ha = ha_}, Impact::kRestart, "restarted", restart_reason());
    }
    if (starts_ || (is_new() && vm_.state == VmState::kRunning && !ha_will_start())) {
      give_barrier(StartVm{.vmid = vm_.vmid, .ha = ha_}, Impact::kNone, "running", "the fleet wants it to run");
    }
    give_all(restarted_);
    give_all(final_);
    if (pending_restarted_ && !stop_wanted && allow_.restart) {
      give_barrier(RestartVm{.vmid = vm_.vmid, .ha = ha_}, Impact::kRestart, "restarted",
                   "makes what was set after the move active");
    }
    if (stop_wanted && !barrier_) {
      if (stops_)
        give_barrier(StopVm{.vmid = vm_.vmid, .ha = ha_}, Impact::kRestart, "stopped", "stated in the fleet file");
      else
        b_.block(diff_.address, "stop the guest", "its users would notice", "--allow restart, or stop it yourself");
    }
    for (Planned& planned : destroy_) {
      complete(planned);
      b_.irreversible.push_back(std::move(planned.operation));
    }
    auto& all = b_.guest_operations[vm_.vmid.number];
    all.insert(all.end(), given_.begin(), given_.end());
  }

  [[nodiscard]] std::string restart_reason() const {
    std::string reason = "makes pending changes active";
    if (!diff_.foreign_pending.empty())
      reason += fmt::format(", also those nobody declared: {}", fmt::join(diff_.foreign_pending, ", "));
    return reason;
  }

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
  SettingChange own_uuid_ = {};
  bool starts_ = starts();  // a stopped guest that this plan starts
  // The fleet wants it stopped, and stopping is allowed (for a copy, which this stop serves as well).
  bool stops_ = diff_.power_to == PowerState::kStopped && (allow_.restart || allow_.offline_copy);
  bool is_up_ = mode_.running;  // as the operations given so far leave it
  bool pending_now_ = false;
  bool pending_restarted_ = false;
  bool waiting_ = false;
  std::optional<OperationId> barrier_ = {};
  std::map<DriveSlot, OperationId> last_on_slot_ = {};
  std::vector<OperationId> given_ = {};
};

}  // namespace

void plan_existing_guest(PlanBuilder& builder, const ResolvedVm& vm, const VmDiff& diff, const LiveVm& guest) {
  GuestPlanner(builder, vm, diff, guest, std::nullopt).run();
}

void plan_cloned_guest(PlanBuilder& builder, const ResolvedVm& vm, const VmDiff& diff, const LiveVm& guest,
                       OperationId base) {
  GuestPlanner(builder, vm, diff, guest, base).run();
}

}  // namespace pvr
