#include <fmt/format.h>

#include <algorithm>

#include "reconciler/resolve/explain.h"
#include "terraform-plugin/provider/fleet_source.h"
#include "terraform-plugin/provider/resource.h"

namespace pvr::tf {
namespace {

class RoleData final : public DataSource {
 public:
  RoleData() {
    schema_.help =
        "What a role comes to on this cluster: every setting of a VM and its disks, with the reason. Nothing is "
        "changed, and no "
        "such VM need exist.";
    schema_.attributes = {required("role", Shape::kText, "The role."),
                          given("node", Shape::kText, "Node the VM would be on."),
                          given("lane", Shape::kText, "Lane, where it is not the role's.")};
    Attribute disks = given("disks", Shape::kNamed, "Disks by name. Default: `root` on scsi0 with 32GiB.");
    disks.nested = attributes_of(fleet_tables().disk);
    schema_.attributes.push_back(std::move(disks));
    schema_.attributes.push_back(
        computed("resolved", Shape::kTextMap, "Settings by `option` or `disk/option`, as PVE writes them."));
    schema_.attributes.push_back(computed("reasons", Shape::kTextMap, "Where each of these values comes from."));
  }
  const Schema& schema() const override { return schema_; }
  Messages validate(const Value&) const override { return {}; }

  Answer read(Session& session, const Value& config) const override {
    Value vm(
        Map{{"role", config["role"]}, {"node", config["node"]}, {"lane", config["lane"]}, {"disks", config["disks"]}});
    set(vm, "vmid", Value(999999999));
    if (vm["disks"].is_null())
      set(vm, "disks", Value(Map{{"root", Value(Map{{"slot", Value("scsi0")}, {"size", Value("32GiB")}})}}));
    const std::string name = "role-preview";
    FleetText text;
    text.line(0, "vms:");
    text.mapping(1, name, fleet_tables().vm, vm, {});
    const Loaded loaded = session.load(text, name, "pvereconcile_role");
    if (!loaded.document) return {.messages = loaded.messages};
    const auto seen = session.status(loaded.document);
    if (!seen) return {.messages = {message_of(seen.error(), "looking at the cluster")}};
    Messages messages;
    for (const Diagnostic& diagnostic : seen->diagnostics) {
      if (diagnostic.severity == Severity::kError)
        messages.push_back({.summary = diagnostic.summary, .detail = diagnostic.detail});
    }
    const ResolvedVm* found = find_vm(seen->fleet, name);
    if (found == nullptr) return {.messages = std::move(messages)};
    Map resolved, reasons;
    const auto take = [&](const std::string& prefix, const std::vector<Explanation>& list) {
      for (const Explanation& explanation : list) {
        resolved.insert_or_assign(prefix + explanation.key, Value(explanation.value));
        const bool placed = explanation.from.starts_with("role ");
        reasons.insert_or_assign(
            prefix + explanation.key,
            Value(placed ? explanation.from.substr(0, explanation.from.find(',')) : explanation.from));
      }
    };
    take("", explain_all(seen->fleet, *found));
    for (const ResolvedDisk& disk : found->disks) take(disk.name + "/", explain_all(seen->fleet, *found, disk));
    Value state = config;
    set(state, "resolved", Value(std::move(resolved)));
    set(state, "reasons", Value(std::move(reasons)));
    return {.value = std::move(state), .messages = std::move(messages)};
  }

 private:
  Schema schema_;
};

std::string word_of(Severity severity) {
  switch (severity) {
    case Severity::kError:
      return "error";
    case Severity::kWarning:
      return "warning";
    case Severity::kNotice:
      break;
  }
  return "notice";
}

class AuditData final : public DataSource {
 public:
  AuditData() {
    schema_.help = "What is wrong on the cluster, why, and the commands that mend it: `pvereconcile audit`.";
    schema_.attributes = {given("fleet", Shape::kText, "Fleet file to judge by. Without it, the rules alone judge."),
                          computed("errors", Shape::kNumber, "How many errors."),
                          computed("warnings", Shape::kNumber, "How many warnings."),
                          computed("notices", Shape::kNumber, "How many notices.")};
    Attribute findings = computed("findings", Shape::kObjects, "The worst first.");
    findings.nested = {computed("id", Shape::kText, "The same as long as the finding is."),
                       computed("severity", Shape::kText, "`error`, `warning` or `notice`."),
                       computed("rule", Shape::kText, "Id of the rule."),
                       computed("subject", Shape::kText, "What it is about: `vm/301/scsi0`."),
                       computed("name", Shape::kText, "What people call it."),
                       computed("node", Shape::kText, "Where."),
                       computed("what", Shape::kText, "What is wrong."),
                       computed("why", Shape::kText, "Why that matters."),
                       computed("commands", Shape::kTexts, "What mends it, for a shell on the node."),
                       computed("advice", Shape::kText, "What mends it, in words.")};
    schema_.attributes.push_back(std::move(findings));
  }
  const Schema& schema() const override { return schema_; }
  Messages validate(const Value&) const override { return {}; }

  Answer read(Session& session, const Value& config) const override {
    Loaded loaded;
    if (const std::string* path = config["fleet"].text()) {
      loaded = session.load_fleet_path(*path);
      if (!loaded.document) return {.messages = std::move(loaded.messages)};
    }
    const auto seen = session.audit(loaded.document);
    if (!seen) return {.messages = {message_of(seen.error(), "looking at the cluster")}};
    List findings;
    for (const AuditFinding& finding : seen->report.findings) {
      List commands;
      for (const std::string& command : finding.fix.commands) commands.emplace_back(command);
      findings.emplace_back(Map{{"id", Value(finding.id)},
                                {"severity", Value(word_of(finding.severity))},
                                {"rule", Value(finding.rule)},
                                {"subject", Value(finding.subject)},
                                {"name", Value(finding.name)},
                                {"node", Value(finding.node)},
                                {"what", Value(finding.what)},
                                {"why", Value(finding.why)},
                                {"commands", Value(std::move(commands))},
                                {"advice", Value(finding.fix.advice)}});
    }
    Value state = config;
    const auto count = [&](Severity severity) {
      return Value(static_cast<std::int64_t>(count_of(seen->report, severity)));
    };
    set(state, "errors", count(Severity::kError));
    set(state, "warnings", count(Severity::kWarning));
    set(state, "notices", count(Severity::kNotice));
    set(state, "findings", Value(std::move(findings)));
    return {.value = std::move(state)};
  }

 private:
  Schema schema_;
};

class PlanData final : public DataSource {
 public:
  PlanData() {
    schema_.help = "What applying a fleet file would do: `pvereconcile plan`. Nothing is changed.";
    add_source_attributes(schema_);
    for (Attribute& attribute :
         std::vector<Attribute>{computed("empty", Shape::kBool, "Whether there is nothing to do."),
                                computed("impact", Shape::kText, "Worst that is done to any guest."),
                                computed("changes", Shape::kTexts, "The operations, in the order they would start."),
                                computed("blocked", Shape::kTexts, "What is wanted and cannot be done, and why.")})
      schema_.attributes.push_back(std::move(attribute));
  }
  const Schema& schema() const override { return schema_; }
  Messages validate(const Value& config) const override { return source_problems(config); }

  Answer read(Session& session, const Value& config) const override {
    const Loaded loaded = load_source(session, config);
    if (!loaded.document) return {.messages = loaded.messages};
    const auto made = session.plan(wish_of(config, loaded.document));
    if (!made) return {.messages = {message_of(made.error(), "planning")}};
    Messages messages = plan_errors(*made);
    if (has_errors(messages)) return {.messages = std::move(messages)};
    List blocked;
    for (const BlockedItem& item : made->plan.blocked)
      blocked.emplace_back(fmt::format("{}: cannot {}: {}", to_text(item.address), item.what, item.why));
    Value state = config;
    set(state, "empty", Value(made->plan.empty()));
    set(state, "impact", Value(impact_word(made->plan)));
    set(state, "changes", Value(changes_of(made->plan)));
    set(state, "blocked", Value(std::move(blocked)));
    return {.value = std::move(state)};
  }

 private:
  Schema schema_;
};

}  // namespace

std::unique_ptr<DataSource> role_data() { return std::make_unique<RoleData>(); }
std::unique_ptr<DataSource> audit_data() { return std::make_unique<AuditData>(); }
std::unique_ptr<DataSource> plan_data() { return std::make_unique<PlanData>(); }

}  // namespace pvr::tf
