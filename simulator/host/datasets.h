#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "simulator/world/world.h"

// The datasets of a node as ZFS sees them: file systems, and the volumes below them, whatever PVE knows of them.
namespace pvesim {

struct Dataset {
  std::string name = {};  // "tank/vbs16k/vm-100-disk-0"
  ZPool* pool = nullptr;
  Backing* backing = nullptr;  // volumes: what it lies in
  Volume* volume = nullptr;    // null: a file system
  [[nodiscard]] bool is_volume() const { return volume != nullptr && volume->format != "subvol"; }
};

/// All of them, sorted by name as text. Nothing of other nodes.
[[nodiscard]] std::vector<Dataset> datasets_of(World& world, const Node& node);
[[nodiscard]] std::optional<Dataset> find_dataset(World& world, const Node& node, std::string_view name);
[[nodiscard]] std::string parent_of(std::string_view name);

/// One property: text and where it comes from ("local", "default", "inherited from tank", "-"). Nothing: ZFS does not
/// know the name.
struct PropertyValue {
  std::string name = {};
  std::string value = {};
  std::string source = {};
};
/// In the order of `zfs get all`, user properties last.
[[nodiscard]] std::vector<PropertyValue> properties_of(World& world, const Node& node, const Dataset& dataset);
/// Properties that `zfs set` and `-o` take; "" and the texts it refuses a value with otherwise.
[[nodiscard]] std::string property_refusal(const Dataset& dataset, std::string_view name, std::string_view value);

/// "8k", "1G", "1073741824", as zfs reads numbers; -1: it is none.
[[nodiscard]] std::int64_t zfs_number(std::string_view text);

/// Locally set properties of a dataset, also user properties; the place to change them.
[[nodiscard]] Section& own_properties(const Dataset& dataset);
[[nodiscard]] std::uint64_t guid_of(World& world, const Dataset& dataset);
/// Guests' QEMUs that have the volume open, as the kernel names them.
[[nodiscard]] std::vector<std::string> open_by(const World& world, const Dataset& dataset);
/// The place for volumes below a file system, made where there is none.
[[nodiscard]] Backing& place_below(World& world, const Node& node, const std::string& dataset);
/// Snapshot names in the order they were taken.
[[nodiscard]] std::vector<std::string> snapshots_of(const Volume& volume);

}  // namespace pvesim
