#include "simulator/world/running.h"

#include <algorithm>
#include <array>
#include <functional>

#include "simulator/api/method.h"
#include "simulator/world/text.h"
#include "simulator/world/vm_config.h"

namespace pvesim {
namespace {

/// What a hotplug attempt throws when the change has to wait for the next start.
struct Skip {};

bool no_guest_effect(std::string_view key) {
  static constexpr std::array kKeys = {"description",   "hookscript", "lock",   "migrate_downtime",
                                       "migrate_speed", "name",       "onboot", "protection",
                                       "shares",        "startup",    "tags",   "vmstatestorage"};
  static constexpr std::array kCloudInit = {"cicustom",  "cipassword", "citype",       "ciuser",
                                            "ciupgrade", "nameserver", "searchdomain", "sshkeys"};
  return std::find(kKeys.begin(), kKeys.end(), key) != kKeys.end() ||
         std::find(kCloudInit.begin(), kCloudInit.end(), key) != kCloudInit.end() || starts_with(key, "ipconfig");
}

bool is_net(std::string_view key) { return starts_with(key, "net") && all_digits(key.substr(3)); }
bool is_usb(std::string_view key) { return starts_with(key, "usb") && all_digits(key.substr(3)); }

bool no_hotplug_bus(std::string_view slot) {
  const std::string bus = bus_of(slot);
  return bus == "ide" || bus == "sata" || bus == "efidisk" || bus == "tpmstate";
}

/// Takes a device out of the running guest.
void unplug(Vm& vm, const std::string& slot) {
  const auto order = boot_order(vm.config.values);
  if (std::find(order.begin(), order.end(), slot) != order.end() && is_drive_name(slot))
    fail("can't unplug bootdisk '" + slot + "'");
  if (no_hotplug_bus(slot)) fail("can't unplug device '" + slot + "'");
  if (!vm.running->effective.contains(slot)) return;
  if (vm.ignores_shutdown) {
    // Fact: without a guest system that answers, QEMU keeps the device.
    const bool scsi_single = config_value(vm.running->effective, "scsihw") == "virtio-scsi-single";
    const std::string device =
        bus_of(slot) == "scsi" && scsi_single ? "virtioscsi" + std::to_string(index_of(slot)) : slot;
    fail("error on hot-unplugging device '" + device + "' - still busy in guest?");
  }
  vm.running->effective.erase(slot);
  vm.running->open.erase(slot);
}

void plug_disk(World& world, Vm& vm, const Drive& drive) {
  if (const auto missing = activation_problem(world, drive.file, vm.node, true)) fail(missing->text);
  vm.running->effective[drive.slot] = print_drive(drive);
  if (const auto found = find_volume(world, drive.file, vm.node)) vm.running->open[drive.slot] = found->ref();
}

bool throttle_key(std::string_view key) { return starts_with(key, "mbps") || starts_with(key, "iops"); }

/// The running process takes over the throttles only; everything else of the string waits for its next start.
void set_throttles(Vm& vm, const Drive& wanted) {
  const auto entry = vm.running->effective.find(wanted.slot);
  if (entry == vm.running->effective.end()) return;
  auto real = parse_drive(wanted.slot, entry->second);
  if (!real) return;
  std::erase_if(real->options, [](const auto& option) { return throttle_key(option.first); });
  for (const auto& [key, value] : wanted.options)
    if (throttle_key(key) || key == "size" || key == "backup" || key == "replicate") real->options[key] = value;
  entry->second = print_drive(*real);
}

void update_disk(World& world, Vm& vm, const std::string& slot, const std::string& value) {
  if (slot == "efidisk0" || slot == "tpmstate0") throw Skip{};
  const auto drive = parse_drive(slot, value);
  if (!drive) fail("unable to parse drive '" + value + "'");
  const bool hotplug = hotplug_enabled(vm.config.values, "disk");
  const auto before = vm.config.values.find(slot);
  const auto old = before == vm.config.values.end() ? std::nullopt : parse_drive(slot, before->second);
  if (old) {
    if (drive->get("media", "disk") != old->get("media", "disk")) fail("unable to change media type");
    if (old->is_cdrom()) {
      if (drive->has_volume())
        if (const auto missing = activation_problem(world, drive->file, vm.node, true)) fail(missing->text);
      vm.running->effective[slot] = value;
      vm.running->open.erase(slot);
      if (const auto found = find_volume(world, drive->file, vm.node)) vm.running->open[slot] = found->ref();
      // Fact: only taking the medium out frees a cloud-init volume; another medium leaves it behind.
      if (old->is_cloudinit() && drive->file == "none") register_unused(world, vm, *old);
      return;
    }
    if (drive->file == old->file) {
      for (const char* key : {"aio", "cache", "discard", "iothread", "queues", "product", "vendor", "ro", "ssd"})
        if (drive->get(key) != old->get(key)) throw Skip{};
      return set_throttles(vm, *drive);
    }
    if (!hotplug) throw Skip{};
    unplug(vm, slot);
    register_unused(world, vm, *old);
    vm.config.values.erase(slot);
  }
  if (!hotplug || no_hotplug_bus(slot)) throw Skip{};
  plug_disk(world, vm, *drive);
}

void update_net(Vm& vm, const std::string& key, const std::string& value) {
  const bool hotplug = hotplug_enabled(vm.config.values, "network");
  const auto now = parse_net(value);
  const auto before = vm.config.values.find(key);
  const auto old = before == vm.config.values.end() ? std::nullopt : parse_net(before->second);
  if (now && old) {
    bool replug = false;
    for (const char* part : {"model", "macaddr", "queues", "mtu"})
      replug = replug || config_value(*now, part) != config_value(*old, part);
    replug = replug || !now->contains("bridge") || !old->contains("bridge");
    if (!replug) {
      vm.running->effective[key] = value;
      return;
    }
    if (!hotplug) throw Skip{};
    if (vm.ignores_shutdown) fail("error on hot-unplugging device '" + key + "' - still busy in guest?");
  } else if (!hotplug) {
    throw Skip{};
  }
  vm.running->effective[key] = value;
}

void update_agent(Vm& vm, const std::string& value) {
  // Fact: only fstrim_cloned_disks takes effect without a restart.
  const auto before = vm.config.values.find("agent");
  if (before == vm.config.values.end()) throw Skip{};
  Section old = parse_properties(before->second, "enabled");
  Section now = parse_properties(value, "enabled");
  old.erase("fstrim_cloned_disks");
  now.erase("fstrim_cloned_disks");
  if (config_value(old, "enabled", "0") != config_value(now, "enabled", "0")) throw Skip{};
  old.erase("enabled");
  now.erase("enabled");
  if (old != now) throw Skip{};
  vm.running->effective["agent"] = value;
}

bool usb_hotplug(const Vm& vm) {
  const std::string os = config_value(vm.config.values, "ostype");
  const bool fits = os == "l26" || os == "win8" || os == "win10" || os == "win11";
  return fits && hotplug_enabled(vm.config.values, "usb") && machine_version(vm.running->machine) >= 7.1;
}

/// DIMMs come in steps of 512 MiB whose size doubles every 32 slots; 1 GiB is static.
std::int64_t hotplugged_memory(std::int64_t now, std::int64_t wanted) {
  std::int64_t step = 512;
  std::int64_t total = 1024;
  for (int slot = 0; slot < 255; ++slot) {
    if (slot > 0 && slot % 32 == 0) step *= 2;
    // Growing ends at the first size that is enough, shrinking at the last that is not too much.
    if (wanted >= now ? total >= wanted : total + step > wanted) break;
    total += step;
  }
  return total;
}

void plug_value(World& world, Vm& vm, const std::string& key, std::string& value) {
  const Section& current = vm.config.values;
  if (key == "hotplug") {
    for (const char* part : {"cpu", "memory"})
      if (value.find(part) != std::string::npos || config_value(current, "hotplug").find(part) != std::string::npos)
        throw Skip{};
  } else if (key == "tablet") {
    if (!hotplug_enabled(current, "usb")) throw Skip{};
  } else if (is_usb(key)) {
    if (!usb_hotplug(vm)) throw Skip{};
  } else if (key == "vcpus") {
    if (!hotplug_enabled(current, "cpu")) throw Skip{};
    const std::int64_t most = config_number(current, "cores", 1) * config_number(current, "sockets", 1);
    if (config_number(vm.config.pending, key, 1) > most) fail("you can't add more vcpus than maxcpus");
  } else if (key == "balloon") {
    const bool was = config_value(current, key, "1") != "0";
    if (was != (value != "0")) throw Skip{};
  } else if (is_net(key)) {
    return update_net(vm, key, value);
  } else if (is_drive_name(key)) {
    return update_disk(world, vm, key, value);
  } else if (key == "memory") {
    if (!hotplug_enabled(current, "memory")) throw Skip{};
    if (config_value(current, "numa") != "1") fail("NUMA needs to be enabled for memory hotplug");
    Section wanted = {{"memory", value}};
    if (memory_mib(wanted) == memory_mib(current)) return;
    if (memory_mib(wanted) < 1024) fail("memory can't be lower than 1024 MB");
    value = std::to_string(hotplugged_memory(memory_mib(current), memory_mib(wanted)));
  } else if (key == "agent") {
    return update_agent(vm, value);
  } else if (key != "cpuunits" && key != "cpulimit" && !no_guest_effect(key)) {
    throw Skip{};
  }
  vm.running->effective[key] = value;
}

void unplug_value(World& world, Vm& vm, const std::string& key, bool force) {
  const Section& current = vm.config.values;
  if (key == "hotplug") {
    const std::string now = config_value(current, key);
    if (now.find("cpu") != std::string::npos || now.find("memory") != std::string::npos) throw Skip{};
  } else if (key == "tablet") {
    if (!hotplug_enabled(current, "usb")) throw Skip{};
  } else if (is_usb(key)) {
    if (!usb_hotplug(vm)) throw Skip{};
  } else if (key == "vcpus") {
    if (!hotplug_enabled(current, "cpu")) throw Skip{};
  } else if (key == "balloon") {
    if (config_value(current, key) == "0") throw Skip{};
  } else if (is_net(key)) {
    if (!hotplug_enabled(current, "network")) throw Skip{};
    if (vm.ignores_shutdown) fail("error on hot-unplugging device '" + key + "' - still busy in guest?");
  } else if (is_drive_name(key)) {
    if (!hotplug_enabled(current, "disk") || no_hotplug_bus(key)) throw Skip{};
    unplug(vm, key);
    if (const auto drive = parse_drive(key, config_value(current, key))) {
      if (force)
        deallocate_drive(world, vm, key, *drive);
      else
        register_unused(world, vm, *drive);
    }
  } else if (key == "memory") {
    if (!hotplug_enabled(current, "memory")) throw Skip{};
  } else if (key != "cpuunits" && key != "cpulimit" && !no_guest_effect(key)) {
    throw Skip{};
  }
  vm.running->effective.erase(key);
}

}  // namespace

double machine_version(const std::string& machine) {
  const auto dash = machine.rfind('-');
  if (dash == std::string::npos) return 0;
  const std::string version = machine.substr(dash + 1);
  const auto dot = version.find('.');
  if (dot == std::string::npos) return 0;
  const int major = std::atoi(version.c_str());
  const int minor = std::atoi(version.c_str() + dot + 1);
  return major + minor / 10.0;
}

std::string start_machine(const World& world, const Vm& vm) {
  const std::string type =
      config_value(parse_properties(config_value(vm.config.values, "machine", "pc"), "type"), "type", "pc");
  if (type != "pc" && type != "q35") return type;
  const std::string version = world.nodes.at(vm.node).qemu_version;
  const std::string release = version.substr(0, version.find('.', version.find('.') + 1));
  return (type == "q35" ? "pc-q35-" : "pc-i440fx-") + release + "+pve1";
}

bool owns_volume(World& world, const Vm& vm, const std::string& volid) {
  const auto id = parse_volume_id(volid);
  if (!id) return false;
  const StorageDef* storage = world.find_storage(id->storage);
  if (storage == nullptr) return false;
  try {
    const VolumeName name = parse_volume_name(*storage, id->name);
    return name.content == "images" && name.vmid == vm.vmid;
  } catch (const ApiError&) {
    return false;
  }
}

void register_unused(World& world, Vm& vm, const Drive& drive) {
  if (drive.is_cloudinit()) {
    free_volume(world, vm.node, drive.file, [](const std::string&) {});
    vm.config.cloudinit.clear();
    return;
  }
  if (drive.is_cdrom() || !owns_volume(world, vm, drive.file)) return;
  add_unused(vm.config.values, drive.file);
}

void deallocate_drive(World& world, Vm& vm, const std::string& key, const Drive& drive) {
  if (drive.is_cdrom() && !drive.is_cloudinit()) return;
  if (!owns_volume(world, vm, drive.file)) return;
  VolumeUse use = volume_use(vm.config, drive.file, key);
  if (use.current || use.pending || use.snapshot)
    fail("unable to delete '" + drive.file + "' - volume is still in use (snapshot?)");
  free_volume(world, vm.node, drive.file, [](const std::string&) {});
}

void cleanup_pending(Vm& vm) {
  VmConfig& config = vm.config;
  std::erase_if(config.pending, [&](const auto& entry) {
    const auto current = config.values.find(entry.first);
    if (current == config.values.end()) return false;
    if (current->second == entry.second) return true;
    if (is_drive_name(entry.first)) {
      const auto a = parse_drive(entry.first, current->second);
      const auto b = parse_drive(entry.first, entry.second);
      return a && b && print_drive(*a) == print_drive(*b);
    }
    if (is_net(entry.first)) {
      const auto a = parse_net(current->second);
      const auto b = parse_net(entry.second);
      return a && b && print_net(*a) == print_net(*b);
    }
    return false;
  });
  std::erase_if(config.pending_delete, [&](const auto& entry) { return !config.values.contains(entry.first); });
}

void hotplug_pending(World& world, Vm& vm, const std::set<std::string>& selection, OptionErrors& errors) {
  VmConfig& config = vm.config;
  for (auto entry = config.pending.begin(); entry != config.pending.end();) {
    if (!no_guest_effect(entry->first)) {
      ++entry;
      continue;
    }
    config.values[entry->first] = entry->second;
    entry = config.pending.erase(entry);
  }
  const auto attempt = [&](const std::string& key, const std::function<void()>& change) {
    try {
      change();
      return true;
    } catch (const Skip&) {
    } catch (const ApiError& error) {
      errors[key] = "hotplug problem - " + error.message + "\n";
    }
    return false;
  };
  const auto deletions = config.pending_delete;
  for (const auto& [key, force] : deletions) {
    if (!selection.contains(key)) continue;
    if (!attempt(key, [&, &name = key, &forced = force] { unplug_value(world, vm, name, forced); })) continue;
    config.values.erase(key);
    config.pending_delete.erase(key);
  }
  const Section pending = config.pending;
  for (const auto& [key, value] : pending) {
    if (!selection.contains(key)) continue;
    std::string stored = value;
    if (!attempt(key, [&, &name = key] { plug_value(world, vm, name, stored); })) continue;
    config.values[key] = stored;
    config.pending.erase(key);
  }
  write_config(vm);
}

void apply_pending(World& world, Vm& vm, OptionErrors& errors) {
  VmConfig& config = vm.config;
  const auto attempt = [&](const std::string& key, const std::function<void()>& change) {
    try {
      change();
      return true;
    } catch (const ApiError& error) {
      errors[key] = "unable to apply pending change " + key + " : " + error.message + "\n";
    }
    return false;
  };
  const auto deletions = config.pending_delete;
  for (const auto& [key, force] : deletions) {
    const auto change = [&, &name = key, &forced = force] {
      if (!is_drive_name(name) || !config.values.contains(name)) return;
      const auto drive = parse_drive(name, config.values.at(name));
      if (!drive) return;
      if (forced)
        deallocate_drive(world, vm, name, *drive);
      else
        register_unused(world, vm, *drive);
    };
    if (!attempt(key, change)) continue;
    config.values.erase(key);
    config.pending_delete.erase(key);
  }
  cleanup_pending(vm);
  const Section pending = config.pending;
  for (const auto& [key, value] : pending) {
    const auto change = [&, &name = key, &text = value] {
      const auto current = config.values.find(name);
      if (!is_drive_name(name) || current == config.values.end()) return;
      const auto old = parse_drive(name, current->second);
      const auto now = parse_drive(name, text);
      // Fact: the volume the guest had until now becomes unused, even if it is newer than the pending one.
      if (old && now && old->file != now->file) register_unused(world, vm, *old);
    };
    if (!attempt(key, change)) continue;
    config.values[key] = value;
    config.pending.erase(key);
  }
  write_config(vm);
}

void begin_qemu(World& world, Vm& vm) {
  RunningVm running;
  running.effective = vm.config.values;
  running.since = world.now();
  running.pid = static_cast<int>(2000 + world.random() % 30000);
  running.machine = start_machine(world, vm);
  for (const Drive& drive : drives_of(vm.config.values))
    if (drive.has_volume())
      if (const auto found = find_volume(world, drive.file, vm.node)) running.open[drive.slot] = found->ref();
  vm.running = std::move(running);
}

void end_qemu(World& world, Vm& vm) {
  (void)world;
  vm.running.reset();
}

}  // namespace pvesim
