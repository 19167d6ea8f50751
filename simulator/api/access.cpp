// Users, tokens, groups, roles, ACL and tickets (PVE access control 9.x).

#include <algorithm>
#include <array>
#include <cctype>

#include "simulator/api/support.h"
#include "simulator/wire/access.h"
#include "simulator/wire/auth.h"
#include "simulator/wire/formats.h"

namespace pvesim {
namespace {

using nlohmann::json;

constexpr std::string_view kTokenPattern = "[A-Za-z][A-Za-z0-9.\\-_]+";

ParamSpec user_param() { return with_max_length(text_param("userid", "pve-userid", false), 64); }
ParamSpec token_param() { return with_pattern(text_param("tokenid", {}, false), std::string(kTokenPattern)); }

std::vector<ParamSpec> user_properties() {
  return {with_max_length(text_param("comment"), 2048),
          with_max_length(text_param("email", "email-opt"), 254),
          flag_param("enable"),
          integer_param("expire", 0),
          with_max_length(text_param("firstname"), 1024),
          text_param("groups", "pve-groupid-list"),
          with_pattern(text_param("keys"), "[0-9a-zA-Z!=]{0,4096}"),
          with_max_length(text_param("lastname"), 1024),
          user_param()};
}

constexpr std::array kUserTexts = {"firstname", "lastname", "email", "comment", "keys"};

User& existing_user(Call& call, const std::string& id) {
  const auto found = call.world.access.users.find(id);
  if (found == call.world.access.users.end()) fail("no such user ('" + id + "')");
  return found->second;
}

ApiToken& existing_token(Call& call, const std::string& user, const std::string& token) {
  User& owner = existing_user(call, user);
  const auto found = owner.tokens.find(token);
  if (found == owner.tokens.end()) fail("no such token '" + token + "' for user '" + user + "'");
  return found->second;
}

json token_json(const ApiToken& token) {
  json out = {{"privsep", token.privsep ? 1 : 0}, {"expire", token.expire}};
  if (!token.comment.empty()) out["comment"] = token.comment;
  return out;
}

json user_json(const AccessTables& tables, const std::string& id, const User& user, bool full) {
  json out = {{"enable", user.enable ? 1 : 0}, {"expire", user.expire}};
  for (const auto& [key, value] : user.texts) out[key] = value;
  if (!full) return out;
  json groups = json::array();
  for (const auto& [name, group] : tables.groups)
    if (group.users.contains(id)) groups.push_back(name);
  out["groups"] = std::move(groups);
  if (!user.tokens.empty()) {
    out["tokens"] = json::object();
    for (const auto& [name, token] : user.tokens) out["tokens"][name] = token_json(token);
  }
  return out;
}

/// Groups on which the caller holds one of `privs`.
std::set<std::string> groups_with(const Call& call, std::string_view privs) {
  std::set<std::string> out;
  for (const auto& [name, group] : call.world.access.groups)
    if (has_privilege(call, "/access/groups/" + name, privs)) out.insert(name);
  return out;
}

/// PVE's "userid-group" rule. `groups_parameter`: "" none, "create", "update". False instead of 403 with `quiet`.
bool user_group_rule(Call& call, const std::string& privs, std::string_view groups_parameter, bool quiet) {
  const std::string user = text_or(call.params, "userid", "");
  const bool must_exist = groups_parameter != "create";
  if (must_exist && !call.world.access.users.contains(user)) {
    if (quiet) return false;
    fail("no such user ('" + user + "')");
  }
  if (has_privilege(call, "/access/groups", privs)) return true;
  const std::set<std::string> groups = groups_with(call, privs);
  if (!groups_parameter.empty()) {
    const std::vector<std::string> wanted = split_list(text_or(call.params, "groups", ""));
    if (wanted.empty()) fail_permission("/access/groups", privs);
    for (const std::string& group : wanted)
      if (!groups.contains(group)) fail_permission("/access/groups/" + group, privs);
  }
  if (must_exist) {
    const bool member = std::any_of(groups.begin(), groups.end(), [&](const std::string& name) {
      return call.world.access.groups.at(name).users.contains(user);
    });
    if (!member) {
      if (quiet) return false;
      fail_permission("", "");
    }
  }
  return true;
}

void realm_rule(Call& call) {
  const std::string user = text_or(call.params, "userid", "");
  if (const std::string error = check_format("pve-userid", user); !error.empty())
    fail(error.substr(0, error.find('\n')));
  require_privilege(call, "/access/realm/" + user.substr(user.rfind('@') + 1), "Realm.AllocateUser");
}

/// Tokens belong to their user; others need User.Modify on one of the user's groups.
void own_or_modify_rule(Call& call) {
  const std::string user = text_or(call.params, "userid", "");
  if (call.world.access.users.contains(user) && call.session.auth_id() == user) return;
  if (!user_group_rule(call, "User.Modify", "", true)) fail_permission("", "");
}

/// May the caller change ACLs of `path`?
bool may_modify_acl(const Call& call, const std::string& path) {
  std::string privs = "Permissions.Modify";
  if (path.rfind("/storage/", 0) == 0) privs += "|Datastore.Allocate";
  if (path.rfind("/vms/", 0) == 0) privs += "|VM.Allocate";
  if (path.rfind("/pool/", 0) == 0) privs += "|Pool.Allocate";
  return has_privilege(call, path, privs);
}

void acl_rule(Call& call) {
  const std::string path = normalize_acl_path(text_or(call.params, "path", ""));
  if (path.empty()) return;  // the handler refuses it by name
  if (may_modify_acl(call, path)) return;
  std::string privs = "Permissions.Modify";
  if (path.rfind("/storage/", 0) == 0) privs += "|Datastore.Allocate";
  if (path.rfind("/vms/", 0) == 0) privs += "|VM.Allocate";
  if (path.rfind("/pool/", 0) == 0) privs += "|Pool.Allocate";
  fail_permission(path, privs);
}

json effective_permissions(const World& world, const std::string& who) {
  std::set<std::string> paths = {"/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms"};
  for (const auto& [path, node] : world.access.acl) paths.insert(path);
  for (const auto& [name, pool] : world.pools) {
    for (const int vmid : pool.vms) paths.insert("/vms/" + std::to_string(vmid));
    for (const std::string& storage : pool.storages) paths.insert("/storage/" + storage);
  }
  json out = json::object();
  for (const std::string& path : paths) {
    json held = json::object();
    for (const auto& [privilege, propagate] : permissions(world, who, path)) held[privilege] = propagate ? 1 : 0;
    if (!held.empty()) out[path] = std::move(held);
  }
  return out;
}

/// What the web interface may show: privileges by area.
json capabilities(const World& world, const std::string& user) {
  struct Area {
    std::string_view name;
    std::vector<std::string_view> prefixes;
  };
  static const std::vector<Area> kAreas = {{"vms", {"VM.", "Permissions.Modify"}},
                                           {"access", {"User.", "Group.", "Permissions.Modify"}},
                                           {"storage", {"Datastore.", "Permissions.Modify"}},
                                           {"nodes", {"Sys.", "Permissions.Modify"}},
                                           {"sdn", {"SDN.", "Permissions.Modify"}},
                                           {"dc", {"Sys.Audit", "Sys.Modify", "SDN."}},
                                           {"mapping", {"Mapping.", "Permissions.Modify"}}};
  std::set<std::string> paths = {"/", "/nodes", "/access/groups", "/vms", "/storage", "/sdn", "/mapping"};
  for (const auto& [path, node] : world.access.acl) paths.insert(path);
  json out = json::object();
  for (const Area& area : kAreas) out[std::string(area.name)] = json::object();
  const auto begins = [](const std::string& text, std::string_view prefix) { return text.rfind(prefix, 0) == 0; };
  for (const std::string& path : paths) {
    std::string top = path == "/" ? "dc" : path.substr(1, path.find('/', 1) - 1);
    for (const auto& [held, propagate] : permissions(world, user, path)) {
      const std::string& privilege = held;
      if (top == "pool") {
        if (begins(privilege, "VM.")) out["vms"][privilege] = 1;
        if (begins(privilege, "Datastore.")) out["storage"][privilege] = 1;
        continue;
      }
      for (const Area& area : kAreas)
        if (area.name == top && std::any_of(area.prefixes.begin(), area.prefixes.end(),
                                            [&](std::string_view prefix) { return begins(privilege, prefix); }))
          out[top][privilege] = 1;
    }
  }
  return out;
}

json create_ticket(Call& call) {
  std::string user = call.params.at("username");
  if (const std::string* realm = find_param(call.params, "realm")) user += "@" + *realm;
  const std::string& secret = call.params.at("password");
  const std::string name = log_in(call.world, *call.tickets, user, secret);
  json out = {{"username", name}};
  if (given(call.params, "path") && given(call.params, "privs")) {
    const std::string path = normalize_acl_path(call.params.at("path"));
    for (const std::string& privilege : split_list(call.params.at("privs")))
      if (path.empty() || !holds(call.world, name, path, privilege)) throw ApiError{401, "authentication failure", {}};
  } else {
    out["ticket"] = call.tickets->issue(name, call.world.now_seconds());
    out["CSRFPreventionToken"] = call.tickets->issue_csrf(name, call.world.now_seconds());
  }
  out["cap"] = capabilities(call.world, name);
  if (!call.world.cluster_name.empty() && holds(call.world, name, "/", "Sys.Audit"))
    out["clustername"] = call.world.cluster_name;
  return out;
}

json update_acl(Call& call) {
  World& world = call.world;
  const Params& params = call.params;
  if (!given(params, "users") && !given(params, "groups") && !given(params, "tokens")) {
    const std::string text = "either 'users', 'groups' or 'tokens' is required.";
    throw ApiError{400, "", {{"users", text}, {"groups", text}, {"tokens", text}}};
  }
  const bool remove = flag_or(params, "delete", false);
  const std::string path = normalize_acl_path(params.at("path"));
  if (path.empty() || (!remove && !is_acl_path(path)))
    fail_param("path", "invalid ACL path '" + params.at("path") + "'");
  const bool propagate = flag_or(params, "propagate", true);
  require_file_lock(world, "file-user_cfg", "ACL update failed");
  with_prefix("ACL update failed", [&] {
    // Everything is checked before anything changes: PVE writes the file once, at the end.
    AclNode node = world.access.acl[path];
    const auto apply = [&](std::map<std::string, std::map<std::string, bool>>& table, const std::string& who,
                           const std::string& role) {
      if (remove) {
        const auto found = table.find(who);
        if (found == table.end()) return;
        found->second.erase(role);
        if (found->second.empty()) table.erase(found);
      } else {
        table[who][role] = propagate;
      }
    };
    const std::map<std::string, bool> own = permissions(world, call.session.auth_id(), path);
    for (const std::string& role : split_list(params.at("roles"))) {
      const auto privileges = world.access.roles.find(role);
      if (privileges == world.access.roles.end()) fail("role '" + role + "' does not exist");
      if (!own.contains("Permissions.Modify")) {
        const std::string verb = remove ? "remove" : "add";
        for (const std::string& privilege : privileges->second) {
          const auto held = own.find(privilege);
          if (held == own.end())
            fail_param("role", "Cannot " + verb + " role '" + role +
                                   "' - requires 'Permissions.Modify' or superset of privileges.");
          if (!remove && propagate && !held->second)
            fail_param("role", "Cannot " + verb + " role '" + role +
                                   "' with propagation - requires 'Permissions.Modify' or propagated superset of "
                                   "privileges.");
        }
        if (role == "NoAccess")
          fail_param("role", "Cannot " + verb + " role '" + role + "' - requires 'Permissions.Modify'");
      }
      for (const std::string& group : split_list(text_or(params, "groups", ""))) {
        if (!world.access.groups.contains(group)) fail("group '" + group + "' does not exist");
        apply(node.groups, group, role);
      }
      for (const std::string& user : split_list(text_or(params, "users", ""))) {
        if (!world.access.users.contains(user)) fail("user '" + user + "' does not exist");
        apply(node.users, user, role);
      }
      for (const std::string& token : split_list(text_or(params, "tokens", ""))) {
        const auto mark = token.rfind('!');
        (void)existing_token(call, token.substr(0, mark), token.substr(mark + 1));
        apply(node.tokens, token, role);
      }
    }
    if (node.users.empty() && node.groups.empty() && node.tokens.empty())
      world.access.acl.erase(path);
    else
      world.access.acl[path] = std::move(node);
  });
  return nullptr;
}

void add_ticket_methods(MethodTable& table) {
  MethodSpec get{.verb = "GET", .path = "/access/ticket", .without_login = true};
  get.handler = [](Call&) { return json(nullptr); };
  table.push_back(std::move(get));

  MethodSpec post{
      .verb = "POST", .path = "/access/ticket", .is_protected = true, .token_allowed = false, .without_login = true};
  post.params = {flag_param("new-format"),
                 text_param("otp"),
                 text_param("password", {}, false),
                 needs(with_max_length(text_param("path"), 64), "privs"),
                 needs(with_max_length(text_param("privs", "pve-priv-list"), 64), "path"),
                 with_max_length(text_param("realm", "pve-realm"), 32),
                 text_param("tfa-challenge"),
                 with_max_length(text_param("username", {}, false), 64)};
  post.handler = create_ticket;
  table.push_back(std::move(post));

  MethodSpec domains{.verb = "GET", .path = "/access/domains", .without_login = true};
  domains.handler = [](Call& call) {
    json list = {{{"realm", "pve"}, {"type", "pve"}, {"comment", "Proxmox VE authentication server"}},
                 {{"realm", "pam"}, {"type", "pam"}, {"comment", "Linux PAM standard authentication"}}};
    shuffle(call.world, list);
    return list;
  };
  table.push_back(std::move(domains));
}

void add_user_methods(MethodTable& table) {
  MethodSpec list{.verb = "GET", .path = "/access/users", .is_protected = true};
  list.params = {flag_param("enabled"), flag_param("full")};
  list.handler = [](Call& call) {
    const AccessTables& tables = call.world.access;
    const bool all = has_privilege(call, "/access/groups", "User.Modify|Sys.Audit");
    const std::set<std::string> groups = groups_with(call, "User.Modify|Sys.Audit");
    const bool full = flag_or(call.params, "full", false);
    json out = json::array();
    for (const auto& [name_of_user, user] : tables.users) {
      const std::string& id = name_of_user;
      const bool in_group = std::any_of(groups.begin(), groups.end(), [&](const std::string& name) {
        return tables.groups.at(name).users.contains(id);
      });
      if (!all && id != call.session.auth_id() && !in_group) continue;
      if (given(call.params, "enabled") && user.enable != flag_or(call.params, "enabled", true)) continue;
      json row = user_json(tables, id, user, full);
      if (full) {
        std::string joined;
        for (const auto& group : row["groups"]) joined += (joined.empty() ? "" : ",") + group.get<std::string>();
        row["groups"] = joined;
        if (!user.tokens.empty()) {
          row["tokens"] = json::array();
          for (const auto& [name, token] : user.tokens) {
            json entry = token_json(token);
            entry["tokenid"] = name;
            row["tokens"].push_back(std::move(entry));
          }
        }
      }
      const std::string realm = id.substr(id.rfind('@') + 1);
      if (realm == "pam" || realm == "pve") row["realm-type"] = realm;
      row["userid"] = id;
      out.push_back(std::move(row));
    }
    return out;
  };
  table.push_back(std::move(list));

  MethodSpec create{.verb = "POST", .path = "/access/users", .is_protected = true};
  create.params = user_properties();
  ParamSpec password = with_max_length(text_param("password"), 64);
  password.min_length = 8;
  create.params.push_back(std::move(password));
  create.permission = [](Call& call) {
    realm_rule(call);
    user_group_rule(call, "User.Modify", "create", false);
  };
  create.handler = [](Call& call) {
    const std::string& id = call.params.at("userid");
    require_file_lock(call.world, "file-user_cfg", "create user failed");
    with_prefix("create user failed", [&] {
      AccessTables& tables = call.world.access;
      if (tables.users.contains(id)) fail("user '" + id + "' already exists");
      for (const std::string& group : split_list(text_or(call.params, "groups", "")))
        if (!tables.groups.contains(group)) fail("no such group '" + group + "'");
      User user;
      user.enable = flag_or(call.params, "enable", true);
      user.expire = integer_or(call.params, "expire", 0);
      user.password = text_or(call.params, "password", "");
      for (const char* key : kUserTexts)
        if (const std::string* value = find_param(call.params, key); value != nullptr && !value->empty())
          user.texts[key] = *value;
      for (const std::string& group : split_list(text_or(call.params, "groups", "")))
        tables.groups.at(group).users.insert(id);
      tables.users.emplace(id, std::move(user));
    });
    return json(nullptr);
  };
  table.push_back(std::move(create));

  MethodSpec read{.verb = "GET", .path = "/access/users/{userid}"};
  read.params = {user_param()};
  read.permission = [](Call& call) { user_group_rule(call, "User.Modify|Sys.Audit", "", false); };
  read.handler = [](Call& call) {
    const std::string& id = call.params.at("userid");
    return user_json(call.world.access, id, existing_user(call, id), true);
  };
  table.push_back(std::move(read));

  MethodSpec update{.verb = "PUT", .path = "/access/users/{userid}", .is_protected = true};
  update.params = user_properties();
  update.params.push_back(needs(flag_param("append"), "groups"));
  update.permission = [](Call& call) { user_group_rule(call, "User.Modify", "update", false); };
  update.handler = [](Call& call) {
    const std::string& id = call.params.at("userid");
    require_file_lock(call.world, "file-user_cfg", "update user failed");
    with_prefix("update user failed", [&] {
      AccessTables& tables = call.world.access;
      User& user = existing_user(call, id);
      const std::vector<std::string> groups = split_list(text_or(call.params, "groups", ""));
      for (const std::string& group : groups)
        if (!tables.groups.contains(group)) fail("no such group '" + group + "'");
      user.enable = flag_or(call.params, "enable", user.enable);
      user.expire = integer_or(call.params, "expire", user.expire);
      if (given(call.params, "groups") && !flag_or(call.params, "append", false))
        for (auto& [name, group] : tables.groups) group.users.erase(id);
      for (const std::string& group : groups) tables.groups.at(group).users.insert(id);
      for (const char* key : kUserTexts)
        if (const std::string* value = find_param(call.params, key)) user.texts[key] = *value;
    });
    return json(nullptr);
  };
  table.push_back(std::move(update));

  MethodSpec remove{.verb = "DELETE", .path = "/access/users/{userid}", .is_protected = true};
  remove.params = {user_param()};
  remove.permission = [](Call& call) {
    realm_rule(call);
    user_group_rule(call, "User.Modify", "", false);
  };
  remove.handler = [](Call& call) {
    const std::string& id = call.params.at("userid");
    require_file_lock(call.world, "file-user_cfg", "delete user failed");
    AccessTables& tables = call.world.access;
    (void)existing_user(call, id);
    for (auto& [name, group] : tables.groups) group.users.erase(id);
    for (auto& [path, node] : tables.acl) node.users.erase(id);
    for (auto& [path, node] : tables.acl)
      std::erase_if(node.tokens, [&](const auto& entry) { return entry.first.rfind(id + "!", 0) == 0; });
    std::erase_if(tables.acl, [](const auto& entry) {
      return entry.second.users.empty() && entry.second.groups.empty() && entry.second.tokens.empty();
    });
    tables.users.erase(id);
    return json(nullptr);
  };
  table.push_back(std::move(remove));
}

void add_token_methods(MethodTable& table) {
  MethodSpec list{.verb = "GET", .path = "/access/users/{userid}/token"};
  list.params = {user_param()};
  list.permission = own_or_modify_rule;
  list.handler = [](Call& call) {
    json out = json::array();
    for (const auto& [name, token] : existing_user(call, call.params.at("userid")).tokens) {
      json row = token_json(token);
      row["tokenid"] = name;
      out.push_back(std::move(row));
    }
    shuffle(call.world, out);
    return out;
  };
  table.push_back(std::move(list));

  MethodSpec read{.verb = "GET", .path = "/access/users/{userid}/token/{tokenid}"};
  read.params = {user_param(), token_param()};
  read.permission = own_or_modify_rule;
  read.handler = [](Call& call) {
    return token_json(existing_token(call, call.params.at("userid"), call.params.at("tokenid")));
  };
  table.push_back(std::move(read));

  MethodSpec create{.verb = "POST", .path = "/access/users/{userid}/token/{tokenid}", .is_protected = true};
  create.params = {user_param(), token_param(), text_param("comment"), integer_param("expire", 0),
                   flag_param("privsep")};
  create.permission = own_or_modify_rule;
  create.handler = [](Call& call) {
    const std::string& user = call.params.at("userid");
    const std::string& name = call.params.at("tokenid");
    User& owner = existing_user(call, user);
    if (owner.tokens.contains(name)) fail_param("tokenid", "Token already exists.");
    require_file_lock(call.world, "file-user_cfg", "generating token failed");
    ApiToken token;
    token.secret = call.world.random_uuid();
    token.privsep = flag_or(call.params, "privsep", true);
    token.expire = integer_or(call.params, "expire", 0);
    token.has_expire = given(call.params, "expire");
    token.comment = text_or(call.params, "comment", "");
    // Fact: the fresh token is described as it was given, as text.
    json info = {{"privsep", token.privsep ? "1" : "0"}};
    if (token.has_expire) info["expire"] = std::to_string(token.expire);
    if (!token.comment.empty()) info["comment"] = token.comment;
    json out = {{"info", std::move(info)}, {"value", token.secret}, {"full-tokenid", user + "!" + name}};
    owner.tokens.emplace(name, std::move(token));
    return out;
  };
  table.push_back(std::move(create));

  MethodSpec update{.verb = "PUT", .path = "/access/users/{userid}/token/{tokenid}", .is_protected = true};
  update.params = {user_param(),
                   token_param(),
                   text_param("comment"),
                   text_param("delete", "pve-configid-list"),
                   integer_param("expire", 0),
                   flag_param("privsep"),
                   flag_param("regenerate")};
  update.permission = own_or_modify_rule;
  update.handler = [](Call& call) {
    const std::string& user = call.params.at("userid");
    const std::string& name = call.params.at("tokenid");
    ApiToken& token = existing_token(call, user, name);
    require_file_lock(call.world, "file-user_cfg", "updating token info failed");
    token.privsep = flag_or(call.params, "privsep", token.privsep);
    token.expire = integer_or(call.params, "expire", token.expire);
    if (const std::string* comment = find_param(call.params, "comment")) token.comment = *comment;
    for (const std::string& key : split_list(text_or(call.params, "delete", ""))) {
      if (key == "comment") token.comment.clear();
      if (key == "expire") token.expire = 0;
    }
    json out = token_json(token);
    if (flag_or(call.params, "regenerate", false)) {
      token.secret = call.world.random_uuid();
      out["value"] = token.secret;
      out["full-tokenid"] = user + "!" + name;
    }
    return out;
  };
  table.push_back(std::move(update));

  MethodSpec remove{.verb = "DELETE", .path = "/access/users/{userid}/token/{tokenid}", .is_protected = true};
  remove.params = {user_param(), token_param()};
  remove.permission = own_or_modify_rule;
  remove.handler = [](Call& call) {
    const std::string& user = call.params.at("userid");
    const std::string& name = call.params.at("tokenid");
    (void)existing_token(call, user, name);
    require_file_lock(call.world, "file-user_cfg", "deleting token failed");
    existing_user(call, user).tokens.erase(name);
    return json(nullptr);
  };
  table.push_back(std::move(remove));
}

void add_group_methods(MethodTable& table) {
  MethodSpec list{.verb = "GET", .path = "/access/groups"};
  list.handler = [](Call& call) {
    json out = json::array();
    for (const auto& [name, group] : call.world.access.groups) {
      if (!has_privilege(call, "/access/groups", "User.Modify|Sys.Audit|Group.Allocate") &&
          !has_privilege(call, "/access/groups/" + name, "User.Modify|Sys.Audit|Group.Allocate"))
        continue;
      json row = {{"groupid", name}};
      if (!group.comment.empty()) row["comment"] = group.comment;
      std::string users;
      for (const std::string& user : group.users) users += (users.empty() ? "" : ",") + user;
      row["users"] = users;
      out.push_back(std::move(row));
    }
    shuffle(call.world, out);
    return out;
  };
  table.push_back(std::move(list));

  const auto group_param = [] { return text_param("groupid", "pve-groupid", false); };
  MethodSpec create{.verb = "POST", .path = "/access/groups", .is_protected = true};
  create.params = {group_param(), text_param("comment")};
  create.permission = needs_privilege("/access/groups", "Group.Allocate");
  create.handler = [](Call& call) {
    const std::string& name = call.params.at("groupid");
    require_file_lock(call.world, "file-user_cfg", "create group failed");
    if (call.world.access.groups.contains(name)) fail("create group failed: group '" + name + "' already exists");
    call.world.access.groups[name].comment = text_or(call.params, "comment", "");
    return json(nullptr);
  };
  table.push_back(std::move(create));

  MethodSpec update{.verb = "PUT", .path = "/access/groups/{groupid}", .is_protected = true};
  update.params = {group_param(), text_param("comment")};
  update.permission = needs_privilege("/access/groups", "Group.Allocate");
  update.handler = [](Call& call) {
    const std::string& name = call.params.at("groupid");
    require_file_lock(call.world, "file-user_cfg", "update group failed");
    const auto found = call.world.access.groups.find(name);
    if (found == call.world.access.groups.end()) fail("update group failed: group '" + name + "' does not exist");
    found->second.comment = text_or(call.params, "comment", found->second.comment);
    return json(nullptr);
  };
  table.push_back(std::move(update));

  MethodSpec read{.verb = "GET", .path = "/access/groups/{groupid}"};
  read.params = {group_param()};
  read.permission = needs_privilege("/access/groups", "Sys.Audit|Group.Allocate");
  read.handler = [](Call& call) {
    const auto found = call.world.access.groups.find(call.params.at("groupid"));
    if (found == call.world.access.groups.end()) fail("group '" + call.params.at("groupid") + "' does not exist");
    json out = {{"members", json::array()}};
    for (const std::string& user : found->second.users) out["members"].push_back(user);
    if (!found->second.comment.empty()) out["comment"] = found->second.comment;
    return out;
  };
  table.push_back(std::move(read));

  MethodSpec remove{.verb = "DELETE", .path = "/access/groups/{groupid}", .is_protected = true};
  remove.params = {group_param()};
  remove.permission = needs_privilege("/access/groups", "Group.Allocate");
  remove.handler = [](Call& call) {
    const std::string& name = call.params.at("groupid");
    require_file_lock(call.world, "file-user_cfg", "delete group failed");
    if (call.world.access.groups.erase(name) == 0) fail("delete group failed: group '" + name + "' does not exist");
    for (auto& [path, node] : call.world.access.acl) node.groups.erase(name);
    return json(nullptr);
  };
  table.push_back(std::move(remove));
}

void add_role_methods(MethodTable& table) {
  const auto role_param = [] { return text_param("roleid", "pve-roleid", false); };
  const auto privs_param = [] { return text_param("privs", "pve-priv-list"); };
  MethodSpec list{.verb = "GET", .path = "/access/roles"};
  list.handler = [](Call& call) {
    json out = json::array();
    for (const auto& [name, privileges] : call.world.access.roles) {
      std::string joined;
      for (const std::string& privilege : privileges) joined += (joined.empty() ? "" : ",") + privilege;
      out.push_back({{"roleid", name}, {"privs", joined}, {"special", is_builtin_role(name) ? 1 : 0}});
    }
    shuffle(call.world, out);
    return out;
  };
  table.push_back(std::move(list));

  MethodSpec create{.verb = "POST", .path = "/access/roles", .is_protected = true};
  create.params = {role_param(), privs_param()};
  create.permission = needs_privilege("/access", "Sys.Modify");
  create.handler = [](Call& call) {
    const std::string& name = call.params.at("roleid");
    std::string upper = name.substr(0, 3);
    std::transform(upper.begin(), upper.end(), upper.begin(), [](unsigned char c) { return std::toupper(c); });
    if (upper == "PVE") fail_param("roleid", "cannot use role ID starting with the (case-insensitive) 'PVE' namespace");
    require_file_lock(call.world, "file-user_cfg", "create role failed");
    if (call.world.access.roles.contains(name)) fail("create role failed: role '" + name + "' already exists");
    std::set<std::string>& role = call.world.access.roles[name];
    for (std::string& privilege : split_list(text_or(call.params, "privs", ""))) role.insert(std::move(privilege));
    return json(nullptr);
  };
  table.push_back(std::move(create));

  MethodSpec update{.verb = "PUT", .path = "/access/roles/{roleid}", .is_protected = true};
  update.params = {role_param(), privs_param(), needs(flag_param("append"), "privs")};
  update.permission = needs_privilege("/access", "Sys.Modify");
  update.handler = [](Call& call) {
    const std::string& name = call.params.at("roleid");
    if (is_builtin_role(name)) fail("auto-generated role '" + name + "' cannot be modified");
    require_file_lock(call.world, "file-user_cfg", "update role failed");
    const auto found = call.world.access.roles.find(name);
    if (found == call.world.access.roles.end()) fail("update role failed: role '" + name + "' does not exist");
    if (!flag_or(call.params, "append", false)) found->second.clear();
    for (std::string& privilege : split_list(text_or(call.params, "privs", "")))
      found->second.insert(std::move(privilege));
    return json(nullptr);
  };
  table.push_back(std::move(update));

  MethodSpec read{.verb = "GET", .path = "/access/roles/{roleid}"};
  read.params = {role_param()};
  read.handler = [](Call& call) {
    const auto found = call.world.access.roles.find(call.params.at("roleid"));
    if (found == call.world.access.roles.end()) fail("role '" + call.params.at("roleid") + "' does not exist");
    json out = json::object();
    for (const std::string& privilege : found->second) out[privilege] = 1;
    return out;
  };
  table.push_back(std::move(read));

  MethodSpec remove{.verb = "DELETE", .path = "/access/roles/{roleid}", .is_protected = true};
  remove.params = {role_param()};
  remove.permission = needs_privilege("/access", "Sys.Modify");
  remove.handler = [](Call& call) {
    const std::string& name = call.params.at("roleid");
    if (is_builtin_role(name)) fail("auto-generated role '" + name + "' cannot be deleted");
    require_file_lock(call.world, "file-user_cfg", "delete role failed");
    if (call.world.access.roles.erase(name) == 0) fail("delete role failed: role '" + name + "' does not exist");
    return json(nullptr);
  };
  table.push_back(std::move(remove));
}

}  // namespace

void add_access_methods(MethodTable& table) {
  MethodSpec index{.verb = "GET", .path = "/access"};
  index.handler = [](Call&) {
    json out = json::array();
    for (const char* name : {"users", "groups", "roles", "acl", "domains", "openid", "tfa", "ticket", "password"})
      out.push_back({{"subdir", name}});
    return out;
  };
  table.push_back(std::move(index));

  MethodSpec acl{.verb = "GET", .path = "/access/acl"};
  acl.handler = [](Call& call) {
    json out = json::array();
    const bool audit = has_privilege(call, "/access", "Sys.Audit");
    for (const auto& [path, node] : call.world.access.acl) {
      if (!audit && !may_modify_acl(call, path)) continue;
      const auto add = [&, &where = path](const char* type, const auto& subjects) {
        for (const auto& [who, roles] : subjects)
          for (const auto& [role, propagate] : roles)
            out.push_back(
                {{"path", where}, {"type", type}, {"ugid", who}, {"roleid", role}, {"propagate", propagate ? 1 : 0}});
      };
      add("user", node.users);
      add("group", node.groups);
      add("token", node.tokens);
    }
    return out;
  };
  table.push_back(std::move(acl));

  MethodSpec put{.verb = "PUT", .path = "/access/acl", .is_protected = true};
  put.params = {flag_param("delete"),
                text_param("groups", "pve-groupid-list"),
                text_param("path", {}, false),
                flag_param("propagate"),
                text_param("roles", "pve-roleid-list", false),
                text_param("tokens", "pve-tokenid-list"),
                text_param("users", "pve-userid-list")};
  put.permission = acl_rule;
  put.handler = update_acl;
  table.push_back(std::move(put));

  MethodSpec effective{.verb = "GET", .path = "/access/permissions"};
  effective.params = {
      text_param("path"),
      with_pattern(text_param("userid"), "[^\\s:/]+@[A-Za-z][A-Za-z0-9.\\-_]+(?:![A-Za-z][A-Za-z0-9.\\-_]+)?")};
  effective.handler = [](Call& call) {
    const std::string self = call.session.auth_id();
    const std::string who = text_or(call.params, "userid", self);
    const bool own = who == self || who.rfind(self + "!", 0) == 0;
    if (!own) require_privilege(call, "/access", "Sys.Audit");
    const std::string* path = find_param(call.params, "path");
    if (path == nullptr) return effective_permissions(call.world, who);
    json held = json::object();
    for (const auto& [privilege, propagate] : permissions(call.world, who, normalize_acl_path(*path)))
      held[privilege] = propagate ? 1 : 0;
    json out = json::object();
    out[*path] = std::move(held);
    return out;
  };
  table.push_back(std::move(effective));

  add_ticket_methods(table);
  add_user_methods(table);
  add_token_methods(table);
  add_group_methods(table);
  add_role_methods(table);
}

}  // namespace pvesim
