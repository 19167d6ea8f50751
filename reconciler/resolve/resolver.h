#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "reconciler/model/facts.h"
#include "reconciler/policy/disk_rules.h"
#include "reconciler/policy/guest_rules.h"
#include "reconciler/policy/zvol_rules.h"
#include "reconciler/resolve/layers.h"

namespace pvr {

/// One resolve run. Internal to this folder: resolve.cpp drives it, one file per kind of thing.
class Resolver {
 public:
  Resolver(std::shared_ptr<const FleetDocument> document, const Facts& facts);
  void run();
  [[nodiscard]] Checked<ResolvedFleet> take();

 private:
  struct LaneChoice {
    std::string_view name = {};
    SourceSpan span = {};  // of the storage's name in the lane
    const std::string* storage = nullptr;
    bool needs_node = false;  // the lane differs by node and the node is not known
  };
  /// What is known about the VM while its disks are resolved.
  struct VmContext {
    const WrittenVm* written = nullptr;
    ResolvedVm* vm = nullptr;
    const std::vector<const WrittenRole*>* roles = nullptr;
    GuestFacts facts = {};
    LaneChoice lane = {};
    std::string_view scsihw = {};
    std::string_view node = {};  // declared, else where it lives
    bool exists = false;
    bool has_one_node_device = false;
    std::string device = {};  // what ties it to hardware; empty: nothing
  };

  // storages.cpp
  void resolve_storages();
  void resolve_storage(const WrittenStorage& written);
  void add_class(const WrittenStorage& written, const WrittenClass& of, const ResolvedStorage& parent);
  void check_storage(const WrittenStorage& written, const ResolvedStorage& storage);
  void check_datasets();

  // guests.cpp
  void resolve_vm(const WrittenVm& written);
  void find_devices(VmContext& vm);
  void derive_mobility(VmContext& vm);
  // hosts.cpp
  void resolve_hosts();

  void guest_options(VmContext& vm);
  void check_guest(VmContext& vm);
  void cpu_baseline(VmContext& vm);
  void check_replication(VmContext& vm);
  [[nodiscard]] LaneChoice choose_lane(const VmContext& vm) const;

  // disks.cpp
  void resolve_disks(VmContext& vm);
  void resolve_disk(VmContext& vm, const WrittenDisk* written, std::string_view name, std::string_view added_by);
  void place_disk(VmContext& vm, ResolvedDisk& disk);
  [[nodiscard]] static bool left_alone(const VmContext& vm, const WrittenDisk* written, std::string_view name,
                                       std::string_view key);
  void disk_rules(VmContext& vm, ResolvedDisk& disk);
  void check_disk(VmContext& vm, ResolvedDisk& disk);
  void forbid_carried(const VmContext& vm, const WrittenDisk* written, ResolvedDisk& disk);
  void small_disks(VmContext& vm);
  void drop_foreign_settings(const VmContext& vm, const ResolvedDisk& disk);

  // Shared.
  /// `text` (static, like `key`) as the catalogue reads it. The reference stays valid, as that of name_value does.
  const OptionValue& value(Home home, std::string_view key, std::string_view text);
  const OptionValue& name_value(std::string_view text);
  const OptionValue& size_value(ByteSize size);
  [[nodiscard]] const StorageFacts* storage_facts(std::string_view id) const;
  const std::vector<const WrittenRole*>& roles_of(const WrittenVm& written);
  void error(std::string code, std::string summary, std::string detail, SourceSpan span);
  /// Reports a broken invariant. `value` as the user would write it: "cache=writeback".
  template <class Row>
  void broken(const Row& row, std::string_view value, const ResourceAddress& where, SourceSpan span,
              const std::vector<Note>& notes = {}) {
    report_broken({row.id, row.why, row.instead, row.source}, value, where, span, notes);
  }
  struct BrokenRule {
    std::string_view id = {};
    std::string_view why = {};
    std::string_view instead = {};
    std::string_view source = {};
  };
  void report_broken(BrokenRule rule, std::string_view value, const ResourceAddress& where, SourceSpan span,
                     std::vector<Note> notes);
  void finding(Severity severity, std::string_view rule, ResourceAddress where, std::string what, std::string fix,
               SourceSpan span);
  void notice_unset_aio(const AioDefault& row, std::string_view storage);

  std::shared_ptr<const FleetDocument> document_;
  const Facts& facts_;
  ResolvedFleet out_;
  Diagnostics diagnostics_;
  LayerStack stack_;
  std::map<std::pair<std::string_view, std::string_view>, OptionValue> values_;  // by key and text
  std::map<std::string, OptionValue, std::less<>> names_;
  std::map<ByteSize, OptionValue> sizes_;
  std::unordered_map<std::string_view, std::vector<const WrittenRole*>> chains_;
  std::map<std::string_view, std::pair<const WrittenStorage*, const WrittenClass*>> used_classes_;
  std::map<std::string_view, std::uint32_t> used_storages_;                           // by id: disks on it
  std::map<std::pair<std::string_view, std::string_view>, std::uint32_t> unset_aio_;  // (storage, why) → disks
};

/// "C2" → "policy.c2".
[[nodiscard]] std::string rule_code(std::string_view rule);
/// The place of a resolved value: its line for written ones, nothing for rules.
[[nodiscard]] SourceSpan span_of(const Origin& origin);

}  // namespace pvr
