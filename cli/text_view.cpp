#include "cli/text_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <vector>

#include "cli/describe.h"

namespace pvr::cli {
namespace {

constexpr std::size_t kWidestValue = 44;  // longer values do not push the columns of all the others

std::string painted_impact(Impact impact, const Style& style) {
  const std::string word(to_text(impact));
  switch (impact) {
    case Impact::kNone:
    case Impact::kLive:
      return style.green(word);
    case Impact::kPendingRestart:
    case Impact::kOnlineCopy:
      return style.yellow(word);
    case Impact::kRestart:
    case Impact::kOfflineCopy:
    case Impact::kDestroy:
      break;
  }
  return style.red(word);
}

std::string painted_symbol(std::string_view symbol, const Style& style) {
  if (symbol == "+") return style.green(symbol);
  if (symbol == "-") return style.red(symbol);
  return style.yellow(symbol);
}

/// One change as the cells of its line.
struct Row {
  std::string symbol = {};
  std::string what = {};
  std::string values = {};
  std::string impact = {};
  std::string rule = {};
  std::string reason = {};
};

Row row_of(const Operation& operation, const PlannedChange& change, const Style& style) {
  Row row;
  row.symbol = painted_symbol(is_plain_change(operation) ? symbol_of(operation) : "·", style);
  const std::string part = is_plain_change(operation) ? part_of(operation) : std::string();
  row.what = part.empty() ? change.key : part + " " + change.key;
  const std::string from = change.from.empty() ? "unset" : printable(change.from);
  const std::string to = change.to.empty() ? "unset" : printable(change.to);
  row.values = fmt::format("{} → {}", style.dim(from), style.bold(to));
  row.impact = painted_impact(change.impact, style);
  row.rule = change.rule;
  row.reason = printable(change.reason);
  if (!change.place.empty()) row.reason += fmt::format("{}({})", row.reason.empty() ? "" : " ", change.place);
  return row;
}

std::string copy_line(const CopyCost& copy) {
  std::string line = fmt::format("copies {}", to_human(copy.bytes));
  if (copy.peak_extra.bytes != 0) {
    line += fmt::format(", takes up to {} more on {}", to_human(copy.peak_extra), copy.target_storage);
    if (!copy.target_node.empty()) line += fmt::format(" ({})", copy.target_node);
  }
  line += fmt::format(", about {}", to_human(copy.estimate));
  line += copy.downtime.count() == 0 ? std::string(", no downtime") : fmt::format(", {} down", to_human(copy.downtime));
  return line;
}

struct Widths {
  std::size_t what = 0;
  std::size_t values = 0;
  std::size_t impact = 0;
};

Widths widths_of(const std::vector<Row>& rows) {
  Widths widths;
  for (const Row& row : rows) {
    widths.what = std::max(widths.what, std::min(width_of(row.what), kWidestValue));
    widths.values = std::max(widths.values, std::min(width_of(row.values), kWidestValue));
    widths.impact = std::max(widths.impact, width_of(row.impact));
  }
  return widths;
}

/// The reason of a rule is told where the rule first appears; after that its id says enough.
using ToldRules = std::set<std::string>;

/// Rows with equal reasons next to each other share one reason line.
void print_rows(std::string& out, const std::vector<Row>& rows, const Widths& widths, ToldRules& told,
                const TextOptions& options) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Row& row = rows[i];
    std::string line =
        fmt::format("  {} {}  {}  {}", row.symbol, padded(row.what, widths.what), padded(row.values, widths.values),
                    row.rule.empty() ? row.impact : padded(row.impact, widths.impact));
    if (!row.rule.empty()) line += "  " + options.style.cyan(row.rule);
    out += line + '\n';
    const bool shared = i + 1 < rows.size() && rows[i + 1].reason == row.reason && rows[i + 1].rule == row.rule;
    if (shared || row.reason.empty()) continue;
    if (row.rule.empty() || told.insert(row.rule + row.reason).second) {
      std::string reason = wrapped(row.reason, "      ", options.columns);
      reason.pop_back();
      out += options.style.dim(reason) + '\n';
    }
  }
}

/// What the configuration has and the running guest has not.
void print_waiting(std::string& out, const ResourceView& resource, const TextOptions& options) {
  const Style& style = options.style;
  if (resource.waiting.empty()) return;
  out += "  " + style.yellow("configured, active after a restart:") + '\n';
  std::size_t width = 0;
  const auto name_of = [](const WaitingItem& item) {
    return (item.address.part.empty() ? "" : item.address.part + " ") + item.key;
  };
  for (const WaitingItem* item : resource.waiting) width = std::max(width, width_of(name_of(*item)));
  for (const WaitingItem* item : resource.waiting) {
    out += fmt::format("    {}  {} → {}\n", padded(name_of(*item), width),
                       style.dim(item->running.empty() ? "unset" : printable(item->running)),
                       style.bold(item->configured.empty() ? "unset" : printable(item->configured)));
  }
}

/// "how  scsi2: give scsi2 volblocksize 128KiB", then one line per strategy.
void print_choice(std::string& out, const StrategyChoice& choice, const TextOptions& options) {
  const Style& style = options.style;
  out += fmt::format("  {} {}{}\n", style.cyan("how"), choice.address.part.empty() ? "" : choice.address.part + ": ",
                     style.bold(printable(choice.what)));
  for (const StrategyOffer& offer : choice.offers) {
    std::string line = fmt::format("{} {}: ", offer.chosen ? "*" : "-", to_text(offer.strategy));
    if (offer.possible)
      line += fmt::format("{} copied, {} of room, {} down; {}", to_human(offer.bytes), to_human(offer.peak_extra),
                          to_human(offer.downtime), offer.why);
    else
      line += fmt::format("not possible: {}", offer.why);
    if (!offer.possible && !offer.remedy.empty()) line += fmt::format(" (remedy: {})", offer.remedy);
    out += wrapped(printable(line), "      ", options.columns);
  }
}

void print_resource(std::string& out, const ResourceView& resource, ToldRules& told, const TextOptions& options) {
  const Style& style = options.style;
  const std::string where = whereabouts(resource);
  out += style.bold(to_text(resource.address)) + (where.empty() ? "" : "  " + style.dim(where)) + '\n';

  std::vector<std::vector<Row>> rows;
  std::vector<Row> all;
  for (const Operation* operation : resource.operations) {
    std::vector<Row>& list = rows.emplace_back();
    for (const PlannedChange& change : operation->changes) list.push_back(row_of(*operation, change, style));
    all.insert(all.end(), list.begin(), list.end());
  }
  const Widths widths = widths_of(all);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Operation& operation = *resource.operations[i];
    if (!is_plain_change(operation)) {
      const std::string& part = operation.address.part;
      out +=
          fmt::format("  {} {}{}  {}\n", painted_symbol(symbol_of(operation), style), part.empty() ? "" : part + ": ",
                      style.bold(printable(describe(operation))), painted_impact(operation.impact, style));
      if (operation.copy) out += style.dim("      " + copy_line(*operation.copy)) + '\n';
    }
    print_rows(out, rows[i], widths, told, options);
  }
  for (const StrategyChoice* choice : resource.choices) print_choice(out, *choice, options);
  for (const BlockedItem* item : resource.blocked) {
    out += fmt::format("  {} {}{}\n", style.red("blocked"), item->address.part.empty() ? "" : item->address.part + ": ",
                       style.bold(printable(item->what)));
    out += wrapped(printable(item->why), "      ", options.columns);
    if (!item->remedy.empty()) out += wrapped("remedy: " + printable(item->remedy), "      ", options.columns);
  }
  print_waiting(out, resource, options);
  out += '\n';
}

std::string painted_severity(Severity severity, const Style& style) {
  const std::string word(to_word(severity));
  if (severity == Severity::kError) return style.red(word);
  return severity == Severity::kWarning ? style.yellow(word) : style.cyan(word);
}

std::string capitalised(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 'a' + 'A');
  return text;
}

}  // namespace

std::string findings_text(const std::vector<Finding>& findings, const TextOptions& options) {
  std::string out;
  for (const Finding& finding : findings) {
    const std::string rule = finding.rule.empty() ? "" : " " + options.style.cyan(finding.rule);
    out += fmt::format("  {}{}  {}\n", painted_severity(finding.severity, options.style), rule,
                       options.style.bold(to_text(finding.where)));
    out += wrapped(printable(finding.what), "      ", options.columns);
    if (!finding.fix.empty()) out += wrapped("fix: " + printable(finding.fix), "      ", options.columns);
  }
  return out;
}

std::string plan_text(const Plan& plan, const TextOptions& options) {
  const Style& style = options.style;
  std::string out;
  ToldRules told;
  for (const ResourceView& resource : by_resource(plan)) print_resource(out, resource, told, options);

  if (!plan.findings.empty()) {
    out += style.bold("Findings") + style.dim(" (reported, not changed)") + '\n' +
           findings_text(plan.findings, options) + '\n';
  }
  if (!plan.gaps.empty()) {
    out += style.bold("Not readable") + '\n';
    for (const std::string& gap : plan.gaps) out += wrapped(printable(gap), "  ", options.columns);
    out += '\n';
  }

  const PlanTotals t = totals(plan);
  if (t.copy_bytes.bytes != 0) {
    out += fmt::format("Copies: {}, about {}.", to_human(t.copy_bytes), to_human(t.copy_estimate));
    for (const auto& [where, size] : extra_space(plan))
      out += fmt::format(" Up to {} more on {}.", to_human(size), where);
    out += '\n';
  }
  const auto restarts =
      std::ranges::count_if(plan.operations, [](const Operation& o) { return o.impact == Impact::kPendingRestart; });
  if (restarts != 0 && t.restart == 0) {
    out +=
        "Changes that are pending until a restart get active when the guest restarts, or at once with --allow "
        "restart.\n";
  }
  const std::string unchanged =
      plan.unchanged_vms == 0 ? "" : fmt::format(" {} unchanged.", counted(plan.unchanged_vms, "VM", "VMs"));
  out += style.bold(plan.empty() ? capitalised(summary_of(plan)) + "." : "Plan: " + summary_of(plan) + ".") +
         unchanged + '\n';
  return out;
}

std::string report_text(const Plan& plan, const ApplyReport& report, const TextOptions& options) {
  const Style& style = options.style;
  std::string out;
  std::array<std::size_t, 6> count = {};
  for (const OperationReport& entry : report.operations) {
    ++count.at(static_cast<std::size_t>(entry.outcome));
    const auto operation = std::ranges::find(plan.operations, entry.operation, &Operation::id);
    if (operation == plan.operations.end()) continue;
    const std::string name = fmt::format("{}: {}", to_text(operation->address), printable(describe(*operation)));
    const bool good = entry.outcome == Outcome::kDone || entry.outcome == Outcome::kAlready;
    if (!good) {
      const bool bad = entry.outcome == Outcome::kFailed || entry.outcome == Outcome::kConflict;
      const std::string word(to_text(entry.outcome));
      out += fmt::format("{}  {}\n", bad ? style.red(word) : style.yellow(word), style.bold(name));
      out += wrapped(printable(entry.detail), "      ", options.columns);
    }
    for (const std::string& warning : entry.warnings) {
      out += fmt::format("{}  {}\n", style.yellow("warning"), style.bold(name));
      out += wrapped(printable(warning), "      ", options.columns);
    }
  }
  if (!report.stopped_by.empty()) out += wrapped("Stopped: " + printable(report.stopped_by), "", options.columns);
  const auto of = [&count](Outcome outcome) { return count.at(static_cast<std::size_t>(outcome)); };
  std::string line = fmt::format("{} done", of(Outcome::kDone) + of(Outcome::kAlready));
  const auto say = [&line](std::size_t n, std::string_view what) {
    if (n != 0) line += fmt::format(", {} {}", n, what);
  };
  say(of(Outcome::kFailed), "failed");
  say(of(Outcome::kConflict), "in conflict (make a new plan)");
  say(of(Outcome::kSkipped), "not done");
  say(of(Outcome::kInterrupted), "interrupted");
  out += style.bold(fmt::format("{}: {}.", report.interrupted ? "Interrupted" : "Applied", line)) + '\n';
  return out;
}

}  // namespace pvr::cli
