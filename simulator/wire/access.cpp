#include "simulator/wire/access.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>

#include "simulator/world/world.h"

namespace pvesim {
namespace {

struct PrivilegeGroup {
  std::string_view name;
  std::vector<std::string_view> root, admin, user, audit;
};

// Fact: PVE derives its built-in roles from these groups (access control 9.x).
const std::vector<PrivilegeGroup>& groups() {
  static const std::vector<PrivilegeGroup> kGroups = {
      {"VM",
       {},
       {"VM.Config.Disk", "VM.Config.CPU", "VM.Config.Memory", "VM.Config.Network", "VM.Config.HWType",
        "VM.Config.Options", "VM.Allocate", "VM.Clone", "VM.Migrate", "VM.Replicate", "VM.Snapshot",
        "VM.Snapshot.Rollback", "VM.GuestAgent.Unrestricted"},
       {"VM.Config.CDROM", "VM.Config.Cloudinit", "VM.Console", "VM.Backup", "VM.GuestAgent.FileRead",
        "VM.GuestAgent.FileSystemMgmt", "VM.GuestAgent.FileWrite", "VM.PowerMgmt"},
       {"VM.Audit", "VM.GuestAgent.Audit"}},
      {"Sys",
       {"Sys.PowerMgmt", "Sys.Modify", "Sys.Incoming", "Sys.AccessNetwork"},
       {"Sys.Console", "Sys.Syslog"},
       {},
       {"Sys.Audit"}},
      {"Datastore",
       {},
       {"Datastore.Allocate", "Datastore.AllocateTemplate"},
       {"Datastore.AllocateSpace"},
       {"Datastore.Audit"}},
      {"SDN", {}, {"SDN.Allocate", "SDN.Audit"}, {"SDN.Use"}, {"SDN.Audit"}},
      {"User", {"Realm.Allocate"}, {"User.Modify", "Group.Allocate", "Realm.AllocateUser"}, {}, {}},
      {"Pool", {}, {"Pool.Allocate"}, {"Pool.Audit"}, {"Pool.Audit"}},
      {"Mapping", {}, {"Mapping.Modify"}, {"Mapping.Use"}, {"Mapping.Audit"}},
  };
  return kGroups;
}

std::map<std::string, std::set<std::string>> builtin_roles() {
  std::map<std::string, std::set<std::string>> roles;
  roles["NoAccess"];
  roles["Administrator"].insert("Permissions.Modify");
  for (const PrivilegeGroup& group : groups()) {
    const std::string prefix = "PVE" + std::string(group.name);
    const auto add = [&](const std::string& role, const std::vector<std::string_view>& list) {
      for (const std::string_view privilege : list) roles[role].emplace(privilege);
    };
    for (const auto* list : {&group.root, &group.admin, &group.user, &group.audit}) add("Administrator", *list);
    for (const auto* list : {&group.admin, &group.user, &group.audit}) {
      if (list->empty()) continue;
      add(prefix + "Admin", *list);
      add("PVEAdmin", *list);
    }
    if (!group.user.empty()) {
      add(prefix + "User", group.user);
      add(prefix + "User", group.audit);
    }
    if (!group.audit.empty()) add("PVEAuditor", group.audit);
  }
  roles["PVEAdmin"].erase("Mapping.Modify");
  roles["PVETemplateUser"] = {"VM.Clone", "VM.Audit"};
  return roles;
}

const std::map<std::string, std::set<std::string>>& builtin() {
  static const auto kRoles = builtin_roles();
  return kRoles;
}

using Roles = std::map<std::string, bool>;  // role -> propagates

/// One level of the ACL tree for one subject. Empty optional: nothing applies here, what came from above stays.
std::optional<Roles> at_level(const std::map<std::string, std::map<std::string, bool>>& subjects,
                              const std::string& who, bool final) {
  const auto found = subjects.find(who);
  if (found == subjects.end()) return std::nullopt;
  Roles applied;
  for (const auto& [role, propagate] : found->second)
    if (final || propagate) applied[role] = propagate;
  if (applied.empty()) return std::nullopt;
  return applied;
}

/// The roles of a user, or of a separated token by itself, on a path; pools not considered.
Roles roles_on(const AccessTables& tables, const std::string& who, std::string_view path) {
  std::vector<std::string> levels = {"/"};
  for (std::size_t at = 1; at <= path.size() && path.size() > 1;) {
    std::size_t end = path.find('/', at);
    if (end == path.npos) end = path.size();
    levels.emplace_back(path.substr(0, end));
    at = end + 1;
  }
  Roles roles;
  for (std::size_t i = 0; i < levels.size(); ++i) {
    const bool final = i + 1 == levels.size();
    const auto node = tables.acl.find(levels[i]);
    if (node == tables.acl.end()) continue;
    if (auto own = at_level(node->second.tokens, who, final)) {
      roles = std::move(*own);
      continue;
    }
    if (auto own = at_level(node->second.users, who, final)) {
      roles = std::move(*own);
      continue;
    }
    Roles of_groups;
    for (const auto& [name, group] : tables.groups) {
      if (!group.users.contains(who)) continue;
      if (auto own = at_level(node->second.groups, name, final))
        for (const auto& [role, propagate] : *own) of_groups[role] = propagate;
    }
    if (!of_groups.empty()) roles = std::move(of_groups);
  }
  if (const auto none = roles.find("NoAccess"); none != roles.end()) return {{"NoAccess", none->second}};
  return roles;
}

/// Roles that come from pools the object of `path` is a member of.
Roles pool_roles(const World& world, const std::string& who, std::string_view path) {
  Roles roles;
  for (const auto& [name, pool] : world.pools) {
    const bool member =
        std::any_of(pool.vms.begin(), pool.vms.end(), [&](int id) { return path == "/vms/" + std::to_string(id); }) ||
        std::any_of(pool.storages.begin(), pool.storages.end(),
                    [&](const std::string& id) { return path == "/storage/" + id; });
    if (!member) continue;
    for (const auto& [role, propagate] : roles_on(world.access, who, "/pool/" + name)) roles[role] = propagate;
  }
  return roles;
}

std::map<std::string, bool> own_permissions(const World& world, const std::string& who, std::string_view path) {
  Roles roles = roles_on(world.access, who, path);
  if (const Roles pooled = pool_roles(world, who, path); !pooled.empty() && !roles.contains("NoAccess")) {
    if (pooled.contains("NoAccess"))
      roles = {{"NoAccess", false}};
    else
      for (const auto& [role, propagate] : pooled) roles.try_emplace(role, false);
  }
  std::map<std::string, bool> privileges;
  for (const auto& [role, propagate] : roles)
    if (const auto set = world.access.roles.find(role); set != world.access.roles.end())
      for (const std::string& privilege : set->second) {
        bool& flag = privileges[privilege];
        flag = flag || propagate;
      }
  return privileges;
}

/// The token "user@realm!name"; null where there is none.
const ApiToken* token_of(const AccessTables& tables, std::string_view id) {
  const auto mark = id.rfind('!');
  if (mark == id.npos) return nullptr;
  const auto owner = tables.users.find(std::string(id.substr(0, mark)));
  if (owner == tables.users.end()) return nullptr;
  const auto token = owner->second.tokens.find(std::string(id.substr(mark + 1)));
  return token == owner->second.tokens.end() ? nullptr : &token->second;
}

bool path_characters(std::string_view text, std::string_view extra) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || extra.find(c) != extra.npos;
  });
}

}  // namespace

AccessTables::AccessTables() : roles(builtin()) { users["root@pam"]; }

bool AccessTables::usable(const std::string& user, std::int64_t now) const {
  const auto found = users.find(user);
  if (found == users.end() || !found->second.enable) return false;
  return found->second.expire == 0 || found->second.expire >= now;
}

std::string AccessTables::verify_token(std::string_view header_value, std::int64_t now) const {
  const auto equals = header_value.rfind('=');
  if (equals == header_value.npos) return {};
  const std::string_view id = header_value.substr(0, equals);
  const std::string_view secret = header_value.substr(equals + 1);
  const auto mark = id.rfind('!');
  if (mark == id.npos) return {};
  if (!usable(std::string(id.substr(0, mark)), now)) return {};
  const ApiToken* token = token_of(*this, id);
  if (token == nullptr || token->secret != secret || secret.empty()) return {};
  if (token->expire != 0 && token->expire < now) return {};
  return std::string(id);
}

std::map<std::string, bool> permissions(const World& world, std::string_view auth_id, std::string_view path) {
  const std::string who(auth_id);
  const AccessTables& tables = world.access;
  if (who == "root@pam") {
    std::map<std::string, bool> all;
    for (const std::string& privilege : tables.roles.at("Administrator")) all[privilege] = true;
    return all;
  }
  const auto mark = who.rfind('!');
  if (mark == who.npos) return tables.users.contains(who) ? own_permissions(world, who, path) : Roles{};
  const ApiToken* token = token_of(tables, who);
  if (token == nullptr) return {};
  std::map<std::string, bool> of_user = permissions(world, who.substr(0, mark), path);
  if (!token->privsep) return of_user;
  std::map<std::string, bool> both;
  const std::map<std::string, bool> of_token = own_permissions(world, who, path);
  for (const auto& [privilege, propagate] : of_token)
    if (const auto found = of_user.find(privilege); found != of_user.end())
      both[privilege] = propagate && found->second;
  return both;
}

namespace {

/// root@pam, and its tokens without rights of their own: everything everywhere, without a list of it for each question.
bool is_root(const World& world, std::string_view auth_id) {
  if (auth_id == "root@pam") return true;
  const ApiToken* token = auth_id.starts_with("root@pam!") ? token_of(world.access, auth_id) : nullptr;
  return token != nullptr && !token->privsep;
}

}  // namespace

bool holds(const World& world, std::string_view auth_id, std::string_view path, std::string_view privs) {
  const auto any_of = [privs](const auto& held) {
    for (std::string_view rest = privs;;) {
      const auto bar = rest.find('|');
      if (held.contains(std::string(rest.substr(0, bar)))) return true;
      if (bar == rest.npos) return false;
      rest.remove_prefix(bar + 1);
    }
  };
  if (is_root(world, auth_id)) return any_of(world.access.roles.at("Administrator"));
  return any_of(permissions(world, auth_id, path));
}

std::string pool_of(const World& world, int vmid) {
  for (const auto& [name, pool] : world.pools)
    if (pool.vms.contains(vmid)) return name;
  return {};
}

void forget_vm(World& world, int vmid) {
  world.access.acl.erase("/vms/" + std::to_string(vmid));
  for (auto& [name, pool] : world.pools) pool.vms.erase(vmid);
}

void forget_storage(World& world, const std::string& storage) {
  world.access.acl.erase("/storage/" + storage);
  for (auto& [name, pool] : world.pools) pool.storages.erase(storage);
}

std::string normalize_acl_path(std::string_view path) {
  if (path.empty()) return {};
  std::string out = "/";
  for (const char c : path) {
    if (c == '/' && out.back() == '/') continue;
    out += c;
  }
  if (out.size() > 1 && out.back() == '/') out.pop_back();
  return path_characters(out, ".-_/") ? out : std::string{};
}

bool is_acl_path(std::string_view path) {
  if (path == "/") return true;
  std::vector<std::string_view> parts;
  for (std::string_view rest = path.substr(1);;) {
    const auto slash = rest.find('/');
    parts.push_back(rest.substr(0, slash));
    if (slash == rest.npos) break;
    rest.remove_prefix(slash + 1);
  }
  const std::string_view top = parts[0];
  const std::size_t depth = parts.size();
  const auto digits = [](std::string_view text, std::size_t least, std::size_t most) {
    return text.size() >= least && text.size() <= most && text.front() != '0' &&
           std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  };
  const auto name = [](std::string_view text) { return path_characters(text, ".-_"); };
  if (top == "access") return depth == 1 || ((parts[1] == "groups" || parts[1] == "realm") && depth <= 3);
  if (top == "nodes" || top == "storage") return depth <= 2;
  if (top == "pool") return depth <= 4;
  if (top == "vms") return depth == 1 || (depth == 2 && digits(parts[1], 3, 100));
  if (top == "mapping") return depth <= 3;
  if (top != "sdn") return false;
  if (depth == 1) return true;
  static constexpr std::array kPlain = {"controllers", "dns", "fabrics", "ipams", "prefix-lists", "route-maps"};
  if (std::find(kPlain.begin(), kPlain.end(), parts[1]) != kPlain.end())
    return depth == 2 || (depth == 3 && path_characters(parts[2], parts[1] == "controllers" ? "_-" : ""));
  if (parts[1] != "zones") return false;
  return depth <= 4 ? std::all_of(parts.begin() + 2, parts.end(), name) : depth == 5 && digits(parts[4], 1, 4);
}

bool is_privilege(std::string_view name) { return builtin().at("Administrator").contains(std::string(name)); }

bool is_builtin_role(std::string_view role) { return builtin().contains(std::string(role)); }

}  // namespace pvesim
