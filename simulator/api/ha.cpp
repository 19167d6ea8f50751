// HA resources, rules and status (PVE ha-manager 5.x). What the managers do is the world's business.

#include <algorithm>
#include <array>

#include "simulator/api/support.h"
#include "simulator/wire/formats.h"

namespace pvesim {
namespace {

using nlohmann::json;

const std::vector<std::string_view> kNumbers = {"max_restart", "max_relocate", "failback", "disable", "strict"};

std::string resources_digest(const World& world) {
  std::vector<SectionEntry> entries;
  for (const auto& [sid, resource] : world.ha_resources)
    entries.push_back({sid.substr(0, sid.find(':')), sid.substr(sid.find(':') + 1), &resource.values});
  return digest_of(render_sections(entries));
}

std::string rules_digest(const World& world) {
  std::vector<SectionEntry> entries;
  for (const HaRule& rule : world.ha_rules) entries.push_back({rule.type, rule.id, &rule.values});
  return digest_of(render_sections(entries));
}

/// "100" or "vm:100" -> "vm:100".
std::string parse_sid(const World& world, const std::string& text) {
  if (!is_integer_text(text)) return text;
  if (text.size() > 9 || !world.vms.contains(std::stoi(text)))
    fail("unable to detect SID from VMID - VM/CT " + text + " does not exist");
  return "vm:" + text;
}

json resource_json(const World& world, const HaResource& resource) {
  json out = section_json(resource.values, kNumbers);
  out["sid"] = resource.sid;
  out["type"] = resource.sid.substr(0, resource.sid.find(':'));
  out["digest"] = resources_digest(world);
  return out;
}

HaResource& existing(Call& call, const std::string& sid) {
  const auto found = call.world.ha_resources.find(sid);
  if (found == call.world.ha_resources.end()) fail("no such resource '" + sid + "'");
  return found->second;
}

/// Fact: a service in error must be disabled before anything else is asked of it.
void check_service_state(const HaResource& resource, const std::string* requested) {
  if (resource.crm_state != "error" || (requested != nullptr && *requested == "disabled")) return;
  fail("service '" + resource.sid + "' in error state, must be disabled and fixed first");
}

/// Copies the properties of resources.cfg. Fact: `enabled` is an old word for `started`.
void apply(Section& values, const Params& params) {
  for (const char* key : {"comment", "failback", "max_relocate", "max_restart", "state"})
    if (const std::string* value = find_param(params, key)) values[key] = *value == "enabled" ? "started" : *value;
}

std::vector<ParamSpec> resource_params() {
  return {with_max_length(text_param("comment"), 4096),
          flag_param("failback"),
          text_param("group", "pve-configid"),
          integer_param("max_relocate", 0),
          integer_param("max_restart", 0),
          text_param("sid", "pve-ha-resource-or-vm-id", false),
          enum_param("state", {"started", "stopped", "enabled", "disabled", "ignored"})};
}

void refuse_groups(const Params& params) {
  if (given(params, "group")) fail("invalid parameter 'group': ha groups have been migrated to rules");
}

json create_resource(Call& call) {
  World& world = call.world;
  world.require_quorum();
  const std::string sid = parse_sid(world, call.params.at("sid"));
  const std::string type = sid.substr(0, sid.find(':'));
  const std::string name = sid.substr(sid.find(':') + 1);
  if (const std::string* wanted = find_param(call.params, "type"); wanted != nullptr && *wanted != type)
    fail("types does not match");
  refuse_groups(call.params);
  if (type != "vm" && type != "ct") fail("unsupported type '" + type + "'");
  if (!is_integer_text(name) || name.size() > 9) fail("invalid VMID");
  const Vm* vm = world.find_vm(std::stoi(name));
  if (vm == nullptr) fail("resource '" + sid + "' does not exist in cluster");
  if (type == "ct") fail("resource '" + sid + "' - guest with ID " + name + " is not a container");
  if (world.ha_resources.contains(sid)) fail("create resource failed: resource ID '" + sid + "' already defined");
  HaResource resource;
  resource.sid = sid;
  apply(resource.values, call.params);
  world.ha_resources.emplace(sid, std::move(resource));
  world.ha_changed();
  return nullptr;
}

json update_resource(Call& call) {
  World& world = call.world;
  const std::string sid = parse_sid(world, call.params.at("sid"));
  refuse_groups(call.params);
  if (const auto found = world.ha_resources.find(sid); found != world.ha_resources.end())
    check_service_state(found->second, find_param(call.params, "state"));
  require_file_lock(world, "domain-ha", "update resources config failed");
  with_prefix("update resources config failed", [&] {
    require_digest(call.params, resources_digest(world));
    HaResource& resource = existing(call, sid);
    Section values = resource.values;
    delete_keys(values, call.params, {"comment", "failback", "max_relocate", "max_restart", "state", "group"}, {});
    apply(values, call.params);
    resource.values = std::move(values);
  });
  world.ha_changed();
  return nullptr;
}

json delete_resource(Call& call) {
  World& world = call.world;
  const std::string sid = parse_sid(world, call.params.at("sid"));
  if (!world.ha_resources.contains(sid)) fail("cannot delete service '" + sid + "', not HA managed!");
  require_file_lock(world, "domain-ha", "delete resource failed");
  world.ha_resources.erase(sid);
  if (flag_or(call.params, "purge", true)) {
    for (HaRule& rule : world.ha_rules) {
      std::string left;
      for (const std::string& one : split_list(rule.values["resources"]))
        if (one != sid) left += (left.empty() ? "" : ",") + one;
      rule.values["resources"] = left;
    }
    std::erase_if(world.ha_rules, [](const HaRule& rule) { return rule.values.at("resources").empty(); });
  }
  world.ha_changed();
  return nullptr;
}

/// Fact: only queues a command for the manager; the answer names what was asked for.
json queue_motion(Call& call, bool online) {
  World& world = call.world;
  const std::string sid = parse_sid(world, call.params.at("sid"));
  const auto found = world.ha_resources.find(sid);
  if (found == world.ha_resources.end()) fail("resource '" + sid + "' is not HA managed");
  check_service_state(found->second, nullptr);
  require_file_lock(world, "domain-ha");
  found->second.migrate_target = call.params.at("node");
  found->second.migrate_online = online;
  world.ha_changed();
  return {{"sid", sid}, {"requested-node", call.params.at("node")}};
}

// ---------------------------------------------------------------------------------------------- rules

std::string sorted_list(const std::string& text) {
  std::vector<std::string> items = split_list(text);
  std::sort(items.begin(), items.end());
  items.erase(std::unique(items.begin(), items.end()), items.end());
  std::string out;
  for (const std::string& item : items) out += (out.empty() ? "" : ",") + item;
  return out;
}

/// "n2:1,n1:0" -> "n1,n2:1": sorted, priority 0 not written.
std::string canonical_nodes(const std::string& text) {
  std::map<std::string, int> nodes;
  for (const std::string& item : split_list(text)) {
    const auto colon = item.find(':');
    nodes[item.substr(0, colon)] = colon == std::string::npos ? 0 : std::stoi(item.substr(colon + 1));
  }
  std::string out;
  for (const auto& [name, priority] : nodes) {
    out += (out.empty() ? "" : ",") + name;
    if (priority != 0) out += ":" + std::to_string(priority);
  }
  return out;
}

bool disabled(const HaRule& rule) {
  const auto found = rule.values.find("disable");
  return found != rule.values.end() && found->second == "1";
}

/// What makes a set of rules infeasible, by rule: texts about its resources. Fact: disabled rules do not count.
std::map<std::string, std::vector<std::string>> infeasible(const World& world, const std::vector<HaRule>& rules) {
  std::map<std::string, std::vector<std::string>> errors;
  std::map<std::string, std::vector<const HaRule*>> node_rules_of;
  const auto value = [](const HaRule& rule, std::string_view key) {
    const auto found = rule.values.find(key);
    return found == rule.values.end() ? std::string{} : found->second;
  };
  for (const HaRule& rule : rules) {
    if (disabled(rule)) continue;
    const std::vector<std::string> resources = split_list(value(rule, "resources"));
    if (rule.type == "node-affinity") {
      for (const std::string& sid : resources) node_rules_of[sid].push_back(&rule);
      continue;
    }
    if (resources.size() < 2) errors[rule.id].push_back("rule is ineffective as there are less than two resources");
    if (value(rule, "affinity") != "negative") continue;
    if (resources.size() > world.nodes.size())
      errors[rule.id].push_back("rule defines more resources than available nodes");
    for (const HaRule& other : rules) {
      if (disabled(other) || other.type != "resource-affinity" || value(other, "affinity") != "positive") continue;
      const std::vector<std::string> theirs = split_list(value(other, "resources"));
      const auto common = std::count_if(resources.begin(), resources.end(), [&](const std::string& sid) {
        return std::find(theirs.begin(), theirs.end(), sid) != theirs.end();
      });
      if (common < 2) continue;
      errors[rule.id].push_back("rule shares two or more resources with a positive resource affinity rule");
      errors[other.id].push_back("rule shares two or more resources with a negative resource affinity rule");
    }
  }
  for (const auto& [sid, users] : node_rules_of) {
    if (users.size() < 2) continue;
    for (const HaRule* rule : users)
      errors[rule->id].push_back("resource '" + sid + "' is already used in another node affinity rule");
  }
  return errors;
}

void check_rule_values(const World& world, const Section& values) {
  if (const auto found = values.find("resources"); found != values.end()) {
    const std::vector<std::string> resources = split_list(found->second);
    if (resources.empty()) fail("no resources were specified");
    std::string unmanaged;
    for (const std::string& sid : resources)
      if (!world.ha_resources.contains(sid)) unmanaged += (unmanaged.empty() ? "" : ", ") + sid;
    if (!unmanaged.empty()) fail("cannot use unmanaged resource(s) " + unmanaged + ".");
  }
  if (const auto found = values.find("nodes"); found != values.end()) {
    const std::vector<std::string> nodes = split_list(found->second);
    if (nodes.empty()) fail("no nodes were specified");
    std::string missing;
    for (const std::string& item : nodes) {
      const std::string name = item.substr(0, item.find(':'));
      if (!world.nodes.contains(name)) missing += (missing.empty() ? "" : ", ") + name;
    }
    if (!missing.empty()) fail("cannot use non-existent node(s) " + missing + ".");
  }
}

void require_feasible(const World& world, const std::vector<HaRule>& rules, const std::string& id) {
  const auto errors = infeasible(world, rules);
  const auto found = errors.find(id);
  if (found == errors.end()) return;
  std::string text;
  for (const std::string& one : found->second) text += (text.empty() ? "" : ", ") + one;
  throw ApiError{400, "Rule '" + id + "' is invalid.", {{"resources", text}}};
}

Section rule_values(const Params& params) {
  Section values;
  for (const char* key : {"affinity", "comment", "disable", "nodes", "resources", "strict"})
    if (const std::string* value = find_param(params, key)) values[key] = *value;
  if (const auto off = values.find("disable"); off != values.end() && off->second != "1") values.erase(off);
  if (const auto found = values.find("resources"); found != values.end()) found->second = sorted_list(found->second);
  if (const auto found = values.find("nodes"); found != values.end()) found->second = canonical_nodes(found->second);
  return values;
}

json rule_json(const World& world, std::size_t index) {
  const HaRule& rule = world.ha_rules[index];
  json out = section_json(rule.values, kNumbers);
  if (rule.type == "node-affinity" && !out.contains("strict")) out["strict"] = 0;
  out["rule"] = rule.id;
  out["type"] = rule.type;
  out["order"] = index + 1;
  out["digest"] = rules_digest(world);
  const auto errors = infeasible(world, world.ha_rules);
  if (const auto found = errors.find(rule.id); found != errors.end()) out["errors"] = {{"resources", found->second}};
  return out;
}

json create_rule(Call& call) {
  World& world = call.world;
  world.require_quorum();
  const std::string& id = call.params.at("rule");
  with_prefix("create ha rule failed", [&] {
    const bool taken =
        std::any_of(world.ha_rules.begin(), world.ha_rules.end(), [&](const HaRule& rule) { return rule.id == id; });
    if (taken) fail("HA rule '" + id + "' already defined");
    HaRule rule{id, call.params.at("type"), rule_values(call.params)};
    check_rule_values(world, rule.values);
    std::vector<HaRule> rules = world.ha_rules;
    rules.push_back(std::move(rule));
    require_feasible(world, rules, id);
    world.ha_rules = std::move(rules);
  });
  world.ha_changed();
  return nullptr;
}

json update_rule(Call& call) {
  World& world = call.world;
  const std::string& id = call.params.at("rule");
  require_file_lock(world, "domain-ha", "update HA rules failed");
  with_prefix("update HA rules failed", [&] {
    require_digest(call.params, rules_digest(world));
    std::vector<HaRule> rules = world.ha_rules;
    const auto rule = std::find_if(rules.begin(), rules.end(), [&](const HaRule& one) { return one.id == id; });
    if (rule == rules.end()) fail("HA rule '" + id + "' does not exist");
    if (rule->type != call.params.at("type")) fail("unexpected property 'type'");
    const Section changes = rule_values(call.params);
    check_rule_values(world, changes);
    if (rule->type == "node-affinity")
      delete_keys(rule->values, call.params, {"strict", "disable", "comment"}, {"resources", "nodes"});
    else
      delete_keys(rule->values, call.params, {"disable", "comment"}, {"resources", "affinity"});
    for (const auto& [key, value] : changes) rule->values[key] = value;
    if (given(call.params, "disable") && !flag_or(call.params, "disable", false)) rule->values.erase("disable");
    require_feasible(world, rules, id);
    world.ha_rules = std::move(rules);
  });
  world.ha_changed();
  return nullptr;
}

std::map<std::string, std::vector<ParamSpec>, std::less<>> rule_variants(bool optional) {
  const auto common = [&](std::vector<ParamSpec> own) {
    own.push_back(with_max_length(text_param("comment"), 4096));
    own.push_back(flag_param("disable"));
    own.push_back(text_param("resources", "pve-ha-resource-id-list", optional));
    return own;
  };
  return {{"node-affinity", common({text_param("nodes", "pve-ha-node-list", optional), flag_param("strict")})},
          {"resource-affinity", common({enum_param("affinity", {"positive", "negative"}, optional)})}};
}

// ---------------------------------------------------------------------------------------------- status

json ha_status(Call& call) {
  World& world = call.world;
  const bool quorate = world.quorate();
  json out = {{{"id", "quorum"},
               {"type", "quorum"},
               {"node", call.node},
               {"quorate", quorate ? 1 : 0},
               {"status", quorate ? "OK" : "No quorum on node '" + call.node + "'!"}}};
  std::string master;
  for (const auto& [name, node] : world.nodes)
    if (node.online && master.empty()) master = name;
  const bool active = !world.ha_resources.empty();
  const std::int64_t now = world.now_seconds();
  if (active)
    out.push_back({{"id", "master"},
                   {"type", "master"},
                   {"node", master},
                   {"status", master + (quorate ? " (active)" : " (old timestamp - dead?)")},
                   {"timestamp", now}});
  const std::string armed = world.ha_disarmed ? "disarmed" : active ? "armed" : "standby";
  out.push_back({{"id", "fencing"},
                 {"type", "fencing"},
                 {"node", active ? master : call.node},
                 {"armed-state", armed},
                 {"status", world.ha_disarmed ? "disarmed, resource mode: ignore (CRM watchdog released)"
                            : active          ? "armed (CRM watchdog active)"
                                              : "standby (CRM watchdog standby)"}});
  if (active)
    for (const auto& [name, node] : world.nodes)
      out.push_back({{"id", "lrm:" + name},
                     {"type", "lrm"},
                     {"node", name},
                     {"status", name + (node.online ? " (active, watchdog active)" : " (old timestamp - dead?)")},
                     {"timestamp", now}});
  for (const auto& [sid, resource] : world.ha_resources) {
    const Vm* vm = world.find_vm(std::stoi(sid.substr(sid.find(':') + 1)));
    const std::string node = vm != nullptr ? vm->node : "---";
    json row = section_json(resource.values, kNumbers);
    const auto state = resource.values.find("state");
    row["request_state"] = state == resource.values.end() ? "started" : state->second;
    row["id"] = "service:" + sid;
    row["type"] = "service";
    row["sid"] = sid;
    row["node"] = node;
    row["crm_state"] = resource.crm_state;
    row["state"] = world.ha_disarmed ? "ignore" : resource.crm_state;
    row["status"] = sid + " (" + node + ", " + row["state"].get<std::string>() + ")";
    out.push_back(std::move(row));
  }
  return out;
}

void add_resource_methods(MethodTable& table) {
  const auto sid_param = [] { return text_param("sid", "pve-ha-resource-or-vm-id", false); };
  MethodSpec list{.verb = "GET", .path = "/cluster/ha/resources"};
  list.params = {enum_param("type", {"ct", "vm"})};
  list.permission = needs_privilege("/", "Sys.Audit");
  list.handler = [](Call& call) {
    json out = json::array();
    const std::string* type = find_param(call.params, "type");
    for (const auto& [sid, resource] : call.world.ha_resources)
      if (type == nullptr || sid.rfind(*type + ":", 0) == 0) out.push_back(resource_json(call.world, resource));
    shuffle(call.world, out);
    return out;
  };
  table.push_back(std::move(list));

  MethodSpec create{.verb = "POST", .path = "/cluster/ha/resources", .is_protected = true};
  create.params = resource_params();
  create.params.push_back(enum_param("type", {"ct", "vm"}));
  create.permission = needs_privilege("/", "Sys.Console");
  create.handler = create_resource;
  table.push_back(std::move(create));

  MethodSpec read{.verb = "GET", .path = "/cluster/ha/resources/{sid}"};
  read.params = {sid_param()};
  read.permission = needs_privilege("/", "Sys.Audit");
  read.handler = [](Call& call) {
    return resource_json(call.world, existing(call, parse_sid(call.world, call.params.at("sid"))));
  };
  table.push_back(std::move(read));

  MethodSpec update{.verb = "PUT", .path = "/cluster/ha/resources/{sid}", .is_protected = true};
  update.params = resource_params();
  update.params.push_back(with_max_length(text_param("delete", "pve-configid-list"), 4096));
  update.params.push_back(with_max_length(text_param("digest"), 64));
  update.permission = needs_privilege("/", "Sys.Console");
  update.handler = update_resource;
  table.push_back(std::move(update));

  MethodSpec remove{.verb = "DELETE", .path = "/cluster/ha/resources/{sid}", .is_protected = true};
  remove.params = {flag_param("purge"), sid_param()};
  remove.permission = needs_privilege("/", "Sys.Console");
  remove.handler = delete_resource;
  table.push_back(std::move(remove));

  for (const bool online : {true, false}) {
    MethodSpec move{.verb = "POST",
                    .path = online ? "/cluster/ha/resources/{sid}/migrate" : "/cluster/ha/resources/{sid}/relocate",
                    .is_protected = true};
    move.params = {node_param(), sid_param()};
    move.permission = needs_privilege("/", "Sys.Console");
    move.handler = [online](Call& call) { return queue_motion(call, online); };
    table.push_back(std::move(move));
  }
}

void add_rule_methods(MethodTable& table) {
  const auto rule_param = [] { return text_param("rule", "pve-configid", false); };
  MethodSpec list{.verb = "GET", .path = "/cluster/ha/rules"};
  list.params = {text_param("resource"), enum_param("type", {"node-affinity", "resource-affinity"})};
  list.permission = needs_privilege("/", "Sys.Audit");
  list.handler = [](Call& call) {
    json out = json::array();
    const std::string* type = find_param(call.params, "type");
    const std::string* resource = find_param(call.params, "resource");
    for (std::size_t i = 0; i < call.world.ha_rules.size(); ++i) {
      const HaRule& rule = call.world.ha_rules[i];
      if (type != nullptr && rule.type != *type) continue;
      if (resource != nullptr) {
        const std::vector<std::string> sids = split_list(rule.values.at("resources"));
        if (std::find(sids.begin(), sids.end(), *resource) == sids.end()) continue;
      }
      out.push_back(rule_json(call.world, i));
    }
    return out;
  };
  table.push_back(std::move(list));

  MethodSpec create{.verb = "POST", .path = "/cluster/ha/rules", .is_protected = true};
  create.params = {rule_param()};
  create.type_property = "type";
  create.variants = rule_variants(false);
  create.permission = needs_privilege("/", "Sys.Console");
  create.handler = create_rule;
  table.push_back(std::move(create));

  MethodSpec read{.verb = "GET", .path = "/cluster/ha/rules/{rule}"};
  read.params = {rule_param()};
  read.permission = needs_privilege("/", "Sys.Audit");
  read.handler = [](Call& call) -> json {
    const std::string& id = call.params.at("rule");
    for (std::size_t i = 0; i < call.world.ha_rules.size(); ++i)
      if (call.world.ha_rules[i].id == id) return rule_json(call.world, i);
    fail("no such ha rule '" + id + "'");
  };
  table.push_back(std::move(read));

  MethodSpec update{.verb = "PUT", .path = "/cluster/ha/rules/{rule}", .is_protected = true};
  update.params = {rule_param(), with_max_length(text_param("delete", "pve-configid-list"), 4096),
                   with_max_length(text_param("digest"), 64)};
  update.type_property = "type";
  update.variants = rule_variants(true);
  update.permission = needs_privilege("/", "Sys.Console");
  update.handler = update_rule;
  table.push_back(std::move(update));

  MethodSpec remove{.verb = "DELETE", .path = "/cluster/ha/rules/{rule}", .is_protected = true};
  remove.params = {rule_param()};
  remove.permission = needs_privilege("/", "Sys.Console");
  remove.handler = [](Call& call) {
    require_file_lock(call.world, "domain-ha", "delete ha rule failed");
    // Fact: deleting a rule that does not exist succeeds.
    std::erase_if(call.world.ha_rules, [&](const HaRule& rule) { return rule.id == call.params.at("rule"); });
    call.world.ha_changed();
    return json(nullptr);
  };
  table.push_back(std::move(remove));
}

}  // namespace

void add_ha_methods(MethodTable& table) {
  add_resource_methods(table);
  add_rule_methods(table);
  MethodSpec status{.verb = "GET", .path = "/cluster/ha/status/current"};
  status.permission = needs_privilege("/", "Sys.Audit");
  status.handler = ha_status;
  table.push_back(std::move(status));
}

}  // namespace pvesim
