// The cluster as a whole: version, status, resources, nextid, options, tasks (PVE manager 9.x).

#include <algorithm>

#include "simulator/api/broadcast.h"
#include "simulator/api/rows.h"
#include "simulator/api/support.h"
#include "simulator/wire/access.h"
#include "simulator/wire/formats.h"
#include "simulator/wire/params.h"
#include "simulator/world/storage.h"

namespace pvesim {
namespace {

using nlohmann::json;

ParamSpec limit_key(std::string name) {
  ParamSpec spec = text_param(std::move(name));
  spec.type = "number";
  spec.minimum = 0;
  return spec;
}

ParamSpec number_key(std::string name, std::optional<double> maximum) {
  ParamSpec spec = limit_key(std::move(name));
  spec.maximum = maximum;
  return needs(std::move(spec), "ha-auto-rebalance");
}

ParamSpec as_default_key(ParamSpec spec) {
  spec.default_key = true;
  return spec;
}

constexpr std::string_view kTag = "[a-zA-Z0-9_][a-zA-Z0-9_\\-+.]*";

std::string tag_list_pattern() {
  const std::string tag(kTag);
  return "(?:" + tag + ";)*" + tag;
}

/// datacenter.cfg, as PUT /cluster/options takes it.
std::vector<ParamSpec> datacenter_params() {
  const std::string color = std::string(kTag) + ":[0-9a-fA-F]{6}(?::[0-9a-fA-F]{6})?";
  const auto network = [] {
    return std::vector<ParamSpec>{
        text_param("network", "CIDR"),
        as_default_key(enum_param("type", {"secure", "insecure"}, false)),
    };
  };
  ParamSpec registered = with_pattern(text_param("registered-tags"), tag_list_pattern());
  std::vector<ParamSpec> params = {
      property_param("bwlimit", {limit_key("clone"), limit_key("default"), limit_key("migration"), limit_key("move"),
                                 limit_key("restore")}),
      with_max_length(text_param("consent-text"), 65536),
      enum_param("console", {"applet", "vv", "html5", "xtermjs"}),
      property_param("crs",
                     {enum_param("ha", {"basic", "static", "dynamic"}), flag_param("ha-auto-rebalance"),
                      number_key("ha-auto-rebalance-hold-duration", {}), number_key("ha-auto-rebalance-margin", 100),
                      needs(enum_param("ha-auto-rebalance-method", {"bruteforce", "topsis"}), "ha-auto-rebalance"),
                      number_key("ha-auto-rebalance-threshold", 100), flag_param("ha-rebalance-on-start")}),
      text_param("delete", "pve-configid-list"),
      with_max_length(text_param("description"), 65536),
      text_param("email_from", "email-opt"),
      enum_param("fencing", {"watchdog", "hardware", "both"}),
      property_param("ha", {enum_param("shutdown_policy", {"freeze", "failover", "conditional", "migrate"}, false)}),
      with_pattern(text_param("http_proxy"), "http://.*"),
      enum_param("keyboard",
                 {"de", "de-ch", "da", "en-gb", "en-us", "es", "fi", "fr", "fr-be", "fr-ca", "fr-ch", "hu", "is",
                  "it", "ja",    "lt", "mk",    "nl",    "no", "pl", "pt", "pt-br", "sv",    "sl",    "tr"}),
      enum_param("language",
                 {"ar", "ca", "da", "de", "en", "es",    "eu", "fa", "fr", "hr", "he",  "it",    "ja",   "ka",
                  "kr", "nb", "nl", "nn", "pl", "pt_BR", "ru", "sl", "sv", "tr", "ukr", "zh_CN", "zh_TW"}),
      text_param("location", "pve-node-location"),
      text_param("mac_prefix", "mac-prefix"),
      integer_param("max_workers", 1),
      property_param("migration", network()),
      flag_param("migration_unsecure"),
      property_param("next-id", {integer_param("lower"), integer_param("upper")}),
      property_param("notify", {enum_param("fencing", {"always", "never"}),
                                enum_param("package-updates", {"auto", "always", "never"}),
                                enum_param("replication", {"always", "never"}), text_param("target-fencing"),
                                text_param("target-package-updates"), text_param("target-replication")}),
      std::move(registered),
      property_param("replication", network()),
      property_param("tag-style", {flag_param("case-sensitive"),
                                   with_pattern(text_param("color-map"), color + "(?:;" + color + ")*"),
                                   enum_param("ordering", {"config", "alphabetical"}),
                                   enum_param("shape", {"full", "circle", "dense", "none"})}),
      property_param("u2f", {text_param("appid"), text_param("origin")}),
      property_param("user-tag-access", {enum_param("user-allow", {"none", "list", "existing", "free"}),
                                         with_pattern(text_param("user-allow-list"),
                                                      std::string(kTag) + "(?:;" + std::string(kTag) + ")*")}),
      property_param("webauthn",
                     {flag_param("allow-subdomains"), text_param("id"), text_param("origin"), text_param("rp")}),
  };
  // A named format that is itself a set of keys.
  for (ParamSpec& spec : params)
    if (spec.name == "location") {
      ParamSpec latitude = text_param("latitude", {}, false);
      latitude.type = "number";
      latitude.minimum = -90;
      latitude.maximum = 90;
      ParamSpec longitude = latitude;
      longitude.name = "longitude";
      longitude.minimum = -180;
      longitude.maximum = 180;
      spec.property = std::make_shared<const std::vector<ParamSpec>>(
          std::vector<ParamSpec>{latitude, longitude, with_max_length(text_param("name"), 128)});
    }
  return params;
}

/// Fact: datacenter options that are sets of keys arrive as objects in some answers (next-id, migration, …).
json datacenter_value(const std::string& key, const std::string& value) {
  static const std::vector<ParamSpec> kParams = datacenter_params();
  const auto spec = std::find_if(kParams.begin(), kParams.end(), [&](const ParamSpec& one) { return one.name == key; });
  if (spec == kParams.end()) return value;
  if ((spec->type == "integer" || spec->type == "boolean") && is_integer_text(value)) return std::stoll(value);
  static constexpr std::array kParsed = {"next-id", "migration",       "replication", "ha",
                                         "crs",     "tag-style",       "u2f",         "webauthn",
                                         "notify",  "user-tag-access", "location"};
  if (!spec->property || std::find(kParsed.begin(), kParsed.end(), key) == kParsed.end()) return value;
  Params parts;
  if (!parse_property_string(*spec->property, value, key, parts).empty()) return value;
  json out = json::object();
  for (const auto& [name, text] : parts) out[name] = text;
  return out;
}

json cluster_options(Call& call) {
  json out = json::object();
  const Section& file = call.world.datacenter;
  if (has_privilege(call, "/", "Sys.Audit")) {
    // Fact: these two are filled in whether or not they are set.
    out["description"] = "";
    out["mac_prefix"] = "BC:24:11";
    for (const auto& [key, value] : file) out[key] = datacenter_value(key, value);
    if (const auto tags = file.find("registered-tags"); tags != file.end())
      out["registered-tags"] = split_list(tags->second);
  } else {
    for (const char* key : {"console", "tag-style"})
      if (const auto found = file.find(key); found != file.end()) out[key] = datacenter_value(key, found->second);
  }
  std::set<std::string> tags;
  if (const auto found = file.find("registered-tags"); found != file.end())
    for (std::string& tag : split_list(found->second)) tags.insert(std::move(tag));
  out["allowed-tags"] = json(tags);
  return out;
}

json cluster_status(Call& call) {
  World& world = call.world;
  json out = json::array();
  if (!world.cluster_name.empty())
    out.push_back({{"type", "cluster"},
                   {"id", "cluster"},
                   {"name", world.cluster_name},
                   {"nodes", world.nodes.size()},
                   {"version", world.nodes.size()},
                   {"quorate", world.quorate() ? 1 : 0}});
  json nodes = json::array();
  int address = 10;
  for (const auto& [name, node] : world.nodes) {
    ++address;
    json row = {{"type", "node"},
                {"id", "node/" + name},
                {"name", name},
                {"nodeid", world.cluster_name.empty() ? 0 : node.id},
                {"ip", "127.0.0." + std::to_string(address)},
                {"local", name == call.node ? 1 : 0},
                {"online", node.online ? 1 : 0},
                {"level", ""}};
    nodes.push_back(std::move(row));
  }
  shuffle(world, nodes);
  for (json& row : nodes) out.push_back(std::move(row));
  return out;
}

std::string ha_state(const World& world, int vmid) {
  const auto found = world.ha_resources.find("vm:" + std::to_string(vmid));
  return found == world.ha_resources.end() ? std::string{} : found->second.crm_state;
}

json cluster_resources(Call& call) {
  World& world = call.world;
  const std::string type = text_or(call.params, "type", "");
  json out = json::array();
  std::map<std::string, std::size_t> pool_rows;
  if (type.empty())
    for (const auto& [id, pool] : world.pools) {
      if (!has_privilege(call, "/pool/" + id, "Pool.Audit")) continue;
      pool_rows[id] = out.size();
      out.push_back({{"id", "/pool/" + id}, {"pool", id}, {"type", "pool"}});
    }
  if (type.empty() || type == "vm") {
    std::map<int, std::string> member_of;
    for (const auto& [id, pool] : world.pools)
      for (const int vmid : pool.vms) member_of[vmid] = id;
    for (const auto& [vmid, vm] : world.vms) {
      if (!has_privilege(call, "/vms/" + std::to_string(vmid), "VM.Audit")) continue;
      json row = guest_row(*call.broadcast, vm);
      for (const char* key : {"lock", "tags"})
        if (const auto found = vm.config.values.find(key); found != vm.config.values.end()) row[key] = found->second;
      if (const auto pool = member_of.find(vmid);
          pool != member_of.end() && has_privilege(call, "/pool/" + pool->second, "Pool.Audit"))
        row["pool"] = pool->second;
      if (const std::string state = ha_state(world, vmid); !state.empty()) row["hastate"] = state;
      out.push_back(std::move(row));
    }
  }
  if (type.empty() || type == "node") {
    json nodes = json::array();
    for (const auto& [name, node] : world.nodes) {
      json row = node_row(world, *call.broadcast, node, has_privilege(call, "/nodes/" + name, "Sys.Audit"));
      if (row["status"] != "unknown") row["cgroup-mode"] = 2;
      nodes.push_back(std::move(row));
    }
    shuffle(world, nodes);
    for (json& row : nodes) out.push_back(std::move(row));
  }
  if (type.empty() || type == "storage") {
    json rows = json::array();
    for (const StorageDef& storage : world.storages) {
      if (!has_privilege(call, "/storage/" + storage.id, "Datastore.Audit")) continue;
      if (const auto off = storage.values.find("disable"); off != storage.values.end() && off->second == "1") continue;
      for (const auto& [name, node] : world.nodes)
        if (on_node(storage, name)) rows.push_back(storage_row(world, *call.broadcast, storage, name));
    }
    shuffle(world, rows);
    for (json& row : rows) out.push_back(std::move(row));
  }
  if (type.empty() || type == "sdn") {
    if (has_privilege(call, "/sdn/zones/localnetwork", "SDN.Audit|SDN.Use|SDN.Allocate"))
      for (const auto& [name, node] : world.nodes)
        if (node.online)
          out.push_back({{"id", "network/" + name + "/zone/localnetwork"},
                         {"type", "network"},
                         {"network-type", "zone"},
                         {"network", "localnetwork"},
                         {"node", name},
                         {"status", "ok"}});
  }
  return out;
}

json next_id(Call& call) {
  const World& world = call.world;
  if (const std::string* vmid = find_param(call.params, "vmid")) {
    if (world.vms.contains(std::stoi(*vmid))) fail_param("vmid", "VM " + *vmid + " already exists");
    return *vmid;
  }
  std::int64_t lower = 100;
  std::int64_t upper = 1000000;
  if (const auto range = world.datacenter.find("next-id"); range != world.datacenter.end()) {
    Params parts;
    if (parse_property_string({integer_param("lower"), integer_param("upper")}, range->second, "next-id", parts)
            .empty()) {
      lower = integer_or(parts, "lower", lower);
      upper = integer_or(parts, "upper", upper);
    }
  }
  for (std::int64_t id = lower; id < upper; ++id)
    if (!world.vms.contains(static_cast<int>(id))) return std::to_string(id);  // Fact: a number, but sent as text
  fail("unable to get any free VMID in range [" + std::to_string(lower) + ", " + std::to_string(upper) + "]");
}

json cluster_tasks(Call& call) {
  const bool all = has_privilege(call, "/", "Sys.Audit");
  const auto& tasks = call.world.tasks;
  std::vector<const Task*> rows;
  std::map<std::string, int> ended;
  for (auto task = tasks.rbegin(); task != tasks.rend(); ++task) {
    if (!(*task)->running && ++ended[(*task)->node] > 25) continue;
    rows.push_back(task->get());
  }
  std::stable_partition(rows.begin(), rows.end(), [](const Task* task) { return task->running; });
  json out = json::array();
  for (const Task* task : rows) {
    // Fact: rows belong to the bare user, so a token never finds its own here.
    if (!all && task->user != call.session.auth_id()) continue;
    json row = {{"upid", task->upid}, {"node", task->node}, {"starttime", task->starttime},
                {"type", task->type}, {"id", task->id},     {"user", task->user}};
    if (!task->token.empty()) row["tokenid"] = task->token;
    row["saved"] = task->running ? "0" : "1";
    if (task->running) {
      row["pid"] = task->pid;
    } else {
      row["endtime"] = task->endtime;
      row["status"] = task->exit_status;
    }
    out.push_back(std::move(row));
  }
  return out;
}

}  // namespace

void add_cluster_methods(MethodTable& table) {
  MethodSpec version{.verb = "GET", .path = "/version"};
  version.handler = [](Call& call) { return version_json(call.world.node(call.node)); };
  table.push_back(std::move(version));

  MethodSpec index{.verb = "GET", .path = "/cluster"};
  index.handler = [](Call&) {
    json out = json::array();
    for (const char* name : {"acme",    "backup", "backup-info", "bulk-action", "ceph",    "config",        "firewall",
                             "ha",      "jobs",   "log",         "mapping",     "metrics", "notifications", "nextid",
                             "options", "qemu",   "replication", "resources",   "status",  "tasks",         "sdn"})
      out.push_back({{"name", name}});
    return out;
  };
  table.push_back(std::move(index));

  MethodSpec status{.verb = "GET", .path = "/cluster/status", .is_protected = true};
  status.permission = needs_privilege("/", "Sys.Audit");
  status.handler = cluster_status;
  table.push_back(std::move(status));

  MethodSpec resources{.verb = "GET", .path = "/cluster/resources"};
  resources.params = {enum_param("type", {"vm", "storage", "node", "sdn"})};
  resources.handler = cluster_resources;
  table.push_back(std::move(resources));

  MethodSpec nextid{.verb = "GET", .path = "/cluster/nextid"};
  nextid.params = {vmid_param("vmid", true)};
  nextid.handler = next_id;
  table.push_back(std::move(nextid));

  MethodSpec options{.verb = "GET", .path = "/cluster/options"};
  options.handler = cluster_options;
  table.push_back(std::move(options));

  MethodSpec set{.verb = "PUT", .path = "/cluster/options", .is_protected = true};
  set.params = datacenter_params();
  set.permission = needs_privilege("/", "Sys.Modify");
  set.handler = [](Call& call) {
    require_file_lock(call.world, "file-datacenter_cfg");
    for (const auto& [key, value] : call.params)
      if (key != "delete") call.world.datacenter[key] = value;
    for (const std::string& key : split_list(text_or(call.params, "delete", ""))) call.world.datacenter.erase(key);
    return json(nullptr);
  };
  table.push_back(std::move(set));

  MethodSpec tasks{.verb = "GET", .path = "/cluster/tasks"};
  tasks.handler = cluster_tasks;
  table.push_back(std::move(tasks));
}

}  // namespace pvesim
