#include "reconciler/planning/compare.h"

#include <algorithm>

#include "reconciler/model/option_codec.h"

namespace pvr {
namespace {

std::string_view trimmed_end(std::string_view text) {
  const auto last = text.find_last_not_of(" \t\r\n");
  return last == std::string_view::npos ? std::string_view{} : text.substr(0, last + 1);
}

// "q35" and "pc-q35-9.0" are one family. Fact: PVE pins the version for Windows guests, and an admin may pin it for
// any.
std::string_view machine_family(std::string_view type) {
  if (type.empty() || type == "pc" || type.starts_with("pc-i440fx-")) return "pc";
  if (type == "q35" || type.starts_with("pc-q35-")) return "q35";
  return type;
}

bool is_unversioned(std::string_view machine) { return machine == "q35" || machine == "pc"; }

// Lets `desired` keep what the live text says about parts nobody declared and PVE (or a person) fills in:
// the MAC address of a net device, the uuid of smbios1, and, where only the main word is declared ("agent: 1"), the
// other words.
void keep_undeclared_parts(const Setting& setting, std::string_view key, OptionValue& desired,
                           const OptionValue& live) {
  auto* wanted = std::get_if<PropertyString>(&desired);
  const auto* present = std::get_if<PropertyString>(&live);
  if (wanted == nullptr || present == nullptr) return;
  const auto keep = [&](std::string_view part) {
    const std::string* text = present->find(part);
    if (text != nullptr && wanted->find(part) == nullptr) wanted->set(part, *text);
  };
  if (setting.name == "net") keep("macaddr");
  if (key == "smbios1") {
    for (const auto& [part, text] : present->pairs) keep(part);
  }
  if (key == "machine") {
    const std::string* mine = wanted->find("type");
    const std::string* theirs = present->find("type");
    if (mine != nullptr && theirs != nullptr && is_unversioned(*mine) &&
        machine_family(*mine) == machine_family(*theirs)) {
      wanted->set("type", *theirs);
    }
  }
  if (!setting.default_key.empty() && wanted->pairs.size() == 1 && wanted->pairs.front().first == setting.default_key) {
    for (const auto& [part, text] : present->pairs) keep(part);
  }
}

// Fact: adding a CD drive appends it to the boot order by itself.
bool same_boot_order(const OptionValue& desired, const OptionValue& live, const LiveVm& guest) {
  const auto* wanted = std::get_if<StringList>(&desired);
  const auto* present = std::get_if<StringList>(&live);
  if (wanted == nullptr || present == nullptr || present->size() < wanted->size()) return false;
  if (!std::equal(wanted->begin(), wanted->end(), present->begin())) return false;
  return std::all_of(present->begin() + static_cast<std::ptrdiff_t>(wanted->size()), present->end(),
                     [&](const std::string& word) {
                       const std::optional<DriveSlot> slot = parse_slot(word);
                       const LiveDrive* drive = slot ? guest.drive(*slot) : nullptr;
                       const Drive* configured = drive != nullptr ? drive->configured() : nullptr;
                       return configured != nullptr && configured->medium != Drive::Medium::kDisk;
                     });
}

bool in_sync(const Setting* setting, std::string_view key, const OptionValue& desired, const OptionValue& live,
             const LiveVm& guest, const GuestMode& mode) {
  if (desired == live) return true;
  if (setting == nullptr) return false;
  if (key == "description") {
    const auto* wanted = std::get_if<std::string>(&desired);
    const auto* present = std::get_if<std::string>(&live);
    return trimmed_end(wanted != nullptr ? *wanted : "") == trimmed_end(present != nullptr ? *present : "");
  }
  if (key == "boot") return same_boot_order(desired, live, guest);
  const auto* wanted = std::get_if<std::int64_t>(&desired);
  const auto* present = std::get_if<std::int64_t>(&live);
  if (wanted != nullptr && present != nullptr) {
    constexpr std::int64_t kMostUnits = 10000;  // Fact: clamped on cgroup v2
    if (key == "cpuunits") return std::min(*wanted, kMostUnits) == std::min(*present, kMostUnits);
    // Fact: memory plugged into a running guest comes in DIMMs of at least 512 MiB, so the stored value may end above
    // the wish.
    const bool plugs_memory = mode.numa && std::ranges::find(mode.hotplug, "memory") != mode.hotplug.end();
    if (key == "memory" && mode.running && plugs_memory) return *present >= *wanted && *present - *wanted < 512;
  }
  return same_value(setting, desired, live);
}

}  // namespace

OptionValue value_of_text(const Setting* setting, std::string_view text) {
  if (setting != nullptr) {
    if (Result<OptionValue> parsed = parse_option(*setting, text)) return std::move(parsed).value();
  }
  return std::string(text);
}

GuestMode mode_of(const LiveVm& guest) {
  GuestMode mode;
  mode.running = guest.power == PowerState::kRunning || guest.power == PowerState::kPaused;
  if (!mode.running) return mode;
  mode.hotplug = {"disk", "network", "usb"};  // Fact: the default of `hotplug`
  if (const LiveOption* option = guest.options.find("hotplug"); option != nullptr && option->has_current) {
    if (option->current == "0") {
      mode.hotplug.clear();
    } else if (const OptionValue value = value_of_text(find_setting(Home::kVmOption, "hotplug"), option->current);
               const auto* list = std::get_if<StringList>(&value)) {
      if (*list != StringList{"1"}) mode.hotplug = *list;
    }
  }
  const LiveOption* numa = guest.options.find("numa");
  mode.numa = numa != nullptr && numa->has_current && numa->current == "1";
  return mode;
}

TakesEffect effect_now(const Setting& setting, std::string_view key, const GuestMode& mode, const OptionValue& from,
                       const OptionValue& to) {
  using enum TakesEffect;
  switch (setting.effect) {
    case kAtOnce:
    case kHotplug:
    case kAtRestart:
    case kSilentRestart:
      break;
    default:
      return setting.effect;
  }
  if (!mode.running) return kAtOnce;
  if (key == "balloon") {
    // Fact: the balloon target changes live, the balloon device does not come or go.
    const auto is_zero = [](const OptionValue& value) { return value == OptionValue(std::int64_t{0}); };
    return is_zero(from) != is_zero(to) ? kAtRestart : kAtOnce;
  }
  if (setting.effect != kHotplug) return setting.effect;
  const bool on = std::ranges::find(mode.hotplug, setting.hotplug) != mode.hotplug.end();
  if (!on || (setting.hotplug == "memory" && !mode.numa)) return kAtRestart;
  return kHotplug;
}

bool same_value(const Setting* setting, const OptionValue& a, const OptionValue& b) {
  if (a == b) return true;
  if (setting == nullptr || setting->default_text.empty() || is_absent(a) == is_absent(b)) return false;
  return (is_absent(a) ? b : a) == value_of_text(setting, setting->default_text);
}

SettingChange compare_option(std::string_view key, const Resolved& desired, const LiveOption* live, const LiveVm& guest,
                             const GuestMode& mode) {
  const Setting* setting = find_setting(Home::kVmOption, key);
  SettingChange change{.key = std::string(key), .desired = desired};
  const std::string* configured = live != nullptr ? live->configured() : nullptr;
  if (configured != nullptr) change.configured = value_of_text(setting, *configured);
  if (setting != nullptr && setting->write_only) {
    // What PVE masks cannot be compared; a value it does not have at all can be told.
    change.configured = {};
    change.state = configured == nullptr && !is_absent(desired.value)  ? SettingState::kDiffers
                   : is_absent(desired.value) && configured == nullptr ? SettingState::kInSync
                                                                       : SettingState::kCannotTell;
    change.note = "PVE never shows this value, so a change of it cannot be seen.";
    change.effect = TakesEffect::kAtOnce;
    return change;
  }
  if (mode.running && live != nullptr && live->has_pending()) {
    if (live->has_current) change.running = value_of_text(setting, live->current);
  } else {
    change.running = change.configured;
  }
  if (setting != nullptr) {
    keep_undeclared_parts(*setting, key, change.desired.value, change.configured);
    change.effect = effect_now(*setting, key, mode, change.running, change.desired.value);
  } else {
    change.effect = mode.running ? TakesEffect::kAtRestart : TakesEffect::kAtOnce;
  }
  // vmgenid "1" asks PVE to make one; whatever it made is right.
  const bool made_by_server =
      key == "vmgenid" && configured != nullptr && desired.value == OptionValue(std::string("1"));
  if (made_by_server || in_sync(setting, key, change.desired.value, change.configured, guest, mode)) {
    const bool waits = mode.running && live != nullptr && live->has_pending() &&
                       !in_sync(setting, key, change.desired.value, change.running, guest, mode);
    change.state = waits ? SettingState::kWaitsForRestart : SettingState::kInSync;
    return change;
  }
  change.state = desired.finding_only ? SettingState::kFindingOnly : SettingState::kDiffers;
  return change;
}

}  // namespace pvr
