// PCI resource mappings (PVE manager 9.x, API2/Cluster/Mapping/PCI).

#include <algorithm>

#include "simulator/api/support.h"
#include "simulator/wire/formats.h"
#include "simulator/wire/params.h"

namespace pvesim {
namespace {

using nlohmann::json;

constexpr std::string_view kDeviceId = "[0-9A-Fa-f]{4}:[0-9A-Fa-f]{4}";
constexpr std::string_view kPath =
    "(?:[a-f0-9]{4,}:[a-f0-9]{2}:[a-f0-9]{2}(?:.[a-f0-9])?;)*[a-f0-9]{4,}:[a-f0-9]{2}:[a-f0-9]{2}(?:.[a-f0-9])?";

std::vector<ParamSpec> map_keys() {
  return {with_max_length(text_param("description"), 4096),
          required(with_pattern(text_param("id"), std::string(kDeviceId))),
          integer_param("iommugroup"),
          text_param("node", "pve-node", false),
          required(with_pattern(text_param("path"), std::string(kPath))),
          with_pattern(text_param("subsystem-id"), std::string(kDeviceId))};
}

ParamSpec map_param(bool optional) {
  ParamSpec spec = text_param("map", {}, optional);
  spec.type = "array";
  spec.items = std::make_shared<const ParamSpec>(property_param("map", map_keys()));
  return spec;
}

std::vector<ParamSpec> mapping_params(bool creating) {
  std::vector<ParamSpec> params = {with_max_length(text_param("description"), 4096),
                                   text_param("id", "pve-configid", false), flag_param("live-migration-capable"),
                                   map_param(!creating), flag_param("mdev")};
  if (!creating) {
    params.push_back(with_max_length(text_param("delete", "pve-configid-list"), 4096));
    params.push_back(with_max_length(text_param("digest"), 64));
  }
  return params;
}

std::string digest(const World& world) {
  std::vector<Section> sections;
  for (const auto& [id, mapping] : world.pci_mappings) {
    Section section = mapping.values;
    for (std::size_t i = 0; i < mapping.map.size(); ++i) section["map" + std::to_string(i)] = mapping.map[i];
    sections.push_back(std::move(section));
  }
  std::vector<SectionEntry> entries;
  std::size_t index = 0;
  for (const auto& [id, mapping] : world.pci_mappings) entries.push_back({"pci", id, &sections[index++]});
  return digest_of(render_sections(entries));
}

json mapping_json(const World& world, const Mapping& mapping) {
  json out = section_json(mapping.values, {"live-migration-capable", "mdev"});
  out["type"] = "pci";
  out["map"] = mapping.map;
  out["digest"] = digest(world);
  return out;
}

/// What is wrong with one entry of a mapping on its node; "" when the device is there as described.
std::string check_device(const Node& node, const Params& entry) {
  const std::string path = text_or(entry, "path", "");
  for (const std::string& one : split_list(path)) {
    const auto device = std::find_if(node.pci.begin(), node.pci.end(), [&](const PciDevice& have) {
      return have.id == one || have.id.rfind(one + ".", 0) == 0;
    });
    if (device == node.pci.end()) return "pci device '" + one + "' not found\n";
    const auto bare = [](const std::string& id) { return id.rfind("0x", 0) == 0 ? id.substr(2) : id; };
    const std::string id = bare(device->vendor) + ":" + bare(device->device);
    if (text_or(entry, "id", "") != id)
      return "'id' does not match for '" + one + "' (" + id + " != " + text_or(entry, "id", "") + ")\n";
    const std::string group = std::to_string(device->iommugroup);
    if (const std::string* wanted = find_param(entry, "iommugroup"); wanted != nullptr && *wanted != group)
      return "'iommugroup' does not match for '" + one + "' (" + group + " != " + *wanted + ")\n";
  }
  return {};
}

json list_mappings(Call& call) {
  World& world = call.world;
  const std::string* check = find_param(call.params, "check-node");
  if (check != nullptr && *check != "localhost" && *check != call.node)
    fail("wrong node to check - " + *check + " != " + call.node);
  json out = json::array();
  for (const auto& [id, mapping] : world.pci_mappings) {
    if (!has_privilege(call, "/mapping/pci/" + id, "Mapping.Modify|Mapping.Use|Mapping.Audit")) continue;
    json row = mapping_json(world, mapping);
    row["id"] = id;
    if (check != nullptr) {
      json checks = json::array();
      bool any = false;
      for (const std::string& text : mapping.map) {
        Params entry;
        if (!parse_property_string(map_keys(), text, "map", entry).empty()) continue;
        if (text_or(entry, "node", "") != call.node) continue;
        any = true;
        if (const std::string error = check_device(world.node(call.node), entry); !error.empty())
          checks.push_back({{"severity", "error"}, {"message", "Invalid configuration: " + error}});
      }
      if (!any) checks.push_back({{"severity", "warning"}, {"message", "No mapping for node " + *check + "."}});
      row["checks"] = std::move(checks);
    }
    out.push_back(std::move(row));
  }
  shuffle(world, out);
  return out;
}

/// The elements of a checked array parameter.
std::vector<std::string> array_items(const std::string& joined) {
  std::vector<std::string> items;
  std::string_view rest = joined;
  while (true) {
    const auto end = rest.find('\0');
    items.emplace_back(rest.substr(0, end));
    if (end == rest.npos) return items;
    rest.remove_prefix(end + 1);
  }
}

void apply(Mapping& mapping, const Params& params) {
  for (const char* key : {"description", "live-migration-capable", "mdev"})
    if (const std::string* value = find_param(params, key)) mapping.values[key] = *value;
  if (const std::string* map = find_param(params, "map")) mapping.map = array_items(*map);
}

}  // namespace

void add_mapping_methods(MethodTable& table) {
  // Mappings of other kinds cannot be made here, so there are none.
  for (const char* path : {"/cluster/mapping/dir", "/cluster/mapping/usb"}) {
    MethodSpec none{.verb = "GET", .path = path};
    none.params = {text_param("check-node", "pve-node")};
    none.handler = [](Call&) { return json::array(); };
    table.push_back(std::move(none));
  }

  MethodSpec list{.verb = "GET", .path = "/cluster/mapping/pci"};
  list.params = {text_param("check-node", "pve-node")};
  list.handler = list_mappings;
  table.push_back(std::move(list));

  MethodSpec create{.verb = "POST", .path = "/cluster/mapping/pci", .is_protected = true};
  create.params = mapping_params(true);
  create.permission = needs_privilege("/mapping/pci", "Mapping.Modify");
  create.handler = [](Call& call) {
    const std::string& id = call.params.at("id");
    require_file_lock(call.world, "file-mapping_pci_cfg", "create hardware mapping failed");
    if (call.world.pci_mappings.contains(id))
      fail("create hardware mapping failed: pci ID '" + id + "' already defined");
    Mapping mapping;
    mapping.id = id;
    apply(mapping, call.params);
    call.world.pci_mappings.emplace(id, std::move(mapping));
    return json(nullptr);
  };
  table.push_back(std::move(create));

  MethodSpec read{.verb = "GET", .path = "/cluster/mapping/pci/{id}", .is_protected = true};
  read.params = {text_param("id", "pve-configid", false)};
  read.permission = [](Call& call) {
    const std::string path = "/mapping/pci/" + text_or(call.params, "id", "");
    if (!has_privilege(call, path, "Mapping.Use|Mapping.Modify|Mapping.Audit")) fail_permission("", "");
  };
  read.handler = [](Call& call) {
    const auto found = call.world.pci_mappings.find(call.params.at("id"));
    if (found == call.world.pci_mappings.end()) fail("mapping '" + call.params.at("id") + "' not found");
    return mapping_json(call.world, found->second);
  };
  table.push_back(std::move(read));

  MethodSpec update{.verb = "PUT", .path = "/cluster/mapping/pci/{id}", .is_protected = true};
  update.params = mapping_params(false);
  update.permission = needs_privilege("/mapping/pci/{id}", "Mapping.Modify");
  update.handler = [](Call& call) {
    const std::string& id = call.params.at("id");
    require_file_lock(call.world, "file-mapping_pci_cfg", "update hardware mapping failed");
    with_prefix("update hardware mapping failed", [&] {
      require_digest(call.params, digest(call.world));
      const auto found = call.world.pci_mappings.find(id);
      if (found == call.world.pci_mappings.end()) fail("pci ID '" + id + "' does not exist");
      // Fact: an update is checked like a creation, so the map must come along.
      if (!given(call.params, "map")) fail("missing value for required option 'map'");
      Mapping mapping = found->second;
      delete_keys(mapping.values, call.params, {"description", "live-migration-capable", "mdev"}, {"map"});
      apply(mapping, call.params);
      found->second = std::move(mapping);
    });
    return json(nullptr);
  };
  table.push_back(std::move(update));

  MethodSpec remove{.verb = "DELETE", .path = "/cluster/mapping/pci/{id}", .is_protected = true};
  remove.params = {text_param("id", "pve-configid", false)};
  remove.permission = needs_privilege("/mapping/pci", "Mapping.Modify");
  remove.handler = [](Call& call) {
    require_file_lock(call.world, "file-mapping_pci_cfg", "delete pci mapping failed");
    call.world.pci_mappings.erase(call.params.at("id"));
    return json(nullptr);
  };
  table.push_back(std::move(remove));
}

}  // namespace pvesim
