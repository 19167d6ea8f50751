#include "simulator/inspect.h"

#include <algorithm>
#include <map>
#include <set>
#include <stdexcept>
#include <tuple>

#include <nlohmann/json.hpp>

#include "simulator/api/method.h"
#include "simulator/world/drive.h"
#include "simulator/world/storage.h"
#include "simulator/world/vm_config.h"

namespace pvesim {
namespace {

using nlohmann::json;

/// volid -> every config entry that names it.
std::map<std::string, std::vector<std::string>> references(const World& world) {
  std::map<std::string, std::vector<std::string>> found;
  for (const auto& [vmid, vm] : world.vms) {
    const auto collect = [&, id = vmid](const Section& section, const std::string& place) {
      for (const Drive& drive : drives_of(section, true))
        if (drive.has_volume()) found[drive.file].push_back(std::to_string(id) + ":" + place + drive.slot);
      const auto state = section.find("vmstate");
      if (state != section.end()) found[state->second].push_back(std::to_string(id) + ":" + place + "vmstate");
    };
    collect(vm.config.values, "");
    collect(vm.config.pending, "[PENDING]:");
    for (const auto& [name, snapshot] : vm.config.snapshots) collect(snapshot, "[" + name + "]:");
  }
  return found;
}

/// The vmid in a guest volume's name; 0 for everything else.
int owner_of(const StorageDef& storage, const std::string& volid) {
  try {
    const VolumeName name = parse_volume_name(storage, volid.substr(storage.id.size() + 1));
    return name.content == "images" || name.content == "rootdir" ? name.vmid : 0;
  } catch (const ApiError&) {
    return 0;
  }
}

}  // namespace

Vm& existing_vm(World& world, int vmid) {
  Vm* vm = world.find_vm(vmid);
  if (vm == nullptr) throw std::out_of_range("the simulated cluster has no VM " + std::to_string(vmid));
  return *vm;
}

std::vector<VolumeInfo> all_volumes(World& world) {
  const auto named_by = references(world);
  std::vector<VolumeInfo> out;
  for (const StorageDef& storage : world.storages) {
    std::set<std::string> seen;  // a shared place is listed once
    for (const auto& [name, node] : world.nodes) {
      if (!on_node(storage, name)) continue;
      const Backing* backing = backing_of(world, storage, name);
      if (backing == nullptr || !seen.insert(backing->key).second) continue;
      for (const auto& [key, volume] : backing->volumes) {
        VolumeInfo info;
        info.volid = volume_id(storage, volume);
        info.node = backing->node;
        info.size = volume.size;
        info.used = volume.used;
        info.volblocksize = volume.volblocksize;
        info.refreservation = volume.refreservation;
        info.format = volume.format;
        info.fingerprint = volume.fingerprint;
        info.writes = volume.writes;
        info.origin = volume.origin;
        info.owner = owner_of(storage, info.volid);
        // The same volid on two nodes is two volumes; a config means the one of its own node.
        if (const auto users = named_by.find(info.volid); users != named_by.end())
          for (const std::string& user : users->second) {
            const Vm* vm = world.find_vm(std::stoi(user));
            if (info.node.empty() || (vm != nullptr && vm->node == info.node)) info.referenced_by.push_back(user);
          }
        out.push_back(std::move(info));
      }
    }
  }
  std::sort(out.begin(), out.end(), [](const VolumeInfo& a, const VolumeInfo& b) {
    return std::tie(a.volid, a.node) < std::tie(b.volid, b.node);
  });
  return out;
}

void write_as_guest(World& world, int vmid, const std::string& slot) {
  Vm& vm = existing_vm(world, vmid);
  const std::string what = "VM " + std::to_string(vmid) + " in " + slot;
  if (!vm.running || !vm.running->open.contains(slot)) throw std::logic_error(what + ": nothing is open");
  const VolumeRef& ref = vm.running->open.at(slot);
  const auto backing = world.backings.find(ref.backing);
  if (backing == world.backings.end() || !backing->second.volumes.contains(ref.name))
    throw std::logic_error(what + ": the open volume is gone");
  Volume& volume = backing->second.volumes.at(ref.name);
  volume.fingerprint = world.random() | 1U;
  ++volume.writes;
}

std::string run_admin_task(Simulator& simulator, int vmid, const std::string& path,
                           const std::vector<std::pair<std::string, std::string>>& params) {
  const Response response = simulator.admin_call(
      "POST", "/nodes/" + simulator.vm_node(vmid) + "/qemu/" + std::to_string(vmid) + path, params);
  if (response.status != 200) return response.reason;
  const std::string upid = json::parse(response.body)["data"].get<std::string>();
  std::string status = "still running";
  simulator.inspect([&](World& world) {
    world.wait_until([&] { return !world.find_task(upid)->running; }, world.now() + std::chrono::hours(24));
    if (const Task* task = world.find_task(upid); !task->running) status = task->exit_status;
  });
  return status;
}

}  // namespace pvesim
