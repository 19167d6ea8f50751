// GET/PUT/POST config, pending, unlink (qemu-server 9.2).

#include <algorithm>
#include <set>

#include "simulator/api/guest.h"
#include "simulator/api/qemu_actions.h"
#include "simulator/api/spec_text.h"
#include "simulator/api/support.h"
#include "simulator/wire/formats.h"
#include "simulator/world/running.h"
#include "simulator/world/text.h"
#include "simulator/world/vm_config.h"

namespace pvesim {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

constexpr std::string_view kConfigPrivs =
    "VM.Config.Disk|VM.Config.CDROM|VM.Config.CPU|VM.Config.Memory|VM.Config.Network|VM.Config.HWType|VM.Config."
    "Options|"
    "VM.Config.Cloudinit";

/// The schema of an option by its name; null for keys the schema does not have.
const ParamSpec* option_spec(std::string_view key) {
  static const std::map<std::string, const ParamSpec*, std::less<>> kByName = [] {
    std::map<std::string, const ParamSpec*, std::less<>> all;
    for (const ParamSpec& spec : qemu_specs().block("vm-options")) {
      if (spec.family == 0) {
        all[spec.name] = &spec;
        continue;
      }
      const std::string stem = spec.name.substr(0, spec.name.find('['));
      for (int i = 0; i < spec.family; ++i) all[stem + std::to_string(i)] = &spec;
    }
    return all;
  }();
  const auto found = kByName.find(key);
  return found == kByName.end() ? nullptr : found->second;
}

/// Fact: schema integers and booleans are JSON numbers; everything else, also schema numbers, is text.
json value_json(std::string_view key, const std::string& value) {
  static const std::set<std::string, std::less<>> kNumbers = {"snaptime"};
  const ParamSpec* spec = option_spec(key);
  const bool number =
      kNumbers.contains(key) || (spec != nullptr && (spec->type == "integer" || spec->type == "boolean"));
  if (number && is_integer_text(value)) return std::stoll(value);
  if (key == "cipassword") return "**********";
  return value;
}

json section_with_digest(const Section& values, const std::string& digest) {
  json out = json::object();
  for (const auto& [key, value] : values) out[key] = value_json(key, value);
  if (!digest.empty()) out["digest"] = digest;
  return out;
}

json get_config(Call& call) {
  const Vm& vm = call_vm(call);
  const std::string* snapshot = find_param(call.params, "snapshot");
  if (snapshot != nullptr) {
    if (given(call.params, "current")) fail_param("snapshot", "cannot use 'snapshot' parameter with 'current'");
    const auto found = vm.config.snapshots.find(*snapshot);
    if (found == vm.config.snapshots.end()) fail("snapshot '" + *snapshot + "' does not exist");
    return section_with_digest(found->second, config_digest(vm));
  }
  const Section values = flag_or(call.params, "current", false) ? vm.config.values : with_pending(vm.config);
  return section_with_digest(values, config_digest(vm));
}

json get_pending(Call& call) {
  const Vm& vm = call_vm(call);
  json rows = json::array();
  const auto& config = vm.config;
  for (const auto& [key, value] : config.values) {
    json row = {{"key", key}, {"value", value_json(key, value)}};
    if (const auto pending = config.pending.find(key); pending != config.pending.end())
      row["pending"] = value_json(key, pending->second);
    if (const auto gone = config.pending_delete.find(key); gone != config.pending_delete.end())
      row["delete"] = gone->second ? 2 : 1;
    rows.push_back(std::move(row));
  }
  for (const auto& [key, value] : config.pending)
    if (!config.values.contains(key)) rows.push_back({{"key", key}, {"pending", value_json(key, value)}});
  for (const auto& [key, force] : config.pending_delete)
    if (!config.values.contains(key) && !config.pending.contains(key))
      rows.push_back({{"key", key}, {"delete", force ? 2 : 1}});
  rows.push_back({{"key", "digest"}, {"value", config_digest(vm)}});
  shuffle(call.world, rows);
  return rows;
}

// ------------------------------------------------------------------------------------------------ update

struct Update {
  int vmid = 0;
  std::string node = {};
  Section set = {};
  std::vector<std::string> remove = {};
  std::set<std::string> revert = {};
  std::string digest = {};
  bool force = false;
  bool skip_lock = false;
  std::string shown = {};  // "-cores 2 -delete net0"
  std::set<std::string> modified = {};
};

bool is_update_key(std::string_view key) {
  return key != "node" && key != "vmid" && key != "digest" && key != "delete" && key != "revert" && key != "force" &&
         key != "skiplock" && key != "background_delay" && key != "import-working-storage";
}

std::string printed_bootorder(const std::vector<std::string>& order) {
  if (order.empty()) return " ";
  std::string out = "order=";
  for (std::size_t i = 0; i < order.size(); ++i) out += (i > 0 ? ";" : "") + order[i];
  return out;
}

std::string stored_net(World& world, const std::string& value) {
  auto net = parse_net(value);
  if (!net) return value;
  // Fact: a net device without a MAC gets a new one, also on update.
  if (!net->contains("macaddr")) (*net)["macaddr"] = world.random_mac();
  return print_net(*net);
}

void check_state(const Vm& vm, const Update& update) {
  if (!update.digest.empty() && update.digest != config_digest(vm))
    fail("checksum mismatch (file change by other user?)");
  if (!update.skip_lock) require_unlocked(vm);
}

void check_balloon(const Vm& vm, const Update& update) {
  if (!update.set.contains("memory") && !update.set.contains("balloon")) return;
  Section merged = with_pending(vm.config);
  for (const char* key : {"memory", "balloon"})
    if (const auto found = update.set.find(key); found != update.set.end()) merged[key] = found->second;
  if (!merged.contains("balloon")) return;
  if (config_number(merged, "balloon", 0) > memory_mib(merged))
    fail("balloon value too large (must be smaller than assigned memory)");
}

std::shared_ptr<Update> read_update(Call& call) {
  auto update = std::make_shared<Update>();
  update->vmid = call_vmid(call);
  update->node = call.node;
  update->digest = text_or(call.params, "digest", "");
  update->skip_lock = root_only_flag(call, "skiplock");
  update->force = flag_or(call.params, "force", false);
  for (const auto& [key, value] : call.params)
    if (is_update_key(key)) update->set[key] = value;
  if (update->set.empty() && !given(call.params, "delete") && !given(call.params, "revert"))
    fail("no options specified");
  for (const auto& [key, value] : call.params)
    if (is_update_key(key) || key == "delete" || key == "revert" || key == "force")
      update->shown += " -" + key + " " + (key == "cipassword" ? "<hidden>" : value);
  if (const auto keys = update->set.find("sshkeys"); keys != update->set.end() && !valid_ssh_keys(keys->second))
    fail("SSH public key validation error");
  if (const auto cdrom = update->set.find("cdrom"); cdrom != update->set.end()) {
    if (update->set.contains("ide2")) fail_param("cdrom", "conflicts with ide2");
    update->set["ide2"] = cdrom->second;
    update->set.erase("cdrom");
  }
  const auto both = [](const std::string& key, const std::string& how) {
    return "you can't use '-" + key + "' and -" + how + " " + key + "' at the same time";
  };
  for (const std::string& key : split_list(text_or(call.params, "revert", ""))) {
    if (option_spec(key) == nullptr) fail_param("revert", "unknown option '" + key + "'");
    if (update->set.contains(key)) fail_param("delete", both(key, "revert"));
    update->revert.insert(key);
  }
  for (std::string key : split_list(text_or(call.params, "delete", ""))) {
    if (key == "cdrom") key = "ide2";
    if (update->set.contains(key)) fail_param("delete", both(key, "delete"));
    if (update->revert.contains(key)) fail_param("revert", both(key, "delete"));
    if (option_spec(key) == nullptr && key != "vmstate") fail_param("delete", "unknown option '" + key + "'");
    update->remove.push_back(key);
  }
  World& world = call.world;
  for (auto& [key, value] : update->set) {
    if (is_drive_name(key)) value = checked_drive(world, update->vmid, key, value);
    if (bus_of(key) == "net" && key != "net") value = stored_net(world, value);
    if (key == "vmgenid" && value == "1") value = world.random_uuid();
    if (key == "tags") value = stored_tags(world, value);
    if (key == "cipassword" && !starts_with(value, "$")) value = "$5$" + world.random_hex(8) + "$" + digest_of(value);
    if (key == "cpuunits") value = std::to_string(std::min<std::int64_t>(std::stoll(value), 10000));
  }
  const Vm& vm = call_vm(call);
  const auto before = [&](const std::string& key) {
    return config_value(vm.config.values, key, config_value(vm.config.pending, key));
  };
  for (const std::string& key : update->remove)
    check_option_rights(call, update->vmid, key, "", {.before = before(key)});
  for (const auto& [key, value] : update->set) {
    // Fact: for drives the storage is asked about first, the guest later.
    if (is_drive_name(key)) check_drive_access(call, update->vmid, key, value, "");
    check_option_rights(call, update->vmid, key, value, {.before = config_value(vm.config.values, key)});
    if (key == "cpu") check_cpu_model(call, value, config_value(vm.config.values, key));
  }
  return update;
}

void delete_option_in(World& world, Vm& vm, Update& update, const std::string& key) {
  VmConfig& config = vm.config;
  update.modified.insert(key);
  const bool was_pending = config.pending.contains(key);
  const std::string value = config.values.contains(key) ? config.values.at(key) : config_value(config.pending, key);
  if (!config.values.contains(key) && !was_pending) {
    update.modified.erase(key);  // only a warning
    return;
  }
  config.pending.erase(key);
  auto order = boot_order(with_pending(config));
  const bool order_deleted = std::find(update.remove.begin(), update.remove.end(), "boot") != update.remove.end();
  if (const auto place = std::find(order.begin(), order.end(), key);
      !order_deleted && place != order.end() && starts_with(config_value(with_pending(config), "boot"), "order=")) {
    order.erase(place);
    config.pending["boot"] = printed_bootorder(order);
    update.modified.insert("boot");
  }
  const bool is_protected = config_value(config.values, "protection") == "1";
  if (is_unused_name(key)) {
    const Drive drive = parse_drive(key, value).value_or(Drive{});
    if (is_protected) fail("can't remove unused disk '" + drive.file + "' - protection mode enabled");
    deallocate_drive(world, vm, key, drive);
    config.values.erase(key);
  } else if (is_drive_name(key)) {
    if (is_protected) fail("can't remove drive '" + key + "' - protection mode enabled");
    if (was_pending)
      if (const auto drive = parse_drive(key, value)) {
        const auto current = config.values.find(key);
        const auto old = current == config.values.end() ? std::nullopt : parse_drive(key, current->second);
        if (!old || old->file != drive->file) register_unused(world, vm, *drive);
      }
    config.pending_delete[key] = update.force;
  } else if (key == "tags") {
    config.values.erase(key);
  } else {
    config.pending_delete[key] = update.force;
  }
  write_config(vm);
}

/// Fact: the file is only written when the option went through; a refusal leaves it as it was.
void delete_option(World& world, Vm& vm, Update& update, const std::string& key) {
  const VmConfig before = vm.config;
  try {
    delete_option_in(world, vm, update, key);
  } catch (const ApiError&) {
    vm.config = before;
    throw;
  }
}

void store_pending(Vm& vm, Update& update, const std::string& key, const std::string& value) {
  VmConfig& config = vm.config;
  config.pending[key] = value;
  if (key == "boot" && starts_with(value, "order=")) {
    std::vector<std::string> devices;
    for (const std::string& device : split_at(std::string_view(value).substr(6), ';')) {
      if (device.empty()) continue;
      const bool exists =
          config.values.contains(device) || config.pending.contains(device) || update.set.contains(device);
      const bool removed = std::find(update.remove.begin(), update.remove.end(), device) != update.remove.end();
      if (!exists || removed) {
        config.pending.erase(key);
        fail("invalid bootorder: device '" + device + "' does not exist'");
      }
      devices.push_back(device);
    }
    config.pending[key] = printed_bootorder(devices);
    if (config.values.contains("bootdisk")) config.pending_delete["bootdisk"] = false;
  }
  config.pending_delete.erase(key);
  write_config(vm);
}

/// Fact: the version of an existing TPM state is fixed; v1.2 when it is not written.
void check_tpm_version(const Vm& vm, const std::string& value) {
  const auto old = parse_drive("tpmstate0", config_value(vm.config.values, "tpmstate0"));
  const auto now = parse_drive("tpmstate0", value);
  if (old && now && old->file == now->file && old->get("version", "v1.2") != now->get("version", "v1.2"))
    fail("cannot change TPM state version after creation");
}

void set_drive(const std::shared_ptr<Work>& work, const std::shared_ptr<Update>& update, const std::string& key,
               const std::string& value) {
  World& world = work->world();
  auto allocated = std::make_shared<std::vector<std::string>>();
  work->on_failure([&world, update, allocated](ApiError&) { free_all(world, update->node, allocated); });
  DiskRequest request;
  request.vmid = update->vmid;
  request.node = update->node;
  request.slot = key;
  request.value = value;
  add_disk_steps(work, request, allocated, [work, update, key, allocated](const std::string& stored) {
    World& w = work->world();
    Vm& guest = w.vm_on(update->node, update->vmid);
    VmConfig& config = guest.config;
    // What was pending here before becomes unused, unless the running guest has it.
    if (const auto pending = config.pending.find(key); pending != config.pending.end()) {
      const auto old = parse_drive(key, pending->second);
      const auto now = parse_drive(key, stored);
      const auto current = config.values.find(key);
      const auto active = current == config.values.end() ? std::nullopt : parse_drive(key, current->second);
      if (old && (!now || now->file != old->file) && (!active || active->file != old->file))
        register_unused(w, guest, *old);
    }
    config.pending[key] = stored;
    allocated->clear();  // from here on the config names them
    auto order = boot_order(with_pending(config));
    const auto drive = parse_drive(key, stored);
    if (drive && drive->is_cdrom() && !order.empty() &&
        starts_with(config_value(with_pending(config), "boot"), "order=") &&
        std::find(order.begin(), order.end(), key) == order.end()) {
      order.push_back(key);
      config.pending["boot"] = printed_bootorder(order);
      update->modified.insert("boot");
    }
    config.pending_delete.erase(key);
    write_config(guest);
  });
}

void apply(World& world, const Update& update) {
  Vm& vm = world.vm_on(update.node, update.vmid);
  cleanup_pending(vm);
  write_config(vm);
  if (vm.config.pending.empty() && vm.config.pending_delete.empty()) return;
  OptionErrors errors;
  if (vm.running)
    hotplug_pending(world, vm, update.modified, errors);
  else
    apply_pending(world, vm, errors);
  if (!errors.empty()) {
    ApiError error{.status = 400, .message = "Parameter verification failed."};
    for (const auto& [key, text] : errors) error.errors[key] = text;
    throw error;
  }
}

std::shared_ptr<Work> update_work(World& world, const std::shared_ptr<Update>& update) {
  auto work = std::make_shared<Work>(world);
  Work* raw = work.get();
  work->then("announce",
             [raw, update] { raw->log("update VM " + std::to_string(update->vmid) + ":" + update->shown); });
  work->lock(vm_lock_file(update->vmid), kFlockPatience);
  work->then("check", [raw, update] {
    World& w = raw->world();
    Vm& vm = w.vm_on(update->node, update->vmid);
    check_state(vm, *update);
    check_balloon(vm, *update);
    if (!w.quorate())
      fail("unable to open file '/etc/pve/nodes/" + update->node + "/qemu-server/" + std::to_string(update->vmid) +
           ".conf.tmp." + std::to_string(w.random() % 30000 + 1000) + "' - Permission denied");
    for (const std::string& key : update->revert) {
      if (const auto current = vm.config.values.find(key); current != vm.config.values.end())
        update->set[key] = current->second;
      else if (vm.config.pending.contains(key))
        update->remove.push_back(key);
    }
    for (const std::string& key : update->remove) {
      std::string storage;
      if (is_unused_name(key))
        if (const auto id = parse_volume_id(config_value(vm.config.values, key))) storage = id->storage;
      // Fact: freeing a volume takes the lock of its storage.
      if (!storage.empty()) raw->lock_storage(storage);
      raw->then("delete-" + key, [raw, update, key] {
        World& inner = raw->world();
        delete_option(inner, inner.vm_on(update->node, update->vmid), *update, key);
      });
      if (!storage.empty()) raw->then("unlock", [raw, storage] { raw->unlock_storage(storage); });
    }
    // Fact: the order of a Perl hash; two allocations in one request get unpredictable numbers.
    std::vector<std::pair<std::string, std::string>> changes(update->set.begin(), update->set.end());
    for (std::size_t i = changes.size(); i > 1; --i) std::swap(changes[i - 1], changes[w.random() % i]);
    for (const auto& [key, value] : changes)
      raw->then("set-" + key, [raw, update, name = key, text = value] {
        World& inner = raw->world();
        Vm& guest = inner.vm_on(update->node, update->vmid);
        update->modified.insert(name);
        if (const auto same = guest.config.pending.find(name);
            same != guest.config.pending.end() && same->second == text)
          return;
        if (update->revert.contains(name)) {
          if (const auto pending = guest.config.pending.find(name); pending != guest.config.pending.end()) {
            const auto drive = is_drive_name(name) ? parse_drive(name, pending->second) : std::nullopt;
            const auto kept = is_drive_name(name) ? parse_drive(name, text) : std::nullopt;
            guest.config.pending.erase(pending);
            if (drive && kept && drive->file != kept->file) register_unused(inner, guest, *drive);
          }
          guest.config.pending_delete.erase(name);
          return write_config(guest);
        }
        if (name == "tpmstate0") check_tpm_version(guest, text);
        if (is_drive_name(name)) return set_drive(raw->shared_from_this(), update, name, text);
        store_pending(guest, *update, name, text);
      });
    raw->then("apply", [raw, update] { apply(raw->world(), *update); });
  });
  return work;
}

json put_config(Call& call) {
  auto update = read_update(call);
  check_state(call_vm(call), *update);
  call.world.run_synchronously(update_work(call.world, update));
  return nullptr;
}

json post_config(Call& call) {
  auto update = read_update(call);
  check_state(call_vm(call), *update);
  World& world = call.world;
  const std::string upid = world.start_task(call.node, "qmconfig", std::to_string(update->vmid), call.session.auth_id(),
                                            update_work(world, update));
  const std::int64_t delay = integer_or(call.params, "background_delay", 0);
  if (delay > 0) {
    const bool ended = world.wait_until([&] { return !world.find_task(upid)->running; }, world.now() + delay * 1s);
    if (ended) {
      const std::string status = world.find_task(upid)->exit_status;
      if (status == "OK" || starts_with(status, "WARNINGS")) return nullptr;
      fail("failed to update VM " + std::to_string(update->vmid) + ": " + status);
    }
  }
  return upid;
}

json unlink_disks(Call& call) {
  Params params = {{"node", call.node}, {"vmid", call.params.at("vmid")}, {"delete", call.params.at("idlist")}};
  if (given(call.params, "force")) params["force"] = call.params.at("force");
  Call inner{call.world, call.session, params, call.node, {}, call.tickets, call.broadcast};
  return put_config(inner);
}

}  // namespace

void add_qemu_config_methods(MethodTable& table) {
  const std::string base = "/nodes/{node}/qemu/{vmid}";
  const auto add = [&](const char* verb, const char* tail, std::string_view privs, Handler handler) {
    MethodSpec method = qemu_specs().method(verb, base + tail);
    method.permission = needs_privilege("/vms/{vmid}", std::string(privs));
    method.handler = std::move(handler);
    table.push_back(std::move(method));
  };
  add("GET", "/config", "VM.Audit", get_config);
  add("GET", "/pending", "VM.Audit", get_pending);
  add("PUT", "/config", kConfigPrivs, put_config);
  add("POST", "/config", kConfigPrivs, post_config);
  add("PUT", "/unlink", "VM.Config.Disk", unlink_disks);
}

}  // namespace pvesim
