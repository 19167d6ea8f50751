#include "reconciler/planning/diff_vm.h"

#include <fmt/format.h>

#include <algorithm>

#include "reconciler/model/effective.h"
#include "reconciler/model/retired.h"
#include "reconciler/planning/bind_disks.h"
#include "reconciler/planning/compare.h"
#include "reconciler/planning/power_obstacle.h"

namespace pvr {
namespace {

// The place of the nearest reason, for findings.
SourceSpan span_of(const Resolved& value) {
  const auto* document = std::get_if<FromDocument>(&value.origin);
  return document != nullptr ? document->span : SourceSpan{};
}
std::string_view rule_of(const Resolved& value) {
  const auto* rule = std::get_if<FromRule>(&value.origin);
  return rule != nullptr ? rule->rule : std::string_view{};
}

ResourceAddress disk_address(const ResolvedVm& vm, const ResolvedDisk& disk) {
  return {.kind = AddressKind::kVm, .name = vm.name, .part = disk.name};
}

const OptionValue* option_of(const Drive* drive, std::string_view key) {
  return drive != nullptr ? drive->options.find(key) : nullptr;
}

struct DiskContext {
  const ResolvedVm& vm;
  const ResolvedDisk& disk;
  const LiveVm& guest;
  const GuestMode& mode;
  const StorageTable& storages;
  DiffDetail detail;
  std::vector<Finding>& findings;
};

void keep(const DiskContext& c, DiskDiff& out, SettingChange change) {
  if (change.state == SettingState::kFindingOnly) {
    c.findings.push_back({.severity = Severity::kWarning,
                          .rule = rule_of(change.desired),
                          .where = disk_address(c.vm, c.disk),
                          .what = fmt::format("{} is {}, the rules advise {}.", change.key, to_text(change.configured),
                                              to_text(change.desired.value)),
                          .fix = fmt::format("State {} on the disk or in its role to have it changed.", change.key),
                          .span = c.disk.span});
  }
  const bool interesting = change.state != SettingState::kInSync && change.state != SettingState::kCannotTell;
  if (interesting || c.detail == DiffDetail::kEverything) out.settings.push_back(std::move(change));
}

void compare_drive_option(const DiskContext& c, const DiskDiff& disk, std::string_view key, const Setting& setting,
                          const Resolved& desired, const LiveDrive* drive, StorageKind kind, std::string_view format,
                          DiskDiff& out) {
  const Drive* configured = drive != nullptr ? drive->configured() : nullptr;
  const Drive* running = drive != nullptr && drive->current && c.mode.running ? &*drive->current : configured;
  SettingChange change{.key = std::string(key), .desired = desired};
  if (const OptionValue* value = option_of(configured, key)) change.configured = *value;
  if (const OptionValue* value = option_of(running, key)) change.running = *value;
  const bool fixed = disk.desired_slot.bus == Bus::kEfi || disk.desired_slot.bus == Bus::kTpm;
  change.effect = fixed ? TakesEffect::kFixed : effect_now(setting, key, c.mode, change.running, desired.value);
  // An unset aio depends on the cache mode: the wanted one, because both are written together, or the one that still
  // runs.
  const Resolved* wanted_cache = c.disk.settings.find("cache");
  const auto unset_in = [&](const Drive* state) {
    const OptionValue* cache =
        wanted_cache != nullptr && state == configured ? &wanted_cache->value : option_of(state, "cache");
    return effective_drive_option(key, kind, disk.desired_slot.bus, format, cache != nullptr ? *cache : OptionValue{});
  };
  const auto wanted_in = [&](const Drive* state, const OptionValue& present) {
    if (desired.value == present) return true;
    if (is_absent(desired.value) == is_absent(present)) return false;
    if (key == "cache" || key == "aio") {
      const OptionValue unset = unset_in(state);
      return is_absent(unset) || unset == (is_absent(desired.value) ? present : desired.value);
    }
    return same_value(&setting, desired.value, present);
  };
  if (wanted_in(configured, change.configured)) {
    change.state = wanted_in(running, change.running) ? SettingState::kInSync : SettingState::kWaitsForRestart;
  } else {
    change.state = desired.finding_only ? SettingState::kFindingOnly : SettingState::kDiffers;
    if (is_absent(change.configured) && (key == "cache" || key == "aio")) {
      const OptionValue unset = unset_in(configured);
      if (!is_absent(unset)) change.note = fmt::format("unset (= {} here)", to_text(unset));
    }
  }
  keep(c, out, std::move(change));
}

bool holds(const Drive* state, const ForbiddenOption& one) {
  const OptionValue* value = option_of(state, one.key);
  if (value == nullptr) return false;
  const auto* flag = std::get_if<bool>(value);
  return flag != nullptr ? *flag == (one.value == "1") : *value == OptionValue(std::string(one.value));
}

SettingChange unset_by_rule(const DiskContext& c, const ForbiddenOption& one, const Drive* configured,
                            const Drive* running) {
  SettingChange change{
      .key = std::string(one.key), .state = SettingState::kDiffers, .desired = {.origin = FromRule{one.rule}}};
  if (const OptionValue* value = option_of(configured, one.key)) change.configured = *value;
  if (const OptionValue* value = option_of(running, one.key)) change.running = *value;
  change.effect =
      effect_now(*find_setting(Home::kDriveOption, one.key), one.key, c.mode, change.running, change.desired.value);
  return change;
}

/// What the drive carries and an invariant forbids where its volume lies, which is not where the disk belongs.
void name_forbidden_here(const DiskContext& c, const LiveDrive& drive, DiskDiff& out) {
  const Drive* configured = drive.configured();
  for (const ForbiddenOption& one : c.disk.forbidden_here)
    if (!one.left && holds(configured, one))
      out.forbidden_here.push_back(unset_by_rule(c, one, configured, configured));
}

/// What the drive carries and an invariant forbids where the disk belongs: it goes. `leave:` keeps even that where it
/// is, but does not take it to another storage.
void drop_forbidden(const DiskContext& c, const LiveDrive& drive, StorageKind kind, std::string_view format,
                    DiskDiff& out) {
  const Drive* configured = drive.configured();
  const Drive* running = drive.current && c.mode.running ? &*drive.current : configured;
  for (const ForbiddenOption& one : c.disk.forbidden) {
    if (!holds(configured, one) && !holds(running, one)) continue;
    if (one.left) {
      if (!out.move_to || !holds(configured, one)) continue;
      out.blocked = fmt::format("{}={} stays as it is (leave:), and rule {} forbids it on storage \"{}\"", one.key,
                                one.value, one.rule, *out.move_to);
      out.remedy = fmt::format("take {} out of leave:, or state another value", one.key);
      out.move_to.reset();
      continue;
    }
    SettingChange change = unset_by_rule(c, one, configured, running);
    if (!holds(configured, one)) {
      // Fact: unset, PVE may choose the very same (aio on thick LVM and CIFS): then nothing waits.
      const OptionValue* cache = option_of(configured, "cache");
      const OptionValue unset = effective_drive_option(one.key, kind, out.desired_slot.bus, format,
                                                       cache != nullptr ? *cache : OptionValue{});
      if (!is_absent(change.configured) || unset == change.running) continue;
      change.state = SettingState::kWaitsForRestart;
    }
    keep(c, out, std::move(change));
  }
}

void compare_zvol(const DiskContext& c, DiskDiff& out, std::string_view key, const Resolved& desired,
                  const LiveVolume* volume, const LiveDataset* zvol) {
  SettingChange change{
      .key = std::string(key), .desired = desired, .effect = find_setting(Home::kZvolProperty, key)->effect};
  change.state = SettingState::kCannotTell;
  change.note = "The API does not show properties of a zvol; host access is needed.";
  const OptionValue live = live_zvol_value(key, volume, zvol);
  if (!is_absent(live)) {
    change.configured = change.running = live;
    change.note.clear();
    change.state = same_zvol_value(key, live, desired.value) ? SettingState::kInSync
                   : desired.finding_only                    ? SettingState::kFindingOnly
                                                             : SettingState::kDiffers;
  } else if (key == "volblocksize" && std::holds_alternative<FromDocument>(desired.origin) && volume != nullptr &&
             desired.value != OptionValue(c.storages.find(out.volume->storage)->blocksize)) {
    c.findings.push_back({.severity = Severity::kNotice,
                          .rule = "Z2",
                          .where = disk_address(c.vm, c.disk),
                          .what = fmt::format("volblocksize {} is stated; which one the zvol {} has cannot be seen "
                                              "through the API.",
                                              to_text(desired.value), to_text(*out.volume)),
                          .fix = "State cluster.ssh in the fleet file, which gives host access.",
                          .span = span_of(desired)});
  }
  keep(c, out, std::move(change));
}

// Under this name there is nothing any more: the original was put away after its copy had been verified.
bool is_half_exchanged(const LiveHost& host, const LiveDataset& made) {
  const std::string_view replaces = mark_of(made, mark::kReplaces);
  const std::string_view verified = mark_of(made, mark::kVerified);
  if (replaces.empty() || verified.empty()) return false;
  const auto old =
      std::ranges::find(host.datasets, replaces, [](const LiveDataset& other) { return other.text("guid"); });
  return old != host.datasets.end() && is_hidden_name(old->name) && mark_of(*old, mark::kGuard) == verified;
}

// What the marks say about work that was interrupted.
Unfinished unfinished_of(const DiskContext& c, const VolumeId& volume) {
  const StorageView* storage = c.storages.find(volume.storage);
  const LiveHost* host = c.storages.host(c.guest.node);
  if (storage == nullptr || host == nullptr || !storage->has_zvols()) return Unfinished::kNothing;
  const std::string name = fmt::format("{}/{}", storage->dataset, volume.name);
  if (const LiveDataset* zvol = host->dataset(name)) {
    if (mark_of(*zvol, mark::kSettled) == "no") return Unfinished::kExchange;
    const std::string_view from = mark_of(*zvol, mark::kSwapFrom);
    if (!from.empty() && from.find(':') != std::string_view::npos && from != to_text(volume)) return Unfinished::kSwap;
    const bool held = zvol->text("readonly") == "on" && !mark_of(*zvol, mark::kGuard).empty();
    return held ? Unfinished::kHeld : Unfinished::kNothing;
  }
  const LiveDataset* made = host->dataset(work_zvol(name));
  if (made != nullptr && is_half_exchanged(*host, *made)) return Unfinished::kExchange;
  const bool swapped = std::ranges::any_of(
      host->datasets, [&](const LiveDataset& other) { return mark_of(other, mark::kSwapFrom) == to_text(volume); });
  return swapped ? Unfinished::kSwap : Unfinished::kNothing;
}

// What an interrupted exchange has made of a volume that is gone; empty: nothing.
std::string copy_of_missing(const DiskContext& c, const VolumeId& volume) {
  const StorageView* storage = c.storages.find(volume.storage);
  const LiveHost* host = c.storages.host(c.guest.node);
  if (storage == nullptr || host == nullptr || !storage->has_zvols()) return {};
  std::string name = work_zvol(fmt::format("{}/{}", storage->dataset, volume.name));
  const LiveDataset* made = host->dataset(name);
  return made != nullptr && !mark_of(*made, mark::kReplaces).empty() ? std::move(name) : std::string();
}

// Storage, format and size: where the volume lies.
void compare_place(const DiskContext& c, const DiskBinding& binding, DiskDiff& out) {
  if (!binding.volume || is_cloud_init(c.disk)) return;
  const VolumeId& volume = *binding.volume;
  std::string storage = desired_text(c.disk, "storage");
  const Resolved* place = c.disk.settings.find("storage");
  // A class is a way to a block size. A zvol that has it on the storage of the class itself need not go there.
  if (const StorageView* wanted = c.storages.find(storage);
      wanted != nullptr && wanted->declared != nullptr && wanted->declared->class_of == volume.storage) {
    const Resolved* block = c.disk.settings.find("volblocksize");
    const OptionValue live =
        live_zvol_value("volblocksize", c.storages.volume(volume, c.guest.node), c.storages.zvol(volume, c.guest.node));
    if (block != nullptr && !is_absent(live) && live == block->value) storage = volume.storage;
  }
  if (!storage.empty() && storage != volume.storage) {
    SettingChange change{.key = "storage",
                         .state = SettingState::kDiffers,
                         .running = volume.storage,
                         .configured = volume.storage,
                         .desired = *place,
                         .effect = TakesEffect::kByMove};
    if (place->finding_only) {
      change.state = SettingState::kFindingOnly;
    } else {
      out.move_to = storage;
      out.move_why = "the disk belongs on another storage";
      const StorageView* from = c.storages.find(volume.storage);
      const StorageView* to = c.storages.find(storage);
      if (from != nullptr && to != nullptr && from->has_zvols() && to->has_zvols() &&
          from->blocksize != to->blocksize) {
        out.move_why = fmt::format("new zvols get volblocksize {} there, {} here", to_text(to->blocksize),
                                   to_text(from->blocksize));
      }
    }
    keep(c, out, std::move(change));
  }
  const std::string format = desired_text(c.disk, "format");
  if (!format.empty() && format != image_format(volume) && !out.move_to) {
    const Resolved* wish = c.disk.settings.find("format");
    SettingChange change{.key = "format",
                         .state = SettingState::kDiffers,
                         .running = std::string(image_format(volume)),
                         .configured = std::string(image_format(volume)),
                         .desired = *wish,
                         .effect = TakesEffect::kByMove};
    if (wish->finding_only)
      change.state = SettingState::kFindingOnly;
    else
      out.format_to = format;
    keep(c, out, std::move(change));
  }
  const std::optional<ByteSize> wanted = desired_size(c.disk);
  if (!wanted) return;
  if (!binding.size) {
    keep(c, out,
         {.key = "size",
          .state = SettingState::kCannotTell,
          .desired = *c.disk.settings.find("size"),
          .note = "The size of the volume is not listed."});
    return;
  }
  const StorageView* view = c.storages.find(volume.storage);
  const ByteSize grain = view != nullptr ? view->grain() : 1_KiB;
  if (wanted->padded_to(grain) == binding.size->padded_to(grain)) return;
  SettingChange change{.key = "size",
                       .state = SettingState::kDiffers,
                       .running = *binding.size,
                       .configured = *binding.size,
                       .desired = *c.disk.settings.find("size"),
                       .effect = TakesEffect::kAtOnce};
  if (*wanted > *binding.size) {
    out.grow_to = *wanted;
  } else {
    change.effect = TakesEffect::kFixed;
    change.note = "PVE does not shrink disks.";
    if (out.blocked.empty()) {
      out.blocked = fmt::format("the volume has {}, the fleet says {}, and PVE does not shrink disks",
                                to_text(*binding.size), to_text(*wanted));
      out.remedy =
          fmt::format("state size: {} or make a smaller disk and copy inside the guest", to_text(*binding.size));
    }
  }
  keep(c, out, std::move(change));
}

DiskDiff diff_disk(const DiskContext& c, DiskBinding& binding) {
  DiskDiff out{.name = c.disk.name,
               .desired_slot = c.disk.slot,
               .match = binding.match,
               .live_slot = binding.live_slot,
               .volume = binding.volume};
  out.candidates = std::move(binding.candidates);
  out.blocked = std::move(binding.blocked);
  out.remedy = std::move(binding.remedy);
  out.live_size = binding.size;
  out.absent = c.disk.absent;
  out.detached = c.disk.detached;
  if (out.match == DiskMatch::kAmbiguous || out.match == DiskMatch::kWrongHolder || out.absent || out.detached)
    return out;
  const Drive* configured = binding.drive != nullptr ? binding.drive->configured() : nullptr;
  if (out.match != DiskMatch::kMissing) compare_place(c, binding, out);

  const std::string target = out.move_to      ? *out.move_to
                             : binding.volume ? binding.volume->storage
                                              : desired_text(c.disk, "storage");
  const StorageView* storage = c.storages.find(target);
  // A path ("/dev/…") is a raw device: everything unset means what it means on plain block devices.
  const StorageKind kind = storage != nullptr ? storage->kind : StorageKind::kDevice;
  const std::string_view format = binding.volume ? image_format(*binding.volume) : std::string_view("raw");
  const LiveVolume* volume = binding.volume ? c.storages.volume(*binding.volume, c.guest.node) : nullptr;
  const LiveDataset* zvol = binding.volume ? c.storages.zvol(*binding.volume, c.guest.node) : nullptr;
  if (out.match == DiskMatch::kInPlace && binding.volume) out.unfinished = unfinished_of(c, *binding.volume);
  if (out.match == DiskMatch::kInPlace && binding.volume && out.unfinished == Unfinished::kNothing &&
      !is_cloud_init(c.disk)) {
    auto obstacle = missing_volume(c.guest, out.desired_slot, *binding.volume, c.storages);
    const bool missing = obstacle.has_value();
    if (!obstacle && binding.drive != nullptr) obstacle = exchanged_volume(c.guest, *binding.drive);
    if (!obstacle) obstacle = shared_volume(c.guest, out.desired_slot, *binding.volume, c.storages);
    if (obstacle) {
      // PVE refuses every change of a drive whose volume is gone; and of the others nobody knows which one is meant.
      DiskDiff gone{.name = out.name,
                    .desired_slot = out.desired_slot,
                    .match = out.match,
                    .live_slot = out.live_slot,
                    .volume = out.volume};
      gone.blocked = std::move(obstacle->why);
      if (const std::string copy = missing ? copy_of_missing(c, *binding.volume) : std::string(); !copy.empty())
        gone.blocked += fmt::format("; {} is a copy of it that was begun and not ended", copy);
      gone.remedy = std::move(obstacle->remedy);
      gone.off_limits = true;
      return gone;
    }
  }
  const bool attached = configured != nullptr && out.match != DiskMatch::kUnused;
  for (const auto& [key, desired] : c.disk.settings) {
    if (const Setting* setting = find_setting(Home::kDriveOption, key)) {
      if (is_cloud_init(c.disk) || !fits_bus(*setting, c.disk.slot.bus)) continue;
      compare_drive_option(c, out, key, *setting, desired, attached ? binding.drive : nullptr, kind, format, out);
    } else if (find_setting(Home::kZvolProperty, key) != nullptr) {
      if (out.match == DiskMatch::kMissing || out.move_to || storage == nullptr || !storage->has_zvols()) continue;
      compare_zvol(c, out, key, desired, volume, zvol);
    }
  }
  if (attached) drop_forbidden(c, *binding.drive, kind, format, out);
  if (attached && out.move_to) name_forbidden_here(c, *binding.drive, out);
  return out;
}

SettingChange compare_cd(std::string_view key, DriveSlot slot, const Resolved& desired, const LiveVm& guest,
                         const GuestMode& mode) {
  SettingChange change{.key = std::string(key), .desired = desired, .effect = TakesEffect::kAtOnce};
  const LiveDrive* drive = guest.drive(slot);
  const auto text = [](const Drive* state) -> OptionValue {
    if (state == nullptr) return {};
    return state->volume ? to_text(*state->volume) : state->path;
  };
  const Drive* configured = drive != nullptr ? drive->configured() : nullptr;
  change.configured = text(configured);
  change.running = mode.running && drive != nullptr && drive->has_pending()
                       ? text(drive->current ? &*drive->current : nullptr)
                       : change.configured;
  // Fact: a medium changes in a running guest, an ide or sata drive does not come or go.
  if (mode.running && (configured == nullptr || is_absent(desired.value))) change.effect = TakesEffect::kAtRestart;
  if (configured != nullptr && configured->medium == Drive::Medium::kDisk) {
    change.state = SettingState::kCannotTell;
    change.note = fmt::format("{} holds a disk", to_text(slot));
    return change;
  }
  OptionValue wanted = desired.value;
  if (auto* medium = std::get_if<std::string>(&wanted)) *medium = cd_medium(*medium);
  change.desired.value = wanted;
  change.state = wanted == change.configured
                     ? (wanted == change.running ? SettingState::kInSync : SettingState::kWaitsForRestart)
                     : SettingState::kDiffers;
  return change;
}

void name_foreign_pending(const ResolvedVm& vm, const LiveVm& guest, VmDiff& out) {
  for (const auto& [key, option] : guest.options)
    if (option.has_pending() && !vm.options.contains(key)) out.foreign_pending.push_back(key);
  for (const LiveDrive& drive : guest.drives) {
    if (!drive.has_pending()) continue;
    const auto disk = std::ranges::find(vm.disks, drive.slot, &ResolvedDisk::slot);
    bool foreign = disk == vm.disks.end();
    if (!foreign && drive.pending && drive.current) {
      // Of a declared disk, those keys that nobody declared.
      for (const auto* state : {&*drive.pending, &*drive.current}) {
        const Drive& other = state == &*drive.pending ? *drive.current : *drive.pending;
        for (const auto& [key, value] : state->options) {
          const OptionValue* theirs = other.options.find(key);
          foreign = foreign || ((theirs == nullptr || !(*theirs == value)) && !disk->settings.contains(key));
        }
      }
      foreign = foreign || drive.pending->volume != drive.current->volume ||
                !(drive.pending->unknown == drive.current->unknown);
    }
    if (foreign) out.foreign_pending.push_back(to_text(drive.slot));
  }
  std::ranges::sort(out.foreign_pending);
}

}  // namespace

bool fits_bus(const Setting& setting, Bus bus) {
  switch (bus) {
    case Bus::kScsi:
      return setting.buses.find("scsi") != std::string_view::npos;
    case Bus::kVirtio:
      return setting.buses.find("virtio") != std::string_view::npos;
    case Bus::kSata:
      return setting.buses.find("sata") != std::string_view::npos;
    case Bus::kIde:
      return setting.buses.find("ide") != std::string_view::npos;
    // Fact: efidisk0 and tpmstate0 know these keys and no others; all are decided when the volume is made.
    case Bus::kEfi:
      return setting.name == "efitype" || setting.name == "pre-enrolled-keys" || setting.name == "ms-cert";
    case Bus::kTpm:
      return setting.name == "version";
    case Bus::kUnused:
      return false;
  }
  return false;
}

OptionValue live_zvol_value(std::string_view key, const LiveVolume* volume, const LiveDataset* zvol) {
  if (key == "volblocksize") {
    if (zvol != nullptr && zvol->bytes("volblocksize")) return *zvol->bytes("volblocksize");
    return volume != nullptr && volume->volblocksize ? OptionValue(*volume->volblocksize) : OptionValue{};
  }
  if (key == "provisioning") {
    // Fact: the reservation of a thick zvol is larger than its size; zero means thin.
    std::optional<ByteSize> reserved = volume != nullptr ? volume->refreservation : std::nullopt;
    if (zvol != nullptr && zvol->bytes("refreservation")) reserved = zvol->bytes("refreservation");
    return reserved ? OptionValue(std::string(reserved->bytes != 0 ? "thick" : "thin")) : OptionValue{};
  }
  const std::string_view text = zvol != nullptr ? zvol->text(key) : std::string_view();
  return text.empty() || text == "-" ? OptionValue{} : OptionValue(std::string(text));
}

bool same_zvol_value(std::string_view key, const OptionValue& live, const OptionValue& wanted) {
  if (live == wanted) return true;
  // Fact: compression=on is lz4.
  const auto is = [](const OptionValue& value, std::string_view word) {
    const auto* text = std::get_if<std::string>(&value);
    return text != nullptr && *text == word;
  };
  return key == "compression" && is(live, "on") && is(wanted, "lz4");
}

std::optional<DriveSlot> cd_slot(std::string_view option_key) {
  if (option_key == "cdrom") return DriveSlot{Bus::kIde, 2};
  std::optional<DriveSlot> slot = parse_slot(option_key);
  if (slot && (slot->bus == Bus::kEfi || slot->bus == Bus::kTpm || slot->bus == Bus::kUnused)) return std::nullopt;
  return slot;
}

std::string cd_medium(std::string_view text) { return std::string(text.substr(0, text.find(','))); }

OptionValue effective_drive_option(std::string_view key, StorageKind kind, Bus bus, std::string_view format,
                                   const OptionValue& cache) {
  const auto* text = std::get_if<std::string>(&cache);
  const CacheMode mode =
      text != nullptr ? parse_cache(*text).value_or(effective_cache(kind, bus)) : effective_cache(kind, bus);
  if (key == "cache") return std::string(to_text(effective_cache(kind, bus)));
  if (key != "aio") return {};
  const std::optional<AioMode> aio = effective_aio(kind, format, mode);
  return aio ? OptionValue(std::string(to_text(*aio))) : OptionValue{};
}

VmDiff diff_guest(const ResolvedVm& vm, const LiveVm& guest, const StorageTable& storages, DiffDetail detail,
                  std::vector<Finding>& findings) {
  VmDiff out{.address = {.kind = AddressKind::kVm, .name = vm.name},
             .vmid = vm.vmid,
             .node = guest.node,
             .power = guest.power};
  const GuestMode mode = mode_of(guest);
  for (const auto& [key, desired] : vm.options) {
    SettingChange change;
    if (const std::optional<DriveSlot> slot = cd_slot(key)) {
      change = compare_cd(key, *slot, desired, guest, mode);
    } else {
      change = compare_option(key, desired, guest.options.find(key), guest, mode);
    }
    if (change.state == SettingState::kFindingOnly) {
      findings.push_back({.severity = Severity::kWarning,
                          .rule = rule_of(desired),
                          .where = out.address,
                          .what = fmt::format("{} is {}, the rules advise {}.", key, to_text(change.configured),
                                              to_text(desired.value)),
                          .span = span_of(desired)});
    }
    const bool interesting = change.state != SettingState::kInSync && change.state != SettingState::kCannotTell;
    if (interesting || detail == DiffDetail::kEverything) out.options.push_back(std::move(change));
  }
  std::vector<DiskBinding> bindings = bind_disks(vm, &guest, storages);
  for (std::size_t i = 0; i < vm.disks.size(); ++i) {
    const DiskContext context{vm, vm.disks[i], guest, mode, storages, detail, findings};
    DiskDiff disk = diff_disk(context, bindings[i]);
    const bool gone = (disk.absent || disk.detached) && disk.match == DiskMatch::kMissing;
    const bool same = disk.match == DiskMatch::kInPlace && !disk.absent && !disk.detached && disk.blocked.empty() &&
                      disk.settings.empty() && !disk.move_to && !disk.format_to && !disk.grow_to &&
                      disk.unfinished == Unfinished::kNothing;
    if ((!same && !gone) || detail == DiffDetail::kEverything) out.disks.push_back(std::move(disk));
  }
  name_foreign_pending(vm, guest, out);
  return out;
}

VmDiff diff_missing_guest(const ResolvedVm& vm, const StorageTable& storages) {
  VmDiff out{.address = {.kind = AddressKind::kVm, .name = vm.name},
             .vmid = vm.vmid,
             .node = vm.node.value_or(""),
             .presence = Presence::kMissing,
             .power = PowerState::kStopped};
  for (const auto& [key, desired] : vm.options) {
    if (is_absent(desired.value)) continue;
    out.options.push_back(
        {.key = key, .state = SettingState::kDiffers, .desired = desired, .effect = TakesEffect::kAtOnce});
  }
  std::vector<DiskBinding> bindings = bind_disks(vm, nullptr, storages);
  for (std::size_t i = 0; i < vm.disks.size(); ++i) {
    const ResolvedDisk& disk = vm.disks[i];
    if (disk.absent || disk.detached) continue;
    DiskDiff missing{.name = disk.name, .desired_slot = disk.slot, .match = bindings[i].match};
    missing.candidates = std::move(bindings[i].candidates);
    missing.blocked = std::move(bindings[i].blocked);
    missing.remedy = std::move(bindings[i].remedy);
    const StorageView* storage = storages.find(desired_text(disk, "storage"));
    for (const auto& [key, desired] : disk.settings) {
      const Setting* setting = find_setting(Home::kDriveOption, key);
      if (setting == nullptr || is_absent(desired.value) || is_cloud_init(disk) || !fits_bus(*setting, disk.slot.bus))
        continue;
      if (storage != nullptr && (key == "cache" || key == "aio")) {
        const Resolved* cache = disk.settings.find("cache");
        const OptionValue unset = effective_drive_option(key, storage->kind, disk.slot.bus, "raw",
                                                         cache != nullptr ? cache->value : OptionValue{});
        if (is_absent(unset) || unset == desired.value) continue;  // unset says the same
      }
      if (same_value(setting, desired.value, {})) continue;
      missing.settings.push_back(
          {.key = key, .state = SettingState::kDiffers, .desired = desired, .effect = TakesEffect::kAtOnce});
    }
    out.disks.push_back(std::move(missing));
  }
  return out;
}

}  // namespace pvr
