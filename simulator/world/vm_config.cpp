#include "simulator/world/vm_config.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>

#include "simulator/api/method.h"
#include "simulator/world/text.h"

namespace pvesim {
namespace {

/// One section's lines. Fact: the description comes first, as comments; then the keys in order of their bytes.
std::string render_section(const Section& values, bool pending) {
  std::string out;
  if (const auto text = values.find("description"); text != values.end()) {
    if (text->second.empty()) {
      if (pending) out += "#\n";
    } else {
      for (const std::string& line : split_at(text->second, '\n')) out += "#" + encode_text(line) + "\n";
    }
  }
  for (const auto& [key, value] : values)
    if (key != "description") out += key + ": " + value + "\n";
  return out;
}

}  // namespace

std::string digest_of(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> sum{};
  unsigned int size = 0;
  EVP_Digest(text.data(), text.size(), sum.data(), &size, EVP_sha1(), nullptr);
  static constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  for (unsigned int i = 0; i < size; ++i) {
    out += kHex[sum.at(i) >> 4U];
    out += kHex[sum.at(i) & 15U];
  }
  return out;
}

std::string render_vm_config(const VmConfig& config) {
  std::string out = render_section(config.values, false);
  if (!config.pending.empty() || !config.pending_delete.empty()) {
    Section pending = config.pending;
    std::string deletes;
    for (const auto& [key, force] : config.pending_delete)
      deletes += (deletes.empty() ? "" : ",") + std::string(force ? "!" : "") + key;
    if (!deletes.empty()) pending["delete"] = deletes;
    out += "\n[PENDING]\n" + render_section(pending, true);
  }
  if (!config.cloudinit.empty()) out += "\n[special:cloudinit]\n" + render_section(config.cloudinit, false);
  for (const auto& [name, values] : config.snapshots) out += "\n[" + name + "]\n" + render_section(values, false);
  return out;
}

void write_config(Vm& vm) {
  VmConfig& config = vm.config;
  const auto used = [&](const std::string& volid) {
    for (const Section* section : {&config.values, &config.pending})
      for (const auto& [key, value] : *section)
        if (is_drive_name(key))
          if (const auto drive = parse_drive(key, value); drive && drive->file == volid) return true;
    return false;
  };
  for (auto entry = config.values.begin(); entry != config.values.end();)
    entry = is_unused_name(entry->first) && used(entry->second) ? config.values.erase(entry) : std::next(entry);
  for (Section* section : {&config.values, &config.pending})
    if (const auto text = section->find("description"); text != section->end()) {
      std::string& value = text->second;
      value.erase(value.find_last_not_of(" \t\r\n") + 1);
      if (value.empty() && section == &config.values) section->erase(text);
    }
}

std::string config_digest(const Vm& vm) { return digest_of(render_vm_config(vm.config)); }

std::string config_value(const Section& values, std::string_view key, std::string_view fallback) {
  const auto found = values.find(key);
  return found == values.end() ? std::string(fallback) : found->second;
}

std::int64_t config_number(const Section& values, std::string_view key, std::int64_t fallback) {
  const auto found = values.find(key);
  return found == values.end() || !all_digits(found->second) ? fallback : std::stoll(found->second);
}

Section with_pending(const VmConfig& config) {
  Section merged = config.values;
  for (const auto& [key, force] : config.pending_delete) merged.erase(key);
  for (const auto& [key, value] : config.pending) merged[key] = value;
  return merged;
}

std::vector<Drive> drives_of(const Section& values, bool unused) {
  std::vector<Drive> out;
  for (const auto& [key, value] : values) {
    if (!is_drive_name(key) && !(unused && is_unused_name(key))) continue;
    if (auto drive = parse_drive(key, value)) out.push_back(std::move(*drive));
  }
  return out;
}

std::string add_unused(Section& values, const std::string& volid) {
  for (const auto& [key, value] : values)
    if (is_unused_name(key) && value == volid) return key;
  for (int i = 0; i < 256; ++i) {
    const std::string key = "unused" + std::to_string(i);
    if (values.contains(key)) continue;
    values[key] = volid;
    return key;
  }
  fail("Too many unused volumes (max = 256)");
}

VolumeUse volume_use(const VmConfig& config, const std::string& volid, std::string_view skip) {
  const auto names = [&](const Section& values, std::string_view without) {
    for (const Drive& drive : drives_of(values, true))
      if (drive.slot != without && drive.file == volid) return true;
    return config_value(values, "vmstate") == volid;
  };
  VolumeUse use;
  use.current = names(config.values, skip);
  use.pending = names(config.pending, "");
  for (const auto& [name, values] : config.snapshots) use.snapshot = use.snapshot || names(values, "");
  return use;
}

std::vector<std::string> boot_order(const Section& values) {
  const std::string boot = config_value(values, "boot");
  std::vector<std::string> order;
  if (starts_with(boot, "order=")) {
    for (const std::string& device : split_at(std::string_view(boot).substr(6), ';'))
      if (!device.empty()) order.push_back(device);
    return order;
  }
  if (values.contains("bootdisk")) {
    order.push_back(config_value(values, "bootdisk"));
    return order;
  }
  if (boot.find_first_not_of(' ') == std::string::npos && values.contains("boot")) return order;
  for (const std::string& name : disk_names())
    if (const auto found = values.find(name); found != values.end())
      if (const auto drive = parse_drive(name, found->second); drive && !drive->is_cdrom()) {
        order.push_back(name);
        break;
      }
  return order;
}

std::string default_boot(const Section& values) {
  std::string disk;
  std::string cdrom;
  for (const std::string& name : disk_names())
    if (const auto found = values.find(name); found != values.end())
      if (const auto drive = parse_drive(name, found->second)) {
        std::string& place = drive->is_cdrom() ? cdrom : disk;
        if (place.empty()) place = name;
      }
  std::vector<std::string> order;
  if (!disk.empty()) order.push_back(disk);
  if (!cdrom.empty()) order.push_back(cdrom);
  for (int i = 0; i < 32; ++i)
    if (values.contains("net" + std::to_string(i))) {
      order.push_back("net" + std::to_string(i));
      break;
    }
  std::string out;
  for (const std::string& device : order) out += (out.empty() ? "order=" : ";") + device;
  return out.empty() ? " " : out;
}

std::int64_t memory_mib(const Section& values) {
  const Section memory = parse_properties(config_value(values, "memory", "512"), "current");
  return config_number(memory, "current", 512);
}

bool hotplug_enabled(const Section& values, std::string_view feature) {
  std::string text = config_value(values, "hotplug", "1");
  if (text == "0") return false;
  if (text == "1") text = "network,disk,usb";
  std::replace(text.begin(), text.end(), ';', ',');
  for (const std::string& one : split_at(text, ','))
    if (one == feature) return true;
  return false;
}

void require_unlocked(const Vm& vm, std::string_view except) {
  const std::string lock = config_value(vm.config.values, "lock");
  if (!lock.empty() && lock != except) fail("VM is locked (" + lock + ")");
}

}  // namespace pvesim
