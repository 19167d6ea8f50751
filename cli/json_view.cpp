#include "cli/json_view.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <variant>

#include "cli/describe.h"
#include "reconciler/model/plan_digest.h"
#include "reconciler/model/settings.h"

namespace pvr::cli {
namespace {

using Json = nlohmann::json;

// Texts come from clusters and files: bytes that are no UTF-8 are replaced, not refused.
std::string print(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace) + '\n'; }

Json text_or_null(std::string_view text) { return text.empty() ? Json(nullptr) : Json(text); }

Json record(const char* name) { return Json{{"format", std::string("pvereconcile.") + name}, {"version", 1}}; }

Json value_json(const OptionValue& value) { return is_absent(value) ? Json(nullptr) : Json(to_text(value)); }

Json finding_json(const Finding& finding) {
  return {{"severity", to_word(finding.severity)},
          {"rule", text_or_null(finding.rule)},
          {"address", to_text(finding.where)},
          {"what", finding.what},
          {"fix", text_or_null(finding.fix)}};
}

Json change_json(const PlannedChange& change) {
  return {{"key", change.key},
          {"from", text_or_null(change.from)},
          {"to", text_or_null(change.to)},
          {"rule", text_or_null(change.rule)},
          {"reason", text_or_null(change.reason)},
          {"place", text_or_null(change.place)},
          {"impact", to_text(change.impact)}};
}

Json copy_json(const CopyCost& copy) {
  return {{"bytes", copy.bytes.bytes},
          {"target_storage", copy.target_storage},
          {"target_node", text_or_null(copy.target_node)},
          {"peak_extra_bytes", copy.peak_extra.bytes},
          {"estimate_seconds", copy.estimate.count()},
          {"downtime_seconds", copy.downtime.count()}};
}

Json operation_json(const Operation& operation) {
  Json changes = Json::array();
  for (const PlannedChange& change : operation.changes) changes.push_back(change_json(change));
  return {{"id", operation.id},
          {"address", to_text(operation.address)},
          {"procedure", procedure_name(operation.procedure)},
          {"summary", describe(operation)},
          {"impact", to_text(operation.impact)},
          {"node", text_or_null(operation.node)},
          {"after", operation.after},
          {"changes", std::move(changes)},
          {"copy", operation.copy ? copy_json(*operation.copy) : Json(nullptr)}};
}

Json choice_json(const StrategyChoice& choice) {
  Json offers = Json::array();
  for (const StrategyOffer& offer : choice.offers) {
    offers.push_back({{"strategy", to_text(offer.strategy)},
                      {"possible", offer.possible},
                      {"chosen", offer.chosen},
                      {"why", text_or_null(offer.why)},
                      {"remedy", text_or_null(offer.remedy)},
                      {"needs", text_or_null(offer.needs)},
                      {"bytes", offer.bytes.bytes},
                      {"peak_extra_bytes", offer.peak_extra.bytes},
                      {"estimate_seconds", offer.estimate.count()},
                      {"downtime_seconds", offer.downtime.count()}});
  }
  return {{"address", to_text(choice.address)}, {"what", choice.what}, {"offers", std::move(offers)}};
}

Json totals_json(const Plan& plan) {
  const PlanTotals t = totals(plan);
  return {{"create", t.create},
          {"change", t.change},
          {"move", t.move},
          {"restart", t.restart},
          {"destroy", t.destroy},
          {"blocked", t.blocked},
          {"waiting", t.waiting},
          {"findings", t.findings},
          {"unchanged_vms", plan.unchanged_vms},
          {"copy_bytes", t.copy_bytes.bytes},
          {"copy_estimate_seconds", t.copy_estimate.count()}};
}

std::string_view to_word(SettingState state) {
  switch (state) {
    case SettingState::kInSync:
      return "in-sync";
    case SettingState::kDiffers:
      return "differs";
    case SettingState::kWaitsForRestart:
      return "waits-for-restart";
    case SettingState::kFindingOnly:
      return "finding";
    case SettingState::kCannotTell:
      break;
  }
  return "cannot-tell";
}

std::string_view to_word(Presence presence) {
  switch (presence) {
    case Presence::kMissing:
      return "missing";
    case Presence::kPresent:
      return "present";
    case Presence::kMustGo:
      return "must-go";
    case Presence::kUnreadable:
      return "unreadable";
    case Presence::kWrongIdentity:
      break;
  }
  return "wrong-identity";
}

Json settings_json(const std::vector<SettingChange>& settings) {
  Json list = Json::array();
  for (const SettingChange& setting : settings) {
    list.push_back({{"key", setting.key},
                    {"state", to_word(setting.state)},
                    {"declared", value_json(setting.desired.value)},
                    {"configured", value_json(setting.configured)},
                    {"running", value_json(setting.running)},
                    {"note", text_or_null(setting.note)}});
  }
  return list;
}

/// Everything the guest's configuration says, declared or not, as it is from its next start on.
Json live_json(const LiveVm& guest) {
  Json json = Json::object();
  for (const auto& [key, option] : guest.options) {
    const Setting* setting = find_setting(Home::kVmOption, key);
    const std::string* text = option.configured();
    if (text != nullptr && (setting == nullptr || !setting->write_only)) json[key] = *text;
  }
  for (const LiveDrive& drive : guest.drives) {
    if (const Drive* configured = drive.configured()) json[to_text(drive.slot)] = print_drive(drive.slot, *configured);
  }
  return json;
}

Json disk_json(const DiskDiff& disk) {
  return {{"name", disk.name},
          {"slot", to_text(disk.desired_slot)},
          {"volume", disk.volume ? Json(to_text(*disk.volume)) : Json(nullptr)},
          {"move_to", disk.move_to ? Json(*disk.move_to) : Json(nullptr)},
          {"blocked", text_or_null(disk.blocked)},
          {"settings", settings_json(disk.settings)}};
}

struct EventFields {
  Json& json;
  void operator()(const RunStarted& e) const {
    json["event"] = "run-started";
    json["format"] = "pvereconcile.events";
    json["version"] = 1;
    json["operations"] = e.operations;
  }
  void operator()(const OperationStarted&) const { json["event"] = "operation-started"; }
  void operator()(const StepStarted& e) const {
    json["event"] = "step-started";
    json["step"] = e.step;
  }
  void operator()(const TaskStarted& e) const {
    json["event"] = "task-started";
    json["task"] = e.upid;
  }
  void operator()(const TaskProgress& e) const {
    json["event"] = "task-progress";
    json["task"] = e.upid;
    json["fraction"] = e.fraction;
    json["done_bytes"] = e.done.bytes;
    json["total_bytes"] = e.total.bytes;
  }
  void operator()(const Waiting& e) const {
    json["event"] = "waiting";
    json["on"] = e.on;
  }
  void operator()(const OperationFinished& e) const {
    json["event"] = "operation-finished";
    json["outcome"] = to_text(e.outcome);
    json["detail"] = text_or_null(e.detail);
  }
  void operator()(const RunFinished& e) const {
    json["event"] = "run-finished";
    json["interrupted"] = e.interrupted;
  }
};

}  // namespace

std::string plan_json(const Plan& plan) {
  Json json = record("plan");
  json["cluster"] = text_or_null(plan.inputs.cluster_name);
  json["document_hash"] = text_or_null(plan.inputs.document_hash);
  json["digest"] = plan_digest(plan);
  json["empty"] = plan.empty();
  json["partial"] = plan.partial;
  json["summary"] = summary_of(plan);
  json["totals"] = totals_json(plan);
  json["gaps"] = plan.gaps;
  json["operations"] = Json::array();
  for (const Operation& operation : plan.operations) json["operations"].push_back(operation_json(operation));
  json["choices"] = Json::array();
  for (const StrategyChoice& choice : plan.choices) json["choices"].push_back(choice_json(choice));
  json["blocked"] = Json::array();
  for (const BlockedItem& item : plan.blocked) {
    json["blocked"].push_back({{"address", to_text(item.address)},
                               {"what", item.what},
                               {"why", item.why},
                               {"remedy", text_or_null(item.remedy)},
                               {"by_policy", item.by_policy}});
  }
  json["waiting"] = Json::array();
  for (const WaitingItem& item : plan.waiting) {
    json["waiting"].push_back({{"address", to_text(item.address)},
                               {"key", item.key},
                               {"running", text_or_null(item.running)},
                               {"configured", text_or_null(item.configured)}});
  }
  json["findings"] = Json::array();
  for (const Finding& finding : plan.findings) json["findings"].push_back(finding_json(finding));
  return print(json);
}

std::string report_json(const Plan& plan, const ApplyReport& report) {
  Json json = record("apply");
  json["interrupted"] = report.interrupted;
  json["stopped_by"] = text_or_null(report.stopped_by);
  json["all_done"] = report.all_done();
  json["operations"] = Json::array();
  for (const OperationReport& entry : report.operations) {
    const auto operation = std::ranges::find(plan.operations, entry.operation, &Operation::id);
    const bool known = operation != plan.operations.end();
    json["operations"].push_back({{"id", entry.operation},
                                  {"address", known ? Json(to_text(operation->address)) : Json(nullptr)},
                                  {"summary", known ? Json(describe(*operation)) : Json(nullptr)},
                                  {"outcome", to_text(entry.outcome)},
                                  {"detail", text_or_null(entry.detail)},
                                  {"warnings", entry.warnings}});
  }
  return print(json);
}

std::string status_json(const ResolvedFleet& fleet, const Diff& diff, const LiveState& live) {
  Json json = record("status");
  json["gaps"] = live.gaps;
  json["hosts"] = Json::array();
  for (const HostDiff& host : diff.hosts) {
    json["hosts"].push_back({{"address", to_text(host.address)},
                             {"blocked", text_or_null(host.blocked)},
                             {"remedy", text_or_null(host.remedy)},
                             {"settings", settings_json(host.settings)}});
  }
  json["storages"] = Json::array();
  for (const StorageDiff& storage : diff.storages) {
    json["storages"].push_back({{"address", to_text(storage.address)},
                                {"missing", storage.missing},
                                {"fixed", storage.fixed},
                                {"settings", settings_json(storage.properties)}});
  }
  json["vms"] = Json::array();
  for (const VmDiff& vm : diff.vms) {
    Json disks = Json::array();
    for (const DiskDiff& disk : vm.disks) disks.push_back(disk_json(disk));
    const auto declared = std::ranges::find(fleet.vms, vm.address.name, &ResolvedVm::name);
    const bool known = declared != fleet.vms.end();
    const auto guest = std::ranges::find(live.vms, vm.vmid, &LiveVm::vmid);
    json["vms"].push_back({{"address", to_text(vm.address)},
                           {"name", vm.address.name},
                           {"role", text_or_null(known ? declared->role : "")},
                           {"lane", text_or_null(known ? declared->lane : "")},
                           {"vmid", vm.vmid.number},
                           {"node", text_or_null(vm.node)},
                           {"presence", to_word(vm.presence)},
                           {"power", vm.power == PowerState::kRunning   ? "running"
                                     : vm.power == PowerState::kStopped ? "stopped"
                                     : vm.power == PowerState::kPaused  ? "paused"
                                                                        : "unknown"},
                           {"blocked", text_or_null(vm.blocked)},
                           {"options", settings_json(vm.options)},
                           {"live", guest == live.vms.end() ? Json(nullptr) : live_json(*guest)},
                           {"disks", std::move(disks)}});
  }
  json["findings"] = Json::array();
  for (const Finding& finding : diff.findings) json["findings"].push_back(finding_json(finding));
  return print(json);
}

std::string diagnostics_json(std::span<const Diagnostic> diagnostics, const SourceSet& sources, bool valid) {
  const auto place = [&sources](const SourceSpan& span) -> Json {
    if (!span.known()) return nullptr;
    return {
        {"file", sources.file(span.file).name}, {"line", span.line}, {"column", span.column}, {"length", span.length}};
  };
  Json json = record("validate");
  json["valid"] = valid;
  json["diagnostics"] = Json::array();
  for (const Diagnostic& diagnostic : diagnostics) {
    Json notes = Json::array();
    for (const Note& note : diagnostic.notes) notes.push_back({{"text", note.text}, {"place", place(note.span)}});
    json["diagnostics"].push_back({{"severity", cli::to_word(diagnostic.severity)},
                                   {"code", diagnostic.code},
                                   {"summary", diagnostic.summary},
                                   {"detail", text_or_null(diagnostic.detail)},
                                   {"place", place(diagnostic.span)},
                                   {"notes", std::move(notes)}});
  }
  return print(json);
}

std::string event_json(const Plan& plan, const Event& event, const std::string& time) {
  Json json = {{"time", time}};
  std::visit(EventFields{json}, event);
  std::visit(
      [&](const auto& e) {
        if constexpr (requires { e.operation; }) {
          json["operation"] = e.operation;
          const auto operation = std::ranges::find(plan.operations, e.operation, &Operation::id);
          json["address"] = operation == plan.operations.end() ? Json(nullptr) : Json(to_text(operation->address));
        }
      },
      event);
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace pvr::cli
