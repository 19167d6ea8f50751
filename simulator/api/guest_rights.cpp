// Rights on single options of a guest (qemu-server 9.2; access control of tags and networks in guest-common).

#include <algorithm>
#include <set>

#include "simulator/api/guest.h"
#include "simulator/api/support.h"
#include "simulator/wire/formats.h"
#include "simulator/world/text.h"
#include "simulator/world/vm_config.h"

namespace pvesim {
namespace {

/// What one option of one guest is asked for.
struct Asked {
  Call& call;
  std::string vm_path = {};
  std::string pool = {};
  std::string key = {}, stem = {};

  /// Fact: a guest made inside a pool takes the rights on the pool as well.
  void on_guest(std::string_view privs) const {
    if (!pool.empty() && has_privilege(call, "/pool/" + pool, privs)) return;
    require_privilege(call, vm_path, privs);
  }
  void on_mapping(const std::string& path) const { require_privilege(call, "/mapping/" + path, "Mapping.Use"); }
};

void check_usb(const Asked& asked, const std::string& value) {
  asked.on_guest("VM.Config.HWType");
  const Section device = parse_properties(value, "host");
  if (const std::string host = config_value(device, "host"); !host.empty()) {
    if (lower_case(host) != "spice") fail("only root can set '" + asked.key + "' config for real devices");
    return;
  }
  if (!device.contains("mapping")) fail("either 'host' or 'mapping' must be set.");
  asked.on_mapping("usb/" + device.at("mapping"));
}

void check_hostpci(const Asked& asked, const std::string& value) {
  const Section device = parse_properties(value, "host");
  if (device.contains("host")) fail("only root can set '" + asked.key + "' config for non-mapped devices");
  if (!device.contains("mapping")) fail("either 'host' or 'mapping' must be set.");
  asked.on_mapping("pci/" + device.at("mapping"));
  asked.on_guest("VM.Config.HWType");
  if (device.contains("romfile")) fail_param(asked.key, "only root@pam can set 'romfile' option");
}

void check_rng(const Asked& asked, const std::string& value) {
  asked.on_guest("VM.Config.HWType");
  if (config_value(parse_properties(value, "source"), "source") == "/dev/hwrng") asked.on_mapping("hwrng");
}

void check_directory(const Asked& asked, const std::string& value) {
  asked.on_guest("VM.Config.Disk");
  asked.on_mapping("dir/" + config_value(parse_properties(value, "dirid"), "dirid"));
}

void check_drive(const Asked& asked, const std::string& value) {
  const auto drive = parse_drive(asked.key, value);
  if (drive && (drive->is_cloudinit() || ends_with(drive->file, ":cloudinit"))) {
    asked.on_guest("VM.Config.Cloudinit");
    asked.on_guest("VM.Config.CDROM");
  } else {
    asked.on_guest(drive && drive->is_cdrom() ? "VM.Config.CDROM" : "VM.Config.Disk");
  }
}

/// Fact: the right is on the VLAN when there is one, on the whole bridge otherwise.
void check_network(const Asked& asked, const std::string& value) {
  const auto net = parse_net(value);
  if (!net || !net->contains("bridge")) return;
  const std::string path = "/sdn/zones/localnetwork/" + net->at("bridge");
  const std::string tag = config_value(*net, "tag");
  const std::string trunks = config_value(*net, "trunks");
  if (!tag.empty()) require_privilege(asked.call, path + "/" + tag, "SDN.Use");
  for (const std::string& range : split_list(trunks)) {
    const auto dash = range.find('-');
    const int first = std::stoi(range.substr(0, dash));
    const int last = dash == std::string::npos ? first : std::stoi(range.substr(dash + 1));
    for (int vlan = first; vlan <= last; ++vlan)
      require_privilege(asked.call, path + "/" + std::to_string(vlan), "SDN.Use");
  }
  if (tag.empty() && trunks.empty()) require_privilege(asked.call, path, "SDN.Use");
}

/// Fact: tags registered in datacenter.cfg need Sys.Modify; others what `user-tag-access` leaves free.
void check_tags(const Asked& asked, const std::string& before, const std::string& after) {
  asked.on_guest("VM.Config.Options");
  Call& call = asked.call;
  if (has_privilege(call, "/", "Sys.Modify")) return;
  const Section access = parse_properties(config_value(call.world.datacenter, "user-tag-access"), "");
  const std::string mode = config_value(access, "user-allow", "free");
  std::multiset<std::string> old_tags;
  std::multiset<std::string> new_tags;
  std::set<std::string> all;
  for (const std::string& tag : split_list(before)) old_tags.insert(tag), all.insert(tag);
  for (const std::string& tag : split_list(after)) new_tags.insert(tag), all.insert(tag);
  std::set<std::string> registered;
  for (const std::string& tag : split_list(config_value(call.world.datacenter, "registered-tags")))
    registered.insert(tag);
  std::set<std::string> allowed;
  if (mode != "none")
    for (const std::string& tag : split_list(config_value(access, "user-allow-list"))) allowed.insert(tag);
  if (mode == "existing")
    for (const auto& [vmid, vm] : call.world.vms)
      if (has_privilege(call, "/vms/" + std::to_string(vmid), "VM.Audit"))
        for (const std::string& tag : split_list(config_value(vm.config.values, "tags"))) allowed.insert(tag);
  for (const std::string& tag : all) {
    if (old_tags.count(tag) == new_tags.count(tag)) continue;
    if (registered.contains(tag) || (mode != "free" && !allowed.contains(tag)))
      throw ApiError{.status = 403,
                     .message = "Permission check failed (/, Sys.Modify for modifying tag '" + tag + "')"};
  }
}

std::string cpu_type(const std::string& value) { return config_value(parse_properties(value, "cputype"), "cputype"); }

}  // namespace

void check_cpu_model(Call& call, const std::string& value, const std::string& before) {
  const std::string type = cpu_type(value);
  if (!starts_with(type, "custom-")) return;
  const std::string name = type.substr(7);
  if (!call.world.cpu_models.contains(name))
    fail_param("cpu", "invalid format - Custom cputype '" + name + "' not found\n\n");
  // Fact: changing only other settings of the CPU needs no right on its model.
  if (!call.session.is_root_ticket() && cpu_type(before) != type)
    require_privilege(call, "/mapping/cpu/" + name, "Mapping.Use");
}

void check_cloned_rights(Call& call, const Section& values) {
  if (call.session.is_root_ticket()) return;
  for (const auto& [key, value] : values) {
    const std::string stem = bus_of(key);
    if (stem == key || is_drive_name(key)) continue;
    const Asked asked{call, {}, {}, key, stem};
    if (stem == "usb" || stem == "hostpci") {
      const Section device = parse_properties(value, "host");
      const bool spice = stem == "usb" && lower_case(config_value(device, "host")) == "spice";
      if (device.contains("host") && !spice)
        fail("only root can set '" + key + "' config for " + (stem == "usb" ? "real" : "non-mapped") + " devices");
      if (device.contains("mapping"))
        asked.on_mapping(std::string(stem == "usb" ? "usb/" : "pci/") + device.at("mapping"));
    } else if (stem == "rng" && config_value(parse_properties(value, "source"), "source") == "/dev/hwrng") {
      asked.on_mapping("hwrng");
    } else if (stem == "virtiofs") {
      asked.on_mapping("dir/" + config_value(parse_properties(value, "dirid"), "dirid"));
    } else if (stem == "net") {
      check_network(asked, value);
    }
  }
  if (values.contains("cpu")) check_cpu_model(call, values.at("cpu"), "");
}

void check_option_rights(Call& call, int vmid, const std::string& key, const std::string& value,
                         const OptionRights& context) {
  if (call.session.is_root_ticket()) return;
  const Asked asked{call, "/vms/" + std::to_string(vmid), context.pool, key, bus_of(key)};
  const bool numbered = asked.stem != key;
  const auto in = [&](std::initializer_list<std::string_view> keys) {
    return std::find(keys.begin(), keys.end(), key) != keys.end();
  };
  const auto stem_in = [&](std::string_view stem) { return numbered && asked.stem == stem; };
  const std::string& old = context.before;
  const auto old_and_new = [&](void (*check)(const Asked&, const std::string&)) {
    if (!old.empty()) check(asked, old);
    if (!value.empty()) check(asked, value);
  };
  if (is_drive_name(key)) {
    // Fact: creating a guest with disks needs no VM.Config.Disk, only space on the storages.
    if (!context.creates) old_and_new(check_drive);
  } else if (stem_in("usb")) {
    old_and_new(check_usb);
  } else if (stem_in("hostpci")) {
    old_and_new(check_hostpci);
  } else if (stem_in("rng")) {
    old_and_new(check_rng);
  } else if (stem_in("virtiofs")) {
    old_and_new(check_directory);
  } else if (stem_in("serial")) {
    const bool sockets = (old.empty() || old == "socket") && (value.empty() || value == "socket");
    if (!sockets)
      fail("only root can " +
           std::string(context.creates ? "set"
                       : value.empty() ? "delete"
                                       : "modify") +
           " '" + key + "' config for real devices");
    asked.on_guest("VM.Config.HWType");
  } else if (key == "tags") {
    check_tags(asked, old, value);
  } else if (stem_in("net")) {
    asked.on_guest("VM.Config.Network");
    old_and_new(check_network);
  } else if (in({"cores", "cpu", "cpulimit", "cpuunits", "numa", "smp", "sockets", "vcpus"}) || stem_in("numa")) {
    asked.on_guest("VM.Config.CPU");
  } else if (in({"memory", "balloon", "shares", "allow-ksm"})) {
    asked.on_guest("VM.Config.Memory");
  } else if (in({"acpi", "hotplug", "kvm", "machine", "scsihw", "smbios1", "tablet", "vga", "watchdog", "audio0"})) {
    asked.on_guest("VM.Config.HWType");
  } else if (in({"cicustom", "cipassword", "citype", "ciuser", "ciupgrade", "nameserver", "searchdomain", "sshkeys"}) ||
             stem_in("ipconfig")) {
    asked.on_guest("VM.Config.Cloudinit|VM.Config.Network");
  } else if (in({"boot", "bootdisk", "vmstatestorage"}) || stem_in("unused")) {
    asked.on_guest("VM.Config.Disk");
    if (key == "vmstatestorage" && !value.empty())
      require_privilege(call, "/storage/" + value, "Datastore.AllocateSpace");
    // Fact: deleting the entry frees the volume, which is a matter of its storage too.
    if (stem_in("unused") && value.empty())
      if (const auto id = parse_volume_id(old))
        require_privilege(call, "/storage/" + id->storage, "Datastore.AllocateSpace");
  } else if (key == "vmstate") {
    asked.on_guest("VM.Config.Disk");
    asked.on_guest("VM.PowerMgmt");
  } else if (key == "freeze") {
    asked.on_guest("VM.PowerMgmt");
  } else if (in({"agent", "autostart", "bios", "description", "keyboard", "localtime", "migrate_downtime",
                 "migrate_speed", "name", "onboot", "ostype", "protection", "reboot", "startdate", "startup", "tdf",
                 "template"})) {
    asked.on_guest("VM.Config.Options");
    // Fact: the order of starts changes what the host does.
    if (key == "startup") require_privilege(call, "/", "Sys.Modify");
  } else {
    fail("only root can set '" + key + "' config");
  }
}

}  // namespace pvesim
