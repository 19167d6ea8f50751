#include "cli/markdown_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "cli/describe.h"
#include "cli/layout.h"
#include "reconciler/model/plan_digest.h"

namespace pvr::cli {
namespace {

constexpr std::size_t kLongestValue = 160;

/// A sentence of a table's cell.
std::string plain(std::string_view text) { return markdown_plain(shortened(text, kLongestValue * 3)); }

std::string code(std::string_view text) {
  return text.empty() ? std::string("unset") : "<code>" + plain(shortened(text, kLongestValue)) + "</code>";
}

std::string impacts_of(const ResourceView& resource) {
  std::vector<Impact> seen;
  for (const Operation* operation : resource.operations) {
    if (std::ranges::find(seen, operation->impact) == seen.end()) seen.push_back(operation->impact);
  }
  std::ranges::sort(seen);
  std::string out;
  for (const Impact impact : seen) out += (out.empty() ? "" : ", ") + std::string(to_text(impact));
  return out;
}

std::string headline(const ResourceView& resource) {
  std::size_t changes = 0;
  for (const Operation* operation : resource.operations)
    changes += is_plain_change(*operation) ? operation->changes.size() : 1;
  std::string line = fmt::format("<b>{}</b>", plain(to_text(resource.address)));
  const auto say = [&line](std::size_t n, std::string_view one, std::string_view many) {
    if (n != 0) line += ", " + counted(n, one, many);
  };
  say(changes, "change", "changes");
  say(resource.blocked.size(), "blocked", "blocked");
  say(resource.waiting.size(), "waits for a restart", "wait for a restart");
  const std::string impacts = impacts_of(resource);
  if (!impacts.empty()) line += ": " + impacts;
  return line;
}

std::string block(const ResourceView& resource) {
  std::string out = fmt::format("<details><summary>{}</summary>\n\n", headline(resource));
  if (!resource.operations.empty()) {
    out += "| what | live | desired | impact | why |\n|---|---|---|---|---|\n";
    for (const Operation* operation : resource.operations) {
      if (!is_plain_change(*operation)) {
        std::string cost;
        if (operation->copy) {
          cost = fmt::format("{} to copy, about {}, {} down", to_human(operation->copy->bytes),
                             to_human(operation->copy->estimate), to_human(operation->copy->downtime));
        }
        out +=
            fmt::format("| <b>{}</b> | | | {} | {} |\n", plain(describe(*operation)), to_text(operation->impact), cost);
      }
      const std::string part = part_of(*operation);
      for (const PlannedChange& change : operation->changes) {
        std::string why = change.rule.empty() ? "" : fmt::format("<b>{}</b> ", plain(change.rule));
        why += plain(change.reason);
        if (!change.place.empty()) why += fmt::format(" ({})", plain(change.place));
        out += fmt::format("| {}{} | {} | {} | {} | {} |\n", part.empty() ? "" : plain(part) + " ", plain(change.key),
                           code(change.from), code(change.to), to_text(change.impact), why);
      }
    }
    out += '\n';
  }
  for (const StrategyChoice* choice : resource.choices) {
    out += fmt::format("- {}:\n", plain(choice->what));
    for (const StrategyOffer& offer : choice->offers) {
      const std::string price = offer.possible ? fmt::format("{} copied, {} of room, {} down: ", to_human(offer.bytes),
                                                             to_human(offer.peak_extra), to_human(offer.downtime))
                                               : std::string("not possible: ");
      out += fmt::format("  - {}{}{}: {}{}\n", offer.chosen ? "<b>" : "", to_text(offer.strategy),
                         offer.chosen ? "</b>" : "", price, plain(offer.why));
    }
  }
  for (const BlockedItem* item : resource.blocked) {
    out += fmt::format("- blocked: {}: {}{}\n", plain(item->what), plain(item->why),
                       item->remedy.empty() ? "" : fmt::format(" Remedy: {}", code(item->remedy)));
  }
  for (const WaitingItem* item : resource.waiting) {
    out += fmt::format("- waits for a restart: {}{}: {} → {}\n",
                       item->address.part.empty() ? "" : plain(item->address.part) + " ", plain(item->key),
                       code(item->running), code(item->configured));
  }
  return out + "\n</details>\n";
}

std::string finding_line(const Finding& finding) {
  std::string line = fmt::format("- {} ", to_word(finding.severity));
  if (!finding.rule.empty()) line += fmt::format("<b>{}</b> ", plain(finding.rule));
  line += fmt::format("{}: {}", plain(to_text(finding.where)), plain(finding.what));
  if (!finding.fix.empty()) line += " Fix: " + code(finding.fix);
  return line + '\n';
}

/// Appends what fits below `limit`, keeping `reserve` free for the note that says how many did not; answers how many
/// were left out.
std::size_t append_while_room(std::string& out, const std::vector<std::string>& lines, std::size_t limit) {
  std::size_t used = 0;
  for (const std::string& line : lines) {
    if (out.size() + line.size() > limit) break;
    out += line;
    ++used;
  }
  return lines.size() - used;
}

/// Equal changes of many resources in one row each, most frequent first.
std::vector<std::string> equal_changes(const std::vector<ResourceView>& resources) {
  std::map<std::tuple<std::string, std::string, std::string, std::string>, std::size_t> count;
  for (const ResourceView& resource : resources) {
    for (const Operation* operation : resource.operations) {
      if (!is_plain_change(*operation))
        ++count[{std::string(procedure_name(operation->procedure)), "", "", std::string(to_text(operation->impact))}];
      for (const PlannedChange& change : operation->changes) {
        ++count[{change.key, change.rule, change.to, std::string(to_text(change.impact))}];
      }
    }
  }
  std::vector<std::pair<std::size_t, std::string>> rows;
  for (const auto& [key, n] : count) {
    const auto& [what, rule, to, impact] = key;
    const std::string desired = to.empty() && rule.empty() ? "" : code(to);
    rows.emplace_back(n, fmt::format("| {} | {} | {} | {} | {} |\n", n, plain(what), desired, impact, plain(rule)));
  }
  std::ranges::stable_sort(rows, std::ranges::greater{}, [](const auto& row) { return row.first; });
  std::vector<std::string> lines;
  lines.reserve(rows.size());
  for (auto& [n, line] : rows) lines.push_back(std::move(line));
  return lines;
}

}  // namespace

std::string plan_markdown(const Plan& plan, std::size_t limit) {
  const std::vector<ResourceView> resources = by_resource(plan);
  const PlanTotals t = totals(plan);
  std::string out = fmt::format("### pvereconcile plan: {}\n\n", summary_of(plan));
  if (plan.unchanged_vms != 0) out += counted(plan.unchanged_vms, "VM", "VMs") + " unchanged. ";
  if (t.copy_bytes.bytes != 0)
    out += fmt::format("Copies {} in about {}. ", to_human(t.copy_bytes), to_human(t.copy_estimate));
  if (plan.partial) out += "**Read in part: a node is offline.** ";
  out += "\n\n";
  if (!plan.empty()) out += fmt::format("Plan digest: <code>{}</code>\n\n", plan_digest(plan));
  {
    std::vector<std::string> gaps;
    for (const std::string& gap : plan.gaps) gaps.push_back(fmt::format("- not readable: {}\n", plain(gap)));
    const std::size_t left = append_while_room(out, gaps, out.size() + limit / 10);
    if (left != 0) out += fmt::format("- not readable: {} more\n", left);
    if (!gaps.empty()) out += '\n';
  }

  // Findings get at most a quarter of the room, and are told first: nobody opens the last block of a long comment.
  if (!plan.findings.empty()) {
    out += fmt::format("<details><summary>{}</summary>\n\n", counted(plan.findings.size(), "finding", "findings"));
    std::vector<std::string> lines;
    for (const Finding& finding : plan.findings) lines.push_back(finding_line(finding));
    const std::size_t left = append_while_room(out, lines, out.size() + limit / 4);
    if (left != 0) out += fmt::format("- and {} more\n", left);
    out += "\n</details>\n";
  }

  std::vector<std::string> blocks;
  std::size_t size = 0;
  for (const ResourceView& resource : resources) {
    blocks.push_back(block(resource));
    size += blocks.back().size();
  }
  if (out.size() + size <= limit) {
    for (const std::string& text : blocks) out += text;
    return out;
  }

  out += "\n**Too long for one comment: equal changes are counted.** `pvereconcile plan` shows every line.\n\n";
  out += "| times | setting | desired | impact | rule |\n|---:|---|---|---|---|\n";
  constexpr std::size_t kNote = 200;  // room for the sentences that close the lists
  const std::size_t table_limit = std::max(out.size(), limit / 2);
  if (const std::size_t left = append_while_room(out, equal_changes(resources), table_limit); left != 0) {
    out += fmt::format("| … | {} more kinds of changes | | | |\n", left);
  }
  out += fmt::format("\n<details><summary>{}</summary>\n\n", counted(resources.size(), "resource", "resources"));
  std::vector<std::string> lines;
  lines.reserve(resources.size());
  for (const ResourceView& resource : resources) lines.push_back("- " + headline(resource) + '\n');
  const std::size_t left = append_while_room(out, lines, limit > kNote ? limit - kNote : 0);
  if (left != 0) out += fmt::format("- and {} more\n", left);
  return out + "\n</details>\n";
}

}  // namespace pvr::cli
