#include "simulator/world/drive.h"

#include <algorithm>
#include <array>
#include <set>

#include "simulator/world/text.h"

namespace pvesim {
namespace {

constexpr std::array kModels = {"e1000",  "e1000-82540em", "e1000-82544gc", "e1000-82545em", "e1000e",
                                "i82551", "i82557b",       "i82559er",      "ne2k_isa",      "ne2k_pci",
                                "pcnet",  "rtl8139",       "virtio",        "vmxnet3"};

const std::set<std::string, std::less<>>& common_keys() {
  static const std::set<std::string, std::less<>> kKeys = [] {
    std::set<std::string, std::less<>> keys = {"aio",    "backup", "cache",     "detect_zeroes", "discard",
                                               "format", "media",  "replicate", "rerror",        "serial",
                                               "shared", "size",   "snapshot",  "werror",        "import-from"};
    for (const std::string unit : {"mbps", "iops", "bps"})
      for (const std::string side : {"", "_rd", "_wr"}) {
        keys.insert(unit + side);
        if (unit != "bps") keys.insert(unit + side + "_max");
        if (unit != "mbps") keys.insert(unit + side + "_max_length");
      }
    return keys;
  }();
  return kKeys;
}

bool key_fits(std::string_view bus, std::string_view key) {
  if (bus == "efidisk")
    return key == "efitype" || key == "pre-enrolled-keys" || key == "ms-cert" || key == "format" || key == "size" ||
           key == "import-from";
  if (bus == "tpmstate") return key == "version" || key == "format" || key == "size" || key == "import-from";
  if (bus == "unused") return false;
  if (common_keys().contains(key)) return true;
  if (key == "iothread" || key == "ro") return bus == "scsi" || bus == "virtio";
  if (key == "ssd" || key == "wwn") return bus == "scsi" || bus == "sata" || bus == "ide";
  if (key == "queues" || key == "scsiblock" || key == "product" || key == "vendor") return bus == "scsi";
  return key == "model" && bus == "ide";
}

bool is_flag(std::string_view key) {
  static constexpr std::array kFlags = {"backup", "replicate", "shared",    "snapshot",      "iothread",
                                        "ro",     "ssd",       "scsiblock", "detect_zeroes", "pre-enrolled-keys"};
  return std::find(kFlags.begin(), kFlags.end(), key) != kFlags.end();
}

std::string canonical_flag(const std::string& value) {
  const std::string low = lower_case(value);
  if (low == "1" || low == "on" || low == "yes" || low == "true") return "1";
  if (low == "0" || low == "off" || low == "no" || low == "false") return "0";
  return {};
}

}  // namespace

std::string Drive::get(std::string_view key, std::string_view fallback) const {
  const auto found = options.find(key);
  return found == options.end() ? std::string(fallback) : found->second;
}

bool Drive::has_volume() const { return parse_volume_id(file).has_value(); }

bool Drive::is_cloudinit() const {
  if (!is_cdrom()) return false;
  if (ends_with(file, ":cloudinit")) return true;
  // Fact: the name vm-ID-cloudinit, with an optional format ending, marks the volume.
  const auto mark = file.find("-cloudinit");
  if (mark == std::string::npos) return false;
  const std::string rest = file.substr(mark + 10);
  return (rest.empty() || rest == ".raw" || rest == ".qcow2" || rest == ".vmdk") &&
         file.substr(0, mark).find("vm-") != std::string::npos;
}

const std::vector<std::string>& disk_names() {
  static const std::vector<std::string> kNames = [] {
    std::vector<std::string> names;
    const std::array<std::pair<const char*, int>, 4> buses = {{{"ide", 4}, {"scsi", 31}, {"virtio", 16}, {"sata", 6}}};
    for (const auto& [bus, count] : buses)
      for (int i = 0; i < count; ++i) names.push_back(bus + std::to_string(i));
    return names;
  }();
  return kNames;
}

bool is_drive_name(std::string_view key) {
  static const std::set<std::string, std::less<>> kNames = [] {
    std::set<std::string, std::less<>> names(disk_names().begin(), disk_names().end());
    names.insert("efidisk0");
    names.insert("tpmstate0");
    return names;
  }();
  return kNames.contains(key);
}

bool is_unused_name(std::string_view key) {
  return starts_with(key, "unused") && all_digits(key.substr(6)) && key.size() <= 9;
}

std::string bus_of(std::string_view slot) { return std::string(slot.substr(0, slot.find_first_of("0123456789"))); }

int index_of(std::string_view slot) {
  const auto at = slot.find_first_of("0123456789");
  return at == slot.npos ? 0 : std::stoi(std::string(slot.substr(at)));
}

std::optional<Drive> parse_drive(std::string_view slot, std::string_view value) {
  Drive drive;
  drive.slot = slot;
  const std::string bus = bus_of(slot);
  for (const std::string& part : split_at(value, ',')) {
    if (part.empty()) continue;
    const auto equals = part.find('=');
    std::string key = part.substr(0, equals);
    if (equals == std::string::npos) {
      if (!drive.file.empty()) return std::nullopt;
      drive.file = part;
      continue;
    }
    std::string text = part.substr(equals + 1);
    if (text.empty()) return std::nullopt;
    if (key == "file" || key == "volume") {
      if (!drive.file.empty()) return std::nullopt;
      drive.file = std::move(text);
      continue;
    }
    if (key == "cyls" || key == "heads" || key == "secs" || key == "trans") continue;
    if (ends_with(key, "_length") && !ends_with(key, "_max_length")) key.insert(key.size() - 7, "_max");
    if (!key_fits(bus, key) || drive.options.contains(key)) return std::nullopt;
    if (is_flag(key)) {
      text = canonical_flag(text);
      if (text.empty()) return std::nullopt;
    }
    drive.options[key] = std::move(text);
  }
  if (drive.file.empty()) return std::nullopt;
  for (const std::string side : {"", "_rd", "_wr"})
    if (drive.options.erase("bps" + side) > 0) {
      if (drive.options.contains("mbps" + side)) return std::nullopt;
      drive.options["mbps" + side] = "0.000";
    }
  // Facts: a total excludes its read and write halves; a burst needs its base.
  for (const std::string unit : {"mbps", "iops"}) {
    if (drive.options.contains(unit) && (drive.options.contains(unit + "_rd") || drive.options.contains(unit + "_wr")))
      return std::nullopt;
    for (const std::string side : {"", "_rd", "_wr"})
      if (drive.options.contains(unit + side + "_max") && !drive.options.contains(unit + side)) return std::nullopt;
  }
  if (bus == "virtio" && drive.is_cdrom()) return std::nullopt;
  if ((drive.file == "none" || drive.file == "cdrom") && drive.get("media").empty() && bus != "virtio")
    drive.options["media"] = "cdrom";
  return drive;
}

std::string print_drive(const Drive& drive) {
  std::string out = drive.file;
  for (const auto& [key, value] : drive.options) out += "," + key + "=" + value;
  return out;
}

std::optional<VolumeId> parse_volume_id(std::string_view text) {
  const auto colon = text.find(':');
  if (colon == text.npos || colon < 2 || colon + 1 >= text.size() || text.front() == '/') return std::nullopt;
  return VolumeId{std::string(text.substr(0, colon)), std::string(text.substr(colon + 1))};
}

Section parse_properties(std::string_view text, std::string_view default_key) {
  Section out;
  for (const std::string& part : split_at(text, ',')) {
    const auto equals = part.find('=');
    if (equals == std::string::npos) {
      if (!part.empty()) out[std::string(default_key)] = part;
    } else {
      out[part.substr(0, equals)] = part.substr(equals + 1);
    }
  }
  return out;
}

std::optional<Section> parse_net(std::string_view value) {
  Section net = parse_properties(value, "model");
  for (const std::string model : kModels)
    if (const auto found = net.find(model); found != net.end()) {
      net["model"] = model;
      net["macaddr"] = found->second;
      net.erase(model);
      break;
    }
  if (!net.contains("model")) return std::nullopt;
  if (const auto mac = net.find("macaddr"); mac != net.end())
    std::transform(mac->second.begin(), mac->second.end(), mac->second.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return net;
}

std::string print_net(const Section& net) {
  const auto mac = net.find("macaddr");
  std::string out = net.at("model");
  if (mac != net.end()) out += "=" + mac->second;
  for (const auto& [key, value] : net)
    if (key != "model" && key != "macaddr") out += "," + key + "=" + value;
  return out;
}

}  // namespace pvesim
