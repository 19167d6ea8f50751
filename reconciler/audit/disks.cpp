#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <tuple>

#include "reconciler/audit/auditor.h"
#include "reconciler/base/text.h"
#include "reconciler/model/guest_options.h"
#include "reconciler/model/option_codec.h"
#include "reconciler/model/settings.h"

namespace pvr {
namespace {

std::string_view text_option(const Drive& drive, std::string_view key) {
  const OptionValue* value = drive.options.find(key);
  const auto* text = value != nullptr ? std::get_if<std::string>(value) : nullptr;
  return text != nullptr ? std::string_view(*text) : std::string_view{};
}

bool flag_option(const Drive& drive, std::string_view key) {
  const OptionValue* value = drive.options.find(key);
  const auto* flag = value != nullptr ? std::get_if<bool>(value) : nullptr;
  return flag != nullptr && *flag;
}

std::string shown(const Drive& drive, std::string_view key, std::string_view effective) {
  const OptionValue* value = drive.options.find(key);
  if (value != nullptr && !is_absent(*value)) return fmt::format("{}={}", key, to_text(*value));
  return effective.empty() ? fmt::format("no {}", key) : fmt::format("{} unset, which runs as {}", key, effective);
}

std::string_view kind_text(StorageKind kind) {
  return kind == StorageKind::kUnknown ? std::string_view("a directory nobody knows the file system of")
                                       : to_text(kind);
}

/// "2.3.9" → 2, 3.
std::pair<int, int> version_of(std::string_view text) {
  int major = 0;
  int minor = 0;
  const char* end = text.data() + text.size();
  const char* at = std::from_chars(text.data(), end, major).ptr;
  if (at != end && *at == '.') std::from_chars(at + 1, end, minor);
  return {major, minor};
}

StatedBy stated_by(const Resolved& value) {
  const auto* written = std::get_if<FromDocument>(&value.origin);
  return written == nullptr ? StatedBy::kRule : written->layer == Layer::kDisk ? StatedBy::kDisk : StatedBy::kShared;
}

}  // namespace

std::optional<Auditor::DiskContext> Auditor::disk_context(const GuestContext& guest, const LiveDrive& live) const {
  const Drive* drive = live.configured();
  if (drive == nullptr || drive->medium != Drive::Medium::kDisk || !is_disk_bus(live.slot.bus)) return std::nullopt;
  DiskContext disk{.slot = live.slot, .drive = drive, .wanted = *drive};
  DiskFacts& facts = disk.facts;
  if (drive->volume) {
    const auto at = facts_.storages.find(drive->volume->storage);
    if (at != facts_.storages.end()) disk.storage = &at->second;
    facts.format = image_format(*drive->volume);
  } else if (drive->path.starts_with("/dev/")) {
    facts.kind = StorageKind::kDevice;
  } else {
    return std::nullopt;
  }
  if (disk.storage != nullptr) {
    facts.kind = disk.storage->kind;
    facts.shared = disk.storage->shared;
    facts.media = disk.storage->media;
  }
  facts.os = guest.facts.os;
  facts.mobility = guest.facts.mobility;
  facts.passthrough = guest.facts.passthrough;
  facts.bus = live.slot.bus;
  facts.single_controller = guest.scsihw == "virtio-scsi-single" || guest.controller_wrong;
  facts.pve_major = facts_.pve_major;
  facts.pve_minor = facts_.pve_minor;
  facts.zfs_major = facts_.zfs_major;
  facts.zfs_minor = facts_.zfs_minor;
  if (const LiveHost* node = host(guest.vm->node); node != nullptr && !node->zfs_version.empty())
    std::tie(facts.zfs_major, facts.zfs_minor) = version_of(node->zfs_version);
  if (guest.declared != nullptr) {
    const auto at = std::ranges::find_if(
        guest.declared->disks, [&](const ResolvedDisk& d) { return d.slot == live.slot && !d.absent && !d.detached; });
    if (at != guest.declared->disks.end()) {
      disk.declared = &*at;
      facts.purpose = at->facts.purpose;
      facts.disposable = at->facts.disposable;
      if (facts.media == Media::kUnknown) facts.media = at->facts.media;
    }
  }
  return disk;
}

bool Auditor::is_stated(const DiskContext& disk, std::string_view key) const {
  if (disk.declared == nullptr) return false;
  const Resolved* value = disk.declared->settings.find(key);
  if (value == nullptr || !std::holds_alternative<FromDocument>(value->origin)) return false;
  if (const OptionValue* live = disk.drive->options.find(key); live != nullptr) return *live == value->value;
  // Unset means PVE's default, where it has one that is always the same.
  const Setting* setting = find_setting(Home::kDriveOption, key);
  return setting != nullptr && !setting->default_text.empty() &&
         decode_option(*setting, setting->default_text) == value->value;
}

AuditFinding Auditor::disk_finding(const GuestContext& guest, const DiskContext& disk, std::string_view rule,
                                   Severity severity) const {
  AuditFinding finding;
  finding.rule = rule;
  finding.severity = severity;
  finding.subject = fmt::format("vm/{}/{}", guest.vm->vmid.number, to_text(disk.slot));
  finding.id = finding_id(rule, 1, finding.subject);
  finding.name = guest.vm->name;
  finding.node = guest.vm->node;
  return finding;
}

void Auditor::audit_disks(GuestContext& guest) {
  std::vector<DiskContext> disks;
  for (const LiveDrive& live : guest.vm->drives) {
    std::optional<DiskContext> disk = disk_context(guest, live);
    if (!disk) continue;
    ++report_.disks;
    drive_options(guest, *disk);
    disks.push_back(std::move(*disk));
  }
  // What is wrong with the options of one drive is mended by one command: a drive string is written as a whole, and two
  // commands made from the same one would undo each other. The controller and its I/O threads go together, too.
  const std::uint32_t number = guest.vm->vmid.number;
  const auto line_of = [](const DiskContext& disk) {
    return fmt::format(" --{} {}", to_text(disk.slot), shell_word(print_drive(disk.slot, disk.wanted)));
  };
  if (guest.controller_wrong) {
    guest.controller_command =
        fmt::format("qm set {} --scsihw {}", number, choose(kScsihwDefaults, guest.facts)->value);
    for (const DiskContext& disk : disks)
      if (disk.slot.bus == Bus::kScsi) guest.controller_command += line_of(disk);
  }
  for (DiskContext& disk : disks) {
    const bool by_controller = guest.controller_wrong && disk.slot.bus == Bus::kScsi;
    for (AuditFinding& finding : disk.findings) {
      if (by_controller && finding.rule == "I1") continue;  // told once, of the guest
      if (finding.fix.value) {
        finding.fix.commands = {by_controller ? guest.controller_command
                                              : fmt::format("qm set {}{}", number, line_of(disk))};
        finding.fix.effect = guest.effect;
      }
      add(std::move(finding));
    }
    drive_place(guest, disk);
    drive_zvol(guest, disk);
  }
}

void Auditor::drive_options(const GuestContext& guest, DiskContext& disk) {
  const DiskFacts& facts = disk.facts;
  const Drive& drive = *disk.drive;
  const CacheMode unset_cache = effective_cache(facts.kind, facts.bus);
  DiskSettings now;
  now.cache = parse_cache(text_option(drive, "cache")).value_or(unset_cache);
  const bool aio_set = !text_option(drive, "aio").empty();
  const auto aio_at = [&](CacheMode cache) {
    return aio_set ? parse_aio(text_option(drive, "aio")) : effective_aio(facts.kind, facts.format, cache);
  };
  now.iothread = flag_option(drive, "iothread");
  now.scsihw = guest.controller_wrong ? std::string_view("virtio-scsi-single") : guest.scsihw;

  const std::string fleet_vm = guest.declared != nullptr ? guest.declared->name
                               : guest.vm->name.empty()  ? fmt::format("vm-{}", guest.vm->vmid.number)
                                                         : guest.vm->name;
  const std::string slot = to_text(disk.slot);
  // Puts a value (nothing: unset) into the wanted drive and the fix into the finding.
  const auto tell = [&](AuditFinding finding, std::string_view key, std::optional<OptionValue> value) {
    const std::string text =
        value ? (std::holds_alternative<bool>(*value) ? (std::get<bool>(*value) ? "1" : "0") : to_text(*value)) : "";
    if (value)
      disk.wanted.options.set(key, *value);
    else
      disk.wanted.options.erase(key);
    finding.fix.value = FixValue{.vmid = guest.vm->vmid, .slot = disk.slot, .key = std::string(key), .value = text};
    if (value) {
      const std::string written = std::holds_alternative<bool>(*value) ? (text == "1" ? "true" : "false") : text;
      finding.fix.fleet = {"vms:", fmt::format("  {}:", fleet_vm)};
      if (disk.declared != nullptr) {
        finding.fix.fleet.push_back(fmt::format("    disks: {{{}: {{{}: {}}}}}", disk.declared->name, key, written));
      } else {
        if (guest.declared == nullptr) finding.fix.fleet.push_back(fmt::format("    vmid: {}", guest.vm->vmid.number));
        finding.fix.fleet.push_back(fmt::format("    disks: {{{0}: {{slot: {0}, {1}: {2}}}}}", slot, key, written));
      }
    }
    disk.findings.push_back(std::move(finding));
  };
  const auto from = [&](const auto& row, Severity severity, std::string what) {
    AuditFinding finding = disk_finding(guest, disk, row.id, severity);
    finding.what = std::move(what);
    finding.why = std::string(row.why);
    finding.source = std::string(row.source);
    return finding;
  };
  const auto broken = [&](std::string_view key, const DiskSettings& settings) -> const DiskInvariant* {
    for (const DiskInvariant& row : kDiskInvariants)
      if (row.key == key && row.broken(facts, settings)) return &row;
    return nullptr;
  };
  const auto warned = [&](std::string_view key, const DiskSettings& settings) -> const DiskWarning* {
    for (const DiskWarning& row : kDiskWarnings)
      if (row.key == key && row.applies(facts, settings)) return &row;
    return nullptr;
  };

  // cache, then aio as it is with the cache the disk should have.
  DiskSettings wanted = now;
  now.aio = aio_at(now.cache);
  const CacheDefault* cache = choose(kCacheDefaults, facts);
  const DiskInvariant* cache_broken = broken("cache", now);
  const DiskWarning* cache_warned = warned("cache", now);
  if (cache_broken != nullptr || (cache_warned != nullptr && !is_stated(disk, "cache"))) {
    wanted.cache = cache->value;
    const std::string what = shown(drive, "cache", to_text(unset_cache));
    const bool unsure = facts.kind == StorageKind::kUnknown && !facts.shared && facts.mobility == Mobility::kPinned;
    AuditFinding finding = cache_broken != nullptr
                               ? from(*cache_broken, unsure ? Severity::kWarning : Severity::kError,
                                      fmt::format("{} on {}{}, guest {}", what, kind_text(facts.kind),
                                                  facts.shared ? " (shared)" : "", to_text(facts.mobility)))
                               : from(*cache_warned, Severity::kWarning, what);
    if (facts.kind == StorageKind::kUnknown)
      finding.fix.advice =
          "the file system below the directory is not known and counts as ZFS; with backing: ext4 stated, or "
          "host access, it is judged as it is";
    tell(std::move(finding), "cache", OptionValue(std::string(to_text(wanted.cache))));
  }

  wanted.aio = aio_at(wanted.cache);
  const AioDefault* aio = choose(kAioDefaults, facts);
  if (!aio_set) {
    // A5: what PVE makes of an unset aio on thick LVM and CIFS.
    if (aio->value && wanted.aio && *aio->value != *wanted.aio) {
      tell(from(*aio, Severity::kWarning, shown(drive, "aio", to_text(*wanted.aio))), "aio",
           OptionValue(std::string(to_text(*aio->value))));
    } else if (!aio->value && broken("aio", wanted) != nullptr) {
      AuditFinding finding = from(*aio, Severity::kNotice, shown(drive, "aio", to_text(*wanted.aio)));
      finding.fix.advice = "upgrade the nodes to PVE 9, then state aio=io_uring";
      disk.findings.push_back(std::move(finding));
    }
  } else if (const DiskInvariant* row = broken("aio", wanted); row != nullptr) {
    tell(from(*row, Severity::kError,
              fmt::format("{} on {} ({})", shown(drive, "aio", ""), kind_text(facts.kind), facts.format)),
         "aio", aio->value ? std::optional<OptionValue>(std::string(to_text(*aio->value))) : std::nullopt);
  } else if (const DiskWarning* warning = warned("aio", wanted); warning != nullptr && !is_stated(disk, "aio")) {
    tell(from(*warning, Severity::kWarning,
              fmt::format("{} with cache={}{}", shown(drive, "aio", ""), to_text(wanted.cache),
                          wanted.cache == now.cache ? "" : ", which it is to have")),
         "aio", aio->value ? std::optional<OptionValue>(std::string(to_text(*aio->value))) : std::nullopt);
  }

  if (const DiskInvariant* row = broken("iothread", now); row != nullptr) {
    tell(from(*row, Severity::kWarning, fmt::format("iothread=1 has no effect here (scsihw={})", guest.scsihw)),
         "iothread", std::nullopt);
  } else if (const FlagDefault* thread = choose(kIothreadDefaults, facts);
             thread != nullptr && !now.iothread && !is_stated(disk, "iothread")) {
    tell(from(*thread, Severity::kWarning, "no iothread: the disk shares QEMU's main loop"), "iothread",
         OptionValue(true));
  }
  if (const FlagDefault* row = choose(kDiscardDefaults, facts);
      row != nullptr && text_option(drive, "discard") != "on" && !is_stated(disk, "discard")) {
    tell(from(*row, Severity::kWarning, "no discard: what the guest deletes stays allocated"), "discard",
         OptionValue(std::string("on")));
  }
  if (const FlagDefault* row = choose(kSsdDefaults, facts);
      row != nullptr && !flag_option(drive, "ssd") && !is_stated(disk, "ssd")) {
    tell(from(*row, Severity::kNotice, "no ssd=1 on an SSD"), "ssd", OptionValue(true));
  } else if (facts.media == Media::kUnknown && drive.volume && !flag_option(drive, "ssd") &&
             facts.bus != Bus::kVirtio) {
    media_unknown_.insert(drive.volume->storage);
  }
}

std::string Auditor::zvol_storage_for(const LiveVm& vm, ByteSize size) const {
  for (const LiveStorage& storage : live_.storages) {
    if (storage.type != "zfspool") continue;
    const std::string* content = storage.properties.find("content");
    if (content != nullptr && content->find("images") == std::string::npos) continue;
    const auto at = storage.on_node.find(vm.node);
    if (at == storage.on_node.end() || !at->second.active) continue;
    const bool room = capacity_verdict(at->second.used, at->second.total, size) == CapacityVerdict::kFine &&
                      at->second.available > size;
    if (room) return storage.id;
  }
  return {};
}

/// Where the disk lies: qcow2 and files on ZFS.
void Auditor::drive_place(const GuestContext& guest, DiskContext& disk) {
  if (!disk.drive->volume) return;
  DiskSettings settings;
  const DiskWarning* told = nullptr;
  std::vector<const DiskWarning*> rows;
  for (const DiskWarning& row : kDiskWarnings) {
    if ((row.key == "format" || row.key == "storage") && row.applies(disk.facts, settings)) rows.push_back(&row);
  }
  // T3 (a file on a dataset) is said by F1 and F2 already.
  for (const DiskWarning* row : rows) {
    if (row->id == "T3" && told != nullptr) continue;
    if (row->id == "F1" && disk.facts.kind == StorageKind::kUnknown)
      continue;  // T3 of the storage asks what lies below
    told = row;
    AuditFinding finding = disk_finding(guest, disk, row->id, Severity::kWarning);
    finding.what = fmt::format("{} on a ZFS dataset ({})", disk.facts.format == "qcow2" ? "qcow2" : "a file",
                               disk.drive->volume->storage);
    finding.why = std::string(row->why);
    finding.source = std::string(row->source);
    if (row->id == "F1") finding.cost.write_amplification = 2.0;
    const ByteSize size = disk.drive->size.value_or(ByteSize{});
    finding.fix.advice = std::string(row->instead);
    const std::string target = zvol_storage_for(*guest.vm, size);
    if (!target.empty()) {
      finding.fix.commands = {
          fmt::format("qm disk move {} {} {}", guest.vm->vmid.number, to_text(disk.slot), shell_word(target))};
      finding.fix.advice = "the old volume stays as an unused disk until you remove it";
      finding.fix.value = FixValue{.vmid = guest.vm->vmid, .slot = disk.slot, .key = "storage", .value = target};
      const std::string name = guest.declared != nullptr ? guest.declared->name : guest.vm->name;
      const std::string part = disk.declared != nullptr ? disk.declared->name : to_text(disk.slot);
      finding.fix.fleet = {"vms:", fmt::format("  {}:", name)};
      if (guest.declared == nullptr) finding.fix.fleet.push_back(fmt::format("    vmid: {}", guest.vm->vmid.number));
      finding.fix.fleet.push_back(disk.declared != nullptr
                                      ? fmt::format("    disks: {{{}: {{storage: {}}}}}", part, target)
                                      : fmt::format("    disks: {{{0}: {{slot: {0}, storage: {1}}}}}", part, target));
      finding.fix.effect = FixEffect::kCopy;
    }
    add(std::move(finding));
  }
}

/// The zvol below a disk, where host access shows it.
void Auditor::drive_zvol(const GuestContext& guest, const DiskContext& disk) {
  if (disk.facts.kind != StorageKind::kZfsZvol || !disk.drive->volume) return;
  const LiveHost* node = host(guest.vm->node);
  const LiveStorage* storage = live_.storage(disk.drive->volume->storage);
  const std::string* pool = storage != nullptr ? storage->properties.find("pool") : nullptr;
  if (node == nullptr || pool == nullptr) return;
  // A disk of a linked clone is listed below its base: "base-9000-disk-0/vm-101-disk-0".
  const std::string& volume = disk.drive->volume->name;
  const std::string name = *pool + "/" + volume.substr(volume.rfind('/') + 1);
  const LiveDataset* dataset = node->dataset(name);
  if (dataset == nullptr || !dataset->is_volume) return;
  ZvolFacts facts{.name = dataset->name, .purpose = disk.facts.purpose, .disposable = disk.facts.disposable};
  facts.volblocksize = dataset->bytes("volblocksize");
  facts.wanted_volblocksize = choose(kVolblocksizeDefaults, disk.facts)->value;
  if (disk.declared != nullptr) {
    if (const Resolved* wanted = disk.declared->settings.find("volblocksize")) {
      if (const auto* size = std::get_if<ByteSize>(&wanted->value)) facts.wanted_volblocksize = *size;
      facts.wanted_by = stated_by(*wanted);
    }
    if (const Resolved* wanted = disk.declared->settings.find("provisioning"))
      facts.thick_wanted = to_text(wanted->value) == "thick";
  }
  facts.refreservation = dataset->bytes("refreservation");
  facts.sync = dataset->text("sync");
  facts.logbias = dataset->text("logbias");
  facts.compression = dataset->text("compression");
  facts.primarycache = dataset->text("primarycache");
  facts.volmode = dataset->text("volmode");
  for (AuditFinding& finding :
       judge(zvol_checks(), facts, fmt::format("vm/{}/{}", guest.vm->vmid.number, to_text(disk.slot)))) {
    finding.name = guest.vm->name;
    finding.node = guest.vm->node;
    if (finding.rule == "Z3") {
      const auto used = dataset->bytes("referenced");
      if (used && *used < *facts.refreservation)
        finding.cost.lost_space = ByteSize{facts.refreservation->bytes - used->bytes};
    }
    if (finding.rule == "Z2") {
      finding.fix.effect = FixEffect::kCopy;
      if (*facts.volblocksize > *facts.wanted_volblocksize)
        finding.cost.write_amplification =
            static_cast<double>(facts.volblocksize->bytes) / static_cast<double>(facts.wanted_volblocksize->bytes);
    }
    add(std::move(finding));
  }
}

}  // namespace pvr
