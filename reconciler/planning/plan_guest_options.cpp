#include <fmt/format.h>

#include "reconciler/planning/guest_planner.h"

namespace pvr {

bool GuestPlanner::refused(const SettingChange& change) {
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

void GuestPlanner::write_options(const std::vector<const SettingChange*>& changes, bool live) {
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

void GuestPlanner::early_options() {
  std::vector<const SettingChange*> live;
  for (const SettingChange& change : diff_.options) {
    if (!is_change(change) || !is_live(change) || is_late(change) || brings_iothreads(change) || refused(change))
      continue;
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
  // Rule I1: a run that ends between two writes must not leave an iothread below a controller that has none.
  std::vector<const SettingChange*> controller;
  for (const SettingChange& change : diff_.options)
    if (is_change(change) && brings_iothreads(change) && !refused(change)) controller.push_back(&change);
  write_options(controller, false);
  needs_controller_ = !controller.empty();
}

void GuestPlanner::late_options() {
  std::vector<const SettingChange*> live;
  std::vector<const SettingChange*> pending;
  for (const SettingChange& change : diff_.options) {
    if (!is_change(change) || (is_live(change) && !is_late(change)) || brings_iothreads(change) || refused(change))
      continue;
    (is_live(change) ? live : pending).push_back(&change);
  }
  write_options(pending, false);
  write_options(live, true);
}

}  // namespace pvr
