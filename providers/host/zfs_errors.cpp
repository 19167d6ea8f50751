#include "providers/host/zfs_errors.h"

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "providers/host/host_reading.h"

namespace pvr {
namespace {

struct Meaning {
  std::string_view text = {};
  ErrorKind kind = ErrorKind::kServer;
};

// Facts: texts of zfs and zpool (OpenZFS 2.1 to 2.4), of sudo and of the kernel. First match wins.
constexpr Meaning kMeanings[] = {
    {"parent does not exist", ErrorKind::kRejected},
    {"dataset does not exist", ErrorKind::kNotFound},
    {"no such pool", ErrorKind::kNotFound},
    {"could not find any snapshots to destroy", ErrorKind::kNotFound},
    {"dataset is busy", ErrorKind::kLocked},
    {"pool is busy", ErrorKind::kLocked},
    {" is in use", ErrorKind::kLocked},  // the copy program
    {"already exists", ErrorKind::kConflict},
    {"a password is required", ErrorKind::kForbidden},
    {"a terminal is required", ErrorKind::kForbidden},
    {"is not in the sudoers file", ErrorKind::kForbidden},
    {"is not allowed to execute", ErrorKind::kForbidden},
    {"may not run sudo", ErrorKind::kForbidden},
    {"permission denied", ErrorKind::kForbidden},
    {"Permission denied", ErrorKind::kForbidden},
    {"root is needed", ErrorKind::kForbidden},
    {"out of space", ErrorKind::kRejected},
    {"size is greater than available space", ErrorKind::kRejected},
    {"is readonly", ErrorKind::kRejected},
    {"must be a multiple of", ErrorKind::kRejected},
    {"invalid property", ErrorKind::kRejected},
    {"has children", ErrorKind::kRejected},
    {"has dependent clones", ErrorKind::kRejected},
    {"datasets must be within same pool", ErrorKind::kRejected},
};

constexpr int kUsage = 2;        // of zfs and zpool
constexpr int kNoProgram = 127;  // of a shell and of env
constexpr int kFirstSignal = 128;

}  // namespace

Error classify_command(const Command& command, const CommandOutput& output) {
  std::string_view said;
  for (const std::string_view line : lines_of(output.err))
    if (!line.empty()) said = line;
  Error error;
  error.message = said.empty()
                      ? fmt::format("{} ended with code {} and said nothing", command.argv.front(), output.exit_code)
                      : std::string(said);
  error.context = fmt::format("running {} on node \"{}\"", command.argv.front(), command.node);
  if (output.exit_code > kFirstSignal && output.exit_code <= kFirstSignal + 64) {
    if (command.acts) error.effect = Effect::kPossible;
    return error;
  }
  if (output.exit_code == kUsage) error.kind = ErrorKind::kRejected;
  if (output.exit_code == kNoProgram)
    error.message =
        fmt::format("the program \"{}\" is not installed on node \"{}\"", command.argv.front(), command.node);
  for (const Meaning& meaning : kMeanings) {
    if (output.err.find(meaning.text) == std::string::npos) continue;
    error.kind = meaning.kind;
    break;
  }
  return error;
}

}  // namespace pvr
