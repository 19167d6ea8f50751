// What runs by itself: the HA managers and the replication scheduler.

#include <algorithm>

#include "simulator/api/qemu_actions.h"
#include "simulator/world/storage.h"
#include "simulator/world/text.h"
#include "simulator/world/vm_config.h"
#include "simulator/world/world.h"

namespace pvesim {

using namespace std::chrono_literals;

namespace {

int vmid_of(const HaResource& resource) {
  const auto colon = resource.sid.find(':');
  const std::string id = resource.sid.substr(colon + 1);
  return all_digits(id) ? std::stoi(id) : 0;
}

/// The node HA recovers a service to: an online one the node-affinity rules allow, highest priority first.
std::string recovery_node(const World& world, const std::string& sid) {
  std::string best;
  long best_priority = -1;
  for (const auto& [name, node] : world.nodes) {
    if (!node.online) continue;
    long priority = 0;
    bool allowed = true;
    for (const HaRule& rule : world.ha_rules) {
      if (rule.type != "node-affinity" || config_value(rule.values, "disable") == "1") continue;
      const auto resources = split_at(config_value(rule.values, "resources"), ',');
      if (std::find(resources.begin(), resources.end(), sid) == resources.end()) continue;
      allowed = config_value(rule.values, "strict") != "1";
      for (const std::string& entry : split_at(config_value(rule.values, "nodes"), ',')) {
        const auto colon = entry.find(':');
        if (entry.substr(0, colon) != name) continue;
        allowed = true;
        priority = 1 + (colon == std::string::npos ? 0 : std::stol(entry.substr(colon + 1)));
      }
    }
    if (allowed && priority > best_priority) {
      best = name;
      best_priority = priority;
    }
  }
  return best;
}

}  // namespace

void World::begin_periodic() {
  after(10s, [this] { ha_tick(); });
  after(60s, [this] { replication_tick(); });
}

void World::ha_changed() {
  // Fact: the managers look at their configuration every 10 s; ha_tick() picks changes up.
}

void World::ha_tick() {
  after(10s, [this] { ha_tick(); });
  if (!quorate() || ha_disarmed) return;
  for (auto& entry : ha_resources) {
    const std::string& sid = entry.first;
    HaResource& resource = entry.second;
    const int vmid = vmid_of(resource);
    Vm* vm = find_vm(vmid);
    if (vm == nullptr || resource.busy) continue;
    const std::string wanted = config_value(resource.values, "state", "started");
    if (wanted == "ignored") {
      resource.crm_state = "ignored";
      continue;
    }
    if (const auto host = nodes.find(vm->node); host != nodes.end() && !host->second.online) {
      // Fact: a lost node is fenced before its services are recovered; that takes about two minutes.
      if (resource.crm_state != "fence") {
        resource.crm_state = "fence";
        after(120s, [this, id = sid, vmid] {
          const auto found = ha_resources.find(id);
          Vm* guest = find_vm(vmid);
          if (found == ha_resources.end() || guest == nullptr || nodes.at(guest->node).online) return;
          if (const std::string target = recovery_node(*this, id); !target.empty()) guest->node = target;
          found->second.crm_state = "started";
        });
      }
      continue;
    }
    const auto run = [&](const char* type, const std::shared_ptr<Work>& work, const char* during,
                         const char* afterwards) {
      resource.busy = true;
      resource.crm_state = during;
      const std::string upid = start_task(vm->node, type, std::to_string(vmid), "root@pam", work);
      after(1s, [this, id = sid, upid, next = std::string(afterwards)] { ha_watch(id, upid, next); });
    };
    if (!resource.migrate_target.empty()) {
      MigrateOptions options;
      options.target = std::exchange(resource.migrate_target, {});
      options.online = vm->running.has_value();
      options.with_local_disks = true;
      run("qmigrate", migrate_work(*this, vmid, options), "migrate", wanted == "stopped" ? "stopped" : "started");
      continue;
    }
    if (resource.crm_state == "error") {
      if (wanted == "disabled") resource.crm_state = "stopped";
      continue;
    }
    if (wanted == "started" || wanted == "enabled") {
      if (vm->running) {
        resource.crm_state = "started";
      } else if (config_value(vm->config.values, "template") != "1") {
        run("qmstart", start_work(*this, vmid), "started", "started");
      }
    } else if (vm->running) {
      StopOptions options;
      options.shutdown = !resource.hard_stop;
      options.force_stop = true;
      options.timeout = 60s;
      resource.hard_stop = false;
      run(options.shutdown ? "qmshutdown" : "qmstop", stop_work(*this, vmid, options), "request_stop", "stopped");
    } else {
      resource.crm_state = "stopped";
    }
  }
}

/// The local manager sees the end of its worker at its next round.
void World::ha_watch(const std::string& sid, const std::string& upid, const std::string& afterwards) {
  const Task* task = find_task(upid);
  if (task != nullptr && task->running) {
    after(5s, [this, sid, upid, afterwards] { ha_watch(sid, upid, afterwards); });
    return;
  }
  const auto found = ha_resources.find(sid);
  if (found == ha_resources.end()) return;
  HaResource& resource = found->second;
  resource.busy = false;
  const bool fine = task != nullptr && (task->exit_status == "OK" || starts_with(task->exit_status, "WARNINGS"));
  if (fine || task == nullptr || task->type != "qmstart") {
    resource.failures = 0;
    resource.crm_state = afterwards;
  } else if (++resource.failures > config_number(resource.values, "max_restart", 1)) {
    resource.crm_state = "error";
  }
}

void World::replication_tick() {
  after(60s, [this] { replication_tick(); });
  if (!quorate()) return;
  for (auto job = replication.begin(); job != replication.end();) {
    ReplicationJob& one = job->second;
    Vm* vm = find_vm(one.vmid);
    const std::string target = config_value(one.values, "target");
    const bool removing = one.values.contains("remove_job");
    if (removing) {
      if (vm != nullptr && config_value(one.values, "remove_job") == "full") remove_replicas(*this, *vm, target);
      job = replication.erase(job);
      continue;
    }
    ++job;
    if (vm == nullptr || config_value(one.values, "disable") == "1" || target == vm->node) continue;
    if (locked("/var/lock/pve-manager/pve-migrate-" + std::to_string(one.vmid))) continue;
    if (now_ - one.last_sync < replication_period(config_value(one.values, "schedule", "*/15"))) continue;
    try {
      if (!nodes.at(target).online || !nodes.at(vm->node).online) fail("command '/usr/bin/ssh' failed: exit code 255");
      replicate_volumes(*this, *vm, target);
      one.last_sync = now_;
      one.error.clear();
      one.fail_count = 0;
    } catch (const ApiError& error) {
      one.error = error.message;
      ++one.fail_count;
    }
  }
}

}  // namespace pvesim
