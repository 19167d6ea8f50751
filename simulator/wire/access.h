#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace pvesim {

class World;

struct ApiToken {
  std::string secret = {};
  std::string comment = {};
  std::int64_t expire = 0;  // seconds since the epoch, 0: never
  bool has_expire = false;  // whether the key is set at all
  bool privsep = true;
};

struct User {
  bool enable = true;
  std::int64_t expire = 0;  // seconds since the epoch, 0: never
  std::string password = {};
  std::map<std::string, std::string> texts = {};  // firstname lastname email comment keys, as far as set
  std::map<std::string, ApiToken> tokens = {};
};

struct Group {
  std::string comment = {};
  std::set<std::string> users = {};
};

/// Roles of one path: subject -> role -> propagate.
struct AclNode {
  std::map<std::string, std::map<std::string, bool>> users = {};
  std::map<std::string, std::map<std::string, bool>> groups = {};
  std::map<std::string, std::map<std::string, bool>> tokens = {};
};

/// The content of user.cfg except pools (World::pools). Plain data: the world's mutex guards it.
struct AccessTables {
  /// Holds root@pam and the built-in roles of PVE 9.
  AccessTables();

  std::map<std::string, User> users = {};
  std::map<std::string, Group> groups = {};
  std::map<std::string, std::set<std::string>> roles = {};
  std::map<std::string, AclNode> acl = {};  // by normalised path

  /// Whether the user exists, is enabled and has not expired at `now` (seconds since the epoch).
  [[nodiscard]] bool usable(const std::string& user, std::int64_t now) const;
  /// "user@realm!token=secret" of an Authorization header: the token's auth id, or "" when it must be refused.
  [[nodiscard]] std::string verify_token(std::string_view header_value, std::int64_t now) const;
};

/// Effective privileges on `path`: privilege -> propagates. `auth_id` is "user@realm" or "user@realm!token".
/// Facts (PVE access control): a role on a deeper path replaces the inherited one of that subject; token entries win
/// over user entries over group entries on one path; NoAccess cancels; pool roles reach members and never propagate; a
/// separated token has the intersection with its user; the name root@pam passes everything.
[[nodiscard]] std::map<std::string, bool> permissions(const World& world, std::string_view auth_id,
                                                      std::string_view path);
/// Whether any of the '|'-joined `privs` is held.
[[nodiscard]] bool holds(const World& world, std::string_view auth_id, std::string_view path, std::string_view privs);

/// The pool a guest belongs to, or "".
[[nodiscard]] std::string pool_of(const World& world, int vmid);
/// What destroying a guest or a storage takes along: its ACL entries and pool membership.
void forget_vm(World& world, int vmid);
void forget_storage(World& world, const std::string& storage);

/// Collapses slashes and adds the leading one; "" when the path holds a character no ACL path may have.
[[nodiscard]] std::string normalize_acl_path(std::string_view path);
/// Whether an ACL may be stored for this (normalised) path.
[[nodiscard]] bool is_acl_path(std::string_view path);
/// Whether PVE knows a privilege of this name.
[[nodiscard]] bool is_privilege(std::string_view name);
/// Built-in roles cannot be changed or deleted.
[[nodiscard]] bool is_builtin_role(std::string_view role);

}  // namespace pvesim
