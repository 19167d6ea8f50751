#include "reconciler/model/drive.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <set>

#include "reconciler/model/option_codec.h"
#include "reconciler/model/settings.h"

namespace pvr {
namespace {

struct BusRow {
  Bus bus = Bus::kScsi;
  std::string_view name = {};
  unsigned last = 0;
};
// Fact: the drive keys of a guest configuration and how many there are of each.
constexpr std::array kBuses = {BusRow{Bus::kScsi, "scsi", 30},     BusRow{Bus::kVirtio, "virtio", 15},
                               BusRow{Bus::kSata, "sata", 5},      BusRow{Bus::kIde, "ide", 3},
                               BusRow{Bus::kEfi, "efidisk", 0},    BusRow{Bus::kTpm, "tpmstate", 0},
                               BusRow{Bus::kUnused, "unused", 255}};

constexpr std::array<std::string_view, 5> kCacheModes = {"none", "writethrough", "writeback", "unsafe", "directsync"};
constexpr std::array<std::string_view, 3> kAioModes = {"native", "threads", "io_uring"};

template <class Mode, std::size_t N>
std::optional<Mode> mode_of(const std::array<std::string_view, N>& names, std::string_view text) {
  const auto at = std::ranges::find(names, text);
  if (at == names.end()) return std::nullopt;
  return static_cast<Mode>(at - names.begin());
}

bool is_storage_id(std::string_view text) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  const auto inner = [&](char c) { return letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.'; };
  return text.size() >= 2 && letter(text.front()) && std::ranges::all_of(text, inner);
}

std::string_view file_name(std::string_view name) { return name.substr(name.rfind('/') + 1); }

/// "cloudinit" (asked for) and "vm-101-cloudinit[.qcow2]" (made).
bool is_cloud_init(std::string_view volume_name) {
  std::string_view file = file_name(volume_name);
  if (file == "cloudinit") return true;
  if (!file.starts_with("vm-")) return false;
  file.remove_prefix(3);
  const std::size_t digits = std::min(file.find_first_not_of("0123456789"), file.size());
  file.remove_prefix(digits);
  return digits > 0 && (file == "-cloudinit" || file.starts_with("-cloudinit."));
}

bool is_ignored(std::string_view key) { return key == "cyls" || key == "heads" || key == "secs" || key == "trans"; }

Error unreadable(DriveSlot slot, std::string_view why) {
  return {ErrorKind::kMalformed, fmt::format("{}: {}", to_text(slot), why), {}, Effect::kNone, 0};
}

void take_file(Drive& drive, std::string_view value) {
  const std::size_t colon = value.find(':');
  if (colon != std::string_view::npos && is_storage_id(value.substr(0, colon)) && colon + 1 < value.size()) {
    drive.volume = VolumeId{std::string(value.substr(0, colon)), std::string(value.substr(colon + 1))};
  } else {
    drive.path = value;
  }
}

}  // namespace

std::string to_text(DriveSlot slot) {
  const auto row = std::ranges::find(kBuses, slot.bus, &BusRow::bus);
  return fmt::format("{}{}", row->name, slot.index);
}

std::optional<DriveSlot> parse_slot(std::string_view text) {
  for (const BusRow& row : kBuses) {
    if (!text.starts_with(row.name)) continue;
    const std::string_view digits = text.substr(row.name.size());
    if (digits.empty() || digits.size() > 3 || (digits.size() > 1 && digits.front() == '0')) return std::nullopt;
    unsigned index = 0;
    const auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
    if (fault != std::errc{} || end != digits.data() + digits.size() || index > row.last) return std::nullopt;
    return DriveSlot{row.bus, static_cast<std::uint16_t>(index)};
  }
  return std::nullopt;
}

std::string_view to_text(CacheMode mode) { return kCacheModes[static_cast<std::size_t>(mode)]; }
std::string_view to_text(AioMode mode) { return kAioModes[static_cast<std::size_t>(mode)]; }
std::optional<CacheMode> parse_cache(std::string_view text) { return mode_of<CacheMode>(kCacheModes, text); }
std::optional<AioMode> parse_aio(std::string_view text) { return mode_of<AioMode>(kAioModes, text); }

std::string to_text(const VolumeId& volume) { return volume.storage + ":" + volume.name; }

std::string_view image_format(const VolumeId& volume) {
  constexpr std::array<std::string_view, 3> kFormats = {"raw", "qcow2", "vmdk"};
  const std::string_view file = file_name(volume.name);
  const std::size_t dot = file.rfind('.');
  if (dot != std::string_view::npos) {
    for (const std::string_view format : kFormats) {
      if (file.substr(dot + 1) == format) return format;
    }
  }
  return "raw";
}

std::optional<Vmid> owner_of(const VolumeId& volume) {
  std::string_view file = file_name(volume.name);
  for (const std::string_view prefix : {"vm-", "base-"}) {
    if (!file.starts_with(prefix)) continue;
    file.remove_prefix(prefix.size());
    std::uint32_t number = 0;
    const auto [end, fault] = std::from_chars(file.data(), file.data() + file.size(), number);
    const bool ends = end != file.data() + file.size() && *end == '-';
    if (fault == std::errc{} && ends && number >= 100 && number <= 999999999) return Vmid{number};
    return std::nullopt;
  }
  return std::nullopt;
}

Result<Drive> parse_drive(DriveSlot slot, std::string_view text) {
  Drive drive;
  bool cdrom = false;
  std::set<std::string_view> seen;  // fact: PVE refuses a key that is there twice
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t end = rest.find(',');
    const std::string_view part = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (part.empty()) continue;
    const std::size_t equals = part.find('=');
    std::string_view key = equals == std::string_view::npos ? "file" : part.substr(0, equals);
    const std::string_view value = equals == std::string_view::npos ? part : part.substr(equals + 1);
    if (key == "volume") key = "file";
    if (key.empty() || value.empty()) return unreadable(slot, fmt::format("\"{}\" has no key or no value", part));
    if (is_ignored(key)) continue;
    if (!seen.insert(key).second) return unreadable(slot, fmt::format("\"{}\" is given twice", key));
    const Setting* setting = find_setting(Home::kDriveOption, key);
    if (key == "file") {
      // Fact: PVE writes the volume without its key, and reads what has a "=" in it as another one.
      if (value.find('=') != std::string_view::npos)
        return unreadable(slot, fmt::format("the volume \"{}\" has a \"=\" in its name", value));
      take_file(drive, value);
    } else if (key == "media") {
      if (value != "cdrom" && value != "disk") return unreadable(slot, fmt::format("there is no medium \"{}\"", value));
      cdrom = value == "cdrom";
    } else if (key == "size" && parse_disk_size(value)) {
      drive.size = parse_disk_size(value);
    } else if (setting != nullptr) {
      OptionValue option = decode_option(*setting, value);
      if (!is_absent(option)) drive.options.set(key, std::move(option));
    } else {
      drive.unknown.set(key, std::string(value));
    }
  }
  if (!seen.contains("file")) return unreadable(slot, "no volume is named");
  if (drive.volume && is_cloud_init(drive.volume->name)) {
    drive.medium = Drive::Medium::kCloudInit;
  } else if (cdrom || drive.path == "none" || drive.path == "cdrom") {
    drive.medium = Drive::Medium::kCdrom;
  }
  return drive;
}

std::string print_drive(DriveSlot /*slot*/, const Drive& drive) {
  std::map<std::string_view, std::string> keys;
  for (const auto& [key, value] : drive.options) {
    const Setting* setting = find_setting(Home::kDriveOption, key);
    if (setting != nullptr && !is_absent(value)) keys.emplace(setting->name, print_option(*setting, value));
  }
  for (const auto& [key, value] : drive.unknown) keys.emplace(key, value);
  if (drive.medium != Drive::Medium::kDisk) keys.insert_or_assign("media", "cdrom");
  if (drive.size) keys.insert_or_assign("size", print_disk_size(*drive.size));
  std::string text = drive.volume ? to_text(*drive.volume) : drive.path;
  for (const auto& [key, value] : keys) text += fmt::format(",{}={}", key, value);
  return text;
}

}  // namespace pvr
