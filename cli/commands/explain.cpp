#include "reconciler/resolve/explain.h"

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>
#include <utility>

#include "cli/commands.h"
#include "cli/interruption.h"
#include "cli/load.h"
#include "cli/outcome.h"
#include "cli/planning.h"
#include "reconciler/resolve/resolve.h"

namespace pvr::cli {
namespace {

using Json = nlohmann::json;

/// Whether the user told where a cluster is. Without one the fleet is explained by what it states.
bool has_cluster(const Invocation& invocation, const Terminal& terminal, const FleetDocument& document) {
  if (invocation.simulate || !invocation.endpoints.empty() || !document.cluster.endpoints.empty()) return true;
  const auto found = connection_options(terminal.environment, {}, document.cluster);
  return found.ok() && !found->endpoints.empty();
}

struct Question {
  ResourceAddress address = {};
  std::string key = {};  // empty: everything
};

/// vm/NAME [DISK-OR-SLOT] [KEY], vm/NAME/DISK [KEY], NAME …, storage/ID [KEY], host/NODE[/DATASET] [KEY]. Error: a
/// sentence.
Result<Question> read_question(const std::vector<std::string>& words, const ResolvedFleet& fleet) {
  const auto refuse = [](std::string text) { return Error{.kind = ErrorKind::kRejected, .message = std::move(text)}; };
  const std::string& first = words.front();
  auto address = parse_address(first);
  if (!address && first.find('/') == std::string::npos) address = ResourceAddress{AddressKind::kVm, first, {}};
  if (!address || (address->kind != AddressKind::kVm && address->kind != AddressKind::kStorage &&
                   address->kind != AddressKind::kHost)) {
    return refuse(fmt::format("\"{}\" is no address: vm/NAME, storage/ID or host/NODE", first));
  }
  Question question{.address = *address};
  std::vector<std::string> rest(words.begin() + 1, words.end());
  if (address->kind == AddressKind::kHost) {
    if (find_host_part(fleet, address->name, address->part) == nullptr)
      return refuse(fmt::format("the fleet says nothing about {}", first));
    if (rest.size() > 1) return refuse("a host takes one key");
  } else if (address->kind == AddressKind::kStorage) {
    if (find_storage(fleet, address->name) == nullptr)
      return refuse(fmt::format("there is no storage \"{}\" in the fleet", address->name));
    if (rest.size() > 1) return refuse("a storage takes one key");
  } else {
    const ResolvedVm* vm = find_vm(fleet, address->name);
    if (vm == nullptr) return refuse(fmt::format("there is no VM \"{}\" in the fleet", address->name));
    if (question.address.part.empty() && !rest.empty() && find_disk(*vm, rest.front()) != nullptr) {
      question.address.part = rest.front();
      rest.erase(rest.begin());
    }
    if (!question.address.part.empty() && find_disk(*vm, question.address.part) == nullptr) {
      return refuse(fmt::format("VM \"{}\" has no disk \"{}\"", address->name, question.address.part));
    }
    if (rest.size() > 1) return refuse(fmt::format("VM \"{}\" has no disk \"{}\"", address->name, rest.front()));
  }
  if (!rest.empty()) question.key = rest.front();
  return question;
}

std::vector<Explanation> answer(const Question& question, const ResolvedFleet& fleet) {
  std::vector<Explanation> found;
  const auto one = [&found](std::optional<Explanation> explanation) {
    if (explanation) found.push_back(*std::move(explanation));
  };
  if (question.address.kind == AddressKind::kHost) {
    const std::string& node = question.address.name;
    const ResolvedHostPart& part = *find_host_part(fleet, node, question.address.part);
    if (!question.key.empty()) {
      one(explain(fleet, node, part, question.key));
      return found;
    }
    found = explain_all(fleet, node, part);
    if (!part.name.empty()) return found;
    for (const ResolvedHostPart& below : std::ranges::find(fleet.hosts, node, &ResolvedHost::node)->parts) {
      if (below.name.empty()) continue;
      const std::vector<Explanation> more = explain_all(fleet, node, below);
      found.insert(found.end(), more.begin(), more.end());
    }
    return found;
  }
  if (question.address.kind == AddressKind::kStorage) {
    const ResolvedStorage& storage = *find_storage(fleet, question.address.name);
    if (question.key.empty()) return explain_all(fleet, storage);
    one(explain(fleet, storage, question.key));
    return found;
  }
  const ResolvedVm& vm = *find_vm(fleet, question.address.name);
  if (question.address.part.empty()) {
    if (!question.key.empty()) {
      one(explain(fleet, vm, question.key));
      return found;
    }
    found = explain_all(fleet, vm);
    for (const ResolvedDisk& disk : vm.disks) {
      const std::vector<Explanation> more = explain_all(fleet, vm, disk);
      found.insert(found.end(), more.begin(), more.end());
    }
    return found;
  }
  const ResolvedDisk& disk = *find_disk(vm, question.address.part);
  if (question.key.empty()) return explain_all(fleet, vm, disk);
  one(explain(fleet, vm, disk, question.key));
  return found;
}

Json steps_json(const std::vector<ExplainedStep>& steps) {
  Json list = Json::array();
  for (const ExplainedStep& step : steps)
    list.push_back({{"value", step.value.empty() ? Json(nullptr) : Json(step.value)}, {"from", step.from}});
  return list;
}

std::string explanations_json(const std::vector<Explanation>& explanations) {
  Json json = {{"format", "pvereconcile.explain"}, {"version", 1}, {"explanations", Json::array()}};
  for (const Explanation& e : explanations) {
    json["explanations"].push_back({{"address", to_text(e.address)},
                                    {"key", e.key},
                                    {"value", e.value},
                                    {"from", e.from},
                                    {"instead_of", steps_json(e.instead_of)},
                                    {"flagged_by", steps_json(e.flagged_by)},
                                    {"note", e.note.empty() ? Json(nullptr) : Json(e.note)},
                                    {"managed", e.managed}});
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

/// One answer is one line; several are grouped under their addresses.
std::string explanations_text(const std::vector<Explanation>& explanations, bool chain, const TextOptions& options) {
  std::string out;
  const auto line_of = [chain](const Explanation& e) { return chain ? chain_text(e) : one_line(e); };
  if (explanations.size() == 1) return line_of(explanations.front()) + '\n';
  std::string group;
  for (const Explanation& e : explanations) {
    const std::string address = to_text(e.address);
    if (address != group) out += (group.empty() ? "" : "\n") + options.style.bold(address) + '\n';
    group = address;
    std::string text = "  " + line_of(e);
    for (std::size_t at = text.find('\n'); at != std::string::npos; at = text.find('\n', at + 3))
      text.replace(at, 1, "\n  ");
    out += text + '\n';
  }
  return out;
}

}  // namespace

ExitCode run_explain(const Invocation& invocation, Terminal& terminal) {
  Interruption interruption([&](const std::string&) { tell(invocation, terminal, "Interrupted."); });
  const auto document = load_or_tell(invocation, terminal);
  if (!document) return ExitCode::kError;

  ResolvedFleet fleet;
  Diagnostics diagnostics;
  if (has_cluster(invocation, terminal, *document)) {
    const auto connection = Connection::open(invocation, terminal, document->cluster, interruption.token());
    if (!connection) return fail_with(invocation, terminal, connection.error());
    auto found = status((*connection)->pve(), (*connection)->clock(), document, {.zfs = (*connection)->zfs()},
                        interruption.token());
    if (!found) return fail_with(invocation, terminal, found.error());
    fleet = std::move(found->fleet);
    diagnostics = std::move(found->diagnostics);
  } else {
    tell(invocation, terminal, "No cluster was named: explained from what the fleet states.");
    Checked<ResolvedFleet> resolved = resolve(document, gather_facts(*document, nullptr));
    diagnostics = std::move(resolved.diagnostics);
    fleet = *std::move(resolved.value);
  }
  if (has_errors(diagnostics)) {
    // A fleet that breaks a rule can still be explained; that is when people ask.
    tell_diagnostics(invocation, terminal, diagnostics, *document->sources);
  }

  const auto question = read_question(invocation.words, fleet);
  if (!question) return fail_with(invocation, terminal, question.error());
  const std::vector<Explanation> explanations = answer(*question, fleet);
  if (explanations.empty()) {
    tell_error(invocation, terminal,
               fmt::format("{}: nobody stated \"{}\" and no rule speaks about it, so it is left alone",
                           to_text(question->address), question->key));
    return ExitCode::kError;
  }
  terminal.out << (invocation.output == OutputForm::kJson
                       ? explanations_json(explanations)
                       : explanations_text(explanations, invocation.chain, out_options(invocation, terminal)));
  return ExitCode::kDone;
}

}  // namespace pvr::cli
