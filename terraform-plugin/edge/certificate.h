#pragma once

#include <string>

#include "reconciler/base/result.h"

namespace pvr::tf {

/// A fresh certificate of a process that talks to one other process: P-256, self-signed, for "localhost".
struct Certificate {
  std::string pem = {};
  std::string key_pem = {};
  std::string der_base64 = {};  // without padding, as the handshake wants it
};
[[nodiscard]] Result<Certificate> make_certificate();

}  // namespace pvr::tf
