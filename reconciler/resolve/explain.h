#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "reconciler/model/resolved_fleet.h"

namespace pvr {

/// One value that lost, or one rule that flags the winner.
struct ExplainedStep {
  std::string value = {};  // as PVE writes it; empty for a flag
  std::string from = {};   // "rule A1 (default) [S0]", "role ai, fleet.yaml:27:34"
};

/// Why one setting is what it is, as data.
struct Explanation {
  ResourceAddress address = {};
  std::string key = {};
  std::string value = {};                      // as PVE writes it; "unset" where the option is to stay unset
  std::string from = {};                       // where the value comes from, with the reason for rules
  std::vector<ExplainedStep> instead_of = {};  // what it replaced, nearest first
  std::vector<ExplainedStep> flagged_by = {};  // rules that flag it
  std::string note = {};                       // "only reported, never changed", …
  bool managed = true;                         // false: what the rules would choose, but nothing is written
};

/// Why `rule` decided `key` of what the address names, in one sentence with its source: the words of the very row that
/// decided where that is known, else those of the rule. Empty for a rule that does not exist.
[[nodiscard]] std::string rule_reason(const ResolvedFleet& fleet, const ResourceAddress& address, std::string_view key,
                                      std::string_view rule);

[[nodiscard]] const ResolvedVm* find_vm(const ResolvedFleet& fleet, std::string_view name);
/// A disk by its name or its slot.
[[nodiscard]] const ResolvedDisk* find_disk(const ResolvedVm& vm, std::string_view name_or_slot);
/// A node of `hosts:`, or a pool or dataset of it; null: the fleet says nothing about it.
[[nodiscard]] const ResolvedHostPart* find_host_part(const ResolvedFleet& fleet, std::string_view node,
                                                     std::string_view part);
[[nodiscard]] const ResolvedStorage* find_storage(const ResolvedFleet& fleet, std::string_view id);

/// One key of a disk, of the options of a VM, of a storage. Nothing when neither anybody stated it nor a rule speaks
/// about it.
[[nodiscard]] std::optional<Explanation> explain(const ResolvedFleet& fleet, const ResolvedVm& vm,
                                                 const ResolvedDisk& disk, std::string_view key);
[[nodiscard]] std::optional<Explanation> explain(const ResolvedFleet& fleet, const ResolvedVm& vm,
                                                 std::string_view key);
[[nodiscard]] std::optional<Explanation> explain(const ResolvedFleet& fleet, const ResolvedStorage& storage,
                                                 std::string_view key);
[[nodiscard]] std::optional<Explanation> explain(const ResolvedFleet& fleet, std::string_view node,
                                                 const ResolvedHostPart& part, std::string_view key);
/// Every key that has an explanation, sorted by name.
[[nodiscard]] std::vector<Explanation> explain_all(const ResolvedFleet& fleet, const ResolvedVm& vm,
                                                   const ResolvedDisk& disk);
[[nodiscard]] std::vector<Explanation> explain_all(const ResolvedFleet& fleet, const ResolvedVm& vm);
[[nodiscard]] std::vector<Explanation> explain_all(const ResolvedFleet& fleet, const ResolvedStorage& storage);

[[nodiscard]] std::vector<Explanation> explain_all(const ResolvedFleet& fleet, std::string_view node,
                                                   const ResolvedHostPart& part);

/// "cache=none  rule C1: past the host page cache; on ZFS the ARC is already the cache [S0]"
[[nodiscard]] std::string one_line(const Explanation& explanation);
/// The same and one indented line for everything it replaced and every rule that flags it. No line feed at the end.
[[nodiscard]] std::string chain_text(const Explanation& explanation);

/// One setting of a role with the role of the chain that states it.
struct RoleSetting {
  std::string where = {};  // "" for the VM, "disk" for every disk, "disks.NAME" for one
  std::string key = {};
  std::string value = {};
  std::string from = {};  // role that states it
};
struct RoleView {
  std::string name = {};
  bool builtin = false;
  std::vector<std::string> chain = {};  // parents, nearest first
  std::string note = {};                // nearest stated
  std::string os = {};
  std::string lane = {};
  std::string place = {};                  // "fleet.yaml:12:3"
  std::vector<RoleSetting> settings = {};  // merged, child before parent; sorted by where, key
};
[[nodiscard]] std::vector<RoleView> list_roles(const FleetDocument& document);
[[nodiscard]] std::optional<RoleView> show_role(const FleetDocument& document, std::string_view name);

}  // namespace pvr
