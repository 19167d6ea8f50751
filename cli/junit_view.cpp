#include "cli/junit_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/describe.h"
#include "cli/layout.h"

namespace pvr::cli {
namespace {

/// Text for XML, attributes included: no markup, control characters visible, bytes that are no UTF-8 replaced.
std::string xml(std::string_view text) {
  const std::string visible = html_plain(text);
  std::string out;
  for (std::size_t i = 0; i < visible.size();) {
    const auto byte = static_cast<unsigned char>(visible[i]);
    const std::size_t length = byte < 0x80                    ? 1
                               : byte >= 0xC2 && byte <= 0xDF ? 2
                               : byte >= 0xE0 && byte <= 0xEF ? 3
                               : byte >= 0xF0 && byte <= 0xF4 ? 4
                                                              : 0;
    bool whole = length != 0 && i + length <= visible.size();
    std::uint32_t point = length == 1 ? byte : byte & (0xFFU >> (length + 1));
    for (std::size_t k = 1; whole && k < length; ++k) {
      const auto next = static_cast<unsigned char>(visible[i + k]);
      whole = (next & 0xC0U) == 0x80U;
      point = point << 6U | (next & 0x3FU);
    }
    constexpr std::uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
    whole = whole && point >= kLeast[length] && point <= 0x10FFFF && (point < 0xD800 || point > 0xDFFF) &&
            point != 0xFFFE && point != 0xFFFF;
    out += whole ? visible.substr(i, length) : std::string("\xEF\xBF\xBD");
    i += whole ? length : 1;
  }
  return out;
}

enum class Verdict : std::uint8_t { kPassed, kSkipped, kFailed };

struct Case {
  std::string suite = {};  // shown as the class
  std::string name = {};
  Verdict verdict = Verdict::kPassed;
  std::string type = {};     // of a failure
  std::string message = {};  // one line
  std::vector<std::string> lines = {};
};

std::string report(std::string_view name, const std::vector<Case>& cases) {
  const auto count = [&cases](Verdict verdict) { return std::ranges::count(cases, verdict, &Case::verdict); };
  const std::string totals = fmt::format("name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"0\"", xml(name),
                                         cases.size(), count(Verdict::kFailed));
  // The schema Jenkins validates with knows "skipped" of one suite only.
  std::string out =
      fmt::format("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {0}>\n  <testsuite {0} skipped=\"{1}\">\n",
                  totals, count(Verdict::kSkipped));
  for (const Case& one : cases) {
    const std::string head = fmt::format("    <testcase classname=\"{}\" name=\"{}\"", xml(one.suite), xml(one.name));
    if (one.verdict == Verdict::kPassed) {
      out += head + "/>\n";
      continue;
    }
    std::string body;
    for (const std::string& line : one.lines) body += xml(line) + '\n';
    if (one.verdict == Verdict::kSkipped) {
      out += fmt::format("{}>\n      <skipped message=\"{}\"/>\n", head, xml(one.message));
      if (!body.empty()) out += fmt::format("      <system-out>{}</system-out>\n", body);
      out += "    </testcase>\n";
    } else {
      out += fmt::format("{}>\n      <failure type=\"{}\" message=\"{}\">{}</failure>\n    </testcase>\n", head,
                         xml(one.type), xml(one.message), body);
    }
  }
  return out + "  </testsuite>\n</testsuites>\n";
}

Case case_of(const ResourceView& resource) {
  Case one{.suite = "pvereconcile.plan", .name = to_text(resource.address)};
  std::size_t changes = 0;
  for (const Operation* operation : resource.operations) {
    if (!is_plain_change(*operation))
      one.lines.push_back(fmt::format("{} ({})", describe(*operation), to_text(operation->impact)));
    const std::string part = part_of(*operation);
    changes += is_plain_change(*operation) ? operation->changes.size() : 1;
    for (const PlannedChange& change : operation->changes) {
      one.lines.push_back(fmt::format("{}{}{}: {} -> {} ({}){}", part, part.empty() ? "" : " ", change.key,
                                      change.from.empty() ? "unset" : change.from,
                                      change.to.empty() ? "unset" : change.to, to_text(change.impact),
                                      change.rule.empty() ? "" : " " + change.rule));
    }
  }
  for (const BlockedItem* item : resource.blocked) {
    one.lines.push_back(fmt::format("blocked: {}: {}{}", item->what, item->why,
                                    item->remedy.empty() ? "" : " Remedy: " + item->remedy));
  }
  for (const WaitingItem* item : resource.waiting) {
    one.lines.push_back(fmt::format(
        "waits for a restart: {}{}{}: {} -> {}", item->address.part, item->address.part.empty() ? "" : " ", item->key,
        item->running.empty() ? "unset" : item->running, item->configured.empty() ? "unset" : item->configured));
  }
  if (changes == 0 && resource.blocked.empty()) {
    one.verdict = Verdict::kSkipped;
    one.message = counted(resource.waiting.size(), "setting waits", "settings wait") + " for a restart";
    return one;
  }
  one.verdict = Verdict::kFailed;
  one.type = changes == 0 ? "blocked" : "difference";
  one.message = changes == 0 ? "" : counted(changes, "change", "changes");
  if (!resource.blocked.empty())
    one.message += (changes == 0 ? "" : ", ") + fmt::format("{} blocked", resource.blocked.size());
  return one;
}

Case case_of(const AuditFinding& finding) {
  const bool fails = finding.severity != Severity::kNotice;
  Case one{.suite = fmt::format("pvereconcile.audit.{}", finding.rule),
           .name = finding.id,
           .verdict = fails ? Verdict::kFailed : Verdict::kSkipped,
           .type = std::string(to_word(finding.severity)),
           .message = finding.what};
  one.lines.push_back(fmt::format("{} [{}]", finding.why, finding.source));
  for (const std::string& command : finding.fix.commands) one.lines.push_back("fix: " + command);
  if (!finding.fix.advice.empty()) one.lines.push_back("fix: " + finding.fix.advice);
  if (!finding.fix.caution.empty()) one.lines.push_back("caution: " + finding.fix.caution);
  return one;
}

}  // namespace

std::string plan_junit(const Plan& plan) {
  std::vector<Case> cases;
  for (const std::string& gap : plan.gaps) {
    cases.push_back({.suite = "pvereconcile.plan",
                     .name = "read the cluster",
                     .verdict = Verdict::kFailed,
                     .type = "not readable",
                     .message = gap});
  }
  for (const ResourceView& resource : by_resource(plan)) cases.push_back(case_of(resource));
  if (cases.empty()) cases.push_back({.suite = "pvereconcile.plan", .name = summary_of(plan)});
  return report("pvereconcile plan", cases);
}

std::string audit_junit(const AuditReport& report_of) {
  std::vector<Case> cases;
  for (const AuditFinding& finding : report_of.findings) cases.push_back(case_of(finding));
  for (const SuppressedFinding& entry : report_of.suppressed) {
    Case one = case_of(entry.finding);
    one.verdict = Verdict::kSkipped;
    one.message =
        fmt::format("accepted: {}{}", entry.reason, entry.until.empty() ? "" : " (until " + entry.until + ")");
    cases.push_back(std::move(one));
  }
  if (cases.empty()) cases.push_back({.suite = "pvereconcile.audit", .name = "no findings"});
  return report("pvereconcile audit", cases);
}

}  // namespace pvr::cli
