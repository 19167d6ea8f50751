#include "providers/pve/connection_options.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <utility>

extern "C" char** environ;  // NOLINT(readability-redundant-declaration)

namespace pvr {
namespace {

Error unusable(std::string message) { return {ErrorKind::kRejected, std::move(message), {}, Effect::kNone, 0}; }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::vector<std::string> parts_of(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t end = text.find_first_of(", ");
    if (const auto part = trimmed(text.substr(0, end)); !part.empty()) parts.emplace_back(part);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return parts;
}

/// The first of the variables that is set and not empty.
std::string first_of(const Environment& environment, std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) {
    if (const auto at = environment.find(name); at != environment.end() && !at->second.empty()) return at->second;
  }
  return {};
}

/// Who we are, from one source; sources are never mixed: an id from one place with a secret from another is a trap.
struct Identity {
  std::string token_id = {};
  Secret token_secret = {};
  std::string user = {};
  Secret password = {};
  [[nodiscard]] bool complete() const {
    return (!token_id.empty() && !token_secret.empty()) || (!user.empty() && !password.empty());
  }
  [[nodiscard]] bool empty() const {
    return token_id.empty() && token_secret.empty() && user.empty() && password.empty();
  }
};

/// "user@realm!name=secret" → both parts; a bare secret stays one.
void take_token(Identity& identity, std::string_view text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos || text.find('!') > equals) {
    identity.token_secret = Secret(std::string(text));
    return;
  }
  identity.token_id = text.substr(0, equals);
  identity.token_secret = Secret(std::string(text.substr(equals + 1)));
}

struct FileReader {
  const std::function<Result<Secret>(const std::filesystem::path&)>& read;
  std::optional<Error> problem = {};
  Secret operator()(const std::string& file) {
    if (file.empty()) return {};
    Result<Secret> secret = read(file);
    if (secret.ok()) return std::move(secret).value();
    if (!problem) problem = secret.error();
    return {};
  }
};

void take_token_file(Identity& identity, FileReader& reader, const std::string& file) {
  const Secret text = reader(file);
  if (text.empty()) return;
  const std::string id = identity.token_id;
  take_token(identity, text.reveal());
  if (!id.empty()) identity.token_id = id;
}

Identity identity_of(const Environment& environment, const ConnectionFlags& flags, const WrittenCluster& document,
                     FileReader& reader) {
  const auto variable = [&](std::initializer_list<std::string_view> names) { return first_of(environment, names); };
  const std::string document_id = document.token_id ? document.token_id->value : std::string();

  Identity said;
  said.token_id = flags.token_id;
  said.user = flags.user;
  take_token_file(said, reader, flags.token_file);
  said.password = reader(flags.password_file);

  Identity ours;
  ours.token_id = variable({"PVERECONCILE_TOKEN_ID"});
  if (auto token = variable({"PVERECONCILE_TOKEN", "PVERECONCILE_TOKEN_SECRET"}); !token.empty()) {
    const std::string id = ours.token_id;
    take_token(ours, token);
    if (!id.empty()) ours.token_id = id;
    wipe(token);
  } else {
    take_token_file(ours, reader, variable({"PVERECONCILE_TOKEN_FILE"}));
  }
  ours.user = variable({"PVERECONCILE_USER"});
  ours.password = Secret(variable({"PVERECONCILE_PASSWORD"}));
  if (ours.password.empty()) ours.password = reader(variable({"PVERECONCILE_PASSWORD_FILE"}));

  // The document or a flag may name the token whose secret comes from elsewhere: that is one identity, written in two
  // places on purpose.
  for (Identity* identity : {&said, &ours}) {
    if (identity->token_id.empty() && !identity->token_secret.empty()) {
      identity->token_id = !said.token_id.empty() ? said.token_id : document_id;
    }
  }
  if (!said.token_id.empty() && said.token_secret.empty()) said.token_secret = ours.token_secret;
  if (!said.user.empty() && said.password.empty()) said.password = ours.password;
  if (!said.empty()) return said;
  if (!ours.token_secret.empty() || !ours.user.empty()) return ours;

  if (document.token_file) {
    Identity written;
    written.token_id = !ours.token_id.empty() ? ours.token_id : document_id;
    take_token_file(written, reader, document.token_file->value);
    return written;
  }
  if (!ours.empty()) return ours;

  Identity others;
  if (const auto token = variable({"PROXMOX_VE_API_TOKEN"}); !token.empty()) {
    take_token(others, token);
  } else {
    for (const auto& [id, secret] :
         {std::pair{"PM_API_TOKEN_ID", "PM_API_TOKEN_SECRET"}, std::pair{"PROXMOX_TOKEN_ID", "PROXMOX_TOKEN_SECRET"}}) {
      if (!others.token_id.empty()) break;
      others.token_id = variable({id});
      others.token_secret = Secret(variable({secret}));
    }
  }
  if (others.token_id.empty()) {
    for (const auto& [user, password] :
         {std::pair{"PROXMOX_VE_USERNAME", "PROXMOX_VE_PASSWORD"}, std::pair{"PM_USER", "PM_PASS"},
          std::pair{"PROXMOX_USER", "PROXMOX_PASSWORD"}}) {
      if (!others.user.empty()) break;
      others.user = variable({user});
      others.password = Secret(variable({password}));
    }
    if (others.user.empty()) others.token_id = document_id;
  }
  return others;
}

bool has_control(std::string_view text) {
  return std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) <= 0x20U || c == '\x7f'; });
}

/// Anything that would end the header line must not come near it.
std::optional<Error> check_identity(const Identity& identity) {
  if (!identity.token_id.empty()) {
    const std::size_t at = identity.token_id.find('@');
    const std::size_t mark = identity.token_id.find('!');
    if (at == std::string::npos || mark == std::string::npos || mark < at || has_control(identity.token_id)) {
      return unusable(fmt::format("\"{}\" is no token id; write USER@REALM!NAME.", identity.token_id));
    }
    if (identity.token_secret.empty()) {
      return unusable(fmt::format("The secret of token {} is missing: give --token-file or PVERECONCILE_TOKEN_SECRET.",
                                  identity.token_id));
    }
    if (has_control(identity.token_secret.reveal())) {
      return unusable("The token secret holds a space or a control character.");
    }
    return std::nullopt;
  }
  if (!identity.token_secret.empty()) return unusable("There is a token secret, but no token id: give --token-id.");
  if (identity.user.empty()) {
    return unusable("Nobody to log in as: give an API token (--token-file, cluster.token_file or PVERECONCILE_TOKEN).");
  }
  if (identity.user.find('@') == std::string::npos || has_control(identity.user)) {
    return unusable(fmt::format("\"{}\" is no user; write USER@REALM.", identity.user));
  }
  if (identity.password.empty()) return unusable(fmt::format("The password of {} is missing.", identity.user));
  return std::nullopt;
}

}  // namespace

Result<std::string> normal_endpoint(std::string_view text) {
  const std::string_view written = text;
  text = trimmed(text);
  if (text.starts_with("http://")) {
    return unusable(fmt::format("\"{}\" would send the token in the clear; write https://.", written));
  }
  if (text.starts_with("https://")) text.remove_prefix(8);
  while (text.ends_with('/')) text.remove_suffix(1);
  for (const std::string_view path : {"/api2/json", "/api2"}) {
    if (text.ends_with(path)) text.remove_suffix(path.size());
  }
  while (text.ends_with('/')) text.remove_suffix(1);
  std::string_view host = text;
  std::string_view port;
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) return unusable(fmt::format("\"{}\" is no endpoint.", written));
    host = text.substr(0, end + 1);
    port = text.substr(end + 1);
  } else if (const std::size_t colon = text.find(':'); colon != std::string_view::npos) {
    host = text.substr(0, colon);
    port = text.substr(colon);
  }
  unsigned number = 8006;
  if (!port.empty()) {
    port.remove_prefix(1);
    const auto [end, fault] = std::from_chars(port.data(), port.data() + port.size(), number);
    if (fault != std::errc{} || end != port.data() + port.size()) number = 0;
  }
  const auto legal = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
           c == '_' || c == '[' || c == ']' || c == ':';
  };
  if (host.empty() || !std::ranges::all_of(host, legal) || number == 0 || number > 65535) {
    return unusable(fmt::format("\"{}\" is no endpoint; write https://HOST:8006.", written));
  }
  return fmt::format("https://{}:{}", host, number);
}

std::optional<std::string> normal_fingerprint(std::string_view text) {
  std::string digits;
  for (const char c : text) {
    if (c == ':' || c == ' ') continue;
    const bool small = c >= 'a' && c <= 'f';
    if (!small && !(c >= '0' && c <= '9') && !(c >= 'A' && c <= 'F')) return std::nullopt;
    digits += small ? static_cast<char>(c - 'a' + 'A') : c;
  }
  if (digits.size() != 64) return std::nullopt;
  std::string out;
  for (std::size_t i = 0; i < digits.size(); i += 2) {
    if (!out.empty()) out += ':';
    out.append(digits, i, 2);
  }
  return out;
}

Environment process_environment() {
  Environment environment;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    if (const std::size_t equals = text.find('='); equals != std::string_view::npos) {
      environment.emplace(text.substr(0, equals), text.substr(equals + 1));
    }
  }
  return environment;
}

Result<ConnectionOptions> connection_options(
    const Environment& environment, const ConnectionFlags& flags, const WrittenCluster& document,
    const std::function<Result<Secret>(const std::filesystem::path&)>& read_file) {
  ConnectionOptions options;
  std::vector<std::string> endpoints = flags.endpoints;
  if (endpoints.empty())
    endpoints = parts_of(first_of(environment, {"PVERECONCILE_ENDPOINT", "PVERECONCILE_ENDPOINTS"}));
  if (endpoints.empty()) {
    for (const auto& endpoint : document.endpoints) endpoints.push_back(endpoint.value);
  }
  if (endpoints.empty()) {
    endpoints = parts_of(first_of(environment, {"PROXMOX_VE_ENDPOINT", "PM_API_URL", "PROXMOX_HOST"}));
  }
  if (endpoints.empty()) {
    return unusable(
        "No endpoint: write cluster.endpoints in the fleet file, or give --endpoint or PVERECONCILE_ENDPOINT.");
  }
  for (const std::string& endpoint : endpoints) {
    Result<std::string> normal = normal_endpoint(endpoint);
    if (!normal.ok()) return std::move(normal).error();
    if (std::ranges::find(options.endpoints, *normal) == options.endpoints.end()) options.endpoints.push_back(*normal);
  }

  std::string fingerprint = flags.fingerprint;
  if (fingerprint.empty()) fingerprint = first_of(environment, {"PVERECONCILE_FINGERPRINT"});
  if (fingerprint.empty() && document.fingerprint) fingerprint = document.fingerprint->value;
  for (const std::string& part : parts_of(fingerprint)) {
    const auto normal = normal_fingerprint(part);
    if (!normal) return unusable(fmt::format("\"{}\" is no SHA-256 fingerprint.", part));
    options.fingerprints.push_back(*normal);
  }
  options.ca_file = flags.ca_file;
  if (options.ca_file.empty()) options.ca_file = first_of(environment, {"PVERECONCILE_CA_FILE"});
  if (options.ca_file.empty() && document.ca_file) options.ca_file = document.ca_file->value;
  options.insecure = flags.insecure;

  FileReader reader{read_file};
  Identity identity = identity_of(environment, flags, document, reader);
  if (!identity.complete() && reader.problem) return *std::move(reader.problem);
  if (auto problem = check_identity(identity)) return *std::move(problem);
  options.token_id = std::move(identity.token_id);
  options.token_secret = std::move(identity.token_secret);
  options.user = std::move(identity.user);
  options.password = std::move(identity.password);
  return options;
}

}  // namespace pvr
