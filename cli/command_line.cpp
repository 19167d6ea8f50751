#include "cli/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <memory>
#include <sstream>

namespace pvr::cli {
namespace {

constexpr const char* kBuiltInCluster = "built-in";

/// The library would print its own idea of the choices behind the type's name.
CLI::Validator unnamed(CLI::Validator validator) { return validator.description(""); }

void cluster_options(CLI::App& app, Invocation& to) {
  app.add_option("--endpoint", to.endpoints, "Address of a node; several are failed over")->type_name("URL");
  app.add_option("--fingerprint", to.fingerprint, "SHA-256 fingerprint of the nodes' certificate")
      ->type_name("AA:BB:…");
  app.add_option("--ca-file", to.ca_file, "Certificate authority to trust, PEM")->type_name("FILE");
  app.add_option("--token-file", to.token_file, "File with the API token, readable by its owner only")
      ->type_name("FILE");
  app.add_option("--simulate", to.simulate, "Work on a simulated cluster: the built-in one, or that of a file")
      ->type_name("[=CLUSTER.yaml]");
}

void output_option(CLI::App& app, Invocation& to, const std::vector<std::string>& forms = {"text", "json"}) {
  static const std::map<std::string, OutputForm> known = {
      {"text", OutputForm::kText},   {"json", OutputForm::kJson}, {"markdown", OutputForm::kMarkdown},
      {"sarif", OutputForm::kSarif}, {"html", OutputForm::kHtml}, {"junit", OutputForm::kJunit}};
  std::map<std::string, OutputForm> taken;
  std::string names;
  for (const std::string& form : forms) {
    taken[form] = known.at(form);
    names += (names.empty() ? "" : "|") + form;
  }
  app.add_option("-o,--output", to.output, "Form of the result")
      ->transform(unnamed(CLI::Transformer(taken, CLI::ignore_case)))
      ->type_name(names);
}

void look_options(CLI::App& app, Invocation& to) {
  const std::map<std::string, ColourWish> wishes = {
      {"auto", ColourWish::kAuto}, {"always", ColourWish::kAlways}, {"never", ColourWish::kNever}};
  app.add_option("--color,--colour", to.colour, "Colours; NO_COLOR counts as never")
      ->transform(unnamed(CLI::Transformer(wishes, CLI::ignore_case)))
      ->type_name("auto|always|never");
  app.add_flag("-q,--quiet", to.quiet, "Nothing but the result and errors");
}

CLI::Option* fleet_argument(CLI::App& app, Invocation& to, const char* name = "fleet",
                            const char* help = "Fleet file, or a directory of them") {
  return app.add_option(name, to.file, help)->required()->type_name("FILE");
}

void allow_option(CLI::App& app, Invocation& to) {
  app.add_option("--allow", to.allow, "What may be done that somebody notices")
      ->delimiter(',')
      ->check(unnamed(CLI::IsMember({"restart", "offline-copy", "destroy"})))
      ->type_name("restart,offline-copy,destroy");
}

void plan_options(CLI::App& app, Invocation& to) {
  allow_option(app, to);
  app.add_option("--target", to.targets,
                 "Only this VM, storage or node, as vm/NAME, storage/ID or host/NODE; repeatable")
      ->type_name("ADDRESS");
  app.add_option("--copy-rate", to.copy_rate,
                 "Bandwidth limit of each copy, and the base of time estimates, e.g. 200MiB")
      ->type_name("SIZE");
  app.add_flag("--force-capacity", to.force_capacity, "Add data to a pool that is 90 % full or more");
}

/// What commands take that change the cluster by a plan of their own.
void run_options(CLI::App& app, Invocation& to) {
  output_option(app, to);
  app.add_flag("--auto-approve", to.auto_approve, "Do not ask");
  allow_option(app, to);
  app.add_flag("--break-lease", to.break_lease,
               "Take the lease from whoever holds it; only when you know that run is dead");
  app.add_flag("--no-lease", to.no_lease, "Work without the lease: nothing keeps a second writer away");
  app.add_option("--events", to.events_file, "Append every event of the run as one JSON line")->type_name("FILE");
  cluster_options(app, to);
  look_options(app, to);
}

/// `app` filled with all commands, which write into `to`.
std::unique_ptr<CLI::App> make_app(Invocation& to) {
  auto app = std::make_unique<CLI::App>(
      "Declarative reconciler for Proxmox VE: say what each VM is for, every disk setting follows.", "pvereconcile");
  app->require_subcommand(0, 1);
  app->set_help_flag("-h,--help", "This text");
  app->footer(
      "Exit codes: 0 done, 1 error, 2 changes pending (plan --detailed-exitcode) or findings "
      "(audit --fail-on), 3 done or read in part, 4 blocked, "
      "130 interrupted.\n"
      "Try it without a cluster: pvereconcile plan examples/homelab/fleet.yaml --simulate");
  const auto command = [&to](CLI::App& parent, const char* name, const char* help) -> CLI::App& {
    CLI::App& sub = *parent.add_subcommand(name, help);
    sub.set_help_flag("-h,--help", "This text");
    sub.callback([&to, &sub, &parent] {
      if (!sub.get_subcommands().empty()) return;
      to.command = parent.get_parent() == nullptr ? sub.get_name() : parent.get_name() + " " + sub.get_name();
    });
    return sub;
  };

  {
    CLI::App& sub = command(*app, "validate", "Check a fleet offline: syntax, schema, references, policy");
    fleet_argument(sub, to);
    output_option(sub, to);
    look_options(sub, to);
  }
  {
    CLI::App& sub =
        command(*app, "plan", "Show what differs between fleet and cluster, why, and what applying it would do");
    fleet_argument(sub, to);
    output_option(sub, to, {"text", "json", "markdown", "junit"});
    sub.add_option("--out", to.plan_out, "Save the plan for apply")->type_name("FILE");
    sub.add_flag("--detailed-exitcode", to.detailed_exitcode, "Exit code 2 when changes are pending");
    plan_options(sub, to);
    cluster_options(sub, to);
    look_options(sub, to);
  }
  {
    CLI::App& sub = command(*app, "apply", "Make the cluster what the fleet says, or carry out a saved plan");
    fleet_argument(sub, to, "fleet", "Fleet file or directory, or a plan saved with plan --out");
    output_option(sub, to);
    sub.add_flag("--auto-approve", to.auto_approve, "Do not ask");
    sub.add_option("--expect", to.expect, "Do nothing unless the plan has this digest, as the reviewed one had")
        ->type_name("DIGEST");
    plan_options(sub, to);
    sub.add_option("--parallelism", to.parallelism, "Operations at the same time")
        ->check(unnamed(CLI::Range(1, 256)))
        ->type_name("N");
    sub.add_flag("--break-lease", to.break_lease,
                 "Take the lease from whoever holds it; only when you know that run is dead");
    sub.add_flag("--no-lease", to.no_lease, "Work without the lease: nothing keeps a second writer away");
    sub.add_option("--events", to.events_file, "Append every event of the run as one JSON line")->type_name("FILE");
    cluster_options(sub, to);
    look_options(sub, to);
  }
  {
    CLI::App& sub = command(*app, "show", "Show a saved plan; no cluster is asked");
    sub.add_option("plan", to.file, "Plan saved with plan --out")->required()->type_name("FILE");
    output_option(sub, to, {"text", "json", "markdown", "junit"});
    sub.add_flag("--detailed-exitcode", to.detailed_exitcode, "Exit code 2 when changes are pending");
    look_options(sub, to);
  }
  {
    CLI::App& sub = command(*app, "gc", "Destroy retired volumes past their retention and unused block-size classes");
    fleet_argument(sub, to);
    run_options(sub, to);
  }
  {
    CLI::App& sub = command(*app, "rollback", "Put the retired volume of a disk back in the place of the live one");
    fleet_argument(sub, to);
    sub.add_option("disk", to.words, "vm/NAME and the name of the disk")->required()->expected(2)->type_name("VM DISK");
    run_options(sub, to);
  }
  {
    CLI::App& sub = command(*app, "explain", "Why a setting has its value");
    fleet_argument(sub, to);
    sub.add_option("address", to.words, "vm/NAME [DISK-OR-SLOT] [KEY], storage/ID [KEY], or host/NODE[/DATASET] [KEY]")
        ->required()
        ->expected(1, 3)
        ->type_name("ADDRESS");
    sub.add_flag("--chain", to.chain, "Show what each value replaced");
    output_option(sub, to);
    cluster_options(sub, to);
    look_options(sub, to);
  }
  {
    CLI::App& sub = command(*app, "status", "Declared, configured and running, per VM");
    fleet_argument(sub, to);
    sub.add_flag("--all", to.all, "Also what is in sync");
    sub.add_option("--target", to.targets, "Only this VM, storage or node; repeatable")->type_name("ADDRESS");
    output_option(sub, to);
    cluster_options(sub, to);
    look_options(sub, to);
  }
  {
    CLI::App& sub = command(*app, "audit", "Judge a whole cluster by the rules, without a fleet or with one");
    sub.add_option("fleet", to.file, "Fleet that tells what disks are for; without one everything is inferred")
        ->type_name("FILE");
    output_option(sub, to, {"text", "json", "markdown", "sarif", "html", "junit"});
    sub.add_option("--fix", to.fix, "Show the plan that mends these findings, by their ids, and nothing else")
        ->delimiter(',')
        ->type_name("ID,…");
    sub.add_option("--suppressions", to.suppressions, "File with an audit: section of accepted findings")
        ->type_name("FILE");
    sub.add_option("--fail-on", to.fail_on, "Exit code 2 when a finding is at least this severe")
        ->check(unnamed(CLI::IsMember({"error", "warning", "notice"})))
        ->type_name("error|warning|notice");
    cluster_options(sub, to);
    look_options(sub, to);
  }
  {
    CLI::App& sub = command(*app, "doctor", "Check connection, versions, quorum, clocks and rights");
    sub.add_option("fleet", to.file, "Fleet whose plan tells which rights are needed")->type_name("FILE");
    output_option(sub, to);
    cluster_options(sub, to);
    look_options(sub, to);
  }
  {
    CLI::App& sub = command(*app, "adopt", "Write a fleet file that describes a living cluster as it is");
    sub.add_option("--out", to.fleet_out, "Write to this new file instead of standard output")->type_name("FILE");
    sub.add_flag("--improve", to.improve, "Take every fix of the audit; what it replaces stays as a comment");
    cluster_options(sub, to);
    look_options(sub, to);
  }
  {
    CLI::App& sub = command(*app, "convert", "Write a fleet file from what another Terraform provider manages");
    sub.add_option("source", to.file, "Terraform state (version 4), or configuration in JSON")
        ->required()
        ->type_name("FILE");
    sub.add_option("--out", to.fleet_out, "Write to this new file instead of standard output")->type_name("FILE");
    look_options(sub, to);
  }
  {
    CLI::App& role = command(*app, "role", "The roles and what they stand for");
    role.require_subcommand(1);
    CLI::App& list = command(role, "list", "All roles, built-in ones and those of a fleet");
    list.add_option("--fleet", to.file, "Fleet whose own roles count, too")->type_name("FILE");
    output_option(list, to);
    look_options(list, to);
    CLI::App& show = command(role, "show", "One role as YAML");
    show.add_option("name", to.words, "Name of the role")->required()->expected(1)->type_name("NAME");
    show.add_option("--fleet", to.file, "Fleet whose own roles count, too")->type_name("FILE");
    output_option(show, to);
    look_options(show, to);
  }
  {
    CLI::App& sub = command(*app, "simulate", "Serve a simulated cluster on loopback until interrupted");
    sub.add_option("--listen", to.listen, "Where to listen; port 0 takes a free one (127.0.0.1:8006)")
        ->type_name("ADDRESS:PORT");
    sub.add_option("--cluster", to.cluster_file, "Cluster file (the built-in homelab)")->type_name("FILE");
    sub.add_option("--clock-scale", to.clock_scale, "Virtual seconds per real one (the file's)")
        ->check(unnamed(CLI::PositiveNumber))
        ->type_name("N");
    sub.add_option("--environment-file", to.environment_file,
                   "Write the variables that connect to it, for a shell to source")
        ->type_name("FILE");
    look_options(sub, to);
  }
  command(*app, "schema", "The JSON Schema of fleet files");
  {
    CLI::App& sub = command(*app, "completion", "Completion script of a shell");
    sub.add_option("shell", to.words, "bash, zsh or fish")
        ->required()
        ->expected(1)
        ->check(unnamed(CLI::IsMember({"bash", "zsh", "fish"})))
        ->type_name("bash|zsh|fish");
  }
  command(*app, "version", "Version of this program");
  app->add_flag_callback(
      "-V,--version", [&to] { to.command = "version"; }, "Version of this program");
  command(*app, "manual", "The manual page, as troff").group("");  // for packagers: no everyday command
  return app;
}

OptionDescription description_of(const CLI::Option& option) {
  OptionDescription described;
  for (const std::string& name : option.get_lnames()) described.names.push_back("--" + name);
  for (const std::string& name : option.get_snames()) described.names.push_back("-" + name);
  described.help = option.get_description();
  described.required = option.get_required();
  if (described.names.empty()) described.positional = option.get_name(true);
  if (option.get_type_size_max() > 0) {
    described.value = option.get_type_name();
    if (described.value.starts_with("[=")) {
      described.value = described.value.substr(2, described.value.size() - 3);
      described.value_optional = true;
    }
  }
  return described;
}

void describe(const CLI::App& app, const std::string& name, std::vector<CommandDescription>& list) {
  CommandDescription described{.name = name, .help = app.get_description(), .options = {}};
  for (const CLI::Option* option : app.get_options()) described.options.push_back(description_of(*option));
  list.push_back(std::move(described));
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (sub->get_group().empty()) continue;
    describe(*sub, name.empty() ? sub->get_name() : name + " " + sub->get_name(), list);
  }
}

}  // namespace

ParsedCommandLine parse_command_line(const std::vector<std::string>& arguments) {
  ParsedCommandLine parsed;
  const std::unique_ptr<CLI::App> app = make_app(parsed.invocation);
  // A bare --simulate means the built-in cluster; otherwise it would swallow the word behind it.
  std::vector<std::string> words = arguments;
  std::ranges::replace(words, std::string("--simulate"), std::string("--simulate=") + kBuiltInCluster);
  std::ranges::reverse(words);  // CLI11 takes them last first
  try {
    app->parse(words);
  } catch (const CLI::ParseError& error) {
    std::ostringstream out;
    std::ostringstream err;
    parsed.is_error = app->exit(error, out, err) != 0;
    parsed.text = parsed.is_error ? err.str() : out.str();
    if (parsed.is_error && parsed.text.find("--help") == std::string::npos)
      parsed.text += "Run with --help for more information.\n";
    return parsed;
  }
  if (parsed.invocation.command.empty()) {
    parsed.text = app->help();
    parsed.is_error = true;
    return parsed;
  }
  if (parsed.invocation.simulate == kBuiltInCluster) parsed.invocation.simulate = "";
  parsed.run = true;
  return parsed;
}

std::vector<CommandDescription> describe_commands() {
  Invocation unused;
  const std::unique_ptr<CLI::App> app = make_app(unused);
  std::vector<CommandDescription> list;
  describe(*app, "", list);
  std::ranges::stable_sort(list, {}, &CommandDescription::name);
  return list;
}

}  // namespace pvr::cli
