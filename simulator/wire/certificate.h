#pragma once

#include <string>
#include <vector>

namespace pvesim {

/// A self-signed server certificate and its key, PEM.
struct Certificate {
  std::string certificate = {};
  std::string key = {};
  std::string fingerprint = {};  // SHA-256, "AA:BB:…", as PVE prints it
};

/// Makes a certificate for `names` (DNS names) and the loopback addresses. The key comes from `seed_text` alone, so the
/// same text always gives the same certificate: a simulator's key protects nothing and determinism helps.
/// Valid from 2020 to 2099. Throws std::runtime_error when OpenSSL fails.
[[nodiscard]] Certificate make_certificate(const std::string& common_name, const std::vector<std::string>& names,
                                           const std::string& seed_text);

/// 32 bytes of SHA-256.
[[nodiscard]] std::string sha256(const std::string& text);

}  // namespace pvesim
