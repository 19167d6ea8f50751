#include "tests/fate/history.h"

#include <fmt/format.h>

namespace pvr::fate {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

std::string path_of(pvesim::Simulator& sim, int vmid, const char* below) {
  return fmt::format("/nodes/{}/qemu/{}{}", sim.vm_node(vmid), vmid, below);
}

void call(pvesim::Simulator& sim, Story& story, const char* method, const std::string& path, const Fields& fields) {
  const pvesim::Response answer = sim.admin_call(method, path, fields);
  std::string line = fmt::format("  admin: {} {}", method, path);
  for (const auto& [key, value] : fields) line += fmt::format(" {}={}", key, value);
  story.tell(fmt::format("{} -> {}{}", line, answer.status, answer.status == 200 ? "" : " " + answer.reason));
}

}  // namespace

std::vector<std::string> drive_keys(const std::map<std::string, std::string>& config) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : config) {
    const bool drive =
        key.starts_with("scsi") || key.starts_with("virtio") || key.starts_with("sata") || key.starts_with("ide");
    if (!drive || key == "scsihw" || key.starts_with("virtiofs")) continue;
    if (value.find("media=cdrom") == std::string::npos && !volume_of(value).empty()) keys.push_back(key);
  }
  return keys;
}

std::string volume_of(const std::string& drive) {
  const std::string volume = drive.substr(0, drive.find(','));
  return volume.find(':') == std::string::npos ? std::string() : volume;
}

std::string drive_option(const std::string& drive, std::string_view key) {
  std::size_t at = 0;
  while (at < drive.size()) {
    const std::size_t end = std::min(drive.find(',', at), drive.size());
    const std::string_view part = std::string_view(drive).substr(at, end - at);
    if (part.starts_with(key) && part.size() > key.size() && part[key.size()] == '=')
      return std::string(part.substr(key.size() + 1));
    at = end + 1;
  }
  return {};
}

void edit_at_once(pvesim::Simulator& sim, const std::vector<int>& vmids, Dice& dice, Story& story) {
  if (vmids.empty()) return;
  const int vmid = dice.pick(vmids);
  if (!sim.vm_exists(vmid)) return;
  const auto config = sim.vm_config(vmid);
  const auto keys = drive_keys(config);
  const std::string put = path_of(sim, vmid, "/config");
  switch (dice.below(8)) {
    case 0:
      call(sim, story, "PUT", put, {{"cores", std::to_string(dice.between(1, 8))}});
      break;
    case 1:
      call(sim, story, "PUT", put, {{"memory", std::to_string(256 * dice.between(1, 12))}});
      break;
    case 2:
      call(sim, story, "PUT", put, {{"description", fmt::format("note {}", dice.below(1000))}});
      break;
    case 3:
      if (!keys.empty()) {
        const std::string& key = dice.pick(keys);
        call(sim, story, "PUT", put,
             {{key, config.at(key) + (drive_option(config.at(key), "backup").empty() ? ",backup=0" : "")}});
      }
      break;
    case 4:
      if (!keys.empty()) call(sim, story, "PUT", put, {{"delete", dice.pick(keys)}});
      break;
    case 5:
      call(sim, story, "PUT", put, {{"tags", dice.pick({"a", "a;b", "prod"})}});
      break;
    case 6:
      for (const auto& [key, value] : config)
        if (key.starts_with("unused")) {
          // Back into a slot, as the GUI's "edit unused disk" does it.
          call(sim, story, "PUT", put, {{fmt::format("scsi{}", dice.between(5, 9)), value}});
          break;
        }
      break;
    default:
      call(sim, story, "PUT", put, {{"onboot", dice.pick({"0", "1"})}});
      break;
  }
}

/// A disk that two guests use: for a cluster of them, or by mistake.
void share(pvesim::Simulator& sim, const Draft& draft, const std::vector<int>& all, int vmid, Dice& dice,
           Story& story) {
  const int owner = dice.pick(all);
  if (owner == vmid || !sim.vm_exists(owner)) return;
  const auto config = sim.vm_config(owner);
  const auto keys = drive_keys(config);
  if (keys.empty()) return;
  const std::string volume = volume_of(config.at(dice.pick(keys)));
  const DraftStorage* on = draft.storage(volume.substr(0, volume.find(':')));
  if (on == nullptr || (!on->shared && sim.vm_node(owner) != sim.vm_node(vmid))) return;
  call(sim, story, "PUT", path_of(sim, vmid, "/config"), {{fmt::format("scsi{}", dice.between(5, 9)), volume}});
}

void live_on(pvesim::Simulator& sim, const Draft& draft, Dice& dice, Story& story, int count) {
  std::vector<int> all = draft.managed;
  all.insert(all.end(), draft.foreign.begin(), draft.foreign.end());
  for (int i = 0; i < count; ++i) {
    const int vmid = dice.pick(all);
    if (!sim.vm_exists(vmid)) continue;
    const auto config = sim.vm_config(vmid);
    const auto keys = drive_keys(config);
    switch (dice.below(11)) {
      case 10:
        share(sim, draft, all, vmid, dice, story);
        break;
      case 6:
        if (!keys.empty())
          call(sim, story, "PUT", path_of(sim, vmid, "/resize"), {{"disk", dice.pick(keys)}, {"size", "+1G"}});
        break;
      case 0:
        call(sim, story, "POST", path_of(sim, vmid, "/snapshot"), {{"snapname", fmt::format("s{}", i)}});
        break;
      case 1:
        if (sim.vm_running(vmid)) {
          call(sim, story, "POST", path_of(sim, vmid, "/status/stop"), {});
        } else {
          call(sim, story, "POST", path_of(sim, vmid, "/status/start"), {});
        }
        break;
      case 2:
        call(sim, story, "POST", path_of(sim, vmid, "/migrate"),
             {{"target", dice.pick(draft.nodes)},
              {"online", sim.vm_running(vmid) ? "1" : "0"},
              {"with-local-disks", "1"}});
        break;
      case 3:
        if (!keys.empty())
          call(sim, story, "POST", path_of(sim, vmid, "/move_disk"),
               {{"disk", dice.pick(keys)},
                {"storage", dice.pick(draft.storages).id},
                {"delete", dice.percent(50) ? "1" : "0"}});
        break;
      case 4:
        if (!keys.empty() && sim.vm_running(vmid)) {
          const std::string& key = dice.pick(keys);
          try {
            sim.guest_write(vmid, key);
            story.tell(fmt::format("  guest {} writes to {}", vmid, key));
          } catch (const std::exception&) {
            story.tell(fmt::format("  guest {} has no open {}", vmid, key));
          }
        }
        break;
      case 5:
        if (dice.percent(25)) {
          sim.set_config(vmid, "lock", dice.pick({"backup", "snapshot", "migrate"}));
          story.tell(fmt::format("  a stale lock on {}", vmid));
        }
        break;
      default:
        edit_at_once(sim, all, dice, story);
        break;
    }
    sim.settle(std::chrono::hours(2));
  }
}

}  // namespace pvr::fate
