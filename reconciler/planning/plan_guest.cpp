#include <fmt/format.h>

#include <algorithm>

#include "reconciler/planning/guest_planner.h"

namespace pvr {

void GuestPlanner::run() {
  heed_power_obstacle();
  early_options();
  for (const DiskDiff& disk : diff_.disks) plan_disk(disk);
  late_options();
  note_waiting();
  emit();
}

bool GuestPlanner::starts() const {
  if (mode_.running || guest_.is_template || vm_.state == VmState::kStopped) return false;
  if (diff_.power_to == PowerState::kRunning) return true;
  if (is_new()) return false;
  const auto at = std::ranges::find_if(b_.diff.ha, [&](const HaDiff& ha) { return ha.address.name == vm_.name; });
  if (at == b_.diff.ha.end() || at->action == HaDiff::Action::kDelete || at->action == HaDiff::Action::kNone)
    return false;
  const auto state = std::ranges::find(at->settings, "state", &SettingChange::key);
  if (state == at->settings.end()) return at->action == HaDiff::Action::kCreate && !vm_.ha->settings.contains("state");
  return state->desired.value == OptionValue(std::string("started")) ||
         state->desired.value == OptionValue(std::string("enabled"));
}

void GuestPlanner::note_waiting() {
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

OperationId GuestPlanner::give(Planned planned) {
  complete(planned);
  const auto* set = std::get_if<SetVmOptions>(&planned.operation.procedure);
  const bool sets_controller = needs_controller_ && set != nullptr && set->set.contains("scsihw");
  const OperationId id = b_.add(std::move(planned.operation));
  if (sets_controller) controller_ = id;
  for (const DriveSlot slot : planned.slots) last_on_slot_[slot] = id;
  given_.push_back(id);
  return id;
}

void GuestPlanner::complete(Planned& planned) const {
  Operation& op = planned.operation;
  op.node = guest_.node;
  op.locks.push_back(fmt::format("vm/{}", vm_.vmid.number));
  if (base_) op.after.push_back(*base_);
  if (barrier_) op.after.push_back(*barrier_);
  if (backed_up_) op.after.push_back(*backed_up_);
  if (controller_ && !planned.slots.empty()) op.after.push_back(*controller_);
  for (const DriveSlot slot : planned.slots)
    if (const auto at = last_on_slot_.find(slot); at != last_on_slot_.end()) op.after.push_back(at->second);
  if (!is_new()) {
    if (given_.empty()) op.guard.digest = guest_.digest;
    op.guard.uuid = guest_.uuid;
  }
}

void GuestPlanner::give_barrier(Procedure procedure, Impact impact, std::string what, std::string reason) {
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

void GuestPlanner::give_all(std::vector<Planned>& list) {
  for (Planned& planned : list) give(std::move(planned));
  list.clear();
}

std::optional<PowerObstacle> GuestPlanner::power_obstacle() const {
  if (ha_)
    if (auto obstacle = ha_obstacle(guest_)) return obstacle;
  // What an interrupted exchange has renamed is put back on the way.
  const bool renamed =
      std::ranges::any_of(diff_.disks, [](const DiskDiff& disk) { return disk.unfinished != Unfinished::kNothing; });
  if (is_new() || renamed || diff_.power_to == PowerState::kStopped) return std::nullopt;
  return start_obstacle(guest_, b_.storages);
}

void GuestPlanner::heed_power_obstacle() {
  obstacle_ = power_obstacle();
  if (!obstacle_) return;
  power_wanted_ = starts_ || stops_ || (mode_.running && allow_.restart);
  starts_ = stops_ = allow_.restart = false;
  // A stopped guest stays as it is while a disk of it is copied.
  if (mode_.running) allow_.offline_copy = false;
}

void GuestPlanner::tell_power_obstacle() {
  const bool stop_wanted = diff_.power_to == PowerState::kStopped;
  if (!obstacle_ || !power_wanted_) return;
  if (mode_.running && !stop_wanted && !pending_now_ && !waiting_) return;
  b_.block(diff_.address,
           stop_wanted     ? "stop the guest"
           : mode_.running ? "restart the guest"
                           : "start the guest",
           obstacle_->why, obstacle_->remedy, false);
}

void GuestPlanner::emit() {
  tell_power_obstacle();
  if (backup_) backed_up_ = give(std::move(*backup_));
  give_all(now_);
  const bool stop_wanted = diff_.power_to == PowerState::kStopped;
  if (!stopped_.empty()) {
    give_barrier(StopVm{.vmid = vm_.vmid, .ha = ha_, .again = !stop_wanted}, Impact::kRestart, "stopped",
                 "what follows needs the guest stopped");
    give_all(stopped_);
    if (!stop_wanted) {
      give_barrier(StartVm{.vmid = vm_.vmid, .ha = ha_}, Impact::kNone, "running", "it ran before");
      b_.operation(*barrier_).in_any_case = true;
    }
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
    else if (!obstacle_ || !power_wanted_)
      b_.block(diff_.address, "stop the guest", "its users would notice", "--allow restart, or stop it yourself");
  }
  for (Planned& planned : destroy_) {
    complete(planned);
    b_.irreversible.push_back(std::move(planned.operation));
  }
  auto& all = b_.guest_operations[vm_.vmid.number];
  all.insert(all.end(), given_.begin(), given_.end());
}

std::string GuestPlanner::restart_reason() const {
  std::string reason = "makes pending changes active";
  if (!diff_.foreign_pending.empty())
    reason += fmt::format(", also those nobody declared: {}", fmt::join(diff_.foreign_pending, ", "));
  return reason;
}

void plan_existing_guest(PlanBuilder& builder, const ResolvedVm& vm, const VmDiff& diff, const LiveVm& guest) {
  GuestPlanner(builder, vm, diff, guest, std::nullopt).run();
}

void plan_cloned_guest(PlanBuilder& builder, const ResolvedVm& vm, const VmDiff& diff, const LiveVm& guest,
                       OperationId base) {
  GuestPlanner(builder, vm, diff, guest, base).run();
}

}  // namespace pvr
