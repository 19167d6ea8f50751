#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "reconciler/model/guest_options.h"
#include "reconciler/model/option_codec.h"
#include "reconciler/model/settings.h"
#include "reconciler/resolve/resolver.h"

namespace pvr {
namespace {

// Names the schema gives to the small disks it makes from `efidisk:`, `tpm:` and `cloud_init:`.
constexpr std::string_view kEfiDisk = "efidisk";
constexpr std::string_view kTpm = "tpm";
constexpr std::string_view kCloudInit = "cloudinit";

constexpr std::string_view kFactKeys[] = {"purpose", "disposable", "media"};
constexpr std::string_view kZvolKeys[] = {"volblocksize", "provisioning", "compression",
                                          "sync",         "logbias",      "primarycache"};

bool is_one_of(std::span<const std::string_view> words, std::string_view word) {
  return std::ranges::find(words, word) != words.end();
}

ResourceAddress address_of(const ResolvedVm& vm, const ResolvedDisk& disk) {
  return {AddressKind::kVm, vm.name, disk.name};
}

template <class E, std::size_t N>
E parse_word(const E (&all)[N], std::string_view text, E otherwise) {
  for (const E one : all) {
    if (to_text(one) == text) return one;
  }
  return otherwise;
}
constexpr Purpose kPurposes[] = {Purpose::kOs,     Purpose::kData,  Purpose::kDatabase, Purpose::kBulk,
                                 Purpose::kModels, Purpose::kMedia, Purpose::kBackup,   Purpose::kScratch};
constexpr Media kMedia[] = {Media::kSsd, Media::kHdd};

/// Static text of an image format.
std::string_view format_name(std::string_view text) {
  for (const std::string_view name : {"raw", "qcow2", "vmdk", "subvol"}) {
    if (name == text) return name;
  }
  return "raw";
}

/// What PVE makes when nobody states a format. Fact: a volume chain on LVM defaults to qcow2, everything else to raw.
std::string_view default_format(StorageKind kind) { return kind == StorageKind::kLvmThickChain ? "qcow2" : "raw"; }
/// Kinds whose volumes are raw whatever was asked for.
bool only_raw(StorageKind kind) {
  switch (kind) {
    case StorageKind::kZfsZvol:
    case StorageKind::kLvmThick:
    case StorageKind::kLvmThin:
    case StorageKind::kIscsiLun:
    case StorageKind::kRbd:
    case StorageKind::kRbdKernel:
    case StorageKind::kZfsOverIscsi:
    case StorageKind::kDevice:
      return true;
    default:
      return false;
  }
}

const std::string* live_of(const std::map<std::uint32_t, std::map<std::string, std::string>>& by_vm, Vmid vmid,
                           DriveSlot slot) {
  const auto vm = by_vm.find(vmid.number);
  if (vm == by_vm.end()) return nullptr;
  const auto at = vm->second.find(to_text(slot));
  return at == vm->second.end() ? nullptr : &at->second;
}

std::string_view bus_name(Bus bus) {
  switch (bus) {
    case Bus::kScsi:
      return "scsi";
    case Bus::kVirtio:
      return "virtio";
    case Bus::kSata:
      return "sata";
    case Bus::kIde:
      return "ide";
    case Bus::kEfi:
      return "efidisk";
    case Bus::kTpm:
      return "tpmstate";
    case Bus::kUnused:
      return "unused";
  }
  return {};
}

/// Whether a drive option exists on this bus; true for what is no drive option.
bool fits_bus(std::string_view key, Bus bus) {
  const Setting* setting = find_setting(Home::kDriveOption, key);
  if (setting == nullptr || setting->buses.empty()) return true;
  std::string_view buses = setting->buses;
  while (!buses.empty()) {
    const std::size_t blank = std::min(buses.find(' '), buses.size());
    if (buses.substr(0, blank) == bus_name(bus)) return true;
    buses.remove_prefix(std::min(blank + 1, buses.size()));
  }
  return false;
}

const OptionValue* setting_of(const ResolvedDisk& disk, std::string_view key) {
  const Resolved* found = disk.settings.find(key);
  return found != nullptr ? &found->value : nullptr;
}

std::string shown(const ResolvedDisk& disk, std::string_view key, const Setting* setting) {
  const OptionValue* value = setting_of(disk, key);
  return value != nullptr && setting != nullptr ? fmt::format("{}={}", key, print_option(*setting, *value))
                                                : std::string(key);
}

const Setting* disk_setting(std::string_view key) {
  for (const Home home : {Home::kDriveOption, Home::kDiskPlace, Home::kZvolProperty}) {
    if (const Setting* setting = find_setting(home, key)) return setting;
  }
  return nullptr;
}

}  // namespace

void Resolver::resolve_disks(VmContext& context) {
  context.vm->disks.reserve(context.written->disks.size() + 2);
  for (const WrittenDisk& disk : context.written->disks) resolve_disk(context, &disk, disk.name, {});
  small_disks(context);
  std::ranges::sort(context.vm->disks, {}, &ResolvedDisk::name);
}

void Resolver::resolve_disk(VmContext& context, const WrittenDisk* written, std::string_view name,
                            std::string_view added_by) {
  ResolvedDisk& disk = context.vm->disks.emplace_back();
  disk.name = std::string(name);
  disk.span = written != nullptr ? written->span : context.vm->span;
  stack_.clear();
  if (written != nullptr) {
    disk.absent = written->absent;
    disk.detached = written->detached;
    if (!written->snapshots.empty()) disk.snapshots = written->snapshots;
    if (written->import_from) disk.import_from = written->import_from->value;
    stack_.add(written->settings, Layer::kDisk);
  } else {
    disk.slot = name == kTpm ? DriveSlot{Bus::kTpm, 0} : DriveSlot{Bus::kEfi, 0};
    stack_.add_rule("slot", name_value(to_text(disk.slot)), added_by);
  }
  stack_.add(context.written->disk_defaults, Layer::kVm);
  for (const WrittenRole* role : *context.roles) {
    if (const WrittenDisk* of = find_disk(role->disks, name)) stack_.add(of->settings, Layer::kRole, role->name);
    stack_.add(role->disk_defaults, Layer::kRole, role->name);
  }
  if (written != nullptr) {
    const Candidate* stated = stack_.winner("slot");
    const std::optional<DriveSlot> slot = stated != nullptr ? parse_slot(text_value(stated->value)) : std::nullopt;
    if (!slot) {
      error("resolve.disk.slot_missing", "A disk has no slot.",
            fmt::format("vm/{}/{}: write slot: scsi0 … scsi30, virtio0 … virtio15, sata0 … sata5 or ide0 … ide3.",
                        context.vm->name, name),
            written->span);
      context.vm->disks.pop_back();
      return;
    }
    disk.slot = *slot;
  }

  DiskFacts& facts = disk.facts;
  facts.os = context.facts.os;
  facts.mobility = context.vm->mobility;
  facts.passthrough = context.facts.passthrough;
  facts.bus = disk.slot.bus;
  facts.single_controller = context.scsihw == "virtio-scsi-single";
  facts.pve_major = facts_.pve_major;
  facts.pve_minor = facts_.pve_minor;
  facts.zfs_major = facts_.zfs_major;
  facts.zfs_minor = facts_.zfs_minor;
  const auto stated = [this](std::string_view key) {
    const Candidate* winner = stack_.winner(key);
    return winner != nullptr ? winner->value : nullptr;
  };
  facts.purpose = parse_word(kPurposes, text_value(stated("purpose")), Purpose::kOs);
  facts.media = parse_word(kMedia, text_value(stated("media")), Media::kUnknown);
  facts.disposable = bool_value(stated("disposable"));
  place_disk(context, disk);
  if (!disk.absent && !disk.detached) disk_rules(context, disk);
  stack_.drop_if([&](std::string_view key) { return left_alone(context, written, name, key); });
  drop_foreign_settings(context, disk);
  stack_.emit(disk.settings);
  // Fact: move_disk copies nothing of a cloud-init drive, so one on another storage is told and not moved for the lane
  // alone.
  if (Resolved* storage = disk.settings.find("storage"); storage != nullptr && disk.name == kCloudInit) {
    const auto* written_by = std::get_if<FromDocument>(&storage->origin);
    storage->finding_only = written_by != nullptr && written_by->layer == Layer::kFleet;
  }
  if (disk.absent || disk.detached) return;
  check_disk(context, disk);
  forbid_carried(context, written, disk);
}

void Resolver::place_disk(VmContext& context, ResolvedDisk& disk) {
  DiskFacts& facts = disk.facts;
  const std::string* live_storage = live_of(facts_.disk_storage, context.vm->vmid, disk.slot);
  const Candidate* stated = stack_.winner("storage");
  std::string_view id = stated != nullptr                 ? text_value(stated->value)
                        : context.lane.storage != nullptr ? std::string_view(*context.lane.storage)
                                                          : std::string_view{};
  const bool wanted = !id.empty();
  if (!wanted && live_storage != nullptr) id = *live_storage;
  const StorageFacts* storage = id.empty() ? nullptr : storage_facts(id);
  const auto take = [&facts](const StorageFacts* from) {
    facts.kind = from != nullptr ? from->kind : StorageKind::kUnknown;
    facts.shared = from != nullptr && from->shared;
    if (facts.media == Media::kUnknown && from != nullptr) facts.media = from->media;
  };
  const Media stated_media = facts.media;
  take(storage);
  if (wanted && storage == nullptr && facts_.observed) {
    error("resolve.storage.unknown", "A storage does not exist.",
          fmt::format("{}: storage \"{}\" is neither in the fleet nor in the cluster.",
                      to_text(address_of(*context.vm, disk)), id),
          stated != nullptr && stated->span.known() ? stated->span : context.lane.span);
  }

  // The block size decides about the class, and the class about the storage.
  const bool is_zvol_disk = facts.kind == StorageKind::kZfsZvol && is_disk_bus(facts.bus) && disk.name != kCloudInit;
  const WrittenDisk* written = find_disk(context.written->disks, disk.name);
  const bool left = left_alone(context, written, disk.name, "volblocksize");
  const auto* rule = is_zvol_disk && !left ? choose(kVolblocksizeDefaults, facts) : nullptr;
  if (rule != nullptr && !disk.absent && !disk.detached) {
    stack_.add_rule("volblocksize", size_value(rule->value), rule->id);
    const Candidate* block = stack_.winner("volblocksize");
    const auto* size = std::get_if<ByteSize>(block->value);
    const bool worth_a_copy = facts.purpose != Purpose::kOs || block->rule.empty();  // Z2
    if (size != nullptr && stated == nullptr && *size != storage->blocksize && worth_a_copy) {
      for (const WrittenStorage& of : document_->storages) {
        if (of.id != id) continue;
        for (const WrittenClass& one : of.classes) {
          const auto at = facts_.storages.find(class_storage_id(of, one));
          if (at == facts_.storages.end() || at->second.blocksize != *size) continue;
          id = at->first;
          storage = &at->second;
          facts.media = stated_media;
          take(storage);
          used_classes_.try_emplace(id, &of, &one);
          stack_.add("storage", name_value(id), Layer::kFleet, context.lane.name, one.span);
          break;
        }
        break;
      }
    }
    if (size != nullptr && *size != storage->blocksize && worth_a_copy && is_legal_volblocksize(*size)) {
      finding(Severity::kNotice, "Z4", address_of(*context.vm, disk),
              fmt::format("new zvols on {} get blocks of {}, this disk wants {}", id, to_text(storage->blocksize),
                          to_text(*size)),
              fmt::format("a class of the storage with blocksize {}", to_text(*size)),
              block->span.known() ? block->span : disk.span);
    }
  }
  if (wanted && stack_.winner("storage") == nullptr) {
    stack_.add("storage", name_value(id), Layer::kFleet, context.lane.name, context.lane.span);
  }
  if (storage != nullptr) ++used_storages_[facts_.storages.find(id)->first];

  const Candidate* format = stack_.winner("format");
  const std::string* live_format = live_of(facts_.disk_format, context.vm->vmid, disk.slot);
  if (format != nullptr) {
    facts.format = format_name(text_value(format->value));
  } else if (only_raw(facts.kind)) {
    facts.format = "raw";
  } else if (live_format != nullptr && (!wanted || *live_storage == id || facts.kind != StorageKind::kLvmThickChain)) {
    facts.format = format_name(*live_format);
  } else {
    facts.format = default_format(facts.kind);
  }
}

/// What `leave:` of the disk, or of a role for the disk of this name, keeps role and rules away from.
bool Resolver::left_alone(const VmContext& context, const WrittenDisk* written, std::string_view name,
                          std::string_view key) {
  if (written != nullptr && is_left(written->leave, key)) return true;
  return std::ranges::any_of(*context.roles, [&](const WrittenRole* role) {
    const WrittenDisk* of = find_disk(role->disks, name);
    return of != nullptr && is_left(of->leave, key);
  });
}

void Resolver::disk_rules(VmContext&, ResolvedDisk& disk) {
  const DiskFacts& facts = disk.facts;
  if (!is_disk_bus(facts.bus) || disk.name == kCloudInit) return;
  const auto* cache = choose(kCacheDefaults, facts);
  stack_.add_rule("cache", value(Home::kDriveOption, "cache", to_text(cache->value)), cache->id);
  const AioDefault* aio = choose(kAioDefaults, facts);
  if (aio->value) {
    stack_.add_rule("aio", value(Home::kDriveOption, "aio", to_text(*aio->value)), aio->id);
  } else if (stack_.winner("aio") == nullptr && aio->id == "A5") {
    const Candidate* storage = stack_.winner("storage");
    if (storage != nullptr) ++unset_aio_[{text_value(&name_value(text_value(storage->value))), aio->why}];
  }
  if (const auto* row = choose(kIothreadDefaults, facts))
    stack_.add_rule("iothread", value(Home::kDriveOption, "iothread", "1"), row->id);
  if (const auto* row = choose(kDiscardDefaults, facts))
    stack_.add_rule("discard", value(Home::kDriveOption, "discard", "on"), row->id);
  if (const auto* row = choose(kSsdDefaults, facts))
    stack_.add_rule("ssd", value(Home::kDriveOption, "ssd", "1"), row->id);
}

/// Takes out what speaks about other disks: facts, options of other buses, properties of zvols where there is none.
/// Values for all disks go silently; what is stated on the disk itself is told.
void Resolver::drop_foreign_settings(const VmContext& context, const ResolvedDisk& disk) {
  const bool zvol = disk.facts.kind == StorageKind::kZfsZvol && is_disk_bus(disk.facts.bus) && disk.name != kCloudInit;
  const bool plain = disk.facts.bus == Bus::kScsi;
  const auto foreign = [&](std::string_view key) {
    if (is_one_of(kFactKeys, key)) return true;
    if (is_one_of(kZvolKeys, key)) return !zvol;
    return !plain && !fits_bus(key, disk.facts.bus);
  };
  for (const Candidate& candidate : stack_.candidates()) {
    if (candidate.layer != Layer::kDisk || is_one_of(kFactKeys, candidate.key) || !foreign(candidate.key)) continue;
    if (is_one_of(kZvolKeys, candidate.key)) {
      if (disk.facts.kind == StorageKind::kUnknown) continue;
      finding(Severity::kNotice, candidate.key == "volblocksize" ? "Z1" : "Z6", address_of(*context.vm, disk),
              fmt::format("{} has no meaning here: the disk is no zvol ({})", candidate.key, to_text(disk.facts.kind)),
              "leave it out", candidate.span);
    } else {
      error("resolve.disk.option_of_other_bus", "A drive option does not exist on this bus.",
            fmt::format("{}: {} does not exist on {}. Leave it out, or use another slot.",
                        to_text(address_of(*context.vm, disk)), candidate.key, to_text(disk.slot)),
            candidate.span);
    }
  }
  stack_.drop_if(foreign);
}

void Resolver::check_disk(VmContext& context, ResolvedDisk& disk) {
  if (!is_disk_bus(disk.facts.bus) || disk.name == kCloudInit) return;
  const ResourceAddress where = address_of(*context.vm, disk);
  const std::string* live_storage = live_of(facts_.disk_storage, context.vm->vmid, disk.slot);
  DiskSettings settings;
  settings.cache = parse_cache(text_value(setting_of(disk, "cache"))).value_or(CacheMode::kNone);
  settings.aio = parse_aio(text_value(setting_of(disk, "aio")));
  settings.iothread = bool_value(setting_of(disk, "iothread"));
  settings.scsihw = context.scsihw;
  const std::string_view wanted_storage = text_value(setting_of(disk, "storage"));
  settings.new_volume =
      facts_.observed && (live_storage == nullptr || (!wanted_storage.empty() && *live_storage != wanted_storage));

  // One error per key, by the most telling rule; further broken ones are its notes.
  std::array<std::string_view, std::size(kDiskInvariants)> seen{};
  std::size_t count = 0;
  for (const DiskInvariant& row : kDiskInvariants) {
    if (!row.broken(disk.facts, settings) ||
        std::find(seen.begin(), seen.begin() + count, row.key) != seen.begin() + count)
      continue;
    seen[count++] = row.key;
    std::vector<Note> notes;
    for (const DiskInvariant& other : kDiskInvariants) {
      if (&other > &row && other.key == row.key && other.broken(disk.facts, settings)) {
        notes.push_back({fmt::format("Rule {} is broken, too: {} [{}].", other.id, other.why, other.source), {}});
      }
    }
    notes.push_back(
        {fmt::format("The disk is on {}{}, the guest is {} ({}).", to_text(disk.facts.kind),
                     disk.facts.shared ? ", shared" : "", to_text(disk.facts.mobility), context.vm->mobility_why),
         {}});
    const Resolved* value = disk.settings.find(row.key);
    const SourceSpan span = value != nullptr ? span_of(value->origin) : SourceSpan{};
    const std::string text =
        row.key == "format" ? fmt::format("format={}", disk.facts.format) : shown(disk, row.key, disk_setting(row.key));
    broken(row, text, where, span.known() ? span : disk.span, notes);
  }
  for (const DiskWarning& row : kDiskWarnings) {
    if (!row.applies(disk.facts, settings)) continue;
    Resolved* value = disk.settings.find(row.key);
    if (value != nullptr) value->flags.push_back(row.id);
    const SourceSpan span = value != nullptr ? span_of(value->origin) : SourceSpan{};
    const std::string text =
        row.key == "format" ? fmt::format("format={}", disk.facts.format) : shown(disk, row.key, disk_setting(row.key));
    finding(Severity::kWarning, row.id, where, fmt::format("{}: {}", text, row.why), std::string(row.instead),
            span.known() ? span : disk.span);
  }

  ZvolSettings zvol;
  if (Resolved* block = disk.settings.find("volblocksize")) {
    if (const auto* size = std::get_if<ByteSize>(&block->value)) zvol.volblocksize = *size;
    const auto* written = std::get_if<FromDocument>(&block->origin);
    zvol.volblocksize_by = written == nullptr               ? StatedBy::kRule
                           : written->layer == Layer::kDisk ? StatedBy::kDisk
                                                            : StatedBy::kShared;
    block->finding_only = written == nullptr && disk.facts.purpose == Purpose::kOs;  // Z2
  }
  zvol.sync = text_value(setting_of(disk, "sync"));
  zvol.logbias = text_value(setting_of(disk, "logbias"));
  zvol.primarycache = text_value(setting_of(disk, "primarycache"));
  for (const auto& row : kZvolInvariants) {
    if (!row.broken(disk.facts, zvol)) continue;
    const SourceSpan span = span_of(disk.settings.find(row.key)->origin);
    broken(row, shown(disk, row.key, disk_setting(row.key)), where, span.known() ? span : disk.span);
  }
  for (const auto& row : kZvolWarnings) {
    if (!row.applies(disk.facts, zvol)) continue;
    Resolved* value = disk.settings.find(row.key);
    value->flags.push_back(row.id);
    const SourceSpan span = span_of(value->origin);
    finding(row.id == "Z1" ? Severity::kNotice : Severity::kWarning, row.id, where,
            fmt::format("{}: {}", shown(disk, row.key, disk_setting(row.key)), row.why), std::string(row.instead),
            span.known() ? span : disk.span);
  }
}

/// A drive keeps the options nobody speaks about, also when its disk comes to lie where an invariant forbids them.
void Resolver::forbid_carried(const VmContext& context, const WrittenDisk* written, ResolvedDisk& disk) {
  if (!is_disk_bus(disk.facts.bus) || disk.name == kCloudInit || disk.facts.kind == StorageKind::kUnknown) return;
  constexpr std::pair<std::string_view, std::string_view> kCarried[] = {
      {"aio", "io_uring"},       {"aio", "native"},   {"aio", "threads"}, {"cache", "writeback"},
      {"cache", "writethrough"}, {"cache", "unsafe"}, {"iothread", "1"}};
  DiskSettings settings;
  settings.cache = parse_cache(text_value(setting_of(disk, "cache"))).value_or(CacheMode::kNone);
  settings.scsihw = context.scsihw;
  const auto judge = [&](const DiskFacts& facts, std::string_view key, std::string_view value,
                         std::vector<ForbiddenOption>& list) {
    // With the controller left alone, nothing is known of what an I/O thread needs.
    if (key == "iothread" && context.scsihw.empty()) return;
    DiskSettings carried = settings;
    if (key == "aio") carried.aio = parse_aio(value);
    if (key == "cache") carried.cache = *parse_cache(value);
    if (key == "iothread") carried.iothread = true;
    const auto row = std::ranges::find_if(
        kDiskInvariants, [&](const auto& one) { return one.key == key && one.broken(facts, carried); });
    if (row == std::end(kDiskInvariants)) return;
    list.push_back({.key = key, .value = value, .rule = row->id, .left = left_alone(context, written, disk.name, key)});
  };
  for (const auto& [key, value] : kCarried)
    if (!disk.settings.contains(key)) judge(disk.facts, key, value, disk.forbidden);

  // What is declared was judged for the storage the disk belongs on, so here even that may be forbidden.
  const std::string* live_storage = live_of(facts_.disk_storage, context.vm->vmid, disk.slot);
  const std::string* live_format = live_of(facts_.disk_format, context.vm->vmid, disk.slot);
  const StorageFacts* here = live_storage != nullptr ? storage_facts(*live_storage) : nullptr;
  if (here == nullptr || live_format == nullptr || *live_storage == text_value(setting_of(disk, "storage"))) return;
  DiskFacts facts = disk.facts;
  facts.kind = here->kind;
  facts.shared = here->shared;
  facts.format = format_name(*live_format);
  if (!is_direct(settings.cache)) settings.cache = CacheMode::kNone;  // waits for the move
  for (const auto& [key, value] : kCarried) judge(facts, key, value, disk.forbidden_here);
}

void Resolver::small_disks(VmContext& context) {
  const auto text = [&context](std::string_view key) {
    const Resolved* found = context.vm->options.find(key);
    return found != nullptr ? text_value(&found->value) : std::string_view{};
  };
  const FirmwareFacts firmware{.os = context.facts.os, .bios = text("bios"), .ostype = text("ostype")};
  const auto declared = [&context](std::string_view name, Bus bus) {
    return std::ranges::any_of(context.vm->disks,
                               [&](const ResolvedDisk& d) { return d.name == name || d.slot.bus == bus; });
  };
  const std::vector<Spanned<std::string>>& leave = context.written->leave;
  const auto* efi = is_left(leave, kEfiDisk) ? nullptr : choose(kEfiDiskDefaults, firmware);
  const auto* tpm = is_left(leave, kTpm) ? nullptr : choose(kTpmDefaults, firmware);
  if (efi != nullptr && !declared(kEfiDisk, Bus::kEfi)) resolve_disk(context, nullptr, kEfiDisk, efi->id);
  if (tpm != nullptr && !declared(kTpm, Bus::kTpm)) resolve_disk(context, nullptr, kTpm, tpm->id);
  // How a new one is made. Fixed afterwards, so nothing is said about one that exists or comes with a template.
  for (ResolvedDisk& disk : context.vm->disks) {
    if (disk.absent || disk.detached || context.vm->clone || !facts_.observed) continue;
    if (live_of(facts_.disk_storage, context.vm->vmid, disk.slot) != nullptr) continue;
    const bool is_efi = disk.slot.bus == Bus::kEfi;
    const auto* row = is_efi ? efi : disk.slot.bus == Bus::kTpm ? tpm : nullptr;
    if (row == nullptr) continue;
    std::string_view rest = row->value;
    while (!rest.empty()) {
      const std::size_t comma = std::min(rest.find(','), rest.size());
      const std::string_view pair = rest.substr(0, comma);
      const std::string_view key = pair.substr(0, pair.find('='));
      if (!disk.settings.contains(key)) {
        Resolved& made = disk.settings[key];
        made.value = value(Home::kDriveOption, key, pair.substr(pair.find('=') + 1));
        made.origin = FromRule{row->id};
      }
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
  }
}

}  // namespace pvr
