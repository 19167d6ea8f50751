// The guest agent's calls (qemu-server 9.2).

#include "simulator/api/guest.h"
#include "simulator/api/qemu_actions.h"
#include "simulator/api/spec_text.h"
#include "simulator/api/support.h"
#include "simulator/world/text.h"
#include "simulator/world/vm_config.h"

namespace pvesim {
namespace {

using nlohmann::json;

/// The guest whose agent answers, or PVE's refusal.
Vm& with_agent(Call& call) {
  Vm& vm = call_vm(call);
  const Section agent = parse_properties(config_value(vm.config.values, "agent"), "enabled");
  if (config_value(agent, "enabled", "0") != "1") fail("No QEMU guest agent configured");
  if (!vm.running) fail("VM " + std::to_string(vm.vmid) + " is not running");
  if (!vm.guest_agent) {
    // Fact: the probe gives up after 3 s.
    call.world.wait_until([] { return false; }, call.world.now() + std::chrono::seconds(3));
    fail("QEMU guest agent is not running");
  }
  return vm;
}

json fs_info(Vm& vm) {
  json rows = json::array();
  int index = 0;
  for (const Drive& drive : drives_of(vm.running->effective)) {
    if (drive.is_cdrom() || drive.slot == "efidisk0" || drive.slot == "tpmstate0") continue;
    rows.push_back({{"name", "sd" + std::string(1, static_cast<char>('a' + index % 26)) + "1"},
                    {"mountpoint", index == 0 ? "/" : "/mnt/" + drive.slot},
                    {"type", "ext4"},
                    {"disk", json::array()},
                    {"total-bytes", std::max<std::int64_t>(0, parse_size(drive.get("size", "0")))}});
    ++index;
  }
  return rows;
}

}  // namespace

void add_qemu_agent_methods(MethodTable& table) {
  const std::string base = "/nodes/{node}/qemu/{vmid}/agent";
  const auto add = [&](const char* verb, const char* tail, const char* privs, std::function<json(Vm&)> answer) {
    MethodSpec method = qemu_specs().method(verb, base + tail);
    method.permission = needs_privilege("/vms/{vmid}", std::string(privs) + "VM.GuestAgent.Unrestricted");
    method.handler = [answer = std::move(answer)](Call& call) -> json {
      return {{"result", answer(with_agent(call))}};
    };
    table.push_back(std::move(method));
  };
  const char* audit = "VM.GuestAgent.Audit|";
  const char* files = "VM.GuestAgent.FileSystemMgmt|";
  add("POST", "/ping", audit, [](Vm&) { return json::object(); });
  add("POST", "/fsfreeze-freeze", files, [](Vm& vm) -> json {
    vm.running->frozen = true;
    return 1;
  });
  add("POST", "/fsfreeze-thaw", files, [](Vm& vm) -> json {
    vm.running->frozen = false;
    return 1;
  });
  add("POST", "/fsfreeze-status", "VM.GuestAgent.Audit|VM.GuestAgent.FileSystemMgmt|",
      [](Vm& vm) -> json { return vm.running->frozen ? "frozen" : "thawed"; });
  add("POST", "/fstrim", files, [](Vm&) -> json { return {{"paths", json::array()}}; });
  add("GET", "/get-fsinfo", audit, fs_info);
  add("GET", "/get-osinfo", audit, [](Vm&) -> json {
    return {{"id", "debian"},
            {"name", "Debian GNU/Linux"},
            {"pretty-name", "Debian GNU/Linux 13 (trixie)"},
            {"version-id", "13"},
            {"machine", "x86_64"}};
  });
  add("GET", "/info", audit, [](Vm&) -> json {
    return {{"version", "10.0.0"}, {"supported_commands", json::array()}};
  });
  add("GET", "/network-get-interfaces", audit, [](Vm& vm) {
    json rows = json::array();
    for (const auto& [key, value] : vm.running->effective)
      if (starts_with(key, "net") && all_digits(key.substr(3)))
        if (const auto net = parse_net(value))
          rows.push_back({{"name", "eth" + key.substr(3)},
                          {"hardware-address", lower_case(config_value(*net, "macaddr"))},
                          {"ip-addresses", json::array()}});
    return rows;
  });
}

}  // namespace pvesim
