#include "reconciler/model/error_text.h"

#include <array>

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
    TextRow{"is locked (", ErrorKind::kLocked},
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

}  // namespace

ErrorKind kind_of_text(std::string_view text) {
  for (const TextRow& row : kTexts) {
    if (text.find(row.text) != std::string_view::npos) return row.kind;
  }
  return ErrorKind::kServer;
}

ErrorKind kind_of_task_text(std::string_view text) {
  if (text.find("interrupted by signal") != std::string_view::npos) return ErrorKind::kInterrupted;
  const ErrorKind kind = kind_of_text(text);
  const bool passes = kind == ErrorKind::kLocked || kind == ErrorKind::kNoQuorum || kind == ErrorKind::kConflict;
  return passes ? kind : ErrorKind::kTaskFailed;
}

}  // namespace pvr
