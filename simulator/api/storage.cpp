// storage.cfg through the API: GET/POST/PUT/DELETE /storage (PVE storage 9.1).

#include <algorithm>

#include "simulator/api/rows.h"
#include "simulator/api/spec_text.h"
#include "simulator/api/storage_methods.h"
#include "simulator/api/support.h"
#include "simulator/wire/access.h"
#include "simulator/wire/formats.h"
#include "simulator/world/storage.h"
#include "simulator/world/text.h"
#include "simulator/world/vm_config.h"

namespace pvesim {
namespace {

using nlohmann::json;

const ParamSpec* property_spec(std::string_view key) {
  static const MethodSpec kCreate = storage_specs().method("POST", "/storage");
  for (const ParamSpec& spec : kCreate.params)
    if (spec.name == key) return &spec;
  return nullptr;
}

json property_json(const std::string& key, const std::string& value) {
  const ParamSpec* spec = property_spec(key);
  if (spec != nullptr && (spec->type == "boolean" || spec->type == "integer") && is_integer_text(value))
    return std::stoll(value);
  return value;
}

json storage_object(World& world, const StorageDef& storage, const std::string& digest) {
  json out = json::object();
  for (const auto& [key, value] : storage.values)
    if (key != "password" && key != "keyring" && key != "encryption-key") out[key] = property_json(key, value);
  out["storage"] = storage.id;
  out["type"] = storage.type;
  out["digest"] = digest;
  out["content"] = content_text(world, storage);
  static const std::set<std::string> kForced = {"iscsi", "nfs", "cifs", "rbd", "cephfs", "iscsidirect", "zfs", "pbs"};
  if (kForced.contains(storage.type)) out["shared"] = 1;
  return out;
}

json list_storages(Call& call) {
  json rows = json::array();
  const std::string type = text_or(call.params, "type", "");
  const std::string digest = call.world.storage_digest();
  for (const StorageDef& storage : call.world.storages) {
    if (!type.empty() && storage.type != type) continue;
    if (!has_privilege(call, "/storage/" + storage.id, "Datastore.Audit|Datastore.AllocateSpace")) continue;
    rows.push_back(storage_object(call.world, storage, digest));
  }
  shuffle(call.world, rows);
  return rows;
}

json get_storage(Call& call) {
  const StorageDef& storage = call.world.storage(call.params.at("storage"));
  return storage_object(call.world, storage, call.world.storage_digest());
}

bool contains(const std::vector<std::string>& list, std::string_view key) {
  return std::find(list.begin(), list.end(), key) != list.end();
}

/// Lists are stored sorted; contents the type does not have are dropped (only alone do they fail).
std::string stored_content(const StorageType& type, const std::string& text) {
  std::vector<std::string> kept;
  std::vector<std::string> asked = split_list(text);
  if (asked.empty()) asked = {"none"};
  if (contains(asked, "none") && asked.size() > 1) fail("unable to combine 'none' with other content types");
  for (const std::string& one : asked) {
    if (!contains(type.content, one)) {
      if (asked.size() == 1) fail("storage does not support content type '" + one + "'");
      continue;
    }
    if (!contains(kept, one)) kept.push_back(one);
  }
  if (kept.empty()) fail("storage does not support content type '" + asked.front() + "'");
  std::sort(kept.begin(), kept.end());
  std::string out;
  for (const std::string& one : kept) out += (out.empty() ? "" : ",") + one;
  return out;
}

std::string stored_nodes(const std::string& text) {
  std::vector<std::string> nodes = split_list(text);
  std::sort(nodes.begin(), nodes.end());
  std::string out;
  for (const std::string& one : nodes) out += (out.empty() ? "" : ",") + one;
  return out;
}

std::string stored_value(const StorageType& type, const std::string& key, const std::string& value) {
  if (key == "content") return stored_content(type, value);
  if (key == "nodes") return stored_nodes(value);
  return value;
}

json answer(const StorageDef& storage) { return {{"storage", storage.id}, {"type", storage.type}}; }

json create_storage(Call& call) {
  World& world = call.world;
  StorageDef storage;
  storage.id = call.params.at("storage");
  storage.type = call.params.at("type");
  const StorageType& type = *storage_type(storage.type);
  // Fact: NFS and CIFS get their mount path by themselves.
  for (const auto& [key, value] : call.params) {
    if (key == "storage" || key == "type") continue;
    if (!type.knows(key)) fail("unexpected property '" + key + "'");
    storage.values[key] = stored_value(type, key, value);
  }
  if (storage.type == "nfs" || storage.type == "cifs") storage.values.emplace("path", "/mnt/pve/" + storage.id);
  for (const auto* list : {&type.required, &type.required_fixed})
    for (const std::string& key : *list)
      if (!storage.values.contains(key)) fail("missing value for required option '" + key + "'");
  with_prefix("create storage failed", [&] {
    require_file_lock(world, "file-storage_cfg");
    if (world.find_storage(storage.id) != nullptr) fail("storage ID '" + storage.id + "' already defined");
    if (storage.type == "zfspool" && !storage.values.contains("mountpoint")) {
      // Fact: filled from the dataset, if it exists.
      const std::string dataset = storage.values.at("pool");
      const ZPool* pool = pool_of_dataset(world, call.node, dataset);
      if (pool != nullptr && (dataset == pool->name || pool->datasets.contains(dataset)))
        storage.values["mountpoint"] = "/" + dataset;
    }
    if (storage_enabled(storage) && on_node(storage, call.node))
      if (const std::string problem = connect_storage(world, storage, call.node); !problem.empty()) fail(problem);
    for (const auto& [name, node] : world.nodes)
      if (name != call.node && on_node(storage, name)) (void)connect_storage(world, storage, name);
    world.storages.push_back(storage);
  });
  return answer(storage);
}

json update_storage(Call& call) {
  World& world = call.world;
  const std::string id = call.params.at("storage");
  json out;
  with_prefix("update storage failed", [&] {
    require_file_lock(world, "file-storage_cfg");
    require_digest(call.params, world.storage_digest());
    StorageDef& storage = world.storage(id);
    const StorageType& type = *storage_type(storage.type);
    StorageDef changed = storage;
    for (const auto& [key, value] : call.params) {
      if (key == "storage" || key == "digest" || key == "delete") continue;
      if (!type.knows(key)) fail("unexpected property '" + key + "'");
      if (contains(type.required_fixed, key) || contains(type.fixed, key))
        fail("can't change value of fixed parameter '" + key + "'");
      changed.values[key] = stored_value(type, key, value);
    }
    if (config_value(changed.values, "disable") == "0") changed.values.erase("disable");  // Fact: only written when set
    for (const std::string& key : split_list(text_or(call.params, "delete", ""))) {
      if (!type.knows(key)) fail("no such option '" + key + "'");
      if (contains(type.required, key) || contains(type.required_fixed, key))
        fail("unable to delete required option '" + key + "'");
      if (contains(type.fixed, key)) fail("unable to delete fixed option '" + key + "'");
      if (given(call.params, key)) fail("cannot set and delete property '" + key + "' at the same time!");
      changed.values.erase(key);
    }
    // Fact: the flag stays on while volumes need it.
    if (storage.type == "lvm" && volume_chain(storage) && !volume_chain(changed))
      for (const auto& [name, node] : world.nodes)
        if (const Backing* backing = backing_of(world, storage, name))
          for (const auto& [key, volume] : backing->volumes)
            if (volume.format == "qcow2")
              fail(id + " - cannot disable 'snapshot-as-volume-chain' while a qcow2 image exists");
    storage = changed;
    // What became reachable by a change of `nodes` is found; nothing is activated or checked.
    for (const auto& [name, node] : world.nodes)
      if (on_node(storage, name) && backing_of(world, storage, name) == nullptr)
        (void)connect_storage(world, storage, name);
    out = answer(storage);
  });
  return out;
}

json delete_storage(Call& call) {
  World& world = call.world;
  const std::string id = call.params.at("storage");
  with_prefix("delete storage failed", [&] {
    require_file_lock(world, "file-storage_cfg");
    (void)world.storage(id);
    for (const StorageDef& other : world.storages)
      if (starts_with(config_value(other.values, "base"), id + ":"))
        fail("can't remove storage - storage is used as base of another storage");
    std::erase_if(world.storages, [&](const StorageDef& one) { return one.id == id; });
    forget_storage(world, id);
  });
  return nullptr;
}

}  // namespace

void add_storage_methods(MethodTable& table) {
  const auto add = [&](const char* verb, const char* path, std::function<void(Call&)> permission, Handler handler) {
    MethodSpec method = storage_specs().method(verb, path);
    method.permission = std::move(permission);
    method.handler = std::move(handler);
    table.push_back(std::move(method));
  };
  add("GET", "/storage", {}, list_storages);
  add("GET", "/storage/{storage}", needs_privilege("/storage/{storage}", "Datastore.Allocate"), get_storage);
  add("POST", "/storage", needs_privilege("/storage", "Datastore.Allocate"), create_storage);
  add("PUT", "/storage/{storage}", needs_privilege("/storage", "Datastore.Allocate"), update_storage);
  add("DELETE", "/storage/{storage}", needs_privilege("/storage/{storage}", "Datastore.Allocate"), delete_storage);
  add_content_methods(table);
  add_disk_methods(table);
}

}  // namespace pvesim
