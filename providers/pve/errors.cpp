#include "providers/pve/errors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

namespace pvr {
namespace {

struct TextRow {
  std::string_view text = {};
  ErrorKind kind = ErrorKind::kServer;
};

// Facts: texts of PVE 9. The first row whose text occurs wins, so the narrow ones stand first.
constexpr std::array kTexts = {
    TextRow{"checksum mismatch (file change by other user?)", ErrorKind::kConflict},
    TextRow{"detected modified configuration", ErrorKind::kConflict},
    TextRow{"no quorum", ErrorKind::kNoQuorum},
    TextRow{"unable to open file '/etc/pve/", ErrorKind::kNoQuorum},
    TextRow{"VM is locked (", ErrorKind::kLocked},
    TextRow{"can't lock file '", ErrorKind::kLocked},
    TextRow{"got lock request timeout", ErrorKind::kLocked},
    TextRow{"-locked command timed out", ErrorKind::kTimeout},
    TextRow{"Permission check failed", ErrorKind::kForbidden},
    TextRow{"only root can set ", ErrorKind::kForbidden},
    TextRow{"Configuration file 'nodes/", ErrorKind::kNotFound},
    TextRow{"unable to find configuration file for VM", ErrorKind::kNotFound},
    TextRow{"no such task", ErrorKind::kNotFound},
    TextRow{"No such storage.", ErrorKind::kNotFound},
    TextRow{"no such resource", ErrorKind::kNotFound},
    TextRow{"no such cluster node", ErrorKind::kNotFound},
    TextRow{"hostname lookup '", ErrorKind::kNotFound},
    TextRow{"does not exist", ErrorKind::kNotFound},
    TextRow{"already exists", ErrorKind::kRejected},
    TextRow{"already defined", ErrorKind::kRejected},
    TextRow{"is already a pool member", ErrorKind::kRejected},
    TextRow{"protection mode enabled", ErrorKind::kRejected},
    TextRow{"you can't ", ErrorKind::kRejected},
    TextRow{"can't change value of fixed parameter", ErrorKind::kRejected},
    TextRow{"missing value for required option", ErrorKind::kRejected},
    TextRow{"unexpected property '", ErrorKind::kRejected},
    TextRow{"no such option '", ErrorKind::kRejected},
    TextRow{"unable to delete required option", ErrorKind::kRejected},
    TextRow{"unable to delete fixed option", ErrorKind::kRejected},
    TextRow{"no options specified", ErrorKind::kRejected},
    TextRow{"is disabled", ErrorKind::kRejected},
    TextRow{"is not available on node", ErrorKind::kRejected},
    TextRow{"not available with API token", ErrorKind::kForbidden},
    TextRow{"balloon value too large", ErrorKind::kRejected},
    TextRow{"invalid bootorder", ErrorKind::kRejected},
    TextRow{"used in HA resources", ErrorKind::kRejected},
};

/// Texts of checks that run before anything is changed. The rest of a failed write may have left something behind.
bool before_any_change(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kConflict:
    case ErrorKind::kNoQuorum:
    case ErrorKind::kLocked:
    case ErrorKind::kForbidden:
    case ErrorKind::kUnauthorized:
      return true;
    default:
      return false;
  }
}

std::string_view stripped(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ' || text.back() == '\r')) text.remove_suffix(1);
  return text;
}

/// message and the errors map in one line each: "Parameter verification failed. (cores: …)".
std::string message_of(const HttpResponse& response, bool& apply_failed) {
  const auto body = nlohmann::json::parse(response.body, nullptr, false);
  std::string message;
  if (body.is_object()) {
    if (const auto at = body.find("message"); at != body.end() && at->is_string()) {
      message = stripped(at->get_ref<const std::string&>());
    }
    if (const auto at = body.find("errors"); at != body.end() && at->is_object()) {
      std::string details;
      for (const auto& [key, text] : at->items()) {
        const std::string why = text.is_string() ? text.get<std::string>() : text.dump();
        apply_failed =
            apply_failed || why.starts_with("hotplug problem") || why.starts_with("unable to apply pending change");
        details += fmt::format("{}{}: {}", details.empty() ? "" : "; ", key, stripped(why));
      }
      if (!details.empty()) message = message.empty() ? details : fmt::format("{} ({})", message, details);
    }
  }
  if (message.empty()) message = response.reason;
  if (message.empty()) message = fmt::format("HTTP status {}", response.status);
  std::ranges::replace(message, '\n', ' ');
  return message;
}

}  // namespace

ErrorKind kind_of_text(std::string_view text) {
  for (const TextRow& row : kTexts) {
    if (text.find(row.text) != std::string_view::npos) return row.kind;
  }
  return ErrorKind::kServer;
}

Error classify_answer(const HttpResponse& response, bool write) {
  bool apply_failed = false;
  Error error;
  error.message = message_of(response, apply_failed);
  error.http_status = response.status;
  const Effect possible = write ? Effect::kPossible : Effect::kNone;
  switch (response.status) {
    case 401:
      error.kind = ErrorKind::kUnauthorized;
      return error;
    case 403:
      error.kind = ErrorKind::kForbidden;
      return error;
    case 400:
      // Options are applied one after another, so a failure while applying comes after changes.
      error.kind = apply_failed ? ErrorKind::kServer : kind_of_text(error.message);
      if (!apply_failed && error.kind == ErrorKind::kServer) error.kind = ErrorKind::kRejected;
      error.effect = apply_failed ? possible : Effect::kNone;
      return error;
    case 501:
    case 505:
    case 506:
      error.kind = ErrorKind::kRejected;
      return error;
    case 595:  // the node that answered could not connect to the node that was meant
      error.kind = ErrorKind::kUnreachable;
      return error;
    case 502:
    case 503:
    case 504:
    case 596:
    case 597:
    case 598:
    case 599:  // the request was on its way; its handler may still run
      error.kind = ErrorKind::kTimeout;
      error.effect = possible;
      return error;
    default:
      break;
  }
  error.kind = kind_of_text(error.message);
  error.effect = before_any_change(error.kind) || error.kind == ErrorKind::kNotFound ? Effect::kNone : possible;
  if (error.kind == ErrorKind::kRejected) error.effect = Effect::kNone;
  return error;
}

}  // namespace pvr
