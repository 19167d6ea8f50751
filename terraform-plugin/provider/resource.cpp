#include "terraform-plugin/provider/resource.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <set>

#include "reconciler/model/option_codec.h"
#include "reconciler/model/settings.h"

namespace pvr::tf {

Attribute given(std::string name, Shape shape, std::string help) {
  return {.name = std::move(name), .shape = shape, .help = std::move(help), .optional = true};
}
Attribute required(std::string name, Shape shape, std::string help) {
  return {.name = std::move(name), .shape = shape, .help = std::move(help), .required = true};
}
Attribute computed(std::string name, Shape shape, std::string help) {
  return {.name = std::move(name), .shape = shape, .help = std::move(help), .computed = true};
}

void set(Value& object, std::string_view name, Value value) {
  if (Map* map = object.map()) map->insert_or_assign(std::string(name), std::move(value));
}

// ---- timeouts ----

Attribute timeouts_attribute() {
  Attribute out =
      given("timeouts", Shape::kObject,
            "How long an operation may take, such as `30m` or `2h`. When the time is over, the effect under way "
            "is awaited and nothing new is begun. Without a limit it takes as long as it takes: the copy of a "
            "large disk takes hours.");
  for (const char* name : {"create", "update", "delete"})
    out.nested.push_back(given(name, Shape::kText, fmt::format("Limit for {}.", name)));
  return out;
}

std::optional<std::chrono::seconds> parse_duration(std::string_view text) {
  if (text.empty()) return std::nullopt;
  std::chrono::seconds total{0};
  while (!text.empty()) {
    std::int64_t number = 0;
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (fault != std::errc{} || number < 0 || number > 1'000'000) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (text.empty()) return std::nullopt;
    const char unit = text.front();
    text.remove_prefix(1);
    if (unit == 'h')
      total += std::chrono::hours(number);
    else if (unit == 'm')
      total += std::chrono::minutes(number);
    else if (unit == 's')
      total += std::chrono::seconds(number);
    else
      return std::nullopt;
  }
  return total;
}

Messages timeout_problems(const Value& config) {
  Messages out;
  const Map* limits = config["timeouts"].map();
  if (limits == nullptr) return out;
  for (const auto& [name, value] : *limits) {
    if (value.text() == nullptr || parse_duration(*value.text())) continue;
    out.push_back({.summary = "Not a duration",
                   .detail = fmt::format("\"{}\" is none; write 90s, 30m, 2h or 1h30m.", *value.text()),
                   .path = {attribute("timeouts"), attribute(name)}});
  }
  return out;
}

std::chrono::seconds timeout_of(const Value& value, std::string_view operation) {
  return parse_duration(value["timeouts"][operation].text_or_empty()).value_or(std::chrono::seconds(0));
}

// ---- what a plan costs ----

namespace {

constexpr auto kWords = std::to_array<std::string_view>(
    {"none", "live", "pending-restart", "restart", "online-copy", "offline-copy", "destroy"});

std::string_view word_of(Impact impact) { return kWords.at(static_cast<std::size_t>(impact)); }

std::string joined(const std::set<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out;
}

}  // namespace

std::string impact_word(const Plan& plan) {
  Impact worst = Impact::kNone;
  for (const Operation& operation : plan.operations) worst = std::max(worst, operation.impact);
  return std::string(word_of(worst));
}

int rank_of(std::string_view impact_word) {
  const auto found = std::ranges::find(kWords, impact_word);
  return found == kWords.end() ? 0 : static_cast<int>(found - kWords.begin());
}

Path path_of(const ResourceAddress& address) {
  if (address.kind == AddressKind::kVm && !address.part.empty()) return {attribute("disks"), key(address.part)};
  if (address.kind == AddressKind::kHa) return {attribute("ha")};
  if (address.kind == AddressKind::kReplication) return {attribute("replication")};
  return {};
}

Messages cost_messages(const Plan& plan) {
  std::map<std::string, std::set<std::string>> pending, restarts, destroyed;
  Messages out;
  for (const Operation& operation : plan.operations) {
    const std::string name = operation.address.name;
    if (operation.impact == Impact::kPendingRestart) {
      for (const PlannedChange& change : operation.changes)
        pending[name].insert(operation.address.part.empty() ? change.key : operation.address.part + "/" + change.key);
    } else if (operation.impact == Impact::kRestart) {
      for (const PlannedChange& change : operation.changes) restarts[name].insert(change.key);
    } else if (operation.impact == Impact::kDestroy) {
      for (const PlannedChange& change : operation.changes) destroyed[name].insert(change.key + " " + change.from);
    }
    if (!operation.copy) continue;
    const bool offline = operation.impact == Impact::kOfflineCopy;
    std::string detail =
        fmt::format("{}: about {} min", to_text(operation.address), (operation.copy->estimate.count() + 59) / 60);
    if (operation.copy->downtime.count() > 0)
      detail += fmt::format(", the guest is down for about {} s", operation.copy->downtime.count());
    out.push_back(
        {.level = Level::kWarning,
         .summary = fmt::format("Copies {} {}", to_human(operation.copy->bytes), offline ? "offline" : "online"),
         .detail = detail + ". The old volume is retired, not deleted.",
         .path = path_of(operation.address)});
  }
  const auto tell = [&out](const auto& found, std::string_view summary, std::string_view tail) {
    for (const auto& [name, keys] : found)
      out.push_back({.level = Level::kWarning,
                     .summary = fmt::format("{}: {}", summary, name),
                     .detail = fmt::format("{}: {}", joined(keys), tail)});
  };
  tell(pending, "Restart needed",
       "written now, active after the next restart of the guest. allow = [\"restart\"] has it restarted.");
  tell(restarts, "Restarts the guest", "needs the guest to be stopped for a moment.");
  tell(destroyed, "Destroys data", "cannot be undone.");
  return out;
}

Messages finding_messages(const Plan& plan) {
  Messages out;
  for (const Finding& finding : plan.findings) {
    if (finding.severity == Severity::kNotice) continue;
    std::string detail = finding.what;
    if (!finding.fix.empty()) detail += "\n" + finding.fix;
    out.push_back({.level = Level::kWarning,
                   .summary = fmt::format("Rule {}: {}", finding.rule, to_text(finding.where)),
                   .detail = detail,
                   .path = path_of(finding.where)});
  }
  return out;
}

Message blocked_message(const BlockedItem& item, Level level) {
  std::string remedy = item.remedy;
  // The words of the command line in those of the configuration.
  for (const auto& [from, to] :
       {std::pair<std::string_view, std::string_view>{"--allow restart", "allow = [\"restart\"]"},
        {"--allow offline-copy", "allow = [\"offline-copy\"]"},
        {"--allow destroy", "allow = [\"destroy\"]"}}) {
    if (const auto at = remedy.find(from); at != std::string::npos) remedy.replace(at, from.size(), to);
  }
  std::string detail = fmt::format("{}: {}", to_text(item.address), item.why);
  if (!remedy.empty()) detail += "\nWhat helps: " + remedy;
  return {
      .level = level, .summary = fmt::format("Cannot {}", item.what), .detail = detail, .path = path_of(item.address)};
}

Messages plan_errors(const PlanResult& result) {
  Messages out;
  for (const Diagnostic& diagnostic : result.diagnostics) {
    if (diagnostic.severity == Severity::kError)
      out.push_back({.summary = diagnostic.summary, .detail = diagnostic.detail});
  }
  return out;
}

// ---- three truths ----

Attribute status_attribute() {
  Attribute out =
      computed("status", Shape::kNamed,
               "Settings whose three truths are not one, by `option` or `disk/option`. Nothing in it: the guest is "
               "and runs as declared.");
  out.nested = {computed("declared", Shape::kText, "What configuration, role and rules want."),
                computed("configured", Shape::kText, "What the guest will have after its next start."),
                computed("running", Shape::kText, "What the running guest has."),
                computed("state", Shape::kText,
                         "`differs`, `waits-for-restart`, `finding-only`, `cannot-tell`, `missing` or `blocked`.")};
  return out;
}

namespace {

std::string shown(const std::string& key, const OptionValue& value) {
  if (is_absent(value)) return "unset";
  const Setting* setting = std::holds_alternative<PropertyString>(value) ? find_setting(Home::kVmOption, key) : nullptr;
  return setting == nullptr ? to_text(value) : print_option(*setting, value);
}

Value entry_of(std::string declared, std::string configured, std::string running, std::string state) {
  return Value(Map{{"declared", Value(std::move(declared))},
                   {"configured", Value(std::move(configured))},
                   {"running", Value(std::move(running))},
                   {"state", Value(std::move(state))}});
}

void collect(Map& out, const std::string& prefix, const std::vector<SettingChange>& settings, bool& waits) {
  for (const SettingChange& change : settings) {
    std::string state;
    switch (change.state) {
      case SettingState::kInSync:
        continue;
      case SettingState::kDiffers:
        state = "differs";
        break;
      case SettingState::kWaitsForRestart:
        state = "waits-for-restart";
        waits = true;
        break;
      case SettingState::kFindingOnly:
        state = "finding-only";
        break;
      case SettingState::kCannotTell:
        state = "cannot-tell";
        break;
    }
    out.insert_or_assign(prefix + change.key,
                         entry_of(shown(change.key, change.desired.value), shown(change.key, change.configured),
                                  shown(change.key, change.running), state));
  }
}

}  // namespace

Value status_of(const VmDiff& diff, bool& waits_for_restart) {
  Map out;
  waits_for_restart = false;
  collect(out, "", diff.options, waits_for_restart);
  if (!diff.blocked.empty()) out.insert_or_assign("guest", entry_of("present", diff.blocked, "", "blocked"));
  for (const DiskDiff& disk : diff.disks) {
    const std::string slot = to_text(disk.desired_slot);
    if (disk.match == DiskMatch::kMissing && !disk.absent && !disk.detached)
      out.insert_or_assign(disk.name, entry_of(slot, "none", "none", "missing"));
    else if (!disk.blocked.empty())
      out.insert_or_assign(disk.name, entry_of(slot, disk.blocked, "", "blocked"));
    if (disk.grow_to)
      out.insert_or_assign(disk.name + "/size",
                           entry_of(to_text(*disk.grow_to), disk.live_size ? to_text(*disk.live_size) : "unknown",
                                    disk.live_size ? to_text(*disk.live_size) : "unknown", "differs"));
    if (disk.move_to)
      out.insert_or_assign(disk.name + "/storage",
                           entry_of(*disk.move_to, disk.volume ? disk.volume->storage : "unknown",
                                    disk.volume ? disk.volume->storage : "unknown", "differs"));
    collect(out, disk.name + "/", disk.settings, waits_for_restart);
  }
  return Value(std::move(out));
}

}  // namespace pvr::tf
