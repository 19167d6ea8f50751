#include "cli/sarif_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "cli/audit_view.h"
#include "reconciler/model/option_codec.h"
#include "reconciler/policy/rule.h"

namespace pvr::cli {
namespace {

using Json = nlohmann::json;

const char* level_of(Severity severity) {
  switch (severity) {
    case Severity::kError:
      return "error";
    case Severity::kWarning:
      return "warning";
    case Severity::kNotice:
      break;
  }
  return "note";
}

/// A relative URI reference: slashes part, everything else that is no plain character is escaped.
std::string uri_of(std::string_view path) {
  std::string out;
  while (!path.empty()) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    out += percent_encode(path.substr(0, slash));
    if (slash == path.size()) break;
    out += '/';
    path.remove_prefix(slash + 1);
  }
  return out;
}

class Sarif {
 public:
  Sarif(const AuditReport& report, const std::string& fleet) : report_(report), fleet_(fleet) {}

  Json run() {
    Json results = Json::array();
    for (const AuditFinding& finding : report_.findings) results.push_back(result_of(finding));
    for (const SuppressedFinding& entry : report_.suppressed) {
      Json result = result_of(entry.finding);
      const std::string until = entry.until.empty() ? "" : fmt::format(" (until {})", entry.until);
      result["suppressions"] = {
          {{"kind", "external"}, {"status", "accepted"}, {"justification", entry.reason + until}}};
      results.push_back(std::move(result));
    }
    Json notifications = Json::array();
    for (const NotChecked& entry : report_.not_checked)
      notifications.push_back(
          {{"level", "note"}, {"message", {{"text", fmt::format("Not checked: {}: {}", entry.what, entry.reason)}}}});
    for (const std::string& remark : report_.remarks)
      notifications.push_back({{"level", "note"}, {"message", {{"text", remark}}}});
    const Json driver = {
        {"name", "pvereconcile"}, {"semanticVersion", PVERECONCILE_VERSION}, {"rules", std::move(rules_)}};
    const Json one = {
        {"tool", {{"driver", driver}}},
        {"columnKind", "utf16CodeUnits"},
        {"automationDetails",
         {{"id", fmt::format("pvereconcile/{}/", report_.cluster_name.empty() ? "standalone" : report_.cluster_name)}}},
        {"invocations", {{{"executionSuccessful", true}, {"toolExecutionNotifications", std::move(notifications)}}}},
        {"results", std::move(results)}};
    return {{"$schema", "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"},
            {"version", "2.1.0"},
            {"runs", {one}}};
  }

 private:
  std::size_t rule_index(std::string_view id) {
    const auto at = index_.find(std::string(id));
    if (at != index_.end()) return at->second;
    const RuleRow* row = find_rule(id);
    Json rule = {{"id", id}};
    if (row != nullptr) {
      rule["shortDescription"] = {{"text", row->title}};
      rule["fullDescription"] = {{"text", row->reason}};
      rule["help"] = {{"text", fmt::format("{} [{}]", row->reason, row->source)}};
      rule["properties"] = {{"tags", {"proxmox", row->facts}}};
    }
    rules_.push_back(std::move(rule));
    return index_[std::string(id)] = rules_.size() - 1;
  }

  Json result_of(const AuditFinding& finding) {
    std::string text = finding.what + ". " + finding.why + fmt::format(" [{}].", finding.source);
    for (const std::string& cost : costs_of(finding.cost)) text += fmt::format(" Costs {}.", cost);
    for (const std::string& command : finding.fix.commands)
      text += fmt::format("\nFix ({}): {}", to_text(finding.fix.effect), command);
    if (!finding.fix.advice.empty()) text += "\n" + finding.fix.advice;
    if (!finding.fix.caution.empty()) text += "\nCaution: " + finding.fix.caution;
    const std::string uri = uri_of(fleet_.empty() ? "cluster/" + finding.subject : fleet_);
    return {{"ruleId", finding.rule},
            {"ruleIndex", rule_index(finding.rule)},
            {"level", level_of(finding.severity)},
            {"message",
             {{"text", finding.subject + (finding.name.empty() ? "" : " (" + finding.name + ")") + ": " + text}}},
            {"locations",
             {{{"physicalLocation", {{"artifactLocation", {{"uri", uri}}}, {"region", {{"startLine", 1}}}}},
               {"logicalLocations", {{{"fullyQualifiedName", finding.subject}, {"kind", "resource"}}}}}}},
            {"partialFingerprints", {{"pvereconcileFinding/v1", finding.id}}}};
  }

  const AuditReport& report_;
  const std::string& fleet_;
  Json rules_ = Json::array();
  std::map<std::string, std::size_t> index_ = {};
};

}  // namespace

std::string audit_sarif(const AuditReport& report, const std::string& fleet) {
  return Sarif(report, fleet).run().dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

}  // namespace pvr::cli
