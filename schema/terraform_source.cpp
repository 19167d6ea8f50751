#include "schema/terraform_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "reconciler/base/text.h"
#include "reconciler/model/drive.h"
#include "reconciler/model/guest_options.h"
#include "reconciler/model/option_codec.h"
#include "reconciler/model/settings.h"
#include "schema/yaml_text.h"

namespace pvr {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kBpg = "proxmox_virtual_environment_vm";
constexpr std::string_view kTelmate = "proxmox_vm_qemu";

// How a value of Terraform becomes a text of PVE. An empty text means: not stated.
enum class Form {
  kText,
  kFlag,      // true, 1, "1" → 1
  kPositive,  // zero and below mean: unset
  kList,      // joined by ';'
  kWords,     // joined by blanks
  kLines      // joined by line feeds
};

/// One attribute of a provider, blocks parted by dots: the key of PVE's guest configuration it stands for and, in
/// property strings, the part of it.
struct Row {
  std::string_view from = {};
  std::string_view key = {};
  std::string_view part = {};
  Form form = Form::kText;
};

// Source: the providers' documentation of the two resources.
constexpr Row kBpgRows[] = {
    {"description", "description"},
    {"bios", "bios"},
    {"machine", "machine"},
    {"scsi_hardware", "scsihw"},
    {"tablet_device", "tablet", "", Form::kFlag},
    {"keyboard_layout", "keyboard"},
    {"on_boot", "onboot", "", Form::kFlag},
    {"protection", "protection", "", Form::kFlag},
    {"acpi", "acpi", "", Form::kFlag},
    {"tags", "tags", "", Form::kList},
    {"cpu.cores", "cores"},
    {"cpu.sockets", "sockets"},
    {"cpu.hotplugged", "vcpus", "", Form::kPositive},
    {"cpu.units", "cpuunits", "", Form::kPositive},
    {"cpu.limit", "cpulimit", "", Form::kPositive},
    {"cpu.numa", "numa", "", Form::kFlag},
    {"cpu.type", "cpu", "cputype"},
    {"cpu.flags", "cpu", "flags", Form::kList},
    {"memory.dedicated", "memory"},
    {"memory.floating", "balloon"},
    {"memory.shared", "shares", "", Form::kPositive},
    {"agent.enabled", "agent", "enabled", Form::kFlag},
    {"agent.trim", "agent", "fstrim_cloned_disks", Form::kFlag},
    {"agent.type", "agent", "type"},
    {"operating_system.type", "ostype"},
    {"vga.type", "vga", "type"},
    {"vga.memory", "vga", "memory", Form::kPositive},
    {"vga.clipboard", "vga", "clipboard"},
    {"startup.order", "startup", "order", Form::kPositive},
    {"startup.up_delay", "startup", "up", Form::kPositive},
    {"startup.down_delay", "startup", "down", Form::kPositive},
    {"rng.source", "rng0", "source"},
    {"rng.max_bytes", "rng0", "max_bytes", Form::kPositive},
    {"rng.period", "rng0", "period", Form::kPositive},
};
constexpr Row kTelmateRows[] = {
    {"desc", "description"},
    {"description", "description"},
    {"bios", "bios"},
    {"machine", "machine"},
    {"scsihw", "scsihw"},
    {"tablet", "tablet", "", Form::kFlag},
    {"onboot", "onboot", "", Form::kFlag},
    {"start_at_node_boot", "onboot", "", Form::kFlag},
    {"protection", "protection", "", Form::kFlag},
    {"kvm", "kvm", "", Form::kFlag},
    {"hotplug", "hotplug"},
    {"tags", "tags"},
    {"qemu_os", "ostype"},
    {"memory", "memory"},
    {"balloon", "balloon"},
    {"sockets", "sockets"},
    {"cores", "cores"},
    {"vcpus", "vcpus", "", Form::kPositive},
    {"numa", "numa", "", Form::kFlag},
    {"cpu", "cpu", "cputype"},
    {"cpu_type", "cpu", "cputype"},
    {"cpu.cores", "cores"},
    {"cpu.sockets", "sockets"},
    {"cpu.vcores", "vcpus", "", Form::kPositive},
    {"cpu.units", "cpuunits", "", Form::kPositive},
    {"cpu.limit", "cpulimit", "", Form::kPositive},
    {"cpu.numa", "numa", "", Form::kFlag},
    {"cpu.type", "cpu", "cputype"},
    {"agent", "agent", "enabled", Form::kFlag},
    {"vga.type", "vga", "type"},
    {"vga.memory", "vga", "memory", Form::kPositive},
    {"startup", "startup"},
};
constexpr Row kBpgDisk[] = {
    {"datastore_id", "storage"},
    {"file_format", "format"},
    {"cache", "cache"},
    {"aio", "aio"},
    {"discard", "discard"},
    {"iothread", "iothread", "", Form::kFlag},
    {"ssd", "ssd", "", Form::kFlag},
    {"backup", "backup", "", Form::kFlag},
    {"replicate", "replicate", "", Form::kFlag},
    {"serial", "serial"},
    {"speed.iops_read", "iops_rd", "", Form::kPositive},
    {"speed.iops_read_burstable", "iops_rd_max", "", Form::kPositive},
    {"speed.iops_write", "iops_wr", "", Form::kPositive},
    {"speed.iops_write_burstable", "iops_wr_max", "", Form::kPositive},
    {"speed.read", "mbps_rd", "", Form::kPositive},
    {"speed.read_burstable", "mbps_rd_max", "", Form::kPositive},
    {"speed.write", "mbps_wr", "", Form::kPositive},
    {"speed.write_burstable", "mbps_wr_max", "", Form::kPositive},
};
constexpr Row kTelmateDisk[] = {
    {"storage", "storage"},
    {"format", "format"},
    {"cache", "cache"},
    {"asyncio", "aio"},
    {"iothread", "iothread", "", Form::kFlag},
    {"emulatessd", "ssd", "", Form::kFlag},
    {"ssd", "ssd", "", Form::kFlag},
    {"backup", "backup", "", Form::kFlag},
    {"replicate", "replicate", "", Form::kFlag},
    {"serial", "serial"},
    {"readonly", "ro", "", Form::kFlag},
    {"wwn", "wwn"},
    {"mbps", "mbps", "", Form::kPositive},
    {"mbps_rd", "mbps_rd", "", Form::kPositive},
    {"mbps_rd_max", "mbps_rd_max", "", Form::kPositive},
    {"mbps_wr", "mbps_wr", "", Form::kPositive},
    {"mbps_wr_max", "mbps_wr_max", "", Form::kPositive},
    {"iops_r_concurrent", "iops_rd", "", Form::kPositive},
    {"iops_r_burst", "iops_rd_max", "", Form::kPositive},
    {"iops_wr_concurrent", "iops_wr", "", Form::kPositive},
    {"iops_wr_burst", "iops_wr_max", "", Form::kPositive},
    {"mbps_r_concurrent", "mbps_rd", "", Form::kPositive},
    {"mbps_r_burst", "mbps_rd_max", "", Form::kPositive},
    {"mbps_wr_concurrent", "mbps_wr", "", Form::kPositive},
    {"mbps_wr_burst", "mbps_wr_max", "", Form::kPositive},
};
constexpr Row kNetRows[] = {
    {"model", "model"},
    {"mac_address", "mac"},
    {"macaddr", "mac"},
    {"bridge", "bridge"},
    {"vlan_id", "vlan", "", Form::kPositive},
    {"tag", "vlan", "", Form::kPositive},
    {"firewall", "firewall", "", Form::kFlag},
    {"mtu", "mtu", "", Form::kPositive},
    {"queues", "queues", "", Form::kPositive},
    {"rate_limit", "rate", "", Form::kPositive},
    {"rate", "rate", "", Form::kPositive},
    {"disconnected", "link_down", "", Form::kFlag},
    {"link_down", "link_down", "", Form::kFlag},
    {"trunks", "trunks"},
};
// What the fleet cannot say but a person will want to know of, and what Terraform keeps for itself is not named.
constexpr std::string_view kUnsaid[] = {"kvm_arguments", "args",     "hook_script_file_id",
                                        "hookscript",    "smbios",   "audio_device",
                                        "numa",          "usb",      "usbs",
                                        "pcis",          "watchdog", "cicustom"};

bool is_expression(const Json& value) {
  return value.is_string() && value.get_ref<const std::string&>().find("${") != std::string::npos;
}

/// Blocks come as a list, or in configuration as one object.
std::vector<const Json*> blocks(const Json& in, std::string_view name) {
  std::vector<const Json*> out;
  const auto at = in.find(name);
  if (at == in.end()) return out;
  if (at->is_object()) out.push_back(&*at);
  if (at->is_array()) {
    for (const Json& block : *at)
      if (block.is_object()) out.push_back(&block);
  }
  return out;
}

/// "cpu.type": of the first block of each name. Null: not there.
const Json* value_at(const Json& in, std::string_view path) {
  const Json* here = &in;
  while (true) {
    const auto dot = path.find('.');
    if (dot == std::string_view::npos) break;
    const auto found = blocks(*here, path.substr(0, dot));
    if (found.empty()) return nullptr;
    here = found.front();
    path.remove_prefix(dot + 1);
  }
  const auto at = here->find(path);
  return at == here->end() || at->is_null() ? nullptr : &*at;
}

std::string number_text(double number) {
  return number == std::floor(number) && std::abs(number) < 1e15 ? fmt::format("{:.0f}", number)
                                                                 : fmt::format("{}", number);
}

std::string plain_text(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean()) return value.get<bool>() ? "1" : "0";
  if (value.is_number()) return number_text(value.get<double>());
  return {};
}

std::string text_of(const Json& value, Form form) {
  if (value.is_array()) {
    const std::string_view between = form == Form::kWords ? " " : form == Form::kLines ? "\n" : ";";
    std::string out;
    for (const Json& item : value)
      if (const std::string text = plain_text(item); !text.empty())
        out += (out.empty() ? "" : std::string(between)) + text;
    return out;
  }
  const std::string text = plain_text(value);
  if (form == Form::kFlag) return text == "1" || text == "true" ? "1" : text.empty() ? "" : "0";
  if (form == Form::kPositive) return text.empty() || text == "0" || text.starts_with('-') ? "" : text;
  return text;
}

/// The text of a member, "" where there is none.
std::string member(const Json& object, std::string_view key) {
  const auto at = object.find(key);
  return at == object.end() ? std::string() : plain_text(*at);
}

/// For comments and sentences: one line, whatever a name holds.
std::string one_line(std::string text) {
  std::ranges::replace_if(
      text, [](unsigned char c) { return c < ' '; }, '?');
  return by_number(std::move(text));
}

/// "scsi0", "net1"; anything else is quoted, and refused where the fleet is read.
std::string device_name(const std::string& text) {
  const bool plain = !text.empty() && text.front() >= 'a' && text.front() <= 'z' &&
                     text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789") == std::string::npos;
  return plain ? text : yaml_quoted(text);
}

/// Reads one resource into the lines of one VM.
class Guest {
 public:
  Guest(std::string address, const Json& attributes, bool is_bpg, std::vector<std::string>& remarks)
      : address_(std::move(address)), in_(attributes), is_bpg_(is_bpg), remarks_(remarks) {}

  /// Name in the fleet; "" when it cannot be one.
  [[nodiscard]] std::string name() const {
    const std::string own = text("name");
    if (!own.empty()) return own;
    const auto dot = address_.rfind('.');
    return dot == std::string::npos ? address_ : address_.substr(dot + 1);
  }

  /// Nothing: it cannot be taken over, and a remark says why.
  [[nodiscard]] std::optional<std::string> lines() {
    const std::string vmid = text(is_bpg_ ? "vm_id" : "vmid");
    const std::string id_of_state = text("id");
    std::string number = vmid;
    // Telmate's state: "NODE/qemu/VMID".
    if ((number.empty() || number == "0") && id_of_state.rfind('/') != std::string::npos)
      number = id_of_state.substr(id_of_state.rfind('/') + 1);
    if (number.empty() || number == "0" || number.find_first_not_of("0123456789") != std::string::npos) {
      say("has no vmid; a fleet must name one");
      return std::nullopt;
    }
    if (is_bpg_ && text("template") == "1") {
      say("is a template; a fleet clones templates and does not manage them");
      return std::nullopt;
    }
    add("vmid", number);
    for (const std::string_view key : {"name", "node_name", "target_node", "pool_id", "pool"})
      if (const Json* value = value_at(in_, key); value != nullptr && is_expression(*value))
        say(fmt::format("{} is an expression: {}", key, value->get<std::string>()));
    options();
    add("role", role());
    if (const std::string node = text(is_bpg_ ? "node_name" : "target_node"); !node.empty())
      add("node", yaml_quoted(node));
    if (const std::string pool = text(is_bpg_ ? "pool_id" : "pool"); !pool.empty()) add("pool", yaml_quoted(pool));
    state();
    print_options();
    nets();
    devices();
    boot();
    disks();  // tell the drive of cloud-init
    if (is_bpg_)
      bpg_cloud_init();
    else
      telmate_cloud_init();
    for (const std::string_view key : kUnsaid) {
      const Json* found = value_at(in_, key);
      if (found != nullptr && !found->empty() && !(key == "numa" && !found->is_array()) && plain_text(*found) != "0")
        if (!found->is_string() || !found->get_ref<const std::string&>().empty())
          say(fmt::format("{} is not taken over", key));
    }
    return std::move(out_);
  }

 private:
  void say(const std::string& what) { remarks_.push_back(one_line(fmt::format("{} {}.", address_, what))); }
  void add(std::string_view key, const std::string& value) {
    if (!keys_.emplace(key).second) return say(fmt::format("a second {} is not taken over", key));
    out_ += fmt::format("    {}: {}\n", key, value);
  }

  [[nodiscard]] std::string text(std::string_view path, Form form = Form::kText) const {
    const Json* value = value_at(in_, path);
    if (value == nullptr || is_expression(*value)) return {};
    return text_of(*value, form);
  }

  /// Texts of a table's rows: key → part → text. Expressions are named.
  template <std::size_t N>
  std::map<std::string, std::map<std::string, std::string>> read(const Json& in, const Row (&rows)[N]) {
    std::map<std::string, std::map<std::string, std::string>> out;
    for (const Row& row : rows) {
      const Json* value = value_at(in, row.from);
      if (value == nullptr) continue;
      if (is_expression(*value)) {
        say(fmt::format("{} is an expression: {}", row.from, value->get<std::string>()));
        continue;
      }
      if (value->is_object() || (value->is_array() && !value->empty() && value->front().is_object())) continue;
      if (const std::string found = text_of(*value, row.form); !found.empty())
        out[std::string(row.key)].emplace(row.part, found);
    }
    return out;
  }

  void options() {
    const auto texts = is_bpg_ ? read(in_, kBpgRows) : read(in_, kTelmateRows);
    for (const auto& [key, parts] : texts) {
      std::string whole;
      for (const auto& [part, value] : parts)
        whole += (whole.empty() ? "" : ",") + (part.empty() ? std::string() : part + "=") + value;
      take(key, whole);
    }
  }

  /// Keeps what PVE's own grammar allows, in its own spelling.
  void take(const std::string& key, const std::string& whole) {
    const Setting* setting = find_setting(Home::kVmOption, key);
    if (setting == nullptr) return;
    const Result<OptionValue> value = parse_option(*setting, whole);
    if (!value) return say(fmt::format("{}: \"{}\" is nothing PVE takes", key, whole));
    options_[key] = print_option(*setting, *value);
  }

  void print_options() {
    std::string further;
    for (const auto& [key, value] : options_) {
      const Setting* setting = find_setting(Home::kVmOption, key);
      if (setting->kind == ValueKind::kInteger && key != "memory" && key != "balloon")
        add(key, value);
      else if (setting->kind == ValueKind::kBool)
        add(key, value == "1" ? "true" : "false");
      else
        further += fmt::format("      {}: {}\n", key, yaml_quoted(value));
    }
    if (!further.empty()) out_ += "    options:\n" + further;
  }

  [[nodiscard]] std::string role() const {
    const auto ostype = options_.find("ostype");
    const bool windows = ostype != options_.end() && os_of_type(ostype->second, GuestOs::kOther) == GuestOs::kWindows;
    const bool tied = !blocks(in_, "hostpci").empty();
    return fmt::format("{}-{}", tied ? "specialty" : "generalized", windows ? "windows" : "linux");
  }

  void state() {
    const std::string started = is_bpg_ ? text("started", Form::kFlag) : text("vm_state");
    if (started == "1" || started == "running" || started == "started") add("state", "running");
    if (started == "0" || started == "stopped") add("state", "stopped");
  }

  void nets() {
    const auto found = blocks(in_, is_bpg_ ? "network_device" : "network");
    std::string lines;
    for (std::size_t i = 0; i < found.size(); ++i) {
      const std::string id = member(*found[i], "id");
      const std::string slot = device_name(fmt::format("net{}", is_bpg_ || id.empty() ? std::to_string(i) : id));
      if (!nets_.insert(slot).second) {
        say(fmt::format("a second {} is not taken over", slot));
        continue;
      }
      std::string entry = fmt::format("slot: {}", slot);
      for (const auto& [key, parts] : read(*found[i], kNetRows)) {
        const std::string& value = parts.begin()->second;
        const bool flag = key == "firewall" || key == "link_down";
        if (flag && value == "0") continue;
        entry += fmt::format(", {}: {}", key, flag ? "true" : quoted_unless_number(value));
      }
      lines += fmt::format("      {}: {{{}}}\n", slot, entry);
    }
    if (!lines.empty()) out_ += "    nets:\n" + lines;
  }

  [[nodiscard]] static std::string quoted_unless_number(const std::string& value) {
    return value.find_first_not_of("0123456789.") == std::string::npos ? value : yaml_quoted(value);
  }

  void devices() {
    std::string lines;
    for (const Json* device : blocks(in_, "hostpci")) {
      const std::string mapping = member(*device, "mapping");
      const std::string slot = member(*device, "device");
      if (mapping.empty()) {
        say(fmt::format("{} is a device by address; a fleet names a cluster mapping", slot.empty() ? "hostpci" : slot));
        continue;
      }
      std::string entry = fmt::format("slot: {}, mapping: {}", device_name(slot), yaml_quoted(mapping));
      if (member(*device, "pcie") == "1") entry += ", pcie: true";
      if (member(*device, "xvga") == "1") entry += ", x-vga: true";
      if (plain_text(device->value("rombar", Json(true))) == "0") entry += ", rombar: false";
      lines += fmt::format("      - {{{}}}\n", entry);
    }
    if (!lines.empty()) out_ += "    hostpci:\n" + lines;
    lines.clear();
    for (const Json* port : blocks(in_, is_bpg_ ? "serial_device" : "serial")) {
      const std::string what = plain_text(port->value(is_bpg_ ? "device" : "type", Json("socket")));
      if (what == "socket" || what.empty())
        lines += (lines.empty() ? "" : ", ") + std::string("socket");
      else
        say(fmt::format("the serial port {} of the node is not taken over", what));
    }
    if (!lines.empty()) add("serial", "[" + lines + "]");
  }

  void boot() {
    std::string order = is_bpg_ ? text("boot_order", Form::kList) : text("boot");
    if (order.starts_with("order=")) order.erase(0, 6);
    if (order.empty()) return;
    std::string list;
    for (std::size_t at = 0; at < order.size();) {
      const std::size_t end = std::min(order.find(';', at), order.size());
      const std::string slot = order.substr(at, end - at);
      if (!parse_slot(slot) && !slot.starts_with("net")) return;  // "cdn": the old form
      list += (list.empty() ? "" : ", ") + device_name(slot);
      at = end + 1;
    }
    add("boot", "[" + list + "]");
  }

  void cloud_init(const std::string& entry) {
    if (!entry.empty()) out_ += "    cloud_init:\n" + entry;
  }

  [[nodiscard]] static std::string list_of(const std::string& text, char between) {
    std::string list;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = std::min(text.find(between, at), text.size());
      if (const std::string item = text.substr(at, end - at); !item.empty())
        list += (list.empty() ? "" : ", ") + yaml_quoted(item);
      at = end + 1;
    }
    return "[" + list + "]";
  }

  void bpg_cloud_init() {
    const auto found = blocks(in_, "initialization");
    if (found.empty()) return;
    const Json& init = *found.front();
    const auto of = [&](std::string_view path, Form form = Form::kText) {
      const Json* value = value_at(init, path);
      return value == nullptr || is_expression(*value) ? std::string() : text_of(*value, form);
    };
    std::string out;
    const auto put = [&out](std::string_view key, const std::string& value) {
      if (!value.empty()) out += fmt::format("      {}: {}\n", key, value);
    };
    const auto put_text = [&](std::string_view key, const std::string& value) {
      if (!value.empty()) put(key, yaml_quoted(value));
    };
    put_text("slot", of("interface"));
    put_text("storage", of("datastore_id"));
    put_text("type", of("type"));
    put_text("user", of("user_account.username"));
    if (const std::string keys = of("user_account.keys", Form::kLines); !keys.empty())
      put("ssh_keys", list_of(keys, '\n'));
    dns(out, of("dns.servers", Form::kWords), of("dns.domain"));
    if (value_at(init, "user_account.password") != nullptr && !of("user_account.password").empty())
      say("has a cloud-init password, which a fleet file never holds; it stays as it is on the VM");
    for (const std::string_view data :
         {"user_data_file_id", "network_data_file_id", "vendor_data_file_id", "meta_data_file_id"})
      if (!of(data).empty()) say(fmt::format("initialization.{} is not taken over: see cloud_init.custom", data));
    std::string addresses;
    const auto ips = blocks(init, "ip_config");
    for (std::size_t i = 0; i < ips.size(); ++i) {
      const auto part = [&](std::string_view path) {
        const Json* value = value_at(*ips[i], path);
        return value == nullptr || is_expression(*value) ? std::string() : plain_text(*value);
      };
      address(addresses, i, part("ipv4.address"), part("ipv4.gateway"), part("ipv6.address"), part("ipv6.gateway"));
    }
    if (!addresses.empty()) out += "      ip:\n" + addresses;
    cloud_init(out);
  }

  void address(std::string& out, std::size_t number, const std::string& ip, const std::string& gw,
               const std::string& ip6, const std::string& gw6) {
    const std::string net = fmt::format("net{}", number);
    if (!nets_.contains(net)) return say(fmt::format("states an address of {}, which it does not have", net));
    std::string entry;
    for (const auto& [key, value] : {std::pair{"ip", ip}, {"gw", gw}, {"ip6", ip6}, {"gw6", gw6}})
      if (!value.empty()) entry += fmt::format("{}{}: {}", entry.empty() ? "" : ", ", key, yaml_quoted(value));
    if (!entry.empty()) out += fmt::format("        {}: {{{}}}\n", net, entry);
  }

  static void dns(std::string& out, const std::string& servers, const std::string& domain) {
    if (servers.empty() && domain.empty()) return;
    std::string entry;
    if (!servers.empty()) entry = "servers: " + list_of(servers, ' ');
    if (!domain.empty()) entry += fmt::format("{}domain: {}", entry.empty() ? "" : ", ", yaml_quoted(domain));
    out += fmt::format("      dns: {{{}}}\n", entry);
  }

  void telmate_cloud_init() {
    std::string out;
    if (!cloud_init_slot_.empty()) out += fmt::format("      slot: {}\n", device_name(cloud_init_slot_));
    if (const std::string user = text("ciuser"); !user.empty())
      out += fmt::format("      user: {}\n", yaml_quoted(user));
    if (const std::string keys = text("sshkeys"); !keys.empty())
      out += fmt::format("      ssh_keys: {}\n", list_of(keys, '\n'));
    if (!text("cipassword").empty())
      say("has a cloud-init password, which a fleet file never holds; it stays as it is on the VM");
    dns(out, text("nameserver"), text("searchdomain"));
    std::string addresses;
    const Setting* setting = find_setting(Home::kVmOption, "ipconfig0");
    for (std::size_t i = 0; i < 16; ++i) {
      const std::string whole = text(fmt::format("ipconfig{}", i));
      if (whole.empty()) continue;
      const Result<OptionValue> value = parse_option(*setting, whole);
      const auto* parts = value ? std::get_if<PropertyString>(&*value) : nullptr;
      if (parts == nullptr) {
        say(fmt::format("ipconfig{}: \"{}\" is nothing PVE takes", i, whole));
        continue;
      }
      const auto part = [&](std::string_view key) {
        const std::string* found = parts->find(key);
        return found != nullptr ? *found : std::string();
      };
      address(addresses, i, part("ip"), part("gw"), part("ip6"), part("gw6"));
    }
    if (!addresses.empty()) out += "      ip:\n" + addresses;
    cloud_init(out);
  }

  void small_disk(std::string_view name, const Json& block, std::string_view storage, std::string_view version) {
    std::string entry;
    if (const std::string on = member(block, storage); !on.empty()) entry = fmt::format("storage: {}", yaml_quoted(on));
    const std::string kind = member(block, version);
    if (!kind.empty())
      entry +=
          fmt::format("{}{}: {}", entry.empty() ? "" : ", ", name == "tpm" ? "version" : "efitype", yaml_quoted(kind));
    add(name, entry.empty() ? "true" : "{" + entry + "}");
  }

  void disks() {
    for (const Json* block : blocks(in_, is_bpg_ ? "efi_disk" : "efidisk"))
      small_disk("efidisk", *block, is_bpg_ ? "datastore_id" : "storage", is_bpg_ ? "type" : "efitype");
    for (const Json* block : blocks(in_, "tpm_state"))
      small_disk("tpm", *block, is_bpg_ ? "datastore_id" : "storage", "version");
    if (is_bpg_) {
      for (const Json* block : blocks(in_, "disk")) disk(member(*block, "interface"), *block, read(*block, kBpgDisk));
      for (const Json* block : blocks(in_, "cdrom"))
        medium(plain_text(block->value("interface", Json("ide3"))), member(*block, "file_id"));
    } else {
      telmate_disks();
    }
    if (!disks_.empty()) out_ += "    disks:\n" + disks_;
  }

  /// Three forms over the years: `disk` with a type and a running number, `disk` with its slot, and `disks` by bus and
  /// slot.
  void telmate_disks() {
    std::map<std::string, int> next;
    for (const Json* block : blocks(in_, "disk")) {
      const std::string type = member(*block, "type");
      std::string slot = member(*block, "slot");
      if (type == "cdrom") {
        medium(slot, member(*block, "iso"));
      } else if (type == "cloudinit") {
        cloud_init_slot_ = slot;
      } else {
        if (!parse_slot(slot)) slot = fmt::format("{}{}", type.empty() ? "scsi" : type, next[type]++);
        disk(slot, *block, read(*block, kTelmateDisk));
      }
    }
    for (const Json* buses : blocks(in_, "disks")) {
      for (const std::string_view bus : {"ide", "sata", "scsi", "virtio"}) {
        for (const Json* slots : blocks(*buses, bus)) {
          for (const auto& [slot, entry] : slots->items()) {
            for (const Json* holder : blocks(*slots, slot)) {
              for (const Json* block : blocks(*holder, "disk")) disk(slot, *block, read(*block, kTelmateDisk));
              for (const Json* block : blocks(*holder, "cdrom")) medium(slot, member(*block, "iso"));
              if (!blocks(*holder, "cloudinit").empty()) cloud_init_slot_ = slot;
              if (!blocks(*holder, "passthrough").empty())
                say(fmt::format("{} is a device of the node passed through; see disks.*.device", slot));
            }
          }
        }
      }
    }
  }

  void medium(const std::string& slot, const std::string& volume) {
    if (volume.empty() || volume == "none" || volume == "cdrom") return;
    add("iso", fmt::format("{{volume: {}, slot: {}}}", yaml_quoted(volume), slot.empty() ? "ide2" : device_name(slot)));
  }

  void disk(const std::string& slot, const Json& block,
            const std::map<std::string, std::map<std::string, std::string>>& texts) {
    const auto parsed = parse_slot(slot);
    if (!parsed || !is_disk_bus(parsed->bus)) return say(fmt::format("a disk has no slot that is known: \"{}\"", slot));
    const bool first = disk_slots_.empty();
    if (!disk_slots_.insert(slot).second) return say(fmt::format("a second disk on {} is not taken over", slot));
    const std::string bus = slot.substr(0, slot.find_first_of("0123456789"));
    std::string lines;
    const auto put = [&lines](std::string_view key, const std::string& value) {
      lines += fmt::format("        {}: {}\n", key, value);
    };
    put("slot", slot);
    if (const std::string size = size_of(block); !size.empty()) put("size", size);
    for (const auto& [key, parts] : texts) {
      const std::string& value = parts.begin()->second;
      const Setting* setting = find_setting(Home::kDriveOption, key);
      if (setting == nullptr) setting = find_setting(Home::kDiskPlace, key);
      if (setting == nullptr) continue;
      if (!setting->buses.empty() && !list_holds(setting->buses, bus)) {
        if (value != "0") say(fmt::format("{}: {} is not for disks on {}", slot, key, bus));
        continue;
      }
      const Result<OptionValue> read = parse_option(*setting, value);
      if (!read) {
        say(fmt::format("{}: {}=\"{}\" is nothing PVE takes", slot, key, value));
        continue;
      }
      const bool flag = setting->kind == ValueKind::kBool;
      put(key, flag ? (value == "1" ? "true" : "false") : quoted_unless_number(value));
    }
    if (const std::string discard = member(block, "discard"); !is_bpg_ && !discard.empty())
      put("discard", discard == "1" || discard == "on" ? "on" : "ignore");
    disks_ += fmt::format("      {}:\n{}", first ? "root" : slot, lines);
  }

  /// bpg: whole GiB; Telmate: "32G", or whole GiB.
  [[nodiscard]] static std::string size_of(const Json& block) {
    const auto at = block.find("size");
    if (at == block.end()) return {};
    const std::string text = plain_text(*at);
    if (text.empty() || text == "0" || text.find('$') != std::string::npos) return {};
    if (text.find_first_not_of("0123456789") == std::string::npos) return text + "GiB";
    const auto size = parse_disk_size(text);
    return size ? to_text(*size) : std::string();
  }

  std::string address_;
  const Json& in_;
  bool is_bpg_;
  std::vector<std::string>& remarks_;
  std::string out_ = {};
  std::set<std::string> keys_ = {};  // of the lines that add() wrote
  std::string disks_ = {};
  std::string cloud_init_slot_ = {};
  std::map<std::string, std::string> options_ = {};  // PVE's key → PVE's text
  std::set<std::string> nets_ = {};
  std::set<std::string> disk_slots_ = {};
};

struct Resource {
  std::string address = {};
  const Json* attributes = nullptr;
  bool is_bpg = false;
};

std::vector<Resource> of_state(const Json& state) {
  std::vector<Resource> out;
  for (const Json& resource : state["resources"]) {
    if (!resource.is_object() || member(resource, "mode") == "data") continue;
    const std::string type = member(resource, "type");
    if (type != kBpg && type != kTelmate) continue;
    const std::string module = member(resource, "module");
    for (const Json* instance : blocks(resource, "instances")) {
      const auto attributes = instance->find("attributes");
      if (attributes == instance->end() || !attributes->is_object()) continue;
      std::string address = fmt::format("{}{}{}.{}", module, module.empty() ? "" : ".", type, member(resource, "name"));
      if (const auto index = instance->find("index_key"); index != instance->end())
        address += "[" + index->dump() + "]";
      out.push_back({std::move(address), &*attributes, type == kBpg});
    }
  }
  return out;
}

std::vector<Resource> of_configuration(const Json& configuration) {
  std::vector<Resource> out;
  for (const Json* resources : blocks(configuration, "resource")) {
    for (const std::string_view type : {kBpg, kTelmate}) {
      for (const Json* named : blocks(*resources, type)) {
        for (const auto& [name, entry] : named->items()) {
          for (const Json* attributes : blocks(*named, name))
            out.push_back({fmt::format("{}.{}", type, name), attributes, type == kBpg});
        }
      }
    }
  }
  return out;
}

}  // namespace

Result<ConvertedFleet> fleet_from_terraform(std::string_view text) {
  const auto refuse = [](std::string what) { return Error{.kind = ErrorKind::kRejected, .message = std::move(what)}; };
  const Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded() || !json.is_object())
    return refuse(
        "this is no JSON object: a state file (terraform state pull) or configuration in JSON (*.tf.json) is wanted");
  std::vector<Resource> resources;
  if (json.contains("resources") && json["resources"].is_array()) {
    if (const auto version = json.find("version"); version != json.end() && *version != 4)
      return refuse(fmt::format("state files of version 4 are known, this one has {}", version->dump()));
    resources = of_state(json);
  } else if (json.contains("resource")) {
    resources = of_configuration(json);
  } else {
    return refuse("this is neither a state file of Terraform nor configuration in JSON");
  }
  if (resources.empty()) return refuse(fmt::format("there is no resource of type {} or {} in it", kBpg, kTelmate));
  ConvertedFleet out;
  std::map<std::string, std::string> vms;
  for (const Resource& resource : resources) {
    Guest guest(resource.address, *resource.attributes, resource.is_bpg, out.remarks);
    const std::string name = guest.name();
    const auto lines = guest.lines();
    if (!lines) continue;
    if (vms.contains(name)) {
      out.remarks.push_back(
          one_line(fmt::format("{} has the name {} of another VM, so it is left out.", resource.address, name)));
      continue;
    }
    vms[name] = fmt::format("  {}:  # {}\n{}", yaml_quoted(name), one_line(resource.address), *lines);
  }
  std::ranges::sort(out.remarks);
  out.vms = vms.size();
  out.text = "# Converted from Terraform. It says what Terraform states: look at a plan before anything is applied.\n";
  for (const std::string& remark : out.remarks) out.text += "# Not taken over: " + remark + "\n";
  out.text += "version: 1\nvms:";
  if (vms.empty()) out.text += " {}";
  out.text += "\n";
  for (const auto& [name, lines] : vms) out.text += lines;
  return out;
}

}  // namespace pvr
