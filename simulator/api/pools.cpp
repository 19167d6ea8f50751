// Resource pools (PVE manager 9.x, API2/Pool).

#include <algorithm>

#include "simulator/api/broadcast.h"
#include "simulator/api/rows.h"
#include "simulator/api/support.h"
#include "simulator/wire/access.h"
#include "simulator/wire/formats.h"

namespace pvesim {
namespace {

using nlohmann::json;

ParamSpec pool_param(bool optional = false) { return text_param("poolid", "pve-poolid", optional); }

Pool& existing(Call& call, const std::string& id) {
  const auto found = call.world.pools.find(id);
  if (found == call.world.pools.end()) fail("pool '" + id + "' does not exist");
  return found->second;
}

json pool_json(Call& call, const std::string& id, const std::string* type) {
  const Pool& pool = existing(call, id);
  json members = json::array();
  for (const int vmid : pool.vms) {
    const Vm* vm = call.world.find_vm(vmid);
    if (vm == nullptr || (type != nullptr && *type != vm->type)) continue;
    members.push_back(guest_row(*call.broadcast, *vm));
  }
  if (type == nullptr || *type == "storage")
    for (const std::string& storage : pool.storages) {
      const StorageDef* def = call.world.find_storage(storage);
      if (def == nullptr) continue;
      std::string node = call.node;
      if (const auto nodes = def->values.find("nodes"); nodes != def->values.end()) {
        std::vector<std::string> names = split_list(nodes->second);
        std::sort(names.begin(), names.end());
        if (!names.empty() && std::find(names.begin(), names.end(), node) == names.end()) node = names.front();
      }
      members.push_back(storage_row(call.world, *call.broadcast, *def, node));
    }
  json out = {{"poolid", id}, {"members", std::move(members)}};
  if (!pool.comment.empty()) out["comment"] = pool.comment;
  return out;
}

json update_pool(Call& call) {
  World& world = call.world;
  const Params& params = call.params;
  const std::string& id = params.at("poolid");
  require_file_lock(world, "file-user_cfg", "update pools failed");
  with_prefix("update pools failed", [&] {
    Pool pool = existing(call, id);
    std::map<std::string, std::set<int>> moved;  // other pool -> guests it loses
    const bool remove = flag_or(params, "delete", false);
    if (const std::string* comment = find_param(params, "comment")) pool.comment = *comment;
    const auto may = [&](const std::string& path, const std::string& privilege) {
      require_privilege(call, path, "Permissions.Modify|" + privilege);
    };
    for (const std::string& text : split_list(text_or(params, "vms", ""))) {
      const int vmid = std::stoi(text);
      may("/vms/" + text, "VM.Allocate");
      if (remove) {
        if (pool.vms.erase(vmid) == 0) fail("VM " + text + " is not a pool member");
        continue;
      }
      if (pool.vms.contains(vmid)) fail("VM " + text + " is already a pool member");
      if (const std::string other = pool_of(world, vmid); !other.empty()) {
        if (!flag_or(params, "allow-move", false))
          fail("VM " + text + " belongs already to pool '" + other + "' and 'allow-move' is not set");
        require_privilege(call, "/pool/" + other, "Pool.Allocate");
        moved[other].insert(vmid);
      }
      pool.vms.insert(vmid);
    }
    for (const std::string& storage : split_list(text_or(params, "storage", ""))) {
      may("/storage/" + storage, "Datastore.Allocate");
      if (remove) {
        if (pool.storages.erase(storage) == 0) fail("Storage '" + storage + "' is not a pool member");
      } else if (!pool.storages.insert(storage).second) {
        fail("Storage '" + storage + "' is already a pool member");
      }
    }
    for (const auto& [other, vms] : moved)
      for (const int vmid : vms) world.pools.at(other).vms.erase(vmid);
    world.pools.at(id) = std::move(pool);
  });
  return nullptr;
}

json delete_pool(Call& call) {
  World& world = call.world;
  const std::string& id = call.params.at("poolid");
  require_file_lock(world, "file-user_cfg", "delete pool failed");
  with_prefix("delete pool failed", [&] {
    const Pool& pool = existing(call, id);
    for (const auto& [name, other] : world.pools)
      if (name.rfind(id + "/", 0) == 0 && name.find('/', id.size() + 1) == std::string::npos)
        fail("pool '" + id + "' is not empty (contains pool '" + name + "')");
    for (const int vmid : pool.vms)
      if (world.find_vm(vmid) != nullptr)
        fail("pool '" + id + "' is not empty (contains VM " + std::to_string(vmid) + ")");
    for (const std::string& storage : pool.storages)
      if (world.find_storage(storage) != nullptr)
        fail("pool '" + id + "' is not empty (contains storage '" + storage + "')");
    world.pools.erase(id);
    world.access.acl.erase("/pool/" + id);
  });
  return nullptr;
}

}  // namespace

void add_pool_methods(MethodTable& table) {
  MethodSpec list{.verb = "GET", .path = "/pools"};
  list.params = {pool_param(true), needs(enum_param("type", {"qemu", "lxc", "storage"}), "poolid")};
  list.handler = [](Call& call) {
    json out = json::array();
    if (const std::string* id = find_param(call.params, "poolid")) {
      out.push_back(pool_json(call, *id, find_param(call.params, "type")));
      return out;
    }
    for (const auto& [id, pool] : call.world.pools) {
      if (!has_privilege(call, "/pool/" + id, "Pool.Audit")) continue;
      json row = {{"poolid", id}};
      if (!pool.comment.empty()) row["comment"] = pool.comment;
      out.push_back(std::move(row));
    }
    return out;
  };
  table.push_back(std::move(list));

  MethodSpec create{.verb = "POST", .path = "/pools", .is_protected = true};
  create.params = {text_param("comment"), pool_param()};
  create.permission = needs_privilege("/pool/{poolid}", "Pool.Allocate");
  create.handler = [](Call& call) {
    const std::string& id = call.params.at("poolid");
    require_file_lock(call.world, "file-user_cfg", "create pool failed");
    with_prefix("create pool failed", [&] {
      if (call.world.pools.contains(id)) fail("pool '" + id + "' already exists");
      const auto slash = id.rfind('/');
      if (slash != std::string::npos && !call.world.pools.contains(id.substr(0, slash)))
        fail("parent '" + id.substr(0, slash) + "' of pool '" + id + "' does not exist");
      const char first = id[slash == std::string::npos ? 0 : slash + 1];
      if (std::isalpha(static_cast<unsigned char>(first)) == 0) fail("pool name must start with a letter");
      Pool pool;
      pool.id = id;
      pool.comment = text_or(call.params, "comment", "");
      call.world.pools.emplace(id, std::move(pool));
    });
    return json(nullptr);
  };
  table.push_back(std::move(create));

  // Fact: both spellings exist; the one with the pool in the path cannot name nested pools.
  for (const char* path : {"/pools", "/pools/{poolid}"}) {
    MethodSpec update{.verb = "PUT", .path = path, .is_protected = true};
    update.params = {flag_param("allow-move"),
                     text_param("comment"),
                     flag_param("delete"),
                     pool_param(),
                     text_param("storage", "pve-storage-id-list"),
                     text_param("vms", "pve-vmid-list")};
    update.permission = needs_privilege("/pool/{poolid}", "Pool.Allocate");
    update.handler = update_pool;
    table.push_back(std::move(update));

    MethodSpec remove{.verb = "DELETE", .path = path, .is_protected = true};
    remove.params = {pool_param()};
    remove.permission = needs_privilege("/pool/{poolid}", "Pool.Allocate");
    remove.handler = delete_pool;
    table.push_back(std::move(remove));
  }

  MethodSpec read{.verb = "GET", .path = "/pools/{poolid}"};
  read.params = {pool_param(), enum_param("type", {"qemu", "lxc", "storage"})};
  read.permission = needs_privilege("/pool/{poolid}", "Pool.Audit");
  read.handler = [](Call& call) { return pool_json(call, call.params.at("poolid"), find_param(call.params, "type")); };
  table.push_back(std::move(read));
}

}  // namespace pvesim
