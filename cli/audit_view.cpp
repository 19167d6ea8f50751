#include "cli/audit_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/describe.h"
#include "cli/layout.h"

namespace pvr::cli {
namespace {

using Json = nlohmann::json;

std::string painted(Severity severity, const Style& style) {
  const std::string word = padded(to_word(severity), 7);
  switch (severity) {
    case Severity::kError:
      return style.red(word);
    case Severity::kWarning:
      return style.yellow(word);
    case Severity::kNotice:
      break;
  }
  return style.cyan(word);
}

/// "dc-01 on pve2", "pve1", or "".
std::string whereabouts(const AuditFinding& finding) {
  if (finding.subject.starts_with("vm/") && !finding.name.empty())
    return finding.node.empty() ? finding.name : fmt::format("{} on {}", finding.name, finding.node);
  return {};
}

Json text_or_null(std::string_view text) { return text.empty() ? Json(nullptr) : Json(text); }

Json finding_json(const AuditFinding& finding) {
  Json cost = {{"lost_bytes", nullptr}, {"write_amplification", nullptr}, {"memory_overcommit_bytes", nullptr}};
  if (finding.cost.lost_space) cost["lost_bytes"] = finding.cost.lost_space->bytes;
  if (finding.cost.write_amplification) cost["write_amplification"] = *finding.cost.write_amplification;
  if (finding.cost.memory_overcommit) cost["memory_overcommit_bytes"] = finding.cost.memory_overcommit->bytes;
  return {{"id", finding.id},
          {"severity", to_word(finding.severity)},
          {"rule", finding.rule},
          {"subject", finding.subject},
          {"name", text_or_null(finding.name)},
          {"node", text_or_null(finding.node)},
          {"what", finding.what},
          {"why", finding.why},
          {"source", finding.source},
          {"cost", std::move(cost)},
          {"fix",
           {{"commands", finding.fix.commands},
            {"advice", text_or_null(finding.fix.advice)},
            {"caution", text_or_null(finding.fix.caution)},
            {"fleet", finding.fix.fleet},
            {"effect", to_text(finding.fix.effect)},
            {"by_plan", finding.fix.value.has_value()}}}};
}

FixEffect effect_of(const AuditSubject& subject, std::string_view command) {
  for (const AuditFinding* finding : subject.findings) {
    const auto& commands = finding->fix.commands;
    if (std::ranges::find(commands, command) != commands.end()) return finding->fix.effect;
  }
  return FixEffect::kByHand;
}

void print_subject(std::string& out, const AuditSubject& subject, const TextOptions& options) {
  const Style& style = options.style;
  const AuditFinding& first = *subject.findings.front();
  const std::string where = whereabouts(first);
  out += style.bold(printable(subject.subject)) + (where.empty() ? "" : "  " + style.dim(printable(where))) + '\n';
  for (const AuditFinding* finding : subject.findings) {
    out += fmt::format("  {} {} {}\n", painted(finding->severity, style), style.cyan(padded(finding->rule, 3)),
                       printable(finding->what));
    out += wrapped(style.dim(printable(fmt::format("{} [{}]", finding->why, finding->source))), "              ",
                   options.columns);
    for (const std::string& cost : costs_of(finding->cost))
      out += fmt::format("              costs: {}\n", style.yellow(cost));
    if (!finding->fix.fleet.empty())
      out += fmt::format("              fleet: {}\n", printable(fleet_line(finding->fix)));
    if (!finding->fix.advice.empty())
      out += wrapped((finding->fix.commands.empty() ? "fix: " : "note: ") + printable(finding->fix.advice),
                     "              ", options.columns);
    if (!finding->fix.caution.empty())
      out += wrapped(style.red("caution: ") + printable(finding->fix.caution), "              ", options.columns);
  }
  for (const std::string_view command : commands_of(subject)) {
    // Never broken: it is there to be copied.
    out += fmt::format("  {} {}\n", style.green(fmt::format("fix, {}:", to_text(effect_of(subject, command)))),
                       printable(command));
  }
  out += '\n';
}

}  // namespace

std::vector<AuditSubject> by_subject(const AuditReport& report) {
  std::vector<AuditSubject> list;
  for (const AuditFinding& finding : report.findings) {
    auto at = std::ranges::find(list, finding.subject, &AuditSubject::subject);
    if (at == list.end()) at = list.insert(list.end(), AuditSubject{.subject = finding.subject});
    at->findings.push_back(&finding);
  }
  return list;
}

std::vector<std::string_view> commands_of(const AuditSubject& subject) {
  std::vector<std::string_view> commands;
  for (const AuditFinding* finding : subject.findings) {
    for (const std::string& command : finding->fix.commands)
      if (std::ranges::find(commands, command) == commands.end()) commands.push_back(command);
  }
  return commands;
}

std::string fleet_line(const AuditFix& fix) {
  // "vms:" / "  dc-01:" / "    vmid: 301" → "vms: {dc-01: {vmid: 301}}"
  std::string line;
  std::size_t open = 0;
  bool first = true;
  for (const std::string& text : fix.fleet) {
    const std::size_t depth = std::min(text.find_first_not_of(' '), text.size()) / 2;
    for (; open > depth; --open) line += '}';
    if (!first) line += ", ";
    line += text.substr(depth * 2);
    first = line.ends_with(':');
    if (first) {
      line += " {";
      ++open;
    }
  }
  return line.append(open, '}');
}

std::vector<std::string> costs_of(const AuditCost& cost) {
  std::vector<std::string> list;
  if (cost.lost_space) list.push_back(fmt::format("{} of space", to_human(*cost.lost_space)));
  if (cost.write_amplification)
    list.push_back(fmt::format("{:.3g} bytes written for every byte the guest writes", *cost.write_amplification));
  if (cost.memory_overcommit)
    list.push_back(fmt::format("{} of memory more than there is", to_human(*cost.memory_overcommit)));
  return list;
}

std::string counts_of(const AuditReport& report) {
  std::string text;
  const auto add = [&text](std::size_t count, std::string_view one, std::string_view many) {
    if (count != 0) text += (text.empty() ? "" : ", ") + counted(count, one, many);
  };
  add(count_of(report, Severity::kError), "error", "errors");
  add(count_of(report, Severity::kWarning), "warning", "warnings");
  add(count_of(report, Severity::kNotice), "notice", "notices");
  if (text.empty()) text = "nothing to mend";
  if (!report.suppressed.empty()) text += fmt::format("; {} suppressed", report.suppressed.size());
  return text;
}

std::string extent_of(const AuditReport& report) {
  return fmt::format("{}, {}, {} and {} on {}", counted(report.guests, "guest", "guests"),
                     counted(report.disks, "disk", "disks"), counted(report.storages, "storage", "storages"),
                     counted(report.pools, "pool", "pools"), counted(report.nodes, "node", "nodes"));
}

std::string audit_text(const AuditReport& report, const TextOptions& options) {
  const Style& style = options.style;
  std::string out;
  for (const AuditSubject& subject : by_subject(report)) print_subject(out, subject, options);
  if (!report.suppressed.empty() || !report.remarks.empty()) {
    out += style.bold("Suppressed") + '\n';
    for (const std::string& remark : report.remarks) out += wrapped(printable(remark), "  ", options.columns);
    for (const SuppressedFinding& entry : report.suppressed) {
      out += wrapped(fmt::format("{}: {}{}", printable(entry.finding.id), printable(entry.reason),
                                 entry.until.empty() ? "" : fmt::format(" (until {})", entry.until)),
                     "  ", options.columns);
    }
    out += '\n';
  }
  if (!report.not_checked.empty()) {
    out += style.bold("Not checked") + '\n';
    for (const NotChecked& entry : report.not_checked) {
      const std::string rules = entry.rules.empty() ? "" : style.dim(fmt::format(" [{}]", fmt::join(entry.rules, " ")));
      out += wrapped(printable(entry.what) + rules + ": " + printable(entry.reason), "  ", options.columns);
    }
    out += '\n';
  }
  out +=
      style.bold(fmt::format("Audit{}: {}.", report.cluster_name.empty() ? "" : " of " + printable(report.cluster_name),
                             counts_of(report))) +
      " " + extent_of(report) + ".\n";
  return out;
}

std::string audit_json(const AuditReport& report) {
  Json findings = Json::array();
  for (const AuditFinding& finding : report.findings) findings.push_back(finding_json(finding));
  Json suppressed = Json::array();
  for (const SuppressedFinding& entry : report.suppressed) {
    suppressed.push_back(
        {{"finding", finding_json(entry.finding)}, {"reason", entry.reason}, {"until", text_or_null(entry.until)}});
  }
  Json not_checked = Json::array();
  for (const NotChecked& entry : report.not_checked)
    not_checked.push_back({{"rules", entry.rules}, {"what", entry.what}, {"reason", entry.reason}});
  const Json record = {{"format", "pvereconcile.audit"},
                       {"version", 1},
                       {"cluster", text_or_null(report.cluster_name)},
                       {"partial", report.partial},
                       {"totals",
                        {{"errors", count_of(report, Severity::kError)},
                         {"warnings", count_of(report, Severity::kWarning)},
                         {"notices", count_of(report, Severity::kNotice)},
                         {"suppressed", report.suppressed.size()},
                         {"guests", report.guests},
                         {"disks", report.disks},
                         {"storages", report.storages},
                         {"pools", report.pools},
                         {"nodes", report.nodes}}},
                       {"findings", std::move(findings)},
                       {"suppressed", std::move(suppressed)},
                       {"remarks", report.remarks},
                       {"not_checked", std::move(not_checked)}};
  return record.dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

std::string audit_markdown(const AuditReport& report) {
  std::string out = fmt::format("# Audit{}\n\n**{}.** {}.\n",
                                report.cluster_name.empty() ? "" : " of " + markdown_plain(report.cluster_name),
                                counts_of(report), extent_of(report));
  for (const AuditSubject& subject : by_subject(report)) {
    const std::string where = whereabouts(*subject.findings.front());
    out += fmt::format("\n## {}{}\n\n| severity | rule | what | why | costs |\n|---|---|---|---|---|\n",
                       markdown_plain(subject.subject), where.empty() ? "" : " (" + markdown_plain(where) + ")");
    for (const AuditFinding* finding : subject.findings) {
      out += fmt::format("| {} | {} | {} | {} &#91;{}&#93; | {} |\n", to_word(finding->severity), finding->rule,
                         markdown_plain(finding->what), markdown_plain(finding->why), markdown_plain(finding->source),
                         markdown_plain(fmt::format("{}", fmt::join(costs_of(finding->cost), "; "))));
    }
    for (const AuditFinding* finding : subject.findings) {
      if (!finding->fix.advice.empty())
        out += fmt::format("\n{}: {}\n", finding->rule, markdown_plain(finding->fix.advice));
      if (!finding->fix.caution.empty())
        out += fmt::format("\n**Caution**, {}: {}\n", finding->rule, markdown_plain(finding->fix.caution));
    }
    // Indented code: no text can end it.
    for (const std::string_view command : commands_of(subject))
      out += fmt::format("\nFix ({}):\n\n    {}\n", to_text(effect_of(subject, command)), printable(command));
    std::string lines;
    for (const AuditFinding* finding : subject.findings)
      if (!finding->fix.fleet.empty()) lines += fmt::format("    {}\n", printable(fleet_line(finding->fix)));
    if (!lines.empty()) out += "\nIn a fleet:\n\n" + lines;
  }
  if (!report.suppressed.empty() || !report.remarks.empty()) {
    out += "\n## Suppressed\n\n";
    for (const std::string& remark : report.remarks) out += fmt::format("- {}\n", markdown_plain(remark));
    for (const SuppressedFinding& entry : report.suppressed)
      out += fmt::format("- {}: {}{}\n", markdown_plain(entry.finding.id), markdown_plain(entry.reason),
                         entry.until.empty() ? "" : fmt::format(" (until {})", markdown_plain(entry.until)));
  }
  if (!report.not_checked.empty()) {
    out += "\n## Not checked\n\n";
    for (const NotChecked& entry : report.not_checked)
      out += fmt::format("- {}: {}\n", markdown_plain(entry.what), markdown_plain(entry.reason));
  }
  return out;
}

}  // namespace pvr::cli
