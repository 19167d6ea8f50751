#include "reconciler/audit/audit.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <tuple>

#include "reconciler/audit/auditor.h"
#include "reconciler/base/text.h"
#include "reconciler/base/timestamp.h"

namespace pvr {
namespace {

/// DISK, NEW-DISK: a word the reader must replace.
bool has_placeholder(std::string_view command) {
  while (!command.empty()) {
    const std::size_t end = std::min(command.find(' '), command.size());
    const std::string_view word = command.substr(0, end);
    if (word.size() > 2 && word.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ-") == std::string_view::npos) return true;
    command.remove_prefix(std::min(end + 1, command.size()));
  }
  return false;
}

bool is_command(std::string_view fix) {
  static constexpr std::string_view kTools[] = {"zfs set ", "zpool ", "pvesm set ", "systemctl "};
  const auto tool = std::ranges::find_if(kTools, [fix](std::string_view name) { return fix.starts_with(name); });
  return tool != std::end(kTools) && fix.find("; ") == std::string_view::npos &&
         fix.find(" names ") == std::string_view::npos && !has_placeholder(fix);
}

// "cluster" first, then nodes and what lies on them, then guests by number.
std::tuple<int, std::uint64_t, std::string_view> rank(const AuditFinding& finding) {
  const std::string_view subject = finding.subject;
  if (subject.starts_with("node/")) return {1, 0, subject};
  if (subject.starts_with("storage/")) return {2, 0, subject};
  if (subject.starts_with("vm/")) {
    std::uint64_t number = 0;
    for (const char c : subject.substr(3)) {
      if (c < '0' || c > '9') break;
      number = number * 10 + static_cast<std::uint64_t>(c - '0');
    }
    return {3, number, subject};
  }
  return {subject == "cluster" ? 0 : 4, 0, subject};
}

/// Guests are known by number or by name: "vm/301/scsi0", "vm/dc-01/scsi0".
bool is_about(const AuditFinding& finding, std::string_view pattern) {
  if (glob_matches(pattern, finding.subject)) return true;
  if (!finding.subject.starts_with("vm/") || finding.name.empty()) return false;
  const std::size_t slash = finding.subject.find('/', 3);
  const std::string rest = slash == std::string::npos ? std::string() : finding.subject.substr(slash);
  return glob_matches(pattern, "vm/" + finding.name + rest);
}

std::vector<std::string_view> host_rules() {
  return {"Z2", "Z3", "Z5", "Z6", "Z7", "Z8", "Z11", "Z12", "Z13", "Z14", "Z15", "Z16", "F2"};
}
constexpr std::string_view kHostChecks =
    "properties of zvols and pools, ashift, TRIM, log and special devices, ARC, swap, scrubs, fragmentation, the "
    "OpenZFS "
    "version";

}  // namespace

std::string_view to_text(FixEffect effect) {
  switch (effect) {
    case FixEffect::kNow:
      return "live";
    case FixEffect::kRestart:
      return "restart";
    case FixEffect::kNewVolumes:
      return "new volumes only";
    case FixEffect::kCopy:
      return "copy";
    case FixEffect::kByHand:
      break;
  }
  return "by hand";
}

std::size_t count_of(const AuditReport& report, Severity severity) {
  return static_cast<std::size_t>(std::ranges::count(report.findings, severity, &AuditFinding::severity));
}

std::string label_of(const LiveVm& vm) {
  return vm.name.empty() ? fmt::format("{}", vm.vmid.number) : fmt::format("{} ({})", vm.name, vm.vmid.number);
}

std::string_view property_of(const LiveStorage& storage, std::string_view key) {
  const std::string* text = storage.properties.find(key);
  return text != nullptr ? std::string_view(*text) : std::string_view{};
}

bool is_on(const LiveStorage& storage, std::string_view node) {
  if (property_of(storage, "disable") == "1") return false;
  const std::string_view nodes = property_of(storage, "nodes");
  return nodes.empty() || list_holds(nodes, node);
}

bool holds_images(const LiveStorage& storage) {
  const std::string_view content = property_of(storage, "content");
  return content.empty() ? !allowed_content(storage.type).empty() && list_holds(allowed_content(storage.type), "images")
                         : list_holds(content, "images");
}

Auditor::Auditor(const AuditInput& input) : in_(input), live_(*input.live), facts_(*input.facts) {}

std::string Auditor::finding_id(std::string_view rule, int number, std::string_view subject) {
  return number == 1 ? fmt::format("{}@{}", rule, subject) : fmt::format("{}.{}@{}", rule, number, subject);
}

void Auditor::take_fix(AuditFinding& finding, std::string fix) {
  if (is_command(fix)) {
    finding.fix.commands.push_back(std::move(fix));
    finding.fix.effect = FixEffect::kNow;
  } else {
    finding.fix.advice = std::move(fix);
  }
}

const LiveHost* Auditor::host(std::string_view node) const {
  const auto at = std::ranges::find_if(in_.hosts, [node](const LiveHost& h) { return h.node == node && h.readable; });
  return at == in_.hosts.end() ? nullptr : &*at;
}

const ResolvedVm* Auditor::declared(Vmid vmid) const {
  if (in_.fleet == nullptr) return nullptr;
  const auto at = std::ranges::find_if(
      in_.fleet->vms, [vmid](const ResolvedVm& vm) { return vm.vmid == vmid && vm.state != VmState::kAbsent; });
  return at == in_.fleet->vms.end() ? nullptr : &*at;
}

void Auditor::add(AuditFinding finding) { report_.findings.push_back(std::move(finding)); }

void Auditor::note_unchecked() {
  for (const std::string& gap : live_.gaps) report_.not_checked.push_back({{}, "part of the cluster", gap});
  for (const LiveVm& vm : live_.vms) {
    if (!vm.readable && !vm.is_container)
      report_.not_checked.push_back({{}, fmt::format("guest {}", label_of(vm)), vm.problem});
  }
  std::vector<std::string> blind;
  for (const LiveNode& node : live_.nodes) {
    if (!node.online) continue;
    const auto at = std::ranges::find(in_.hosts, node.name, &LiveHost::node);
    if (at == in_.hosts.end()) {
      blind.push_back(node.name);
    } else if (!at->readable) {
      report_.not_checked.push_back({host_rules(), fmt::format("node {}: {}", node.name, kHostChecks), at->problem});
    } else {
      for (const std::string& gap : at->gaps)
        report_.not_checked.push_back({{}, fmt::format("node {}", node.name), gap});
    }
  }
  if (!blind.empty()) {
    report_.not_checked.push_back(
        {host_rules(), fmt::format("node{} {}: {}", blind.size() == 1 ? "" : "s", fmt::join(blind, ", "), kHostChecks),
         "the API does not tell; it needs host access (SSH)"});
  }
  if (in_.backup_jobs == nullptr)
    report_.not_checked.push_back(
        {{"T5"}, "backup jobs", in_.backup_jobs_gap.empty() ? "they were not read" : in_.backup_jobs_gap});
  for (const std::string& storage : media_unknown_) {
    report_.not_checked.push_back({{"D2", "C3"},
                                   fmt::format("storage {}: whether its disks should have ssd=1", storage),
                                   "the API does not tell what drives lie below; state media: ssd or hdd in a fleet"});
  }
  if (containers_ != 0) {
    report_.not_checked.push_back(
        {{}, fmt::format("{} container{}", containers_, containers_ == 1 ? "" : "s"), "the rules are about VMs"});
  }
}

AuditReport Auditor::run() {
  report_.cluster_name = live_.cluster_name;
  report_.partial = live_.partial;
  for (const LiveVm& vm : live_.vms) {
    if (vm.is_container) {
      ++containers_;
      continue;
    }
    if (!vm.readable) continue;
    ++report_.guests;
    audit_guest(vm);
  }
  audit_storages();
  audit_nodes();
  audit_volumes();
  audit_backups();
  note_unchecked();
  std::ranges::stable_sort(report_.findings, [](const AuditFinding& a, const AuditFinding& b) {
    if (a.severity != b.severity) return a.severity > b.severity;
    return std::tuple_cat(rank(a), std::tuple(std::string_view(a.rule), std::string_view(a.id))) <
           std::tuple_cat(rank(b), std::tuple(std::string_view(b.rule), std::string_view(b.id)));
  });
  return std::move(report_);
}

void suppress(AuditReport& report, std::span<const WrittenSuppression> entries,
              std::chrono::system_clock::time_point now) {
  const std::string today = rfc3339(now).substr(0, std::string_view("2026-11-21").size());
  for (const WrittenSuppression& entry : entries) {
    const std::string name = fmt::format("The suppression of {} on {}", entry.rule, entry.subject);
    if (!entry.until.empty() && entry.until < today) {
      report.remarks.push_back(fmt::format("{} ended on {}.", name, entry.until));
      continue;
    }
    bool any = false;
    for (std::size_t i = 0; i < report.findings.size();) {
      AuditFinding& finding = report.findings[i];
      if (finding.rule != entry.rule || !is_about(finding, entry.subject)) {
        ++i;
        continue;
      }
      any = true;
      report.suppressed.push_back({std::move(finding), entry.reason, entry.until});
      report.findings.erase(report.findings.begin() + static_cast<std::ptrdiff_t>(i));
    }
    if (!any) report.remarks.push_back(name + " fits no finding.");
  }
}

AuditReport audit(const AuditInput& input) { return Auditor(input).run(); }

}  // namespace pvr
