#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <istream>
#include <mutex>
#include <optional>
#include <ostream>
#include <utility>

#include "cli/commands.h"
#include "cli/describe.h"
#include "cli/event_log.h"
#include "cli/interruption.h"
#include "cli/json_view.h"
#include "cli/load.h"
#include "cli/outcome.h"
#include "cli/planning.h"
#include "cli/progress_view.h"
#include "reconciler/execute/executor.h"
#include "reconciler/model/plan_digest.h"
#include "reconciler/ports/life_sign.h"

namespace pvr::cli {
namespace {

/// A plan ready to be carried out, or the code to leave with.
struct Prepared {
  Plan plan = {};
  std::unique_ptr<Connection> connection = {};
  ScheduleLimits limits = {};
  std::optional<ExitCode> leave = {};
};

Prepared leave_with(ExitCode code) {
  Prepared prepared;
  prepared.leave = code;
  return prepared;
}

Prepared fail(const Invocation& invocation, Terminal& terminal, const Error& error) {
  return leave_with(fail_with(invocation, terminal, error));
}

Prepared from_plan_file(const Invocation& invocation, Terminal& terminal, const std::string& text) {
  if (!invocation.allow.empty() || !invocation.targets.empty() || invocation.force_capacity ||
      !invocation.copy_rate.empty()) {
    tell_error(
        invocation, terminal,
        "a saved plan is carried out as it is: --allow, --target, --copy-rate and --force-capacity belong to plan");
    return leave_with(ExitCode::kError);
  }
  auto plan = parse_plan(text);
  if (!plan) return fail(invocation, terminal, std::move(plan).error().during("reading " + invocation.file));
  if (const auto withheld = withheld_options(*plan); !withheld.empty()) {
    std::string list;
    for (const std::string& name : withheld) list += (list.empty() ? "" : ", ") + name;
    tell_error(
        invocation, terminal,
        fmt::format("a plan file holds no secrets, and this plan sets some ({}): apply the fleet file instead", list));
    return leave_with(ExitCode::kError);
  }
  WrittenCluster cluster;
  if (plan->inputs.ssh) {
    const NodeAccess& access = *plan->inputs.ssh;
    cluster.ssh_user = {.value = access.user, .span = {}};
    cluster.ssh_sudo = access.sudo;
    if (access.port != 0) cluster.ssh_port = static_cast<int>(access.port);
    cluster.ssh_local = access.local;
    for (const auto& [node, address] : access.hosts) cluster.ssh_hosts.set(node, {.value = address, .span = {}});
  }
  // No token for the client: Ctrl-C ends the run after the effect under way, and that effect is awaited through it.
  auto connection = Connection::open(invocation, terminal, cluster, {});
  if (!connection) return fail(invocation, terminal, connection.error());
  const auto stale = stale_inputs((*connection)->pve(), *plan, "");
  if (!stale) return fail(invocation, terminal, stale.error());
  if (!stale->empty()) {
    tell_error(invocation, terminal, fmt::format("{} is stale; make a new plan", invocation.file));
    for (const std::string& reason : *stale)
      terminal.err << wrapped(printable(reason), "  ", err_options(invocation, terminal).columns);
    return leave_with(ExitCode::kError);
  }
  Prepared prepared;
  prepared.plan = std::move(plan).value();
  prepared.connection = std::move(connection).value();
  return prepared;
}

/// Makes the plan to carry out from a fleet and a cluster.
using MakePlan =
    std::function<Result<PlanResult>(const Session&, std::shared_ptr<const FleetDocument>, std::stop_token)>;

Result<PlanResult> whole_plan(const Session& session, std::shared_ptr<const FleetDocument> document,
                              std::stop_token stop) {
  return plan(session.pve(), session.clock(), std::move(document), session.options, std::move(stop));
}

Prepared from_fleet(const Invocation& invocation, Terminal& terminal, const Interruption& interruption,
                    const MakePlan& make) {
  const auto document = load_or_tell(invocation, terminal);
  if (!document) return leave_with(ExitCode::kError);
  auto session = open_session(invocation, terminal, document->cluster, {});  // as above: effects are awaited
  if (!session) return fail(invocation, terminal, session.error());
  auto made = make(*session, document, interruption.token());
  if (!made) return fail(invocation, terminal, made.error());
  tell_diagnostics(invocation, terminal, made->diagnostics, *document->sources);
  if (!made->ok()) return leave_with(ExitCode::kError);
  Prepared prepared;
  prepared.limits.parallelism = number_limit(document->cluster, "parallelism", prepared.limits.parallelism);
  prepared.limits.copies_per_node = number_limit(document->cluster, "copies_per_node", prepared.limits.copies_per_node);
  prepared.plan = std::move(made->plan);
  prepared.connection = std::move(session->connection);
  return prepared;
}

/// Asks on the terminal. Nothing but "y" and "yes" is a yes. Ctrl-C while nobody has answered is a no: the signal is
/// blocked, so a plain read would not notice it.
bool confirmed(Terminal& terminal, const Plan& plan, const Interruption& interruption) {
  terminal.err << fmt::format("Carry out {}? [y/N] ", counted(plan.operations.size(), "operation", "operations"))
               << std::flush;
  pollfd input = {.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
  while (poll(&input, 1, 100) == 0) {
    if (interruption.requested()) return false;
  }
  std::string answer;
  if (!std::getline(terminal.in, answer)) terminal.err << '\n';
  return answer == "y" || answer == "Y" || answer == "yes";
}

std::string holder_name() {
  std::array<char, 256> host = {};
  if (gethostname(host.data(), host.size() - 1) != 0) host[0] = '?';
  return fmt::format("{}, pid {}", host.data(), getpid());
}

ExitCode carry_out(const Invocation& invocation, Terminal& terminal, const MakePlan& make) {
  std::mutex screen;
  std::optional<ProgressView> progress;  // once there is something to show; outlives the thread that tells
  Interruption interruption([&](const std::string& text) {
    const std::lock_guard lock(screen);
    if (progress) return progress->note(text);
    terminal.err << '\n' << text << std::endl;
  });
  const auto text = text_of_file(invocation.file);  // of a directory there is none: it stands for its fleet.yaml
  Prepared prepared = text && is_plan_file(*text) ? from_plan_file(invocation, terminal, *text)
                                                  : from_fleet(invocation, terminal, interruption, make);
  if (prepared.leave) return *prepared.leave;
  const Plan& plan = prepared.plan;

  // With -o json standard output belongs to the report; people still see the plan.
  const bool json = invocation.output == OutputForm::kJson;
  if (!json) {
    terminal.out << plan_text(plan, out_options(invocation, terminal)) << std::flush;
  } else if (!invocation.quiet) {
    terminal.err << plan_text(plan, err_options(invocation, terminal)) << std::flush;
  }
  if (plan.empty()) {
    if (json) terminal.out << report_json(plan, {});
    return code_of(plan, false);
  }
  if (!invocation.expect.empty()) {
    const std::string digest = plan_digest(plan);
    if (invocation.expect != digest) {
      tell_error(invocation, terminal,
                 fmt::format("this is not the plan that was reviewed: its digest is {}, expected was {}. Nothing was "
                             "done; the fleet or the cluster changed since.",
                             digest, printable(shortened(invocation.expect, 80))));
      return ExitCode::kError;
    }
  }
  if (!invocation.auto_approve) {
    if (!terminal.in_is_terminal) {
      tell_error(invocation, terminal,
                 "nobody is here to confirm the plan; --auto-approve carries it out without asking");
      return ExitCode::kError;
    }
    if (!confirmed(terminal, plan, interruption)) {
      tell(invocation, terminal, "Nothing was done.");
      return interruption.requested() ? ExitCode::kInterrupted : ExitCode::kError;
    }
  }

  Connection& connection = *prepared.connection;
  const TextOptions look = err_options(invocation, terminal);
  {
    const std::lock_guard lock(screen);
    progress.emplace(terminal.err, plan, connection.clock(),
                     ProgressView::Options{.terminal = terminal.err_is_terminal,
                                           .columns = look.columns,
                                           .style = look.style,
                                           .quiet = invocation.quiet});
  }
  EventFan events;
  events.add(*progress);
  std::unique_ptr<EventLog> log;
  if (!invocation.events_file.empty()) {
    log = std::make_unique<EventLog>(invocation.events_file, plan, connection.clock());
    if (!log->good()) {
      tell_error(invocation, terminal, fmt::format("{} cannot be written", invocation.events_file));
      return ExitCode::kError;
    }
    events.add(*log);
  }

  ApplyOptions options;
  options.limits = prepared.limits;
  if (invocation.parallelism > 0) options.limits.parallelism = static_cast<std::uint32_t>(invocation.parallelism);
  options.with_lease = !invocation.no_lease;
  options.lease.holder = holder_name();
  const LifeSign alive;
  options.lease.process = alive.mark();
  options.lease.has_ended = LifeSign::has_ended;
  options.lease.break_existing = invocation.break_lease;
  const ApplyReport report =
      apply(plan, {connection.pve(), connection.clock(), events, connection.zfs()}, options, interruption.token());

  terminal.out << (json ? report_json(plan, report) : report_text(plan, report, out_options(invocation, terminal)));
  if (log && !log->good())
    tell_error(invocation, terminal, fmt::format("{} is incomplete: writing failed", invocation.events_file));
  return code_of(plan, report);
}

}  // namespace

ExitCode run_apply(const Invocation& invocation, Terminal& terminal) {
  return carry_out(invocation, terminal, whole_plan);
}

ExitCode run_gc(const Invocation& invocation, Terminal& terminal) {
  const MakePlan make = [](const Session& session, std::shared_ptr<const FleetDocument> document,
                           std::stop_token stop) {
    return plan_gc(session.pve(), session.clock(), std::move(document), session.options, std::move(stop));
  };
  return carry_out(invocation, terminal, make);
}

ExitCode run_rollback(const Invocation& invocation, Terminal& terminal) {
  const std::string target = invocation.words.at(0) + "/" + invocation.words.at(1);
  const MakePlan make = [&target](const Session& session, std::shared_ptr<const FleetDocument> document,
                                  std::stop_token stop) {
    return plan_rollback(session.pve(), session.clock(), std::move(document), session.options, target, std::move(stop));
  };
  return carry_out(invocation, terminal, make);
}

}  // namespace pvr::cli
