#include "providers/pve/errors.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "reconciler/model/error_text.h"

namespace pvr {
namespace {

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
