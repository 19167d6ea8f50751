#include "reconciler/planning/verify_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <type_traits>

namespace pvr {
namespace {

// What the invariants need to know of an operation, whatever its procedure is.
struct Traits {
  std::optional<Vmid> guest = {};
  std::vector<DriveSlot> slots = {};
  std::string allocates_on = {};
  std::string pool = {};
  bool copies = false;
  bool below_guest = false;  // renames zvols of a guest, which must be stopped
  bool destroys = false;
  bool interrupts = false;  // stop or restart
  bool creates_guest = false;
};

Traits traits_of(const Operation& op) {
  Traits out;
  std::visit(
      [&](const auto& p) {
        using T = std::decay_t<decltype(p)>;
        if constexpr (requires { p.vmid; })
          if (p.vmid.number != 0) out.guest = p.vmid;  // a dataset of nobody has none
        if constexpr (requires { p.slot; })
          if (out.guest) out.slots.push_back(p.slot);
        if constexpr (std::is_same_v<T, AttachVolume>)
          if (p.from) out.slots.push_back(*p.from);
        if constexpr (requires { p.pool; }) out.pool = p.pool;
        if constexpr (std::is_same_v<T, AddToPool>) {
          out.pool = p.id;
          out.guest.reset();  // the pool's file is written, not the guest's
        }
        if constexpr (std::is_same_v<T, MoveDisk> || std::is_same_v<T, AddDisk> || std::is_same_v<T, CloneVm>)
          out.allocates_on = p.storage;
        if constexpr (std::is_same_v<T, SwapZvol>) out.allocates_on = p.storage;
        out.below_guest =
            std::is_same_v<T, SwapZvol> || std::is_same_v<T, RecreateZvol> || std::is_same_v<T, RollBackZvol>;
        out.copies =
            std::is_same_v<T, MoveDisk> || std::is_same_v<T, RecreateZvol> || (std::is_same_v<T, CloneVm> && op.copy);
        out.destroys = std::is_same_v<T, DestroyVm> || std::is_same_v<T, DestroyVolume> ||
                       std::is_same_v<T, DestroyDataset> || std::is_same_v<T, DeleteStorage>;
        out.interrupts = std::is_same_v<T, StopVm> || std::is_same_v<T, RestartVm>;
        out.creates_guest = std::is_same_v<T, CreateVm> || std::is_same_v<T, CloneVm>;
      },
      op.procedure);
  return out;
}

class Verifier {
 public:
  Verifier(const Plan& plan, const ResolvedFleet& fleet, const LiveState& live, const PlanOptions& options)
      : plan_(plan), fleet_(fleet), live_(live), options_(options) {}

  std::vector<std::string> run() {
    for (std::size_t i = 0; i < plan_.operations.size(); ++i) {
      const Operation& op = plan_.operations[i];
      if (op.id != i + 1) say(op, fmt::format("stands at position {}", i + 1));
      if (std::ranges::adjacent_find(op.after) != op.after.end()) say(op, "comes after the same operation twice");
      if (std::ranges::adjacent_find(op.locks) != op.locks.end()) say(op, "wants the same lock twice");
      for (const OperationId before : op.after)
        if (before == 0 || before >= op.id)
          say(op, fmt::format("comes after operation {}, which is not before it", before));
    }
    if (!problems_.empty()) return problems_;  // the rest walks along `after`
    for (const Operation& op : plan_.operations) traits_.push_back(traits_of(op));
    bool destroyed = false;
    for (const Operation& op : plan_.operations) {
      const Traits& traits = traits_[op.id - 1];
      if (destroyed && !traits.destroys && !belongs_to_removal(op, traits))
        say(op, "comes after something was destroyed");
      destroyed = destroyed || traits.destroys;
      if (op.changes.empty() && !std::holds_alternative<CreatePool>(op.procedure) &&
          !std::holds_alternative<CreateStorage>(op.procedure)) {
        say(op, "does not say what it changes");
      }
      storage_and_pool(op, traits);
      if (traits.guest) guest_operation(op, traits);
      // HA and replication entries are written under the guest's lock and may be its first operation.
      for (const std::string& lock : op.locks)
        if (lock.starts_with("vm/")) seen_guests_.insert(static_cast<std::uint32_t>(std::stoul(lock.substr(3))));
    }
    return problems_;
  }

 private:
  void say(const Operation& op, const std::string& what) {
    problems_.push_back(
        fmt::format("operation {} ({} {}) {}", op.id, procedure_name(op.procedure), to_text(op.address), what));
  }
  [[nodiscard]] bool has_lock(const Operation& op, const std::string& lock) const {
    return std::ranges::find(op.locks, lock) != op.locks.end();
  }
  [[nodiscard]] const ResolvedVm* vm_of(Vmid vmid) const {
    const auto at = std::ranges::find(fleet_.vms, vmid, &ResolvedVm::vmid);
    return at != fleet_.vms.end() ? &*at : nullptr;
  }
  // Taking a guest away is a chain of its own: out of HA, stopped, destroyed.
  [[nodiscard]] bool belongs_to_removal(const Operation& op, const Traits& traits) const {
    if (!traits.guest && !std::holds_alternative<RemoveHa>(op.procedure)) return false;
    const auto at = std::ranges::find(fleet_.vms, op.address.name, &ResolvedVm::name);
    return at != fleet_.vms.end() && at->state == VmState::kAbsent;
  }
  [[nodiscard]] bool is_after(OperationId later, OperationId earlier) const {
    std::vector<OperationId> open = {later};
    std::set<OperationId> seen;
    while (!open.empty()) {
      const OperationId id = open.back();
      open.pop_back();
      if (id == earlier) return true;
      for (const OperationId before : plan_.operations[id - 1].after)
        if (before >= earlier && seen.insert(before).second) open.push_back(before);
    }
    return false;
  }

  void storage_and_pool(const Operation& op, const Traits& traits) {
    if (const auto* make = std::get_if<CreateStorage>(&op.procedure)) made_storages_[make->id] = op.id;
    if (const auto* make = std::get_if<CreatePool>(&op.procedure)) made_pools_[make->id] = op.id;
    if (!traits.allocates_on.empty()) {
      const auto made = made_storages_.find(traits.allocates_on);
      if (made != made_storages_.end() && !is_after(op.id, made->second)) say(op, "uses a storage before it is made");
      if (made == made_storages_.end() && live_.storage(traits.allocates_on) == nullptr)
        say(op, "uses a storage that does not exist");
      if (!has_lock(op, "storage/" + traits.allocates_on)) say(op, "allocates without its storage's lock");
    }
    if (traits.copies &&
        std::ranges::none_of(op.locks, [](const std::string& lock) { return lock.starts_with("copy/"); }))
      say(op, "copies without a copy lock");
    const auto made = made_pools_.find(traits.pool);
    if (made != made_pools_.end() && !is_after(op.id, made->second)) say(op, "uses a pool before it is made");
    if (traits.destroys != (op.impact == Impact::kDestroy)) say(op, "has an impact that does not fit");
  }

  void guest_operation(const Operation& op, const Traits& traits) {
    const std::uint32_t number = traits.guest->number;
    const ResolvedVm* vm = vm_of(*traits.guest);
    if (vm == nullptr) return say(op, "touches a guest outside the fleet");
    if (!has_lock(op, fmt::format("vm/{}", number))) say(op, "works on a guest without its lock");
    const bool window = vm->maintenance && in_maintenance_window(*vm->maintenance, options_.now, options_.utc_offset);
    const bool restart = options_.allow.restart || vm->allow.restart || window;
    const bool offline = options_.allow.offline_copy || vm->allow.offline_copy || window;
    const bool destroy = options_.allow.destroy || vm->allow.destroy;
    if (traits.destroys && !destroy) say(op, "destroys without being allowed to");
    // Stopping for an offline copy is part of the copy, stopping for the removal part of the removal.
    if (traits.interrupts && !restart && !offline && !(destroy && vm->state == VmState::kAbsent))
      say(op, "interrupts the guest without being allowed to");
    if (op.impact == Impact::kOfflineCopy && !offline) say(op, "copies offline without being allowed to");

    const LiveVm* live = live_.vm(*traits.guest);
    const bool first = seen_guests_.insert(number).second;
    if (live != nullptr && !traits.creates_guest) {
      if (op.guard.uuid != live->uuid) say(op, "does not guard the guest's identity");
      if (first && op.guard.digest != live->digest)
        say(op, "is the guest's first operation and does not guard its digest");
    }
    GuestState& state = guests_[number];
    for (const DriveSlot slot : traits.slots) {
      const auto last = state.last_on_slot.find(slot);
      if (last != state.last_on_slot.end() && !is_after(op.id, last->second))
        say(op, fmt::format("is not ordered after operation {} on the same slot", last->second));
      state.last_on_slot[slot] = op.id;
    }
    const LiveDrive* drive = live != nullptr && !traits.slots.empty() ? live->drive(traits.slots.front()) : nullptr;
    if (std::holds_alternative<MoveDisk>(op.procedure)) {
      const auto& move = std::get<MoveDisk>(op.procedure);
      const bool before = drive != nullptr && drive->has_pending() && live->power != PowerState::kStopped;
      const auto written = state.pending_since.find(move.slot);
      const OperationId since = written != state.pending_since.end() ? written->second : 0;
      if ((before || since != 0) && !interrupted_between(state, since, op.id))
        say(op, "moves a disk that has a pending change");
      if (move.storage == move.volume.storage && move.format.empty()) say(op, "moves a volume to where it is");
    }
    if (traits.below_guest && !is_stopped_at(op, live, state)) say(op, "renames a volume of a guest that runs then");
    if (std::holds_alternative<SetDriveOptions>(op.procedure) &&
        (op.impact == Impact::kPendingRestart || op.impact == Impact::kRestart)) {
      state.pending_since[traits.slots.front()] = op.id;
    }
    if (traits.interrupts) state.interruptions.push_back(op.id);
    if (std::holds_alternative<StopVm>(op.procedure)) state.stopped_by = op.id;
    if (std::holds_alternative<StartVm>(op.procedure)) state.started = true, state.stopped_by = 0;
  }

  struct GuestState {
    std::map<DriveSlot, OperationId> last_on_slot = {};
    std::map<DriveSlot, OperationId> pending_since = {};
    std::vector<OperationId> interruptions = {};
    OperationId stopped_by = 0;
    bool started = false;
  };
  [[nodiscard]] bool is_stopped_at(const Operation& op, const LiveVm* live, const GuestState& state) const {
    if (state.stopped_by != 0) return is_after(op.id, state.stopped_by);
    return !state.started && live != nullptr && live->power == PowerState::kStopped;
  }
  [[nodiscard]] bool interrupted_between(const GuestState& state, OperationId since, OperationId move) const {
    return std::ranges::any_of(state.interruptions, [&](OperationId stop) {
      return (since == 0 || is_after(stop, since)) && is_after(move, stop);
    });
  }

  const Plan& plan_;
  const ResolvedFleet& fleet_;
  const LiveState& live_;
  const PlanOptions& options_;
  std::vector<Traits> traits_ = {};
  std::vector<std::string> problems_ = {};
  std::map<std::string, OperationId> made_storages_ = {};
  std::map<std::string, OperationId> made_pools_ = {};
  std::set<std::uint32_t> seen_guests_ = {};
  std::map<std::uint32_t, GuestState> guests_ = {};
};

}  // namespace

std::vector<std::string> verify_plan(const Plan& plan, const ResolvedFleet& fleet, const LiveState& live,
                                     const PlanOptions& options) {
  return Verifier(plan, fleet, live, options).run();
}

}  // namespace pvr
