#pragma once

#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "reconciler/base/diagnostic.h"
#include "reconciler/model/fleet_document.h"
#include "schema/value_reader.h"
#include "schema/yaml_reader.h"

namespace pvr {

/// Lowers the trees of all files to one document. Roles of every file are read before any VM, because a VM may name
/// their disks and nets.
class FleetReader {
 public:
  FleetReader(std::span<const YamlFile> files, Diagnostics& diagnostics) : files_(files), diagnostics_(diagnostics) {}

  void read(FleetDocument& out);
  /// Where secrets stand that do not belong into a fleet.
  [[nodiscard]] const std::vector<SourceSpan>& secrets() const { return secrets_; }

 private:
  using Nets = FlatMap<std::string>;  // name → slot
  using Places = std::map<std::string, SourceSpan, std::less<>>;

  /// What a role and a VM have in common while they are read.
  struct Guest {
    WrittenSettings& options;
    WrittenSettings& disk_defaults;
    std::vector<WrittenDisk>& disks;
    std::optional<Spanned<std::string>>& lane;
    std::optional<Spanned<std::string>>& clone;
    Nets nets = {};
    FlatMap<std::string> device_slots = {};  // disks that are devices of the node
    const YamlNode* net_nodes = nullptr;     // may take over the nets of its role
    const YamlNode* boot = nullptr;          // needs the names of all disks and nets
    const YamlNode* cloud_init = nullptr;    // needs to know which drives are taken
  };

  void file(std::uint32_t index, const YamlNode& root, bool vms);
  void section(const Field& field, const YamlNode& node, bool builtin);
  void read_cluster(const Table& table, const YamlNode& node);
  void read_storage(std::string_view id, const YamlNode& key, const YamlNode& node);
  void read_class(WrittenStorage& storage, std::string_view name, const YamlNode& key, const YamlNode& node);
  void read_lane(std::string_view name, const YamlNode& key, const YamlNode& node);
  void read_pool(std::string_view id, const YamlNode& key, const YamlNode& node);
  void read_host(std::string_view node, const YamlNode& key, const YamlNode& value);
  void read_host_part(WrittenHost& host, const Table& table, std::string_view name, const YamlNode& key,
                      const YamlNode& node);
  void read_role(std::string_view name, const YamlNode& key, const YamlNode& node, bool builtin);
  void read_vm(std::string_view name, const YamlNode& key, const YamlNode& node);

  // guest_reader.cpp
  void guest_field(Guest& guest, const Field& field, const YamlNode& key, const YamlNode& value);
  void guest_end(Guest& guest, std::string_view role, bool is_vm);
  void read_options(WrittenSettings& options, const YamlNode& node);
  void read_disk(Guest& guest, const Table& table, std::string_view name, SourceSpan span, const YamlNode& node);
  void read_device_disk(Guest& guest, const WrittenDisk& disk, const Spanned<std::string>& device);
  void read_disk_field(WrittenDisk& disk, const Field& field, const YamlNode& value);
  void read_efidisk(Guest& guest, const Field& field, const YamlNode& key, const YamlNode& value);
  void read_tpm(Guest& guest, const Field& field, const YamlNode& key, const YamlNode& value);
  void read_iso(Guest& guest, const Field& field, const YamlNode& value);
  void read_nets(Guest& guest, std::string_view role);
  const PropertyString* net_of_roles(std::string_view role, std::string_view name) const;
  void read_devices(Guest& guest, const Field& field, const YamlNode& value);
  void read_serial(Guest& guest, const Field& field, const YamlNode& value);
  void read_memory(Guest& guest, const Field& field, const YamlNode& value);
  void read_boot(Guest& guest, std::string_view role);
  void read_cloud_init(Guest& guest, std::string_view role, bool is_vm);
  void read_addresses(Guest& guest, std::string_view role, const Field& field, const YamlNode& value);
  std::optional<std::string> slot_of(const Field& field, const YamlNode& value, std::string_view option);
  std::optional<std::string> slot_of_disk(const Guest& guest, std::string_view role, std::string_view name) const;
  std::optional<std::string> slot_of_net(const Guest& guest, std::string_view role, std::string_view name) const;
  void read_suppression(const YamlNode& node);
  [[nodiscard]] std::vector<Spanned<std::string>> read_leave(const Field& field, const YamlNode& value,
                                                             std::initializer_list<Home> homes,
                                                             std::initializer_list<std::string_view> further);
  [[nodiscard]] std::vector<const WrittenRole*> chain(std::string_view role) const;

  // names
  bool unique(Places& places, std::string_view what, std::string_view name, const YamlNode& key);
  bool name_ok(std::string_view what, std::string_view name, SourceSpan span);
  std::optional<Spanned<std::string>> checked_text(const Field& field, const YamlNode& value,
                                                   const std::function<std::string(std::string_view)>& problem);

  ValueReader& in() { return *in_; }
  std::span<const YamlFile> files_;
  Diagnostics& diagnostics_;
  FleetDocument* out_ = nullptr;
  std::vector<SourceSpan> secrets_ = {};
  std::optional<ValueReader> in_ = {};
  Places storage_places_ = {}, lane_places_ = {}, role_places_ = {}, pool_places_ = {}, vm_places_ = {},
         host_places_ = {};
  std::optional<SourceSpan> cluster_place_ = {};
  bool version_stated_ = false;
  std::map<std::string, Nets, std::less<>> role_nets_ = {};
  std::map<std::string, std::size_t, std::less<>> role_index_ = {};
};

// What is wrong with a name, as a sentence; empty when nothing is.
[[nodiscard]] std::string name_problem(std::string_view name);        // disks, nets, lanes, roles, classes
[[nodiscard]] std::string guest_name_problem(std::string_view name);  // a DNS name
[[nodiscard]] std::string node_problem(std::string_view name);
[[nodiscard]] std::string storage_id_problem(std::string_view name);
[[nodiscard]] std::string pool_id_problem(std::string_view name);
[[nodiscard]] std::string tag_problem(std::string_view name);
[[nodiscard]] std::string volume_id_problem(std::string_view name);

}  // namespace pvr
