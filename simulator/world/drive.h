#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "simulator/world/world.h"

namespace pvesim {

/// A drive string taken apart: the volume and the options in PVE's canonical form.
struct Drive {
  std::string slot = {};
  std::string file = {};  // volid, "none", "cdrom" or a path
  Section options = {};   // without file; booleans 0/1

  [[nodiscard]] std::string get(std::string_view key, std::string_view fallback = {}) const;
  [[nodiscard]] bool flag(std::string_view key) const { return get(key) == "1"; }
  [[nodiscard]] bool is_cdrom() const { return get("media") == "cdrom"; }
  [[nodiscard]] bool is_cloudinit() const;
  [[nodiscard]] bool has_volume() const;  // the file is a volid, not none/cdrom/a path
};

/// ide0-3 scsi0-30 virtio0-15 sata0-5, in PVE's order.
[[nodiscard]] const std::vector<std::string>& disk_names();
/// Disks, efidisk0, tpmstate0.
[[nodiscard]] bool is_drive_name(std::string_view key);
[[nodiscard]] bool is_unused_name(std::string_view key);
/// "scsi" of "scsi12".
[[nodiscard]] std::string bus_of(std::string_view slot);
[[nodiscard]] int index_of(std::string_view slot);

/// Reads a stored or checked drive string. Empty when it is none (unknown keys, an option without value, …).
/// Facts: `volume=` is an alias of `file=`; cyls, heads, secs, trans are dropped; `bps…` becomes `mbps…=0.000`; none
/// and cdrom get media=cdrom; options of the wrong bus make the whole string unparsable.
[[nodiscard]] std::optional<Drive> parse_drive(std::string_view slot, std::string_view value);
/// Volume first, then the options in alphabetical order.
[[nodiscard]] std::string print_drive(const Drive& drive);

/// "store:name" -> (store, name); empty store when it is not a volid.
struct VolumeId {
  std::string storage = {};
  std::string name = {};
};
[[nodiscard]] std::optional<VolumeId> parse_volume_id(std::string_view text);

/// Every other property string of the config ("a=1,b=2" with an optional first value without key).
[[nodiscard]] Section parse_properties(std::string_view text, std::string_view default_key);

/// Network devices: "virtio=MAC,bridge=…" with the model and the MAC as keys "model" and "macaddr".
[[nodiscard]] std::optional<Section> parse_net(std::string_view value);
[[nodiscard]] std::string print_net(const Section& net);

}  // namespace pvesim
