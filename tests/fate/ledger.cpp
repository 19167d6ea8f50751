#include "tests/fate/ledger.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "simulator/world/world.h"
#include "tests/fate/history.h"

namespace pvr::fate {
namespace {

// Spelled out here, not taken from the product: a name the product changes by mistake must not change the check.
constexpr const char* kOurNames = "/pvereconcile-";

bool is_slot(std::string_view key) { return !key.starts_with("unused") && key.find('[') == std::string_view::npos; }

bool one_of(const std::string& text, std::initializer_list<const char*> words) {
  return std::ranges::any_of(words, [&](const char* word) { return text == word; });
}

bool is_buffered(const std::string& drive) {
  return one_of(drive_option(drive, "cache"), {"writeback", "writethrough", "unsafe"});
}

/// Who has a content, in which slot: "100:scsi0".
std::string where_of(const std::pair<const std::pair<int, std::uint64_t>, std::string>& home) {
  return fmt::format("{}:{}", home.first.first, home.second);
}

/// Two storages of the draft show the zvols of tank/z16.
bool has_two_names(std::string_view volid) { return volid.starts_with("z16:") || volid.starts_with("zalias:"); }

/// LUNs belong to no guest, whatever names them.
bool is_lun(std::string_view volid) { return volid.starts_with("luns:"); }

}  // namespace

Ledger::View Ledger::look() const {
  View view;
  // Somebody asked for these to be taken out; the running guest still has them.
  std::set<std::string> asked_out;
  sim_.inspect([&](pvesim::World& world) {
    for (const auto& [vmid, vm] : world.vms)
      for (const auto& [key, force] : vm.config.pending_delete) asked_out.insert(fmt::format("{}:{}", vmid, key));
  });
  const auto leaving = [&](const std::string& by) { return asked_out.contains(by); };
  const auto volumes = sim_.volumes();
  std::set<std::string> zvols_in_use;  // by their names below tank/z16, which two storages show
  for (const pvesim::VolumeInfo& volume : volumes)
    if (!volume.referenced_by.empty() && has_two_names(volume.volid))
      zvols_in_use.insert(volume.node + volume.volid.substr(volume.volid.find(':')));
  std::set<std::string> open;  // what running guests use, whatever their configuration names
  std::vector<int> by_ha;
  std::set<std::pair<int, std::string>> replicas;  // guest, node
  sim_.inspect([&](pvesim::World& world) {
    for (const auto& [id, job] : world.replication) replicas.emplace(job.vmid, job.values.at("target"));
    for (const auto& [vmid, vm] : world.vms) {
      if (world.ha_resources.contains(fmt::format("vm:{}", vmid))) by_ha.push_back(vmid);
      const bool busy = std::ranges::any_of(
          world.tasks, [id = std::to_string(vmid)](const auto& task) { return task->running && task->id == id; });
      if (!vm.running) continue;
      for (const auto& [slot, ref] : vm.running->open) {
        const auto drive = vm.running->effective.find(slot);
        if (drive == vm.running->effective.end()) continue;
        const std::string volume = volume_of(drive->second);
        if (!busy) open.insert(volume);
        const auto named = vm.config.values.find(slot);
        if (!busy || named == vm.config.values.end() || volume_of(named->second) == volume) continue;
        for (const pvesim::VolumeInfo& one : volumes)
          if (one.volid == volume && (one.node.empty() || one.node == vm.node))
            view.ahead[{vmid, slot}] = one.fingerprint;
      }
    }
  });
  std::map<std::string, std::pair<int, std::string>> far;  // volumes HA may have taken their guest away from
  for (const int vmid : by_ha) {
    const auto config = sim_.vm_config(vmid);
    for (const std::string& key : drive_keys(config)) far.emplace(volume_of(config.at(key)), std::pair(vmid, key));
    for (const auto& [key, volume] : config)
      if (key.starts_with("unused")) far.emplace(volume, std::pair(vmid, key));
  }
  for (const pvesim::VolumeInfo& volume : volumes) {
    const bool lun = is_lun(volume.volid);
    if ((volume.owner == 0 && !lun) || replicas.contains({volume.owner, volume.node})) continue;
    const auto at = far.find(volume.volid);
    // Here, or on the guest's own node: another node may have a volume of the same name.
    const bool here =
        at != far.end() && std::ranges::any_of(volumes, [&](const pvesim::VolumeInfo& one) {
          return one.volid == volume.volid && std::ranges::any_of(one.referenced_by, [&](const std::string& by) {
                   return by.starts_with(fmt::format("{}:", at->second.first));
                 });
        });
    if (at != far.end() && !volume.node.empty() && !here) {
      if (volume.referenced_by.empty()) {
        view.anywhere.emplace(volume.fingerprint, volume.volid);
        view.referenced.emplace(volume.fingerprint, volume.volid);
      }
      const auto& [vmid, key] = at->second;
      if (is_slot(key))
        view.attached.emplace(std::pair(vmid, volume.fingerprint), key);
      else
        view.kept.emplace(vmid, volume.fingerprint);
      if (volume.referenced_by.empty()) continue;  // else another guest has it as well
    }
    if (volume.referenced_by.empty() && open.contains(volume.volid))
      view.adrift.emplace(volume.volid, volume.fingerprint);
    const bool other_name =
        has_two_names(volume.volid) && zvols_in_use.contains(volume.node + volume.volid.substr(volume.volid.find(':')));
    if (volume.referenced_by.empty() && !other_name && !lun) view.unreferenced.insert(volume.volid);
    if (volume.fingerprint == 0) continue;
    view.anywhere.emplace(volume.fingerprint, volume.volid);
    if (volume.referenced_by.empty()) continue;
    view.referenced.emplace(volume.fingerprint, volume.volid);
    for (const std::string& by : volume.referenced_by) {
      const auto colon = by.find(':');
      const std::string key = by.substr(colon + 1);
      if (key.starts_with("unused")) view.kept.emplace(std::stoi(by.substr(0, colon)), volume.fingerprint);
      if (is_slot(key)) view.held[by] = {volume.volid, volume.fingerprint};
      if (is_slot(key) && !leaving(by))
        view.attached.emplace(std::pair(std::stoi(by.substr(0, colon)), volume.fingerprint), key);
    }
  }
  for (const pvesim::ZvolInfo& zvol : sim_.zvols()) {
    const auto swapped = zvol.properties.find("pvereconcile:swap-from");
    const bool half_swapped = swapped != zvol.properties.end() && swapped->second != "done";
    if (zvol.fingerprint == 0 || (!half_swapped && zvol.name.find(kOurNames) == std::string::npos)) continue;
    // Out of PVE's sight on purpose, marked, and found again by gc and rollback; or renamed by a swap that points the
    // drive at it next.
    view.referenced.emplace(zvol.fingerprint, zvol.name);
    view.anywhere.emplace(zvol.fingerprint, zvol.name);
  }
  for (const int vmid : sim_.vmids()) view.texts[vmid] = sim_.vm_config_text(vmid);
  std::set<std::string> there;
  for (const pvesim::VolumeInfo& volume : volumes) there.insert(volume.volid);
  for (const int vmid : sim_.vmids()) judge_drives(vmid, there, view);
  return view;
}

/// Policy §4, the invariants, for every drive of a guest. `there`: the volumes that exist.
void Ledger::judge_drives(int vmid, const std::set<std::string>& there, View& view) const {
  auto config = sim_.vm_config(vmid);
  for (const auto& [key, value] : sim_.vm_config(vmid, "PENDING")) config[key] = value;
  // Waits for its removal: nobody may change it any more, and the plan says so.
  sim_.inspect([&](pvesim::World& world) {
    for (const auto& [key, force] : world.vms.at(vmid).config.pending_delete) config.erase(key);
  });
  for (const std::string& key : drive_keys(config)) {
    const std::string& drive = config.at(key);
    view.drives[fmt::format("{}:{}", vmid, key)] = drive;
    const std::string volume = volume_of(drive);
    const DraftStorage* on = draft_.storage(volume.substr(0, volume.find(':')));
    // Fact: PVE refuses every change of a drive whose volume is gone.
    if (on == nullptr || !there.contains(volume)) continue;
    const auto offends = [&](const char* rule) {
      view.offences.insert(fmt::format("{}:{} {} {}", vmid, key, rule, drive));
    };
    const std::string aio = drive_option(drive, "aio");
    const bool buffered = is_buffered(drive);
    if (buffered && (on->shared || on->on_zfs)) offends("C2");
    if (aio == "native") {
      const bool raw_block = on->type == "rbd" || on->type == "iscsi" || (on->type == "lvm" && !on->chain);
      if (!raw_block || buffered) offends("A2");
      if (on->on_zfs || on->chain || on->type == "lvmthin" || volume.ends_with(".qcow2")) offends("A3");
    }
    const bool virtio = key.starts_with("virtio");
    const auto scsihw = config.find("scsihw");
    const bool single = scsihw != config.end() && scsihw->second == "virtio-scsi-single";
    if (drive_option(drive, "iothread") == "1" && !virtio && !(key.starts_with("scsi") && single)) offends("I1");
  }
}

/// The sections of storage.cfg the fleet does not manage, byte by byte.
std::map<std::string, std::string> Ledger::foreign_sections() const {
  std::map<std::string, std::string> sections;
  std::istringstream lines(sim_.storage_cfg());
  std::string id;
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty() && line[0] != '\t' && line.find(": ") != std::string::npos) id = line.substr(line.find(": ") + 2);
    if (!wishes_.storages.contains(id)) sections[id] += line + "\n";
  }
  return sections;
}

Ledger::View Ledger::see() {
  View view = look();
  for (const auto& [volume, content] : view.adrift) {
    adrift_.insert(content);
    tolerated_orphans_.insert(volume);
  }
  std::erase_if(written_ahead_, [&](const auto& written) {
    const auto& [where, content] = written;
    const auto now = view.attached.find({where.first, content});
    if (now == view.attached.end()) return false;
    homes_.emplace(now->first, now->second);
    precious_.emplace(content, view.referenced.at(content));
    return true;
  });
  return view;
}

void Ledger::open(const Wishes& wishes) {
  wishes_ = wishes;
  const View view = look();
  precious_ = view.referenced;
  homes_ = view.attached;
  forget_homes(replaced());
  doom(view);
  tolerated_orphans_ = view.unreferenced;
  tolerated_offences_ = view.offences;
  drives_ = view.drives;
  for (const auto& [vmid, text] : view.texts) {
    if (!wishes_.vmids.contains(vmid)) foreign_texts_[vmid] = text;
    if (sim_.vm_running(vmid)) expected_running_.insert(vmid);
  }
  sim_.inspect([&](pvesim::World& world) {
    for (const auto& [sid, resource] : world.ha_resources) {
      const auto state = resource.values.find("state");
      // HA stops it sooner or later, because somebody wanted that.
      if (state != resource.values.end() && state->second != "started")
        expected_running_.erase(std::stoi(sid.substr(3)));
    }
  });
  sections_ = foreign_sections();
  tasks_seen_ = sim_.tasks().size();
}

void Ledger::doom(const View& view) {
  for (const auto& home : view.attached)
    if (wishes_.doomed.contains(where_of(home))) doomed_.insert(home.first.second);
}

bool Ledger::is_kept(const View& view, int vmid, const std::string& slot, std::uint64_t content,
                     const std::string& told) const {
  if (!view.kept.contains({vmid, content})) return false;
  // Others have taken disks out of this guest as well: which of them belongs here is a person's to say.
  const bool asked = told.find(" or in unused") != std::string::npos ||
                     told.find(", size unknown)") != std::string::npos ||
                     told.find(", or that is an earlier copy of ") != std::string::npos;
  if (asked && taken_from_.contains(vmid) &&
      told.find(fmt::format("({}, ", view.referenced.at(content))) != std::string::npos)
    return true;
  const auto config = sim_.vm_config(vmid);
  const auto drive = config.find(slot);
  if (drive == config.end()) return false;
  const std::string volume = volume_of(drive->second);
  return !sim_.volume(volume) &&
         told.find(fmt::format("{} names {}, which is not on the storage", slot, volume)) != std::string::npos;
}

std::set<std::string> Ledger::replaced() const {
  std::set<std::string> slots;
  sim_.inspect([&](pvesim::World& world) {
    for (const auto& [vmid, vm] : world.vms)
      for (const auto& [key, drive] : vm.config.pending)
        if (const auto held = vm.config.values.find(key);
            held != vm.config.values.end() && volume_of(held->second) != volume_of(drive))
          slots.insert(fmt::format("{}:{}", vmid, key));
  });
  return slots;
}

void Ledger::forget_homes(const std::set<std::string>& slots) {
  std::erase_if(homes_, [&](const auto& home) { return slots.contains(where_of(home)); });
}

void Ledger::others(const std::function<void()>& act) {
  const View before = look();
  const std::set<std::string> replaced_before = replaced();
  act();
  const View after = look();
  doom(after);
  // At the guest's next start another volume takes its place, as somebody wished.
  std::set<std::string> waiting = replaced();
  std::erase_if(waiting, [&](const std::string& slot) { return replaced_before.contains(slot); });
  forget_homes(waiting);
  // Also to a disk that waits for its removal a guest goes on writing.
  for (const auto& [slot, content] : before.held) {
    const auto now = after.held.find(slot);
    if (now != after.held.end() && now->second.first == content.first && now->second.second != content.second)
      precious_.erase(content.second);
  }
  for (const auto& [content, where] : before.referenced) {
    if (after.referenced.contains(content)) continue;
    precious_.erase(content);
    std::erase_if(homes_, [&](const auto& home) { return home.first.second == content; });
  }
  for (const auto& [content, where] : after.referenced)
    if (!before.referenced.contains(content)) precious_.emplace(content, where);
  // Taken out while the tool was changing it: the configuration named a volume that was just being renamed.
  std::erase_if(homes_, [&](const auto& home) {
    const std::string key = where_of(home);
    return before.drives.contains(key) && !after.drives.contains(key);
  });
  for (const auto& [home, slot] : before.attached) {
    if (after.attached.contains(home)) continue;
    homes_.erase(home);
    taken_from_.insert(home.first);
    // Another content in the same slot: the guest has written, and the old content is nobody's disk any more.
    const bool written = std::ranges::any_of(after.attached, [&, vmid = home.first, &key = slot](const auto& now) {
      return now.first.first == vmid && now.second == key && !before.attached.contains(now.first);
    });
    if (written) precious_.erase(home.second);
  }
  for (const auto& [home, slot] : after.attached) {
    const auto was = before.attached.find(home);
    if (was == before.attached.end()) homes_.emplace(home, slot);
    // Two slots had the same content, and the guest wrote to the one that stood for both.
    if (was != before.attached.end() && was->second != slot && homes_.contains(home)) homes_.at(home) = slot;
  }
  // The guest wrote to the volume that its move has switched to, which no slot names yet: what the slot names is over.
  for (const auto& [where, content] : after.ahead) {
    const auto was = before.ahead.find(where);
    if (was == before.ahead.end() || was->second == content) continue;
    for (const auto& [home, slot] : before.attached)
      if (home.first == where.first && slot == where.second) {
        homes_.erase(home);
        precious_.erase(home.second);
      }
    written_ahead_[where] = content;
  }
  for (const std::string& volume : after.unreferenced)
    if (!before.unreferenced.contains(volume)) tolerated_orphans_.insert(volume);
  for (const std::string& offence : after.offences)
    if (!before.offences.contains(offence)) tolerated_offences_.insert(offence);
  for (const auto& [key, drive] : after.drives)
    if (const auto was = before.drives.find(key); was == before.drives.end() || was->second != drive)
      drives_[key] = drive;
  for (auto& [vmid, text] : foreign_texts_) {
    const auto now = after.texts.find(vmid);
    const auto was = before.texts.find(vmid);
    if (now != after.texts.end() && was != before.texts.end() && now->second != was->second) text = now->second;
  }
}

void Ledger::forget_power_of_stopped() {
  std::erase_if(expected_running_, [&](int vmid) { return !sim_.vm_exists(vmid) || !sim_.vm_running(vmid); });
}

std::vector<std::string> Ledger::broken(bool at_rest) {
  std::vector<std::string> found;
  const View view = see();
  for (const auto& [content, where] : precious_) {
    if (view.referenced.contains(content) || adrift_.contains(content)) continue;
    // What was asked for is no loss.
    const bool wanted = doomed_.contains(content) || std::ranges::any_of(homes_, [&](const auto& home) {
                          return home.first.second == content && wishes_.absent.contains(home.first.first);
                        });
    const bool of_absent = std::ranges::any_of(
        wishes_.absent, [&](int vmid) { return where.find(fmt::format("vm-{}-", vmid)) != std::string::npos; });
    if ((wanted || of_absent) && wishes_.allow.destroy) continue;
    const auto still = view.anywhere.find(content);
    // Fact: PVE keeps no unusedN of a LUN that is taken out; it lies on the target as before.
    if (still != view.anywhere.end() && is_lun(still->second)) continue;
    found.push_back(still == view.anywhere.end()
                        ? fmt::format("The content of {} is gone.", where)
                        : fmt::format("The content of {} lies in {}, which nothing names.", where, still->second));
  }
  for (const auto& [vmid, text] : foreign_texts_) {
    const auto now = view.texts.find(vmid);
    if (now == view.texts.end())
      found.push_back(fmt::format("Guest {}, which is none of the fleet's, is gone.", vmid));
    else if (now->second != text && text.find("[PENDING]") == std::string::npos)  // that becomes active by itself
      found.push_back(
          fmt::format("Guest {}, which is none of the fleet's, was changed:\n{}--- was\n{}", vmid, now->second, text));
  }
  for (const auto& [id, text] : foreign_sections()) {
    const auto was = sections_.find(id);
    if (was == sections_.end() || was->second != text)
      found.push_back(fmt::format("Storage {}, which is not managed, was changed:\n{}", id, text));
  }
  for (const std::string& offence : view.offences) {
    if (!wishes_.vmids.contains(std::stoi(offence)) || tolerated_offences_.contains(offence)) continue;
    const auto first = offence.find(' ');
    const std::string rule = offence.substr(first + 1, 2);
    const std::string drive = offence.substr(first + 4);
    const auto was = drives_.find(offence.substr(0, first));
    if (was != drives_.end()) {
      const bool same_options = drive_option(was->second, "cache") == drive_option(drive, "cache") &&
                                drive_option(was->second, "aio") == drive_option(drive, "aio");
      // Broken before by the same volume, with something else about it changed: not the tool's doing.
      const bool old = std::ranges::any_of(tolerated_offences_, [&](const std::string& one) {
        return one.starts_with(offence.substr(0, first + 3)) && volume_of(one.substr(first + 4)) == volume_of(drive);
      });
      if (old && same_options) continue;
      // A move takes the options along; those the new place forbids are written next, or when the guest can be stopped.
      bool stuck = false;
      sim_.inspect([&, vmid = std::stoi(offence)](pvesim::World& world) {
        const pvesim::Vm* vm = world.find_vm(vmid);
        stuck = vm != nullptr && vm->ignores_shutdown;
      });
      // The aio of before stays for a move that follows, whatever else is written about the drive.
      const bool aio_stays =
          old && rule != "C2" && drive_option(was->second, "aio") == drive_option(drive, "aio") && !is_buffered(drive);
      if ((!at_rest || stuck) && rule != "I1" && (same_options || aio_stays)) continue;
    }
    found.push_back("An invariant of the policy is broken: " + offence);
  }
  const auto tasks = sim_.tasks();
  for (std::size_t i = tasks_seen_; i < tasks.size(); ++i) {
    const pvesim::TaskInfo& task = tasks[i];
    if (task.user != "root@pam!ci") continue;
    if (task.type != "qmstop" && task.type != "qmshutdown" && task.type != "qmreboot" && task.type != "hastop" &&
        task.type != "qmreset" && task.type != "qmsuspend")
      continue;
    const int vmid = std::stoi(task.id);
    if (wishes_.allow.restart || wishes_.allow.offline_copy || wishes_.may_stop.contains(vmid)) continue;
    found.push_back(fmt::format("Guest {} was stopped ({}) and nobody had allowed it.", vmid, task.upid));
  }
  tasks_seen_ = tasks.size();
  return found;
}

std::vector<std::string> Ledger::broken_at_rest(const std::string& told,
                                                const std::function<bool(const std::string&)>& audited) {
  std::vector<std::string> found = broken(true);
  const View view = look();
  for (const auto& [home, slot] : homes_) {
    if (view.attached.contains(home)) continue;
    const auto& [vmid, content] = home;
    if (adrift_.contains(content)) continue;
    if (wishes_.absent.contains(vmid) || wishes_.may_go.contains(fmt::format("{}:{}", vmid, slot))) continue;
    if (is_kept(view, vmid, slot, content, told)) continue;
    found.push_back(fmt::format("The content of {} of guest {} is in no slot of it any more.", slot, vmid));
  }
  // What has two names is told by one.
  const auto is_told = [&](const std::string& volume) {
    const std::string name = volume.substr(volume.find(':'));
    if (!has_two_names(volume)) return told.find(volume) != std::string::npos;
    return told.find("z16" + name) != std::string::npos || told.find("zalias" + name) != std::string::npos;
  };
  for (const std::string& volume : view.unreferenced)
    if (!tolerated_orphans_.contains(volume) && !is_told(volume) && !audited(volume))
      found.push_back(fmt::format("Volume {} was left behind and nothing names it.", volume));
  for (const int vmid : expected_running_) {
    if (wishes_.may_stop.contains(vmid) || !sim_.vm_exists(vmid) || sim_.vm_running(vmid)) continue;
    if (told.find(fmt::format("ha-manager set vm:{} ", vmid)) != std::string::npos ||
        told.find(fmt::format("qm set {} --delete", vmid)) != std::string::npos)
      continue;
    found.push_back(fmt::format("Guest {} ran and is stopped now.", vmid));
  }
  for (const int vmid : sim_.vmids())
    if (const auto config = sim_.vm_config(vmid); config.contains("lock"))
      found.push_back(fmt::format("Guest {} is left locked ({}).", vmid, config.at("lock")));
  sim_.inspect([&](pvesim::World& world) {
    const auto lease = world.pools.find("pvereconcile-lease");
    if (lease == world.pools.end()) return;
    // Released, it only holds the note of a guest that cannot be started yet.
    if (lease->second.comment.find("\"released\":true") != std::string::npos) return;
    // That of a killed run stays until the next run that has something to do; it must have run out.
    const auto at = lease->second.comment.find("\"expires\":");
    const bool over =
        at != std::string::npos && std::stoll(lease->second.comment.substr(at + 10)) < world.now_seconds();
    if (!over) found.push_back("The lease was left behind: " + lease->second.comment);
  });
  return found;
}

}  // namespace pvr::fate
