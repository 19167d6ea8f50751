#include <exception>
#include <ostream>

#include "cli/commands.h"
#include "cli/shell_texts.h"
#include "schema/fleet_schema.h"

namespace pvr::cli {
namespace {

struct Command {
  const char* name;
  ExitCode (*run)(const Invocation&, Terminal&);
};

ExitCode print_schema(const Invocation&, Terminal& terminal) {
  terminal.out << json_schema();
  return ExitCode::kDone;
}

ExitCode print_completion(const Invocation& invocation, Terminal& terminal) {
  terminal.out << completion_script(invocation.words.front());
  return ExitCode::kDone;
}

ExitCode print_manual(const Invocation&, Terminal& terminal) {
  terminal.out << manual_page();
  return ExitCode::kDone;
}

ExitCode print_version(const Invocation&, Terminal& terminal) {
  terminal.out << "pvereconcile " PVERECONCILE_VERSION "\n";
  return ExitCode::kDone;
}

constexpr Command kCommands[] = {
    {"validate", run_validate},
    {"plan", run_plan},
    {"show", run_show},
    {"apply", run_apply},
    {"gc", run_gc},
    {"rollback", run_rollback},
    {"explain", run_explain},
    {"audit", run_audit},
    {"doctor", run_doctor},
    {"adopt", run_adopt},
    {"convert", run_convert},
    {"status", run_status},
    {"role list", run_role_list},
    {"role show", run_role_show},
    {"simulate", run_simulate},
    {"schema", print_schema},
    {"completion", print_completion},
    {"manual", print_manual},
    {"version", print_version},
};

}  // namespace

ExitCode run(const std::vector<std::string>& arguments, Terminal& terminal) {
  const ParsedCommandLine parsed = parse_command_line(arguments);
  if (!parsed.run) {
    (parsed.is_error ? terminal.err : terminal.out) << parsed.text;
    return parsed.is_error ? ExitCode::kError : ExitCode::kDone;
  }
  try {
    for (const Command& command : kCommands) {
      if (parsed.invocation.command != command.name) continue;
      const ExitCode code = command.run(parsed.invocation, terminal);
      terminal.out.flush();
      if (terminal.out.good()) return code;
      tell_error(parsed.invocation, terminal, "the result could not be written to standard output");
      return ExitCode::kError;
    }
    tell_error(parsed.invocation, terminal,
               "command \"" + parsed.invocation.command + "\" is not wired. This is a bug in pvereconcile.");
  } catch (const std::exception& error) {
    tell_error(parsed.invocation, terminal, std::string(error.what()) + ". This is a bug in pvereconcile.");
  }
  return ExitCode::kError;
}

}  // namespace pvr::cli
