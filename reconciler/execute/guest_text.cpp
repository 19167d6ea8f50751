#include "reconciler/execute/guest_text.h"

#include <fmt/format.h>

#include <algorithm>

#include "reconciler/model/option_codec.h"
#include "reconciler/model/settings.h"

namespace pvr {
bool is_meant(const VolumeId& planned, const std::optional<VolumeId>& volume) {
  if (!volume) return false;
  if (!planned.name.empty()) return planned == *volume;
  return planned.storage.empty() || planned.storage == volume->storage;
}

std::string meant_text(const VolumeId& planned) {
  if (!planned.name.empty()) return to_text(planned);
  return planned.storage.empty() ? "a volume" : fmt::format("a volume on {}", planned.storage);
}

namespace {

bool names(const std::optional<Drive>& drive, const VolumeId& volume) {
  return drive && is_meant(volume, drive->volume);
}
bool names(const LiveDrive& drive, const VolumeId& volume) {
  return names(drive.current, volume) || names(drive.pending, volume);
}

}  // namespace

const LiveDrive* find_drive(const LiveVm& vm, DriveSlot slot) {
  const auto at = std::ranges::find(vm.drives, slot, &LiveDrive::slot);
  return at == vm.drives.end() ? nullptr : &*at;
}

bool holds_planned(const Drive& drive, const VolumeId& planned) {
  if (!drive.volume) return false;
  return planned.name.empty() ? drive.volume->storage == planned.storage : *drive.volume == planned;
}

const Drive* configured_drive(const LiveVm& vm, DriveSlot slot) {
  const LiveDrive* drive = find_drive(vm, slot);
  if (drive == nullptr || drive->pending_delete) return nullptr;
  if (drive->pending) return &*drive->pending;
  return drive->current ? &*drive->current : nullptr;
}

bool drive_waits(const LiveVm& vm, DriveSlot slot) {
  const LiveDrive* drive = find_drive(vm, slot);
  return drive != nullptr && (drive->pending_delete || drive->pending);
}

std::optional<DriveSlot> unused_slot_of(const LiveVm& vm, const VolumeId& volume) {
  for (const LiveDrive& drive : vm.drives) {
    if (drive.slot.bus == Bus::kUnused && !drive.pending_delete && names(drive, volume)) return drive.slot;
  }
  return std::nullopt;
}

std::optional<DriveSlot> attached_slot_of(const LiveVm& vm, const VolumeId& volume) {
  for (const LiveDrive& drive : vm.drives) {
    if (drive.slot.bus != Bus::kUnused && names(drive, volume)) return drive.slot;
  }
  return std::nullopt;
}

bool is_referenced(const LiveVm& vm, const VolumeId& volume) {
  return std::ranges::any_of(vm.drives, [&](const LiveDrive& drive) { return names(drive, volume); });
}

std::optional<std::string> configured_text(const LiveVm& vm, std::string_view key) {
  if (const auto slot = parse_slot(key)) {
    const Drive* drive = configured_drive(vm, *slot);
    return drive == nullptr ? std::nullopt : std::optional(print_drive(*slot, *drive));
  }
  const LiveOption* option = vm.options.find(key);
  if (option == nullptr || option->pending_delete) return std::nullopt;
  if (option->pending) return option->pending;
  return option->has_current ? std::optional(option->current) : std::nullopt;
}

bool same_option(std::string_view key, std::string_view asked, std::string_view stored) {
  if (asked == stored) return true;
  if (const auto slot = parse_slot(key)) {
    auto wanted = parse_drive(*slot, asked);
    auto found = parse_drive(*slot, stored);
    if (!wanted || !found) return false;
    wanted->size = found->size;  // PVE states the size of an ISO image by itself
    return *wanted == *found;
  }
  const Setting* setting = find_setting(Home::kVmOption, key);
  if (setting == nullptr) return false;
  auto wanted = parse_option(*setting, asked);
  auto found = parse_option(*setting, stored);
  if (!wanted || !found) return false;
  if (wanted.value() == found.value()) return true;
  if (!std::holds_alternative<PropertyString>(*wanted) || !std::holds_alternative<PropertyString>(*found)) return false;
  const auto& pairs = std::get<PropertyString>(*wanted);
  auto stored_pairs = std::get<PropertyString>(*found);
  // Fact: PVE makes up a MAC where none is given.
  if (pairs.find("macaddr") == nullptr) stored_pairs.erase("macaddr");
  return pairs == stored_pairs;
}

Result<Drive> with_options(const Drive& drive, const FlatMap<std::string>& set) {
  Drive changed = drive;
  for (const auto& [key, text] : set) {
    const Setting* setting = find_setting(Home::kDriveOption, key);
    if (setting == nullptr) {
      if (text.empty()) {
        changed.unknown.erase(key);
      } else {
        changed.unknown.set(key, text);
      }
      continue;
    }
    if (text.empty()) {
      changed.options.erase(key);
      continue;
    }
    auto value = parse_option(*setting, text);
    if (!value) return std::move(value).error().during(fmt::format("reading {}={}", key, text));
    changed.options.set(key, std::move(value).value());
  }
  return changed;
}

Result<bool> has_options(const Drive& drive, const FlatMap<std::string>& set) {
  auto changed = with_options(drive, set);
  if (!changed) return std::move(changed).error();
  return changed->options == drive.options && changed->unknown == drive.unknown;
}

std::string allocation_text(std::string_view storage, ByteSize size) {
  const std::uint64_t kib = (size.bytes + 1023) / 1024;
  std::string text = fmt::format("{}:{}", storage, kib >> 20U);
  std::uint64_t rest = kib & ((1U << 20U) - 1);
  if (rest != 0) text += '.';
  // At most 20 digits: every step removes a factor two from the denominator.
  for (; rest != 0; rest &= (1U << 20U) - 1) {
    rest *= 10;
    text += static_cast<char>('0' + (rest >> 20U));
  }
  return text;
}

}  // namespace pvr
