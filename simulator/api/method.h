#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "simulator/wire/message.h"

namespace pvesim {

class Broadcast;
class Tickets;
class World;

/// Who asks, after authentication. `user` is "root@pam"; `token` is the token id or empty.
struct Session {
  std::string user = {};
  std::string token = {};
  /// True only for the literal root@pam logged in with a ticket: tokens of root fail every "only root" check.
  [[nodiscard]] bool is_root_ticket() const { return user == "root@pam" && token.empty(); }
  [[nodiscard]] std::string auth_id() const { return token.empty() ? user : user + "!" + token; }
};

/// Checked parameters: query, form and path parameters together, by name, as text (booleans "0"/"1"; the elements of an
/// array are joined with NUL, which split_list() of wire/formats.h takes apart like every other list).
using Params = std::map<std::string, std::string, std::less<>>;

/// One parameter of a method, as in PVE's API schema.
struct ParamSpec {
  std::string name = {};        // "net[n]" stands for the numbered family net0..netN
  std::string type = "string";  // string | integer | number | boolean | array
  bool optional = true;
  std::string format = {};  // PVE format name, e.g. pve-vmid, pve-storage-id, pve-configid-list; empty: none
  std::vector<std::string> values = {};  // enum
  std::optional<double> minimum = {};
  std::optional<double> maximum = {};
  int max_length = 0;        // 0: no limit
  std::string pattern = {};  // anchored by the checker
  int family = 0;            // for "x[n]": how many (exclusive upper bound of n)
  std::vector<std::string> requires_ = {};
  int min_length = 0;
  /// The format is itself a set of keys ("a=1,b=2"): the value is checked as a property string.
  std::shared_ptr<const std::vector<ParamSpec>> property = {};
  bool default_key = false;    // inside `property`: the key that may be written without its name
  std::string alias = {};      // inside `property`: another name of that key
  std::string key_alias = {};  // inside `property`: the key that receives the alias' own name
  /// What one element of an array must look like; null: any text.
  std::shared_ptr<const ParamSpec> items = {};
  /// A check of the whole value that no format name covers. Answers "" or the text that follows "invalid format - "
  /// (PVE's own messages end in a newline).
  std::function<std::string(std::string_view)> check = {};
};

/// One call while it is being served.
struct Call {
  World& world;
  const Session& session;
  const Params& params;
  std::string node = {};  // {node} of the path, or the node that answers
  /// Set by handlers of lists that carry `total` beside `data`.
  std::optional<std::int64_t> total = {};
  /// Issues and verifies login tickets; only the methods below /access need it.
  const Tickets* tickets = nullptr;
  /// What the nodes' status daemons last sent (simulator/api/broadcast.h).
  const Broadcast* broadcast = nullptr;
};

/// Thrown by handlers; the router turns it into PVE's error shapes.
struct ApiError {
  int status = 500;
  std::string message = {};                                     // without the trailing newline
  std::map<std::string, std::string, std::less<>> errors = {};  // non-empty: the 400-map shape
};
[[noreturn]] void fail(std::string message);                                           // 500 text
[[noreturn]] void fail_param(std::string param, std::string text);                     // 400 map
[[noreturn]] void fail_permission(const std::string& path, const std::string& privs);  // 403

using Handler = std::function<nlohmann::json(Call&)>;

/// One method of the API.
struct MethodSpec {
  std::string verb = {};  // GET POST PUT DELETE
  std::string path = {};  // "/nodes/{node}/qemu/{vmid}/config"
  std::vector<ParamSpec> params = {};
  bool is_protected = false;   // runs in pvedaemon behind the 30 s proxy timeout
  bool proxy_to_node = false;  // forwarded to the node of the path
  bool token_allowed = true;
  bool without_login = false;  // callable by anybody: POST /access/ticket and its like
  /// For methods whose parameters depend on one of them (oneOf by `type`): the further parameters of each value.
  std::string type_property = {};
  std::map<std::string, std::vector<ParamSpec>, std::less<>> variants = {};
  /// Permission check (may throw ApiError); empty: any authenticated user. As in PVE it runs *before* the parameters
  /// are checked, so `params` may lack or misname anything but the path parameters.
  std::function<void(Call&)> permission = {};
  Handler handler = {};
};

using MethodTable = std::vector<MethodSpec>;

// Each api/*.cpp contributes its methods.
void add_qemu_methods(MethodTable& table);
void add_storage_methods(MethodTable& table);
void add_cluster_methods(MethodTable& table);
void add_access_methods(MethodTable& table);
void add_node_methods(MethodTable& table);
void add_task_methods(MethodTable& table);
void add_pool_methods(MethodTable& table);
void add_ha_methods(MethodTable& table);
void add_replication_methods(MethodTable& table);
void add_mapping_methods(MethodTable& table);
void add_backup_methods(MethodTable& table);

/// Access control, implemented by the wire side on top of World's user/acl tables.
/// Throws the 403 text PVE gives when `session` lacks every one of the '|'-joined `privs` on `path`.
void require_privilege(Call& call, std::string_view path, std::string_view privs);
[[nodiscard]] bool has_privilege(const Call& call, std::string_view path, std::string_view privs);

}  // namespace pvesim
