#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "providers/pve/secret.h"
#include "reconciler/base/result.h"
#include "reconciler/model/fleet_document.h"

namespace pvr {

/// How to reach a cluster and as whom.
struct ConnectionOptions {
  std::vector<std::string> endpoints = {};  // "https://host:8006", in the order they are tried
  std::string token_id = {};                // "user@realm!name"; empty: a ticket
  Secret token_secret = {};
  std::string user = {};  // "user@realm"
  Secret password = {};
  std::string ca_file = {};  // empty: the system's authorities
  std::vector<std::string> fingerprints =
      {};                 // SHA-256 "AA:BB:…" of accepted certificates; they replace authorities and names
  bool insecure = false;  // no verification at all; only ever on purpose, `--insecure`
  std::chrono::milliseconds connect_timeout{5000};
  std::chrono::milliseconds read_timeout{60000};  // PVE itself gives up a request after 30 s
  int connections_per_endpoint = 4;               // PVE answers with three workers per node
  std::string user_agent = "pvereconcile";
};

/// What was said on the command line. Empty: not said.
struct ConnectionFlags {
  std::vector<std::string> endpoints = {};
  std::string token_id = {};
  std::string token_file = {};
  std::string user = {};
  std::string password_file = {};
  std::string ca_file = {};
  std::string fingerprint = {};
  bool insecure = false;
};

using Environment = std::map<std::string, std::string, std::less<>>;

/// Flags before PVERECONCILE_* before the document before the variables other tools read (PROXMOX_VE_*, PM_*,
/// PROXMOX_*). Variables: PVERECONCILE_ENDPOINT (several: separated by commas), _TOKEN_ID, _TOKEN_SECRET, _TOKEN
/// ("id=secret"), _TOKEN_FILE, _USER, _PASSWORD, _PASSWORD_FILE, _CA_FILE, _FINGERPRINT;
/// PROXMOX_VE_ENDPOINT/API_TOKEN/USERNAME/PASSWORD; PM_API_URL/API_TOKEN_ID/API_TOKEN_SECRET/USER/PASS;
/// PROXMOX_HOST/TOKEN_ID/TOKEN_SECRET/USER/PASSWORD. The *_INSECURE and
/// *_TLS_INSECURE variables of other tools are not heeded. Pure but for `read_file`, which tests replace.
[[nodiscard]] Result<ConnectionOptions> connection_options(
    const Environment& environment, const ConnectionFlags& flags, const WrittenCluster& document,
    const std::function<Result<Secret>(const std::filesystem::path&)>& read_file = read_secret_file);

/// "https://HOST:PORT" of what people write: with and without scheme, port (8006) and /api2/json. Error: http, user
/// names, other paths.
[[nodiscard]] Result<std::string> normal_endpoint(std::string_view text);
/// Upper case, with colons; nothing unless it is 64 hexadecimal digits.
[[nodiscard]] std::optional<std::string> normal_fingerprint(std::string_view text);
/// The variables of this process.
[[nodiscard]] Environment process_environment();

}  // namespace pvr
