#include "reconciler/planning/plan_builder.h"

#include <fmt/format.h>

#include <algorithm>

#include "reconciler/model/option_codec.h"
#include "reconciler/planning/diff_vm.h"

namespace pvr {

PlanBuilder::PlanBuilder(const ResolvedFleet& fleet_in, const Diff& diff_in, const LiveState& live_in,
                         const PlanOptions& options_in)
    : fleet(fleet_in),
      diff(diff_in),
      live(live_in),
      options(options_in),
      storages(fleet_in, live_in),
      space(live_in, storages, options_in.force_capacity),
      memory(live_in, options_in.guest_memory) {
  for (const ResolvedVm& vm : fleet.vms) by_name_.emplace(vm.name, &vm);
  for (const LiveHa& ha : live.ha) {
    // Fact: a resource in state "ignored" is treated as unmanaged by the API.
    const std::string* state = ha.properties.find("state");
    if (state == nullptr || *state != "ignored") ha_sids_.insert(ha.sid);
  }
}

OperationId PlanBuilder::add(Operation op) {
  op.id = static_cast<OperationId>(plan.operations.size() + 1);
  std::ranges::sort(op.after);
  op.after.erase(std::unique(op.after.begin(), op.after.end()), op.after.end());
  std::ranges::sort(op.locks);
  op.locks.erase(std::unique(op.locks.begin(), op.locks.end()), op.locks.end());
  if (op.address.kind == AddressKind::kVm) touched.insert(op.address.name);
  plan.operations.push_back(std::move(op));
  return plan.operations.back().id;
}

void PlanBuilder::block(ResourceAddress address, std::string what, std::string why, std::string remedy,
                        bool by_policy) {
  if (address.kind == AddressKind::kVm) touched.insert(address.name);
  plan.blocked.push_back({.address = std::move(address),
                          .what = std::move(what),
                          .why = std::move(why),
                          .remedy = std::move(remedy),
                          .by_policy = by_policy});
}

PlannedChange PlanBuilder::line(const SettingChange& change, Home home, Impact impact) const {
  PlannedChange out{.key = change.key, .impact = impact};
  const Setting* setting = find_setting(home, change.key);
  if (setting != nullptr && setting->write_only) {
    out.to = "(secret)";
  } else {
    // A property string reads best as PVE prints it: "q35", not "type=q35".
    const auto text = [setting](const OptionValue& value) {
      const bool properties = setting != nullptr && std::holds_alternative<PropertyString>(value);
      return properties ? print_option(*setting, value) : to_text(value);
    };
    out.from = is_absent(change.configured) && !change.note.empty() ? change.note : text(change.configured);
    out.to = text(change.desired.value);
  }
  if (const auto* rule = std::get_if<FromRule>(&change.desired.origin)) {
    out.rule = rule->rule;  // its reason is the engine's to give
  } else if (const auto* written = std::get_if<FromDocument>(&change.desired.origin)) {
    std::string place;
    if (fleet.document && fleet.document->sources && written->span.known())
      place = fleet.document->sources->place(written->span);
    if (written->layer == Layer::kRole) {
      out.reason = fmt::format("stated by role {}", written->holder);
      out.place = place.empty() ? fmt::format("role {}", written->holder) : place;
    } else {
      out.reason = "stated in the fleet file";
      out.place = place;
    }
  }
  return out;
}

std::vector<OperationId> PlanBuilder::before_storage(std::string_view storage) const {
  const auto at = storage_operations.find(storage);
  return at != storage_operations.end() ? std::vector{at->second} : std::vector<OperationId>{};
}

std::vector<OperationId> PlanBuilder::before_pool(std::string_view pool) const {
  const auto at = pool_operations.find(pool);
  return at != pool_operations.end() ? std::vector{at->second} : std::vector<OperationId>{};
}

const LiveVolume* PlanBuilder::cloud_init_volume(Vmid vmid, std::string_view storage, std::string_view node) const {
  for (const LiveVolume* volume : storages.owned_by(vmid)) {
    const bool here = volume->node.empty() || volume->node == node;
    if (here && volume->id.storage == storage && volume->id.name.find("-cloudinit") != std::string::npos) return volume;
  }
  return nullptr;
}

std::optional<PlanBuilder::Refusal> PlanBuilder::refuses(std::string_view storage, std::string_view node) const {
  const StorageView* view = storages.find(storage);
  if (view == nullptr)
    return Refusal{fmt::format("there is no storage \"{}\"", storage),
                   "declare it under storages:, or name another one"};
  if (const auto at = unusable_storages.find(storage); at != unusable_storages.end()) return at->second;
  if (view->live == nullptr && !storage_operations.contains(storage)) {
    return Refusal{fmt::format("storage \"{}\" does not exist", storage),
                   "make it, or let the fleet manage it (manage: true)"};
  }
  if (!view->on_node(node)) {
    return Refusal{fmt::format("storage \"{}\" is not available on node \"{}\"", storage, node),
                   fmt::format("add {} to its nodes:", node)};
  }
  if (view->type == "iscsi" || view->type == "iscsidirect") {
    return Refusal{fmt::format("storage \"{}\" is of type {}, where nothing can be allocated", storage, view->type),
                   "name a storage on top of it"};
  }
  if (view->live != nullptr) {
    const std::string* content = view->live->properties.find("content");
    const auto has_images = [](std::string_view list) { return list.find("images") != std::string_view::npos; };
    if (content != nullptr && !has_images(*content) && !storage_operations.contains(storage)) {
      return Refusal{fmt::format("storage \"{}\" does not take disk images", storage), "add images to its content:"};
    }
  }
  return std::nullopt;
}

const ResolvedVm* PlanBuilder::vm(std::string_view name) const {
  const auto at = by_name_.find(name);
  return at != by_name_.end() ? at->second : nullptr;
}

Allowance PlanBuilder::allowance(const ResolvedVm& vm) const {
  const bool window = vm.maintenance && in_maintenance_window(*vm.maintenance, options.now, options.utc_offset);
  return {.restart = options.allow.restart || vm.allow.restart || window,
          .offline_copy = options.allow.offline_copy || vm.allow.offline_copy || window,
          .destroy = options.allow.destroy || vm.allow.destroy};
}

bool PlanBuilder::ha_managed(Vmid vmid) const { return ha_sids_.contains(fmt::format("vm:{}", vmid.number)); }

CopyCost PlanBuilder::copy_cost(const StorageView& target, std::string_view node, ByteSize size,
                                bool guest_waits) const {
  const std::uint64_t rate = options.copy_rate.bytes_per_second != 0 ? options.copy_rate.bytes_per_second
                                                                     : options.assumed_rate.bytes_per_second;
  CopyCost cost{.bytes = size,
                .target_storage = target.id,
                .target_node = std::string(node),
                .peak_extra = space.taken(target, node, size)};
  if (rate != 0) cost.estimate = std::chrono::seconds((size.bytes + rate - 1) / rate);
  if (guest_waits) cost.downtime = cost.estimate;
  return cost;
}

std::string drive_option_text(std::string_view key, const OptionValue& value) {
  if (is_absent(value)) return {};
  const Setting* setting = find_setting(Home::kDriveOption, key);
  return setting != nullptr ? print_option(*setting, value) : to_text(value);
}

std::string vm_option_text(std::string_view key, const OptionValue& value) {
  if (is_absent(value)) return {};
  // PVE refuses a key that stands twice.
  if (cd_slot(key)) return cd_medium(to_text(value)) + ",media=cdrom";
  const Setting* setting = find_setting(Home::kVmOption, key);
  return setting != nullptr ? print_option(*setting, value) : to_text(value);
}

bool is_root_only(std::string_view key, const OptionValue& value) {
  const Setting* setting = find_setting(Home::kVmOption, key);
  if (setting == nullptr) return false;
  // Fact: only an explicit generation id is for root@pam; "1" asks PVE to make one.
  if (key == "vmgenid") return value != OptionValue(std::string("1"));
  if (setting->root_only) return true;
  const auto* parts = std::get_if<PropertyString>(&value);
  // Fact: passing a device through by its address is for root@pam only; by a mapping it is not.
  return parts != nullptr && (setting->name == "hostpci" || setting->name == "usb") && parts->find("host") != nullptr &&
         (setting->name == "hostpci" || *parts->find("host") != "spice");
}

}  // namespace pvr
