#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace pvr::cli {

enum class OutputForm : std::uint8_t { kText, kJson, kMarkdown, kSarif, kHtml, kJunit };
enum class ColourWish : std::uint8_t { kAuto, kAlways, kNever };

/// Everything the command line can say. Which fields count depends on `command`.
struct Invocation {
  std::string command = {};  // "plan", "role list", …
  // How to reach the cluster; before environment and fleet file.
  std::vector<std::string> endpoints = {};
  std::optional<std::string> fingerprint = {};
  std::optional<std::string> ca_file = {};
  std::optional<std::string> token_file = {};
  std::optional<std::string> simulate = {};  // a cluster file; empty text: the built-in one
  // How to tell.
  ColourWish colour = ColourWish::kAuto;
  bool quiet = false;
  OutputForm output = OutputForm::kText;
  std::string events_file = {};
  // What to work on.
  std::string file = {};  // a fleet (file or directory) or a saved plan
  std::vector<std::string> targets = {};
  std::vector<std::string> words =
      {};  // explain: address, disk or slot, key; role show: its name; completion: the shell
  // plan, apply
  std::string plan_out = {};
  bool detailed_exitcode = false;
  bool auto_approve = false;
  std::string expect = {};  // the digest the plan must have
  std::vector<std::string> allow = {};
  int parallelism = 0;  // 0: the fleet's or the built-in
  std::string copy_rate = {};
  bool force_capacity = false;
  bool break_lease = false;
  bool no_lease = false;
  // audit
  std::vector<std::string> fix = {};  // ids of findings
  std::string suppressions = {};      // a file of its own
  std::string fail_on = {};           // "error", "warning", "notice"; empty: never
  // adopt
  std::string fleet_out = {};
  bool improve = false;
  // explain, status
  bool chain = false;
  bool all = false;
  // simulate
  std::string listen = {};
  std::string cluster_file = {};
  std::string environment_file = {};
  double clock_scale = 0.0;  // 0: the file's
};

/// What parsing ended in: something to run, or a text to print and a code to leave with.
struct ParsedCommandLine {
  bool run = false;
  Invocation invocation = {};
  std::string text = {};  // help or the error
  bool is_error = false;  // text belongs on stderr, exit code 1
};

/// `arguments` without the program's name. Never exits the process.
[[nodiscard]] ParsedCommandLine parse_command_line(const std::vector<std::string>& arguments);

/// One option or command as completion and manual page need it.
struct OptionDescription {
  std::vector<std::string> names = {};  // "--output", "-o"; empty: positional
  std::string value = {};               // "FILE", "text|json|markdown"; empty: a switch
  bool value_optional = false;
  std::string help = {};
  std::string positional = {};  // its name in the synopsis
  bool required = false;
};
struct CommandDescription {
  std::string name = {};  // "role list"; empty: the program
  std::string help = {};
  std::vector<OptionDescription> options = {};
};
/// Every command of the program, sorted by name; the first is the program itself.
[[nodiscard]] std::vector<CommandDescription> describe_commands();

}  // namespace pvr::cli
