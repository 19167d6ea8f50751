#include "cli/describe.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <variant>

#include "cli/layout.h"

namespace pvr::cli {
namespace {

template <class... F>
struct Match : F... {
  using F::operator()...;
};
template <class... F>
Match(F...) -> Match<F...>;

std::optional<DriveSlot> slot_of(const Procedure& procedure) {
  return std::visit(
      [](const auto& p) -> std::optional<DriveSlot> {
        // A dataset of nobody has neither guest nor slot.
        if constexpr (requires { p.vmid.number; }) {
          if (p.vmid.number == 0) return std::nullopt;
        }
        if constexpr (requires { p.slot; }) return p.slot;
        return std::nullopt;
      },
      procedure);
}

std::optional<Vmid> vmid_of(const Procedure& procedure) {
  return std::visit(
      [](const auto& p) -> std::optional<Vmid> {
        if constexpr (requires { p.vmid; }) {
          if (p.vmid.number != 0) return p.vmid;
        }
        return std::nullopt;
      },
      procedure);
}

std::string volume_in(const DriveSlot& slot, const VolumeId& volume) {
  return volume.name.empty() ? to_text(slot) : fmt::format("{} ({})", to_text(slot), to_text(volume));
}

}  // namespace

std::string describe(const Operation& operation) {
  return std::visit(
      Match{
          [](const CreateStorage& p) { return fmt::format("create storage {} ({})", p.id, p.type); },
          [](const UpdateStorage& p) { return fmt::format("change storage {}", p.id); },
          [](const CreatePool& p) { return fmt::format("create pool {}", p.id); },
          [](const AddToPool& p) { return fmt::format("add {} to pool {}", p.vmid.number, p.id); },
          [](const CreateVm& p) { return fmt::format("create VM {} on {}", p.vmid.number, p.node); },
          [](const CloneVm& p) {
            return fmt::format("{} clone of {} as {} on {}", p.full ? "full" : "linked", p.source.number, p.vmid.number,
                               p.target_node.empty() ? p.source_node : p.target_node);
          },
          [](const SetVmOptions&) { return std::string("set options"); },
          [](const SetDriveOptions& p) { return fmt::format("set options of {}", to_text(p.slot)); },
          [](const AddDisk& p) {
            if (!p.import_from.empty())
              return fmt::format("import {} as {} on storage {}", p.import_from, to_text(p.slot), p.storage);
            const std::string size = p.size.bytes == 0 ? "" : fmt::format(" with {}", to_human(p.size));
            return fmt::format("add {}{} on storage {}", to_text(p.slot), size, p.storage);
          },
          [](const AttachVolume& p) { return fmt::format("attach {} as {}", to_text(p.volume), to_text(p.slot)); },
          [](const DetachDisk& p) { return fmt::format("detach {}", volume_in(p.slot, p.volume)); },
          [](const DestroyVolume& p) { return fmt::format("destroy volume {}", to_text(p.volume)); },
          [](const ResizeDisk& p) {
            return fmt::format("grow {} to {}", volume_in(p.slot, p.volume), to_human(p.size));
          },
          [](const MoveDisk& p) {
            const std::string format = p.format.empty() ? "" : fmt::format(" as {}", p.format);
            return fmt::format("move {} to storage {}{}{}", volume_in(p.slot, p.volume), p.storage, format,
                               p.remove_source ? ", and remove the copy left behind" : "");
          },
          [](const RestartVm& p) { return std::string(p.ha ? "restart through HA" : "shut down and start"); },
          [](const StartVm& p) { return std::string(p.ha ? "start through HA" : "start"); },
          [](const StopVm& p) { return std::string(p.ha ? "stop through HA" : "shut down"); },
          [](const DestroyVm& p) { return fmt::format("destroy VM {} and its disks", p.vmid.number); },
          [](const SetHa& p) { return fmt::format("{} HA resource {}", p.create ? "create" : "change", p.sid); },
          [](const RemoveHa& p) { return fmt::format("remove HA resource {}", p.sid); },
          [](const SetReplication& p) {
            return fmt::format("{} replication job {}", p.create ? "create" : "change", p.id);
          },
          [](const RetireVolume& p) { return fmt::format("mark {} as retired", to_text(p.volume)); },
          [](const CreateDataset& p) { return fmt::format("create dataset {} on {}", p.name, p.node); },
          [](const SetZvolProperties& p) {
            return p.vmid.number != 0 ? fmt::format("set ZFS properties of {}", volume_in(p.slot, p.volume))
                                      : fmt::format("set ZFS properties of {} on {}", p.dataset, p.node);
          },
          [](const SetArcLimits& p) { return fmt::format("set the limits of the ARC of {}", p.node); },
          [](const SetPoolProperties& p) { return fmt::format("set properties of zpool {} on {}", p.pool, p.node); },
          [](const SetTrimTimer& p) {
            return p.timer == "none" ? fmt::format("stop trimming zpool {} on {} by a timer", p.pool, p.node)
                                     : fmt::format("trim zpool {} on {} by a {} timer", p.pool, p.node, p.timer);
          },
          [](const SwapZvol& p) {
            return fmt::format("rename the zvol of {} onto storage {}", to_text(p.slot), p.storage);
          },
          [](const RecreateZvol& p) {
            return fmt::format("make {} again with volblocksize {}", volume_in(p.slot, p.volume),
                               to_text(p.volblocksize));
          },
          [](const RollBackZvol& p) {
            return fmt::format("put the retired zvol of {} back", volume_in(p.slot, p.volume));
          },
          [](const DestroyDataset& p) { return fmt::format("destroy {} on {}", p.dataset, p.node); },
          [](const DeleteStorage& p) { return fmt::format("remove storage {}", p.id); },
          [](const BackUpVm& p) { return fmt::format("back up to storage {}", p.storage); },
      },
      operation.procedure);
}

std::string_view symbol_of(const Operation& operation) {
  return std::visit(Match{
                        [](const CreateStorage&) { return "+"; },
                        [](const CreatePool&) { return "+"; },
                        [](const CreateVm&) { return "+"; },
                        [](const CloneVm&) { return "+"; },
                        [](const AddDisk&) { return "+"; },
                        [](const MoveDisk&) { return ">"; },
                        [](const SwapZvol&) { return ">"; },
                        [](const RecreateZvol&) { return ">"; },
                        [](const RollBackZvol&) { return ">"; },
                        [](const CreateDataset&) { return "+"; },
                        [](const BackUpVm&) { return "+"; },
                        [](const DestroyDataset&) { return "-"; },
                        [](const DeleteStorage&) { return "-"; },
                        [](const RestartVm&) { return "!"; },
                        [](const StopVm&) { return "!"; },
                        [](const DestroyVolume&) { return "-"; },
                        [](const DestroyVm&) { return "-"; },
                        [](const RemoveHa&) { return "-"; },
                        [](const SetHa& p) { return p.create ? "+" : "~"; },
                        [](const SetReplication& p) { return p.create ? "+" : "~"; },
                        [](const auto&) { return "~"; },
                    },
                    operation.procedure);
}

bool is_plain_change(const Operation& operation) {
  const bool plain = std::holds_alternative<SetVmOptions>(operation.procedure) ||
                     std::holds_alternative<SetDriveOptions>(operation.procedure) ||
                     std::holds_alternative<SetZvolProperties>(operation.procedure) ||
                     std::holds_alternative<SetArcLimits>(operation.procedure) ||
                     std::holds_alternative<SetPoolProperties>(operation.procedure) ||
                     std::holds_alternative<UpdateStorage>(operation.procedure);
  return plain && !operation.changes.empty();
}

std::string part_of(const Operation& operation) {
  const std::string& part = operation.address.part;
  if (part.empty()) return {};
  const auto slot = slot_of(operation.procedure);
  if (!slot || to_text(*slot) == part) return part;
  return fmt::format("{} ({})", part, to_text(*slot));
}

std::string_view to_word(Severity severity) {
  switch (severity) {
    case Severity::kError:
      return "error";
    case Severity::kWarning:
      return "warning";
    case Severity::kNotice:
      break;
  }
  return "notice";
}

std::vector<ResourceView> by_resource(const Plan& plan) {
  std::map<ResourceAddress, ResourceView> groups;
  const auto group = [&groups](const ResourceAddress& address) -> ResourceView& {
    const ResourceAddress whole{.kind = address.kind, .name = address.name};
    ResourceView& found = groups[whole];
    found.address = whole;
    return found;
  };
  for (const Operation& operation : plan.operations) group(operation.address).operations.push_back(&operation);
  for (const StrategyChoice& choice : plan.choices) group(choice.address).choices.push_back(&choice);
  for (const BlockedItem& item : plan.blocked) group(item.address).blocked.push_back(&item);
  for (const WaitingItem& item : plan.waiting) group(item.address).waiting.push_back(&item);
  std::vector<ResourceView> list;
  list.reserve(groups.size());
  for (auto& [address, view] : groups) list.push_back(std::move(view));
  return list;
}

std::string whereabouts(const ResourceView& resource) {
  for (const Operation* operation : resource.operations) {
    const auto vmid = vmid_of(operation->procedure);
    if (!vmid) continue;
    return operation->node.empty() ? fmt::format("{}", vmid->number)
                                   : fmt::format("{} on {}", vmid->number, operation->node);
  }
  return {};
}

std::string summary_of(const Plan& plan) {
  const PlanTotals t = totals(plan);
  std::string work;
  const auto say = [](std::string& list, std::size_t count, std::string_view what) {
    if (count != 0) list += fmt::format("{}{} {}", list.empty() ? "" : ", ", count, what);
  };
  say(work, t.create, "to create");
  say(work, t.change, "to change");
  say(work, t.move, "to move");
  say(work, t.restart, "to restart");
  say(work, t.destroy, "to destroy");
  std::string rest;
  say(rest, t.blocked, "blocked");
  say(rest, t.waiting, t.waiting == 1 ? "setting waits for a restart" : "settings wait for a restart");
  say(rest, t.findings, t.findings == 1 ? "finding" : "findings");
  if (work.empty()) work = "no changes";
  return rest.empty() ? work : work + "; " + rest;
}

std::map<std::string, ByteSize> extra_space(const Plan& plan) {
  std::map<std::string, ByteSize> space;
  for (const Operation& operation : plan.operations) {
    if (!operation.copy) continue;
    const CopyCost& copy = *operation.copy;
    const std::string where =
        copy.target_node.empty() ? copy.target_storage : fmt::format("{} on {}", copy.target_storage, copy.target_node);
    space[where] = space[where] + copy.peak_extra;
  }
  return space;
}

}  // namespace pvr::cli
