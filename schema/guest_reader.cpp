#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "reconciler/model/drive.h"
#include "reconciler/model/option_codec.h"
#include "schema/fleet_reader.h"

namespace pvr {
namespace {

constexpr std::array<std::string_view, 3> kReservedDisks{"efidisk", "tpm", "cloudinit"};

const Setting& option(std::string_view key) { return *find_setting(Home::kVmOption, key); }

std::string megabytes_problem(ByteSize size, const Setting& setting) {
  if (size.bytes % (1_MiB).bytes != 0) return "It must be a whole number of MiB.";
  auto amount = static_cast<std::int64_t>(size.bytes >> 20U);
  if (amount < setting.minimum || amount > setting.maximum) {
    return fmt::format("It goes from {} to {}.", to_text(ByteSize{static_cast<std::uint64_t>(setting.minimum) << 20U}),
                       to_text(ByteSize{static_cast<std::uint64_t>(setting.maximum) << 20U}));
  }
  return {};
}

bool is_power_of_two(std::uint64_t n) { return n != 0 && (n & (n - 1)) == 0; }

Spanned<OptionValue> text_value(std::string text, SourceSpan span) { return {OptionValue(std::move(text)), span}; }

}  // namespace

/// The slot written in `value`, a key of the numbered family `option` ("net") or, for "", any drive a disk can have.
std::optional<std::string> FleetReader::slot_of(const Field& field, const YamlNode& value, std::string_view family) {
  std::optional<Spanned<std::string>> text = in().text(field, value);
  if (!text) return std::nullopt;
  if (family.empty()) {
    std::optional<DriveSlot> slot = parse_slot(text->value);
    bool drive = slot && (slot->bus == Bus::kScsi || slot->bus == Bus::kVirtio || slot->bus == Bus::kSata ||
                          slot->bus == Bus::kIde);
    if (drive) return std::move(text->value);
    std::string detail = fmt::format(
        "\"{}\" is no drive. There are scsi0 to scsi30, virtio0 to virtio15, sata0 to sata5 and ide0 to ide3.",
        text->value);
    if (slot && slot->bus == Bus::kEfi) detail = "Write \"efidisk: true\" on the VM.";
    if (slot && slot->bus == Bus::kTpm) detail = "Write \"tpm: true\" on the VM.";
    in().error(value.span, "schema.slot.unknown", "No such slot", detail);
    return std::nullopt;
  }
  const Setting* setting = find_setting(Home::kVmOption, text->value);
  if (setting != nullptr && setting->count > 0 && setting->name == family) return std::move(text->value);
  in().error(value.span, "schema.slot.unknown", "No such slot",
             fmt::format("\"{}\" is none of {}0 to {}{}.", text->value, family, family,
                         option(std::string(family) + "0").count - 1));
  return std::nullopt;
}

void FleetReader::guest_field(Guest& guest, const Field& field, const YamlNode& key, const YamlNode& value) {
  switch (field.key) {
    case Key::kSetting: {
      if (field.name == "rng" && in().form(field, value) == kBoolForm) {
        if (value.text == "true") {
          if (auto read = in().parsed(*field.setting, "source=/dev/urandom", value.span))
            in().put(guest.options, field.lowered, std::move(*read));
        }
        return;
      }
      auto read = in().setting(field, value);
      if (!read) return;
      if (field.name == "tags") {
        for (const std::string& tag : is_absent(read->value) ? StringList{} : std::get<StringList>(read->value)) {
          std::string problem = tag_problem(tag);
          if (!problem.empty())
            in().error(value.span, "schema.value.illegal", "Not a legal value",
                       fmt::format("\"{}\": {}", tag, problem));
        }
      }
      in().put(guest.options, field.lowered, std::move(*read));
      return;
    }
    case Key::kLane:
      guest.lane = in().text(field, value);
      return;
    case Key::kClone: {
      unsigned form = in().form(field, value);
      if (form == kIntegerForm && !in().integer(field, value)) return;
      if (form != 0) guest.clone = Spanned<std::string>{std::string(value.text), value.span};
      return;
    }
    case Key::kMemory:
    case Key::kBalloon:
      read_memory(guest, field, value);
      return;
    case Key::kOptions:
      read_options(guest.options, value);
      return;
    case Key::kDisk: {
      WrittenDisk defaults;
      in().fields(*field.table, value,
                  [&](const Field& row, const YamlNode&, const YamlNode& of) { read_disk_field(defaults, row, of); });
      guest.disk_defaults = std::move(defaults.settings);
      return;
    }
    case Key::kDisks:
      in().named(field.name, value, [&](std::string_view name, const YamlNode& at, const YamlNode& of) {
        if (!name_ok("disk", name, at.span)) return;
        if (std::ranges::find(kReservedDisks, name) != kReservedDisks.end()) {
          return in().error(
              at.span, "schema.name.reserved", "A reserved name",
              fmt::format("\"{}\" is the disk that the key \"{}\" of the VM makes. Use that key, or another name.",
                          name, name == "cloudinit" ? "cloud_init" : name));
        }
        read_disk(guest, *field.table, name, at.span, of);
      });
      return;
    case Key::kNets:
      guest.net_nodes = &value;
      return;
    case Key::kHostpci:
    case Key::kUsb:
    case Key::kVirtiofs:
      read_devices(guest, field, value);
      return;
    case Key::kSerial:
      read_serial(guest, field, value);
      return;
    case Key::kBoot:
      guest.boot = &value;
      return;
    case Key::kCloudInit:
      if (in().form(field, value) == kTableForm || (value.plain && value.text == "true")) guest.cloud_init = &value;
      return;
    case Key::kEfidisk:
      read_efidisk(guest, field, key, value);
      return;
    case Key::kTpm:
      read_tpm(guest, field, key, value);
      return;
    case Key::kIso:
      read_iso(guest, field, value);
      return;
    default:
      return;
  }
}

void FleetReader::read_memory(Guest& guest, const Field& field, const YamlNode& value) {
  unsigned form = in().form(field, value);
  if (form == 0) return;
  std::int64_t amount = 0;
  if (form == kIntegerForm) {
    if (value.text != "0") {
      in().error(
          value.span, "schema.value.unit", "Not a size",
          fmt::format("\"{}\": {} has no unit. Write {}GiB or {}MiB.", field.name, value.text, value.text, value.text));
      return;
    }
  } else {
    std::optional<ByteSize> size = in().size(field, value);
    if (!size) return;
    std::string problem = megabytes_problem(*size, *field.setting);
    if (!problem.empty()) {
      in().error(value.span, "schema.value.range", "Out of range",
                 fmt::format("\"{}\" cannot be {}. {}", field.name, value.text, problem));
      return;
    }
    amount = static_cast<std::int64_t>(size->bytes >> 20U);
  }
  in().put(guest.options, field.name, {OptionValue(amount), value.span});
}

void FleetReader::read_options(WrittenSettings& options, const YamlNode& node) {
  in().named("options", node, [&](std::string_view key, const YamlNode& at, const YamlNode& value) {
    const Setting* setting = find_setting(Home::kVmOption, key);
    if (key.find("passw") != std::string_view::npos || (setting != nullptr && setting->write_only)) in().secret(value);
    if (setting == nullptr) {
      std::vector<std::string_view> names;
      for (const Setting& row : setting_catalogue()) {
        if (row.home == Home::kVmOption && !row.server_written) names.push_back(row.name);
      }
      return in().error(
          at.span, "schema.option.unknown", "Unknown option",
          fmt::format("\"{}\" is not a key of PVE's guest configuration.{}", key, did_you_mean(key, names)));
    }
    auto refuse = [&](std::string_view why) {
      in().error(at.span, "schema.option.refused", "Not allowed in a fleet file", fmt::format("\"{}\": {}", key, why));
    };
    constexpr std::string_view kDrives[] = {"scsi",      "virtio", "sata",  "ide",     "efidisk0",
                                            "tpmstate0", "unused", "cdrom", "bootdisk"};
    if (std::ranges::find(kDrives, setting->name) != std::end(kDrives)) {
      return refuse(
          "Drives are written under \"disks:\", \"efidisk:\", \"tpm:\", \"iso:\", \"cloud_init:\" and \"boot:\".");
    }
    if (setting->name == "name") return refuse("The name of the guest is its key under \"vms:\".");
    if (setting->name == "template")
      return refuse("Whether a guest is a template cannot be changed; make templates in PVE.");
    if (setting->name == "cipassword") {
      return refuse(
          "Secrets never stand in a fleet file. Give cloud_init.ssh_keys instead, or set the password in PVE itself "
          "with \"qm set\".");
    }
    if (setting->write_only)
      return refuse("Secrets never stand in a fleet file. Set it in PVE itself; it is left alone.");
    if (setting->root_only) {
      return refuse(
          "PVE lets only root@pam with a password login set it, never an API token. Set it on the node with \"qm "
          "set\"; it is left alone.");
    }
    if (setting->server_written && key != "smbios1") return refuse("PVE writes it by itself.");
    if (value.kind != YamlKind::kScalar || is_null(value)) {
      return in().error(value.span, "schema.value.type", "Wrong type",
                        fmt::format("\"{}\" takes PVE's own text here, as \"qm set\" does.", key));
    }
    std::string text(value.text);
    if (value.plain && text == "true") text = "1";
    if (value.plain && text == "false") text = "0";
    if (setting->name == "sshkeys") text = percent_encode(text);
    if (auto read = in().parsed(*setting, text, value.span)) in().put(options, key, std::move(*read));
  });
}

void FleetReader::read_disk(Guest& guest, const Table& table, std::string_view name, SourceSpan span,
                            const YamlNode& node) {
  WrittenDisk disk;
  disk.name = name;
  disk.span = span;
  std::optional<Spanned<std::string>> device;
  in().fields(table, node, [&](const Field& field, const YamlNode&, const YamlNode& value) {
    if (field.key != Key::kDevice) return read_disk_field(disk, field, value);
    device = checked_text(field, value, [](std::string_view text) {
      bool ok = text.starts_with("/dev/") && text.size() > 5 &&
                text.find_first_of(", \t\n") == std::string_view::npos && text.find("..") == std::string_view::npos;
      return ok ? std::string() : "A device of the node is a path such as /dev/disk/by-id/ata-….";
    });
  });
  if (!device) return guest.disks.push_back(std::move(disk));
  read_device_disk(guest, disk, *device);
}

/// A passed-through device has no volume to manage: it is the option of its slot and no disk of the document.
void FleetReader::read_device_disk(Guest& guest, const WrittenDisk& disk, const Spanned<std::string>& device) {
  auto refuse = [&](SourceSpan span, std::string_view what) {
    in().error(span, "schema.disk.device", "A device has no volume",
               fmt::format("\"{}\" is a device of the node, so {} means nothing for it.", disk.name, what),
               {{"The device is here.", device.span}});
  };
  std::string text = device.value;
  std::string slot;
  for (const auto& [key, value] : disk.settings) {
    if (key == "slot") {
      slot = std::get<std::string>(value.value);
    } else if (const Setting* setting = find_setting(Home::kDriveOption, key)) {
      text += fmt::format(",{}={}", key, print_option(*setting, value.value));
    } else {
      refuse(value.span, fmt::format("\"{}\"", key));
    }
  }
  if (disk.import_from) refuse(disk.import_from->span, "\"import\"");
  if (disk.absent || disk.detached) refuse(disk.span, "\"state\"");
  if (slot.empty()) {
    return in().error(disk.span, "schema.key.missing", "A key is missing",
                      fmt::format("Disk \"{}\" needs \"slot\": scsi0, scsi1, …", disk.name));
  }
  guest.device_slots.set(disk.name, slot);
  if (auto read = in().parsed(option(slot), text, device.span)) in().put(guest.options, slot, std::move(*read));
}

void FleetReader::read_disk_field(WrittenDisk& disk, const Field& field, const YamlNode& value) {
  switch (field.key) {
    case Key::kSlot:
      if (auto slot = slot_of(field, value, ""))
        in().put(disk.settings, "slot", text_value(std::move(*slot), value.span));
      return;
    case Key::kSize:
      if (auto size = in().size(field, value)) {
        if (size->bytes % (1_KiB).bytes != 0) {
          return in().error(value.span, "schema.value.range", "Out of range",
                            "The size of a disk is a whole number of KiB.");
        }
        in().put(disk.settings, "size", {OptionValue(*size), value.span});
      }
      return;
    case Key::kBlocksize:
      if (auto size = in().size(field, value)) {
        if (!is_power_of_two(size->bytes) || size->bytes < 512 || *size > 16_MiB) {
          return in().error(value.span, "schema.value.blocksize", "Not a block size",
                            "A block size is a power of two from 512B to 16M, such as 16k.");
        }
        in().put(disk.settings, field.lowered, {OptionValue(*size), value.span});
      }
      return;
    case Key::kImport:
      disk.import_from = checked_text(field, value, volume_id_problem);
      return;
    case Key::kDiskState:
      if (auto state = in().text(field, value)) {
        disk.absent = state->value == "absent";
        disk.detached = state->value == "detached";
      }
      return;
    case Key::kSnapshots:
      if (auto word = in().text(field, value)) disk.snapshots = word->value;
      return;
    case Key::kLeave:
      disk.leave = read_leave(field, value, {Home::kDriveOption, Home::kZvolProperty}, {});
      return;
    default:
      break;
  }
  if (field.name == "storage") {
    if (auto id = checked_text(field, value, storage_id_problem))
      in().put(disk.settings, "storage", text_value(std::move(id->value), id->span));
    return;
  }
  if (auto read = in().setting(field, value)) in().put(disk.settings, field.lowered, std::move(*read));
}

void FleetReader::read_efidisk(Guest& guest, const Field& field, const YamlNode& key, const YamlNode& value) {
  unsigned form = in().form(field, value);
  if (form == 0 || (form == kBoolForm && value.text == "false")) return;
  WrittenDisk disk;
  disk.name = "efidisk";
  disk.span = key.span;
  disk.settings.set("slot", text_value("efidisk0", key.span));
  if (form == kTableForm) {
    in().fields(*field.table, value,
                [&](const Field& row, const YamlNode&, const YamlNode& of) { read_disk_field(disk, row, of); });
  }
  guest.disks.push_back(std::move(disk));
}

void FleetReader::read_tpm(Guest& guest, const Field& field, const YamlNode& key, const YamlNode& value) {
  unsigned form = in().form(field, value);
  if (form == 0 || (form == kBoolForm && value.text == "false")) return;
  WrittenDisk disk;
  disk.name = "tpm";
  disk.span = key.span;
  disk.settings.set("slot", text_value("tpmstate0", key.span));
  std::string version = "v2.0";
  if (form == kTextForm) {
    auto text = in().text(field, value);
    if (!text) return;
    version = std::move(text->value);
  } else if (form == kTableForm) {
    in().fields(*field.table, value,
                [&](const Field& row, const YamlNode&, const YamlNode& of) { read_disk_field(disk, row, of); });
  }
  if (!disk.settings.contains("version")) disk.settings.set("version", text_value(version, value.span));
  guest.disks.push_back(std::move(disk));
}

void FleetReader::read_iso(Guest& guest, const Field& field, const YamlNode& value) {
  std::string slot = "ide2";
  std::string volume;
  SourceSpan span = value.span;
  unsigned form = in().form(field, value);
  if (form == 0) return;
  if (form == kTextForm) {
    volume = value.text;
  } else {
    in().fields(*field.table, value, [&](const Field& row, const YamlNode&, const YamlNode& of) {
      if (row.key == Key::kSlot) {
        if (auto read = slot_of(row, of, "")) slot = std::move(*read);
      } else if (auto text = in().text(row, of)) {
        volume = std::move(text->value);
        span = text->span;
      }
    });
    if (volume.empty()) return;
  }
  if (slot.starts_with("virtio"))
    return in().error(value.span, "schema.slot.unknown", "No such slot",
                      "A virtio drive cannot be a CD drive; use ide2.");
  std::string problem = volume == "none" ? std::string() : volume_id_problem(volume);
  if (!problem.empty()) {
    return in().error(
        span, "schema.value.illegal", "Not a legal value",
        fmt::format("\"{}\" is no medium. A medium is a volume id such as local:iso/debian-13.iso, or none.", volume));
  }
  if (auto read = in().parsed(option(slot), volume + ",media=cdrom", span))
    in().put(guest.options, slot, std::move(*read));
}

/// The net of this name as the nearest role of the chain has it.
const PropertyString* FleetReader::net_of_roles(std::string_view role, std::string_view name) const {
  for (const WrittenRole* next : chain(role)) {
    auto nets = role_nets_.find(next->name);
    const std::string* slot = nets == role_nets_.end() ? nullptr : nets->second.find(name);
    const auto* option = slot == nullptr ? nullptr : next->options.find(*slot);
    if (option != nullptr) return std::get_if<PropertyString>(&option->value);
  }
  return nullptr;
}

void FleetReader::read_nets(Guest& guest, std::string_view role) {
  const Table& table = fleet_tables().net;
  const YamlNode& value = *guest.net_nodes;
  bool alone = value.kind == YamlKind::kMapping && in().tree().size(value) == 1;
  in().named("nets", value, [&](std::string_view name, const YamlNode& at, const YamlNode& of) {
    if (!name_ok("net", name, at.span)) return;
    PropertyString properties = in().properties(table, of, option("net0"));
    if (of.kind != YamlKind::kMapping) return;
    std::string slot = slot_of_net(guest, role, name).value_or(alone ? "net0" : "");
    if (const YamlNode* stated = in().tree().find(of, "slot"); stated != nullptr && !is_null(*stated)) {
      auto read = slot_of(*table.find("slot"), *stated, "net");
      if (!read) return;
      slot = std::move(*read);
    }
    if (slot.empty()) {
      return in().error(at.span, "schema.key.missing", "A key is missing",
                        fmt::format("There are several nets, so \"{}\" must say its \"slot\": net0, net1, …", name));
    }
    if (const PropertyString* base = net_of_roles(role, name)) {
      for (const auto& [key, text] : base->pairs) {
        if (properties.find(key) == nullptr) properties.set(key, text);
      }
    }
    // Without a model PVE takes no device; which one it gets is for the rules, so it is left out again.
    bool model = properties.find("model") != nullptr;
    if (!model) properties.set("model", "virtio");
    guest.nets.set(name, slot);
    auto read = in().normalised(option(slot), OptionValue(std::move(properties)), at.span);
    if (!read) return;
    if (auto* held = std::get_if<PropertyString>(&read->value); held != nullptr && !model) held->erase("model");
    in().put(guest.options, slot, std::move(*read));
  });
}

void FleetReader::read_devices(Guest& guest, const Field& field, const YamlNode& value) {
  if (in().form(field, value) == 0) return;
  in().items(value, [&](const YamlNode& item, std::size_t index) {
    const Setting& family = option(std::string(field.name) + "0");
    std::string slot = fmt::format("{}{}", field.name, index);
    PropertyString properties = in().properties(*field.table, item, family);
    if (item.kind != YamlKind::kMapping) return;
    if (const YamlNode* stated = in().tree().find(item, "slot"); stated != nullptr && !is_null(*stated)) {
      auto read = slot_of(*field.table->find("slot"), *stated, field.name);
      if (!read) return;
      slot = std::move(*read);
    } else if (index >= static_cast<std::size_t>(family.count)) {
      return in().error(item.span, "schema.slot.unknown", "Too many devices",
                        fmt::format("A VM has at most {} of \"{}\".", family.count, field.name));
    }
    if (auto read = in().normalised(family, OptionValue(std::move(properties)), item.span))
      in().put(guest.options, slot, std::move(*read));
  });
}

void FleetReader::read_serial(Guest& guest, const Field& field, const YamlNode& value) {
  if (in().form(field, value) == 0) return;
  // Not words(): every port may read "socket".
  Field one = field;
  one.forms = kTextForm;
  std::vector<Spanned<std::string>> ports;
  in().items(value, [&](const YamlNode& item, std::size_t) {
    if (auto port = in().text(one, item)) ports.push_back(std::move(*port));
  });
  for (std::size_t i = 0; i < ports.size(); ++i) {
    if (ports[i].value.starts_with("/dev/")) {
      in().error(ports[i].span, "schema.option.refused", "Not allowed in a fleet file",
                 "A device of the host needs root@pam with a password login. Set it on the node with \"qm set\"; it is "
                 "left alone.");
      continue;
    }
    if (ports[i].value != "socket" || i >= static_cast<std::size_t>(option("serial0").count)) {
      in().error(ports[i].span, "schema.value.illegal", "Not a legal value",
                 fmt::format("A VM has at most {} serial ports, and each is \"socket\".", option("serial0").count));
      continue;
    }
    in().put(guest.options, fmt::format("serial{}", i), text_value(ports[i].value, ports[i].span));
  }
}

std::optional<std::string> FleetReader::slot_of_disk(const Guest& guest, std::string_view role,
                                                     std::string_view name) const {
  auto in_list = [&](const std::vector<WrittenDisk>& disks) -> std::optional<std::string> {
    for (const WrittenDisk& disk : disks) {
      if (disk.name != name) continue;
      if (const auto* slot = disk.settings.find("slot")) return std::get<std::string>(slot->value);
    }
    return std::nullopt;
  };
  if (const std::string* slot = guest.device_slots.find(name)) return *slot;
  if (auto slot = in_list(guest.disks)) return slot;
  for (const WrittenRole* next : chain(role)) {
    if (auto slot = in_list(next->disks)) return slot;
  }
  return std::nullopt;
}

std::optional<std::string> FleetReader::slot_of_net(const Guest& guest, std::string_view role,
                                                    std::string_view name) const {
  if (const std::string* slot = guest.nets.find(name)) return *slot;
  for (const WrittenRole* next : chain(role)) {
    auto nets = role_nets_.find(next->name);
    if (nets == role_nets_.end()) continue;
    if (const std::string* slot = nets->second.find(name)) return *slot;
  }
  return std::nullopt;
}

void FleetReader::read_boot(Guest& guest, std::string_view role) {
  const Field& field = *fleet_tables().vm.find("boot");
  auto names = in().words(field, *guest.boot);
  if (!names) return;
  std::vector<std::string> order;
  for (const auto& name : *names) {
    std::optional<std::string> slot = slot_of_disk(guest, role, name.value);
    if (!slot) slot = slot_of_net(guest, role, name.value);
    const Setting* setting = find_setting(Home::kVmOption, name.value);
    constexpr std::string_view kBootable[] = {"scsi", "virtio", "sata", "ide", "net", "hostpci", "usb"};
    bool device =
        setting != nullptr && setting->count > 0 && std::ranges::find(kBootable, setting->name) != std::end(kBootable);
    if (!slot && device) slot = name.value;
    if (!slot) {
      std::vector<std::string_view> known;
      for (const WrittenDisk& disk : guest.disks) known.push_back(disk.name);
      for (const auto& net : guest.nets) known.push_back(net.first);
      in().error(
          name.span, "schema.reference.unknown", "Unknown boot device",
          fmt::format("\"{}\" is no disk, net or slot of this VM.{}", name.value, did_you_mean(name.value, known)));
      continue;
    }
    if (slot->empty()) return;  // complained about where it is written
    order.push_back(std::move(*slot));
  }
  if (order.size() != names->size()) return;
  if (auto read = in().parsed(option("boot"), fmt::format("order={}", fmt::join(order, ";")), guest.boot->span)) {
    in().put(guest.options, "boot", std::move(*read));
  }
}

void FleetReader::read_addresses(Guest& guest, std::string_view role, const Field& field, const YamlNode& value) {
  in().named("ip", value, [&](std::string_view name, const YamlNode& at, const YamlNode& of) {
    std::optional<std::string> slot = slot_of_net(guest, role, name);
    const Setting* setting = find_setting(Home::kVmOption, name);
    if (!slot && setting != nullptr && setting->name == "net") slot = std::string(name);
    if (!slot) {
      std::vector<std::string_view> known;
      for (const auto& net : guest.nets) known.push_back(net.first);
      return in().error(
          at.span, "schema.reference.unknown", "Unknown net",
          fmt::format("\"{}\" is no net of this VM and no slot such as net0.{}", name, did_you_mean(name, known)));
    }
    std::string key = "ipconfig" + slot->substr(3);
    PropertyString properties = in().properties(*field.table, of, option(key));
    if (auto read = in().normalised(option(key), OptionValue(std::move(properties)), at.span))
      in().put(guest.options, key, std::move(*read));
  });
}

void FleetReader::read_cloud_init(Guest& guest, std::string_view role, bool is_vm) {
  const YamlNode& node = *guest.cloud_init;
  WrittenDisk drive;
  drive.name = "cloudinit";
  drive.span = node.span;
  auto each = [&](const Field& field, const YamlNode&, const YamlNode& value) {
    switch (field.key) {
      case Key::kSshKeys: {
        if (in().form(field, value) == 0) return;
        std::vector<std::string> keys;
        Field one = field;
        one.forms = kTextForm;
        in().items(value, [&](const YamlNode& item, std::size_t) {
          auto key = in().text(one, item);
          if (!key) return;
          if (key->value.find('\n') != std::string::npos || key->value.find(' ') == std::string::npos) {
            return in().error(item.span, "schema.value.illegal", "Not a legal value",
                              "A public key is one line such as \"ssh-ed25519 AAAA… name\".");
          }
          keys.push_back(std::move(key->value));
        });
        if (auto read =
                in().parsed(option("sshkeys"), percent_encode(fmt::format("{}", fmt::join(keys, "\n"))), value.span)) {
          in().put(guest.options, "sshkeys", std::move(*read));
        }
        return;
      }
      case Key::kIp:
        return read_addresses(guest, role, field, value);
      case Key::kDns:
        in().fields(*field.table, value, [&](const Field& row, const YamlNode&, const YamlNode& of) {
          if (auto read = in().setting(row, of)) in().put(guest.options, row.lowered, std::move(*read));
        });
        return;
      case Key::kCustom: {
        PropertyString properties = in().properties(*field.table, value, option("cicustom"));
        if (auto read = in().normalised(option("cicustom"), OptionValue(std::move(properties)), value.span))
          in().put(guest.options, "cicustom", std::move(*read));
        return;
      }
      case Key::kStorage:
        if (auto id = checked_text(field, value, storage_id_problem))
          drive.settings.set("storage", text_value(std::move(id->value), id->span));
        return;
      case Key::kSlot:
        if (auto slot = slot_of(field, value, "")) drive.settings.set("slot", text_value(std::move(*slot), value.span));
        return;
      default:
        if (auto read = in().setting(field, value)) in().put(guest.options, field.lowered, std::move(*read));
    }
  };
  if (node.kind == YamlKind::kMapping) in().fields(fleet_tables().cloud_init, node, each);
  if (!is_vm) return;
  if (!drive.settings.contains("slot")) {
    constexpr std::string_view kSlots[] = {"ide0",  "ide1",  "ide2",  "ide3",  "sata0",
                                           "sata1", "sata2", "sata3", "sata4", "sata5"};
    std::vector<std::string> taken;
    for (const WrittenDisk& disk : guest.disks) {
      if (auto slot = slot_of_disk(guest, role, disk.name)) taken.push_back(std::move(*slot));
    }
    for (std::string_view slot : kSlots) {
      if (std::ranges::find(taken, slot) != taken.end() || guest.options.contains(slot)) continue;
      drive.settings.set("slot", text_value(std::string(slot), node.span));
      break;
    }
  }
  guest.disks.push_back(std::move(drive));
}

void FleetReader::guest_end(Guest& guest, std::string_view role, bool is_vm) {
  if (guest.net_nodes != nullptr) read_nets(guest, role);
  if (guest.cloud_init != nullptr) read_cloud_init(guest, role, is_vm);
  if (guest.boot != nullptr) read_boot(guest, role);
  std::ranges::sort(guest.disks, {}, &WrittenDisk::name);
}

}  // namespace pvr
