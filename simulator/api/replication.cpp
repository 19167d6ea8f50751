// Replication jobs (PVE manager 9.x, API2/ReplicationConfig and API2/Replication).

#include <algorithm>
#include <array>

#include "simulator/api/support.h"
#include "simulator/wire/formats.h"

namespace pvesim {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

constexpr std::string_view kIdPattern = "[1-9][0-9]{2,8}-\\d{1,9}";

ParamSpec id_param() {
  return with_pattern(text_param("id", "pve-replication-job-id", false), std::string(kIdPattern));
}

std::vector<ParamSpec> job_params() {
  ParamSpec rate = text_param("rate");
  rate.type = "number";
  rate.minimum = 1;
  return {with_max_length(text_param("comment"), 4096),
          flag_param("disable"),
          id_param(),
          std::move(rate),
          enum_param("remove_job", {"local", "full"}),
          with_max_length(text_param("schedule", "pve-calendar-event"), 128),
          text_param("source", "pve-node")};
}

std::string digest(const World& world) {
  std::vector<SectionEntry> entries;
  for (const auto& [id, job] : world.replication) entries.push_back({"local", id, &job.values});
  return digest_of(render_sections(entries));
}

json number(const std::string& text) {
  if (is_integer_text(text)) return std::stoll(text);
  return std::stod(text);
}

json job_json(const ReplicationJob& job) {
  json out = section_json(job.values, {"disable"});
  if (const auto rate = job.values.find("rate"); rate != job.values.end()) out["rate"] = number(rate->second);
  out["id"] = job.id;
  out["type"] = "local";
  out["guest"] = job.vmid;
  out["jobnum"] = std::stoll(job.id.substr(job.id.find('-') + 1));
  return out;
}

int guest_of(const std::string& id) { return std::stoi(id.substr(0, id.find('-'))); }

/// Facts: only zfspool volumes can be replicated; drives with replicate=0 and cdroms do not take part.
bool has_replicatable_volumes(const World& world, const Vm& vm) {
  bool any = false;
  for (const auto& [key, value] : vm.config.values) {
    const bool drive = std::any_of(key.begin(), key.end(), [](char c) { return c >= '0' && c <= '9'; }) &&
                       (key.rfind("scsi", 0) == 0 || key.rfind("virtio", 0) == 0 || key.rfind("sata", 0) == 0 ||
                        key.rfind("ide", 0) == 0 || key.rfind("efidisk", 0) == 0 || key.rfind("tpmstate", 0) == 0 ||
                        key.rfind("unused", 0) == 0);
    if (!drive || value.find("media=cdrom") != std::string::npos || value.find("replicate=0") != std::string::npos)
      continue;
    const std::string volume = value.substr(0, value.find(','));
    const auto colon = volume.find(':');
    if (colon == std::string::npos) continue;
    const auto storage = std::find_if(world.storages.begin(), world.storages.end(),
                                      [&](const StorageDef& def) { return def.id == volume.substr(0, colon); });
    if (storage == world.storages.end() || storage->type != "zfspool")
      fail("missing replicate feature on volume '" + volume + "'");
    any = true;
  }
  return any;
}

json create_job(Call& call) {
  World& world = call.world;
  const std::string& id = call.params.at("id");
  const int vmid = guest_of(id);
  require_privilege(call, "/vms/" + std::to_string(vmid), "VM.Replicate");
  const Vm* vm = world.find_vm(vmid);
  if (vm == nullptr) fail("Guest '" + std::to_string(vmid) + "' does not exist.");
  const std::string& target = call.params.at("target");
  if (!world.nodes.contains(target)) fail("Target '" + target + "' does not exist.");
  if (const std::string* source = find_param(call.params, "source"); source != nullptr && *source != vm->node)
    fail("Source '" + *source + "' does not match current node of guest '" + std::to_string(vmid) + "' (" + vm->node +
         ")");
  if (target == vm->node) fail("Source and target must not be identical");
  if (!has_replicatable_volumes(world, *vm)) fail("No replicatable volumes found");
  require_file_lock(world, "file-replication_cfg");
  if (world.replication.contains(id)) fail("replication job '" + id + "' already exists");
  ReplicationJob job;
  job.id = id;
  job.vmid = vmid;
  for (const auto& [key, value] : call.params)
    if (key != "id" && key != "type") job.values[key] = value;
  job.values["source"] = vm->node;
  world.replication.emplace(id, std::move(job));
  return nullptr;
}

json update_job(Call& call) {
  World& world = call.world;
  const std::string& id = call.params.at("id");
  require_privilege(call, "/vms/" + std::to_string(guest_of(id)), "VM.Replicate");
  require_file_lock(world, "file-replication_cfg");
  require_digest(call.params, digest(world));
  const auto found = world.replication.find(id);
  if (found == world.replication.end()) fail("no such job '" + id + "'");
  Section values = found->second.values;
  for (const char* key : {"comment", "disable", "rate", "remove_job", "schedule", "source"})
    if (const std::string* value = find_param(call.params, key)) values[key] = *value;
  for (const std::string& key : split_list(text_or(call.params, "delete", ""))) {
    if (key == "target" || key == "type") fail("unable to delete required option '" + key + "'");
    static constexpr std::array kOptional = {"comment", "disable", "rate", "remove_job", "schedule", "source"};
    if (std::find(kOptional.begin(), kOptional.end(), key) == kOptional.end()) fail("no such option '" + key + "'");
    values.erase(key);
  }
  found->second.values = std::move(values);
  return nullptr;
}

json delete_job(Call& call) {
  World& world = call.world;
  const std::string& id = call.params.at("id");
  require_privilege(call, "/vms/" + std::to_string(guest_of(id)), "VM.Replicate");
  require_file_lock(world, "file-replication_cfg");
  if (flag_or(call.params, "force", false)) {
    if (flag_or(call.params, "keep", false)) fail_param("keep", "conflicts with parameter 'force'");
    world.replication.erase(id);
    return nullptr;
  }
  const auto found = world.replication.find(id);
  if (found == world.replication.end()) fail("no such job '" + id + "'");
  // Fact: the scheduler removes it later.
  found->second.values["remove_job"] = flag_or(call.params, "keep", false) ? "local" : "full";
  return nullptr;
}

json status_json(const ReplicationJob& job) {
  json out = job_json(job);
  const std::int64_t last = std::chrono::duration_cast<std::chrono::seconds>(job.last_sync.time_since_epoch()).count();
  out["vmtype"] = "qemu";
  out["last_sync"] = last;
  out["last_try"] = last;
  out["next_sync"] = last == 0 ? 0 : last + 900;
  out["fail_count"] = job.fail_count;
  if (!job.error.empty()) out["error"] = job.error;
  return out;
}

}  // namespace

void add_replication_methods(MethodTable& table) {
  MethodSpec list{.verb = "GET", .path = "/cluster/replication"};
  list.handler = [](Call& call) {
    json out = json::array();
    for (const auto& [id, job] : call.world.replication)
      if (has_privilege(call, "/vms/" + std::to_string(job.vmid), "VM.Audit")) out.push_back(job_json(job));
    return out;
  };
  table.push_back(std::move(list));

  MethodSpec create{.verb = "POST", .path = "/cluster/replication", .is_protected = true};
  create.params = job_params();
  create.params.push_back(text_param("target", "pve-node", false));
  create.params.push_back(enum_param("type", {"local"}, false));
  create.handler = create_job;
  table.push_back(std::move(create));

  MethodSpec read{.verb = "GET", .path = "/cluster/replication/{id}"};
  read.params = {id_param()};
  read.handler = [](Call& call) {
    const std::string& id = call.params.at("id");
    const auto found = call.world.replication.find(id);
    if (found == call.world.replication.end()) fail("no such replication job '" + id + "'");
    require_privilege(call, "/vms/" + std::to_string(found->second.vmid), "VM.Audit");
    json out = job_json(found->second);
    out["digest"] = digest(call.world);
    return out;
  };
  table.push_back(std::move(read));

  MethodSpec update{.verb = "PUT", .path = "/cluster/replication/{id}", .is_protected = true};
  update.params = job_params();
  update.params.push_back(with_max_length(text_param("delete", "pve-configid-list"), 4096));
  update.params.push_back(with_max_length(text_param("digest"), 64));
  update.handler = update_job;
  table.push_back(std::move(update));

  MethodSpec remove{.verb = "DELETE", .path = "/cluster/replication/{id}", .is_protected = true};
  remove.params = {flag_param("force"), id_param(), flag_param("keep")};
  remove.handler = delete_job;
  table.push_back(std::move(remove));

  MethodSpec state{.verb = "GET", .path = "/nodes/{node}/replication", .is_protected = true, .proxy_to_node = true};
  state.params = {vmid_param("guest", true), node_param()};
  state.handler = [](Call& call) {
    json out = json::array();
    for (const auto& [id, job] : call.world.replication) {
      const Vm* vm = call.world.find_vm(job.vmid);
      if (vm == nullptr || vm->node != call.node) continue;
      if (given(call.params, "guest") && integer_or(call.params, "guest", 0) != job.vmid) continue;
      if (has_privilege(call, "/vms/" + std::to_string(job.vmid), "VM.Audit")) out.push_back(status_json(job));
    }
    return out;
  };
  table.push_back(std::move(state));
}

}  // namespace pvesim
