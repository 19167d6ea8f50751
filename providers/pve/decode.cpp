#include "providers/pve/decode.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <nlohmann/json.hpp>

#include "reconciler/model/option_codec.h"
#include "reconciler/model/settings.h"

namespace pvr {
namespace {

using nlohmann::json;

const json& member(const json& object, std::string_view key) {
  static const json kNothing;
  if (!object.is_object()) return kNothing;
  const auto at = object.find(key);
  return at != object.end() ? *at : kNothing;
}

/// "…-part1", "nvme0n1p1" and "sda1" name partitions; PVE lists whole disks.
std::string whole_disk(std::string_view device) {
  std::string_view name = device;
  while (!name.empty() && name.back() >= '0' && name.back() <= '9') name.remove_suffix(1);
  if (name.size() == device.size()) return std::string(device);
  if (name.ends_with("-part")) return std::string(name.substr(0, name.size() - 5));
  const bool by_name = device.find("/by-") == std::string_view::npos;
  if (!by_name) return std::string(device);
  const std::string_view last = name.substr(name.rfind('/') + 1);
  const bool numbered = last.starts_with("nvme") || last.starts_with("mmcblk") || last.starts_with("loop");
  if (numbered) return std::string(name.ends_with('p') ? name.substr(0, name.size() - 1) : device);
  return std::string(name);
}

std::string_view last_part(std::string_view path) { return path.substr(path.rfind('/') + 1); }

const HostDisk* find_disk(std::string_view device, const std::vector<HostDisk>& disks) {
  const std::string whole = whole_disk(device);
  for (const HostDisk& disk : disks) {
    for (const std::string& name : disk.names) {
      if (name == whole || name == device || last_part(name) == whole) return &disk;
    }
  }
  // A disk has several links below /dev/disk/by-id and PVE lists one of them; all of them end in the serial number.
  for (const HostDisk& disk : disks) {
    if (disk.serial.size() >= 4 && whole.find(disk.serial) != std::string::npos) return &disk;
  }
  return nullptr;
}

void collect_leaves(const json& tree, std::vector<std::string>& names) {
  const json& children = member(tree, "children");
  if (children.is_array() && !children.empty()) {
    for (const json& child : children) collect_leaves(child, names);
  } else if (std::string name = text_at(tree, "name"); !name.empty()) {
    names.push_back(std::move(name));
  }
}

/// "raidz2-0" → "raidz2", "mirror-1" → "mirror"; a device has no kind.
std::string vdev_kind(std::string_view name) {
  for (const std::string_view kind : {"mirror", "raidz1", "raidz2", "raidz3", "raidz", "draid"}) {
    if (name == kind || (name.starts_with(kind) && (kind == "draid" || name.substr(kind.size()).starts_with('-')))) {
      return kind == "raidz" ? "raidz1" : std::string(kind);
    }
  }
  return {};
}

void take_option(LiveVm& vm, const std::string& key, const json& row) {
  LiveOption option;
  option.has_current = row.contains("value");
  option.current = text_at(row, "value");
  if (row.contains("pending")) option.pending = text_at(row, "pending");
  option.pending_delete = flag_at(row, "delete");
  if (key == "name") vm.name = option.current;
  if (key == "lock") vm.lock = option.current;
  if (key == "template") vm.is_template = option.current == "1";
  if (key == "smbios1") {
    if (const Setting* setting = find_setting(Home::kVmOption, key)) {
      const OptionValue value = decode_option(*setting, option.current);
      const auto* properties = std::get_if<PropertyString>(&value);
      if (const std::string* uuid = properties != nullptr ? properties->find("uuid") : nullptr) vm.uuid = *uuid;
    }
  }
  vm.options.set(key, std::move(option));
}

std::optional<Error> take_drive(LiveVm& vm, DriveSlot slot, const json& row) {
  LiveDrive drive;
  drive.slot = slot;
  drive.pending_delete = flag_at(row, "delete");
  for (const auto& [field, into] : {std::pair{"value", &drive.current}, std::pair{"pending", &drive.pending}}) {
    if (!row.contains(field)) continue;
    Result<Drive> read = parse_drive(slot, text_at(row, field));
    if (!read.ok()) return read.error();
    *into = std::move(read).value();
  }
  vm.drives.push_back(std::move(drive));
  return std::nullopt;
}

}  // namespace

std::string text_of(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean()) return value.get<bool>() ? "1" : "0";
  if (value.is_number_unsigned()) return fmt::format("{}", value.get<std::uint64_t>());
  if (value.is_number_integer()) return fmt::format("{}", value.get<std::int64_t>());
  if (value.is_number_float()) return fmt::format("{}", value.get<double>());
  return {};
}

std::string text_at(const json& object, std::string_view key) { return text_of(member(object, key)); }

std::optional<std::int64_t> number_at(const json& object, std::string_view key) {
  const json& value = member(object, key);
  if (value.is_number_float()) {
    const double number = value.get<double>();
    if (!(number > -9e15 && number < 9e15)) return std::nullopt;
    return static_cast<std::int64_t>(number);
  }
  const std::string text = text_of(value);
  std::int64_t number = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (fault != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

bool flag_at(const json& object, std::string_view key, bool fallback) {
  const std::string text = text_at(object, key);
  if (text.empty()) return fallback;
  return text != "0" && text != "false" && text != "no" && text != "off";
}

ByteSize size_at(const json& object, std::string_view key) {
  const std::int64_t number = number_at(object, key).value_or(0);
  return {number > 0 ? static_cast<std::uint64_t>(number) : 0};
}

std::optional<Vmid> vmid_at(const json& object, std::string_view key) {
  const auto number = number_at(object, key);
  if (!number || *number < 100 || *number > 999999999) return std::nullopt;
  return Vmid{static_cast<std::uint32_t>(*number)};
}

FlatMap<std::string> texts_of(const json& object, std::initializer_list<std::string_view> skip) {
  FlatMap<std::string> texts;
  if (!object.is_object()) return texts;
  for (const auto& [key, value] : object.items()) {
    if (value.is_null() || std::ranges::find(skip, key) != skip.end()) continue;
    std::string text;
    if (value.is_structured()) {
      for (const auto& [name, part] : value.items()) {
        if (!text.empty()) text += ',';
        text += value.is_object() ? fmt::format("{}={}", name, text_of(part)) : text_of(part);
      }
    } else {
      text = text_of(value);
    }
    texts.set(key, std::move(text));
  }
  return texts;
}

Error malformed(std::string_view what) {
  return {
      ErrorKind::kMalformed, fmt::format("The answer to {} is not what the API sends.", what), {}, Effect::kNone, 0};
}

Result<LiveVm> decode_guest(const GuestRef& guest, const json& rows) {
  if (!rows.is_array()) return malformed("the guest's configuration");
  LiveVm vm;
  vm.vmid = guest.vmid;
  vm.node = guest.node;
  for (const json& row : rows) {
    const std::string key = text_at(row, "key");
    if (key.empty()) continue;
    if (key == "digest") {
      vm.digest = text_at(row, "value");
      continue;
    }
    const auto slot = parse_slot(key);
    if (!slot) {
      take_option(vm, key, row);
    } else if (const auto problem = take_drive(vm, *slot, row)) {
      // Half a guest is no guest: acting on the drives that could be read would be a guess.
      vm.readable = false;
      vm.problem = problem->message;
    }
  }
  std::ranges::sort(vm.drives, {}, &LiveDrive::slot);
  return vm;
}

PowerState power_of(std::string_view status, std::string_view qmp_status) {
  if (status == "stopped") return PowerState::kStopped;
  const std::string_view state = qmp_status.empty() ? status : qmp_status;
  if (state == "running") return PowerState::kRunning;
  if (state == "paused" || state == "prelaunch" || state == "suspended" || state == "io-error" ||
      state == "inmigrate" || state == "postmigrate" || state == "save-vm" || state == "restore-vm" ||
      state == "internal-error" || state == "guest-panicked" || state == "watchdog" || state == "finish-migrate" ||
      state == "colo") {
    return PowerState::kPaused;
  }
  // A row without fresh QMP data still says that a process is there.
  return status == "running" ? PowerState::kRunning : PowerState::kUnknown;
}

std::vector<HostDisk> decode_disks(const json& rows) {
  std::vector<HostDisk> disks;
  if (!rows.is_array()) return disks;
  for (const json& row : rows) {
    HostDisk disk;
    for (const char* key : {"devpath", "by_id_link"}) {
      if (std::string name = text_at(row, key); !name.empty()) disk.names.push_back(std::move(name));
    }
    disk.serial = text_at(row, "serial");
    if (disk.serial == "unknown") disk.serial.clear();
    disk.used = text_at(row, "used");
    const std::string type = text_at(row, "type");
    if (type == "ssd" || type == "nvme") disk.media = Media::kSsd;
    if (type == "hdd") disk.media = Media::kHdd;
    disks.push_back(std::move(disk));
  }
  return disks;
}

Media media_of(const std::vector<std::string>& devices, const std::vector<HostDisk>& disks) {
  Media media = devices.empty() ? Media::kUnknown : Media::kSsd;
  for (const std::string& device : devices) {
    const HostDisk* disk = find_disk(device, disks);
    if (disk != nullptr && disk->media == Media::kHdd) return Media::kHdd;
    if (disk == nullptr || disk->media == Media::kUnknown) media = Media::kUnknown;
  }
  return media;
}

std::vector<std::string> leaves_of(const json& tree) {
  std::vector<std::string> names;
  collect_leaves(tree, names);
  return names;
}

void decode_layout(LivePoolLayout& pool, const json& status, const std::vector<HostDisk>& disks) {
  const json* top = nullptr;
  for (const json& child : member(status, "children")) {
    if (text_at(child, "name") == pool.name) top = &child;
  }
  if (top == nullptr) return;
  std::string kind;
  bool mixed = false;
  int width = 0;
  std::vector<std::string> devices;
  for (const json& vdev : member(*top, "children")) {
    const std::string here = vdev_kind(text_at(vdev, "name"));
    const std::vector<std::string> leaves = leaves_of(vdev);
    mixed = mixed || (pool.vdevs > 0 && here != kind);
    kind = here;
    width = std::max(width, static_cast<int>(leaves.size()));
    ++pool.vdevs;
    devices.insert(devices.end(), leaves.begin(), leaves.end());
  }
  if (pool.vdevs == 0) return;
  pool.media = media_of(devices, disks);
  if (mixed) {
    pool.layout = "mixed";
  } else if (kind.starts_with("raidz")) {
    pool.layout = fmt::format("{}-{}", kind, width);
    pool.data_width = width;
    pool.parity = kind.back() - '0';
  } else if (!kind.empty()) {
    pool.layout = kind;
  } else {
    pool.layout = pool.vdevs == 1 ? "single" : "stripe";
  }
}

}  // namespace pvr
