#include "cli/shell_texts.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "cli/command_line.h"

namespace pvr::cli {
namespace {

bool is_choice(std::string_view value) { return value.find('|') != std::string_view::npos; }
bool is_list(std::string_view value) { return value.find(',') != std::string_view::npos; }
bool is_file(std::string_view value) { return value == "FILE" || value == "CLUSTER.yaml"; }

std::string words_of(std::string_view value) {
  std::string words(value);
  std::ranges::replace(words, '|', ' ');
  std::ranges::replace(words, ',', ' ');
  return words;
}

std::string replaced(std::string text, std::string_view what, std::string_view with) {
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size()))
    text.replace(at, what.size(), with);
  return text;
}

/// First words of the commands below `parent` ("" or "role").
std::vector<std::string> children(const std::vector<CommandDescription>& commands, std::string_view parent) {
  std::vector<std::string> names;
  for (const CommandDescription& command : commands) {
    std::string_view rest = command.name;
    if (rest.empty()) continue;
    if (!parent.empty()) {
      if (!rest.starts_with(parent) || rest.size() <= parent.size() || rest[parent.size()] != ' ') continue;
      rest.remove_prefix(parent.size() + 1);
    }
    if (rest.find(' ') == std::string_view::npos) names.emplace_back(rest);
  }
  return names;
}

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : " ") + word;
  return out;
}

std::string bash_script(const std::vector<CommandDescription>& commands) {
  std::string values;
  std::string cases;
  std::vector<std::string> seen;
  for (const CommandDescription& command : commands) {
    std::string words = joined(children(commands, command.name));
    for (const OptionDescription& option : command.options) {
      for (const std::string& name : option.names) {
        words += (words.empty() ? "" : " ") + name + (option.value_optional ? "=" : "");
        if (option.value.empty() || option.value_optional || std::ranges::find(seen, name) != seen.end()) continue;
        seen.push_back(name);
        if (is_choice(option.value) || is_list(option.value)) {
          values += fmt::format("    {}) COMPREPLY=($(compgen -W \"{}\" -- \"$cur\")); return ;;\n", name,
                                words_of(option.value));
        } else if (is_file(option.value)) {
          values += fmt::format("    {}) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n", name);
        } else {
          values += fmt::format("    {}) return ;;\n", name);
        }
      }
      if (option.names.empty() && is_choice(option.value)) words += " " + words_of(option.value);
    }
    cases += fmt::format("    \"{}\") words=\"{}\" ;;\n", command.name, words);
  }
  return fmt::format(R"(# bash completion for pvereconcile
_pvereconcile() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} command="" word words=""
  COMPREPLY=()
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case "$command $word" in
{}    esac
  done
  case $prev in
{}  esac
  case $command in
{}  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
  [[ $cur == -* ]] || COMPREPLY+=($(compgen -f -- "$cur"))
}}
complete -o filenames -F _pvereconcile pvereconcile
)",
                     [&] {
                       std::string steps;
                       for (const CommandDescription& command : commands) {
                         if (command.name.empty()) continue;
                         const auto blank = command.name.rfind(' ');
                         const std::string parent = blank == std::string::npos ? "" : command.name.substr(0, blank);
                         const std::string last =
                             blank == std::string::npos ? command.name : command.name.substr(blank + 1);
                         steps += fmt::format("      \"{} {}\") command=\"{}\" ;;\n", parent, last, command.name);
                       }
                       return steps;
                     }(),
                     values, cases);
}

/// For single quotes in zsh and fish.
std::string quoted(const std::string& text) { return replaced(text, "'", "'\\''"); }

std::string zsh_script(const std::vector<CommandDescription>& commands) {
  std::string out = "#compdef pvereconcile\n# zsh completion for pvereconcile\n";
  const auto colons = [](const std::string& text) {
    return replaced(replaced(replaced(text, ":", "\\:"), "[", "("), "]", ")");
  };
  for (const CommandDescription& command : commands) {
    const std::string name =
        command.name.empty() ? "_pvereconcile" : "_pvereconcile_" + replaced(command.name, " ", "_");
    out += fmt::format("\n{}() {{\n", name);
    const std::vector<std::string> below = children(commands, command.name);
    std::string specs;
    std::size_t position = 0;
    for (const OptionDescription& option : command.options) {
      const std::string action = is_choice(option.value) ? fmt::format("({})", words_of(option.value))
                                 : is_list(option.value) ? fmt::format("_values -s , what {}", words_of(option.value))
                                 : is_file(option.value) ? std::string("_files")
                                                         : std::string();
      if (option.names.empty()) {
        ++position;
        specs += fmt::format(" \\\n    '{}:{}:{}'", position, quoted(colons(option.positional)), quoted(action));
        continue;
      }
      for (const std::string& spelled : option.names) {
        std::string spec = spelled;
        if (option.value_optional) spec += "=-";
        spec += fmt::format("[{}]", quoted(colons(option.help)));
        if (!option.value.empty())
          spec +=
              fmt::format("{}{}:{}", option.value_optional ? "::" : ":", quoted(colons(option.value)), quoted(action));
        specs += fmt::format(" \\\n    '{}'", spec);
      }
    }
    if (below.empty()) {
      out += fmt::format("  _arguments -s{}\n}}\n", specs);
      continue;
    }
    out += "  local -a commands\n  commands=(\n";
    for (const std::string& word : below) {
      const std::string full = command.name.empty() ? word : command.name + " " + word;
      const auto found = std::ranges::find(commands, full, &CommandDescription::name);
      out += fmt::format("    '{}:{}'\n", word, quoted(colons(found->help)));
    }
    out += "  )\n  local curcontext=$curcontext state line\n";
    out += fmt::format("  _arguments -C{} \\\n    '1: :->command' \\\n    '*:: :->rest'\n", specs);
    out += "  case $state in\n    command) _describe command commands ;;\n    rest)\n      case $words[1] in\n";
    for (const std::string& word : below) {
      const std::string full = command.name.empty() ? word : command.name + " " + word;
      out += fmt::format("        {}) _pvereconcile_{} ;;\n", word, replaced(full, " ", "_"));
    }
    out += "      esac ;;\n  esac\n}\n";
  }
  return out + "\ncompdef _pvereconcile pvereconcile\n";
}

std::string fish_script(const std::vector<CommandDescription>& commands) {
  std::string out = "# fish completion for pvereconcile\ncomplete -c pvereconcile -f\n";
  for (const CommandDescription& command : commands) {
    const auto blank = command.name.rfind(' ');
    const std::string parent = blank == std::string::npos ? "" : command.name.substr(0, blank);
    const std::string last = blank == std::string::npos ? command.name : command.name.substr(blank + 1);
    if (!command.name.empty()) {
      const std::string when =
          parent.empty() ? std::string("__fish_use_subcommand") : "__fish_seen_subcommand_from " + parent;
      out += fmt::format("complete -c pvereconcile -n '{}' -a {} -d '{}'\n", when, last, quoted(command.help));
    }
    const std::string when =
        command.name.empty() ? std::string("__fish_use_subcommand") : "__fish_seen_subcommand_from " + last;
    for (const OptionDescription& option : command.options) {
      std::string line = fmt::format("complete -c pvereconcile -n '{}'", when);
      if (option.names.empty()) {
        if (is_file(option.value)) out += line + " -F\n";
        if (is_choice(option.value)) out += fmt::format("{} -a '{}'\n", line, words_of(option.value));
        continue;
      }
      for (const std::string& name : option.names)
        line += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      if (!option.value.empty() && !option.value_optional) {
        line += " -r";
        if (is_choice(option.value) || is_list(option.value)) line += fmt::format(" -a '{}'", words_of(option.value));
        if (is_file(option.value)) line += " -F";
      }
      out += fmt::format("{} -d '{}'\n", line, quoted(option.help));
    }
  }
  return out;
}

std::string troff(std::string_view text) {
  std::string out = replaced(replaced(std::string(text), "\\", "\\e"), "-", "\\-");
  if (out.starts_with('.') || out.starts_with('\'')) out.insert(0, "\\&");
  return out;
}

std::string synopsis(const CommandDescription& command) {
  std::string line = fmt::format("\\fBpvereconcile {}\\fR", troff(command.name));
  for (const OptionDescription& option : command.options) {
    if (option.names.empty())
      line += option.required ? fmt::format(" \\fI{}\\fR", troff(option.positional))
                              : fmt::format(" [\\fI{}\\fR]", troff(option.positional));
  }
  return line + " [options]";
}

}  // namespace

std::string completion_script(std::string_view shell) {
  const std::vector<CommandDescription> commands = describe_commands();
  if (shell == "bash") return bash_script(commands);
  if (shell == "zsh") return zsh_script(commands);
  if (shell == "fish") return fish_script(commands);
  return {};
}

std::string manual_page() {
  const std::vector<CommandDescription> commands = describe_commands();
  std::string out =
      ".TH PVERECONCILE 1 \"\" \"pvereconcile\" \"User commands\"\n"
      ".SH NAME\npvereconcile \\- declarative reconciler for Proxmox VE\n"
      ".SH SYNOPSIS\n";
  for (const CommandDescription& command : commands) {
    if (!command.name.empty() && children(commands, command.name).empty()) out += synopsis(command) + "\n.br\n";
  }
  out +=
      ".SH DESCRIPTION\n"
      "A fleet file says what each VM is for. pvereconcile works out every disk, zvol and storage setting that "
      "follows, compares them\n"
      "with the live cluster, shows the difference with its reasons, and makes it so. The result goes to standard "
      "output, everything\n"
      "for the person in front of it to standard error.\n"
      ".SH COMMANDS\n";
  for (const CommandDescription& command : commands) {
    if (command.name.empty() || !children(commands, command.name).empty()) continue;
    out += fmt::format(".SS {}\n{}.\n", troff(command.name), troff(command.help));
    for (const OptionDescription& option : command.options) {
      out += ".TP\n";
      if (option.names.empty()) {
        out += fmt::format("\\fI{}\\fR\n", troff(option.positional));
      } else {
        std::string names;
        for (const std::string& name : option.names)
          names += fmt::format("{}\\fB{}\\fR", names.empty() ? "" : ", ", troff(name));
        if (option.value_optional) {
          names += fmt::format("[=\\fI{}\\fR]", troff(option.value));
        } else if (!option.value.empty()) {
          names += fmt::format(" \\fI{}\\fR", troff(option.value));
        }
        out += names + "\n";
      }
      out += troff(option.help) + ".\n";
    }
  }
  out +=
      ".SH EXIT STATUS\n"
      ".TP\n0\nDone, or nothing to do.\n"
      ".TP\n1\nError: the fleet, the command line, the connection, or an operation that failed with nothing done.\n"
      ".TP\n2\nChanges are pending (plan \\-\\-detailed\\-exitcode).\n"
      ".TP\n3\nApplied or read in part: a node is offline, or some operations failed.\n"
      ".TP\n4\nBlocked by policy, by space, or by a missing \\-\\-allow.\n"
      ".TP\n130\nInterrupted. The next run continues where this one ended.\n"
      ".SH ENVIRONMENT\n"
      ".TP\nPVERECONCILE_ENDPOINT, PVERECONCILE_TOKEN, PVERECONCILE_FINGERPRINT\n"
      "Address, token and certificate fingerprint of the cluster. The variables of other tools (PROXMOX_VE_ENDPOINT,\n"
      "PROXMOX_VE_API_TOKEN, PM_API_URL, PROXMOX_HOST and their companions) are read after them.\n"
      ".TP\nNO_COLOR\nNo colours, when it is set.\n"
      ".SH SEE ALSO\nqm(1), pvesm(1), zfs(8)\n";
  return out;
}

}  // namespace pvr::cli
