#include <fmt/format.h>

#include <algorithm>

#include "terraform-plugin/provider/fleet_source.h"
#include "terraform-plugin/provider/resource.h"

namespace pvr::tf {

void add_source_attributes(Schema& schema) {
  schema.attributes.push_back(given("file", Shape::kText, "Fleet file or directory. This or `yaml`."));
  schema.attributes.push_back(given("yaml", Shape::kText, "The fleet itself, as a text. This or `file`."));
  schema.attributes.push_back(
      given("targets", Shape::kTexts, "Only these: `vm/ai-01`, `vm/ai-01/models`, `storage/san`."));
  schema.attributes.push_back(given(
      "allow", Shape::kTexts, "What may be done to any guest of the fleet: `restart`, `offline-copy`, `destroy`."));
}

Messages source_problems(const Value& config) {
  Messages out;
  if (config["file"].is_unknown() || config["yaml"].is_unknown()) return out;
  if (config["file"].is_null() == config["yaml"].is_null())
    out.push_back({.summary = "One source", .detail = "State either file or yaml.", .path = {attribute("file")}});
  if (const List* words = config["allow"].list()) {
    for (std::size_t i = 0; i < words->size(); ++i) {
      const std::string* word = (*words)[i].text();
      if (word != nullptr && *word != "restart" && *word != "offline-copy" && *word != "destroy")
        out.push_back({.summary = "Unknown word",
                       .detail = fmt::format("\"{}\": restart, offline-copy and destroy can be allowed.", *word),
                       .path = {attribute("allow"), index(static_cast<std::int64_t>(i))}});
    }
  }
  return out;
}

Loaded load_source(const Session& session, const Value& config) {
  if (const std::string* path = config["file"].text()) return session.load_fleet_path(*path);
  return session.load_fleet_text(config["yaml"].text_or_empty());
}

Wish wish_of(const Value& config, std::shared_ptr<const FleetDocument> document) {
  Wish wish{.document = std::move(document)};
  if (const List* targets = config["targets"].list()) {
    for (const Value& target : *targets) wish.targets.push_back(target.text_or_empty());
  }
  if (const List* words = config["allow"].list()) {
    for (const Value& word : *words) {
      wish.allow.restart = wish.allow.restart || word.text_or_empty() == "restart";
      wish.allow.offline_copy = wish.allow.offline_copy || word.text_or_empty() == "offline-copy";
      wish.allow.destroy = wish.allow.destroy || word.text_or_empty() == "destroy";
    }
  }
  return wish;
}

List changes_of(const Plan& plan) {
  List out;
  for (const Operation& operation : plan.operations)
    out.emplace_back(fmt::format("{}: {} ({})", to_text(operation.address), procedure_name(operation.procedure),
                                 to_text(operation.impact)));
  return out;
}

namespace {

Schema make_schema() {
  Schema out;
  out.version = 1;
  out.help =
      "A whole fleet file as one resource: what `pvereconcile apply` does. Destroying it forgets it: nothing of the "
      "fleet is "
      "touched.";
  add_source_attributes(out);
  out.attributes.push_back(timeouts_attribute());
  out.attributes.push_back(computed("id", Shape::kText, "SHA-256 of the fleet's texts."));
  out.attributes.push_back(computed("impact", Shape::kText, "Worst that the last planned change does to any guest."));
  out.attributes.push_back(computed("changes", Shape::kTexts, "Operations of the last plan that had any."));
  out.attributes.push_back(computed("pending", Shape::kTexts,
                                    "Operations that would bring the cluster to the fleet, as of the last look: empty "
                                    "when the cluster is as the fleet declares it."));
  out.attributes.push_back(computed("vms", Shape::kTexts, "Names of the fleet's VMs."));
  out.attributes.push_back(computed("applied", Shape::kText, "Mark of the last apply that changed something."));
  return out;
}

const Schema& fleet_schema() {
  static const Schema kSchema = make_schema();
  return kSchema;
}

Messages as_warnings(Messages messages) {
  for (Message& message : messages) {
    message.level = Level::kWarning;
    message.path.clear();
  }
  return messages;
}

class FleetResource final : public Resource {
 public:
  const Schema& schema() const override { return fleet_schema(); }

  Messages validate(Session& session, const Value& config) const override {
    Messages out = shape_problems(config, schema().attributes);
    std::ranges::move(timeout_problems(config), std::back_inserter(out));
    std::ranges::move(source_problems(config), std::back_inserter(out));
    if (has_errors(out) || has_unknown(config) || !session.configured()) return out;
    std::ranges::move(load_source(session, config).messages, std::back_inserter(out));
    return out;
  }

  Answer read(Session& session, const Value& state) const override {
    const Loaded loaded = load_source(session, state);
    if (!loaded.document) return {.value = state, .messages = as_warnings(loaded.messages)};
    const auto made = session.plan(wish_of(state, loaded.document));
    if (!made) return {.value = state, .messages = {message_of(made.error(), "reading the fleet")}};
    // The fleet's texts may have changed below the state; that is for the next plan to judge.
    if (!made->ok()) return {.value = state, .messages = as_warnings(plan_errors(*made))};
    Value now = state;
    set(now, "pending", Value(changes_of(made->plan)));
    return {.value = std::move(now)};
  }

  Planned plan(Session& session, const Value& prior, const Value& config) const override {
    Planned out{.state = config};
    if (config.is_null()) {
      out.messages.push_back({.level = Level::kWarning,
                              .summary = "The fleet stays",
                              .detail = "The fleet is only forgotten: its guests and storages stay as they are."});
      return out;
    }
    for (const char* name : {"id", "impact", "changes", "vms", "applied"}) set(out.state, name, Value(Unknown{}));
    // An apply does it all or fails.
    set(out.state, "pending", Value(List{}));
    out.messages = shape_problems(config, schema().attributes);
    std::ranges::move(source_problems(config), std::back_inserter(out.messages));
    if (has_errors(out.messages) || has_unknown(config) || !session.configured()) return out;
    const Loaded loaded = load_source(session, config);
    out.messages = loaded.messages;
    if (!loaded.document) return out;
    const auto made = session.plan(wish_of(config, loaded.document));
    if (!made) {
      out.messages.push_back(message_of(made.error(), "planning"));
      return out;
    }
    std::ranges::move(plan_errors(*made), std::back_inserter(out.messages));
    // One blocked guest does not stop a fleet: it is told, and the rest is done.
    for (const BlockedItem& item : made->plan.blocked) out.messages.push_back(blocked_message(item, Level::kWarning));
    if (has_errors(out.messages)) return out;
    set(out.state, "id", Value(loaded.document->hash));
    List names;
    for (const ResolvedVm& vm : made->fleet.vms) names.emplace_back(vm.name);
    set(out.state, "vms", Value(std::move(names)));
    if (made->plan.empty() && !prior.is_null()) {
      for (const char* name : {"impact", "changes", "applied"}) set(out.state, name, prior[name]);
    } else {
      set(out.state, "impact", Value(impact_word(made->plan)));
      set(out.state, "changes", Value(changes_of(made->plan)));
    }
    if (out.state != prior) std::ranges::move(cost_messages(made->plan), std::back_inserter(out.messages));
    return out;
  }

  Answer apply(Session& session, const Value& prior, const Value& planned, const Value& config,
               const std::string&) const override {
    if (planned.is_null()) return {};
    const Loaded loaded = load_source(session, config);
    if (!loaded.document) return {.value = prior, .messages = loaded.messages};
    const std::string approved = planned["impact"].text_or_empty();
    const auto judge = [&](const PlanResult& fresh) {
      Messages found = plan_errors(fresh);
      const std::string now = impact_word(fresh.plan);
      if (!approved.empty() && rank_of(now) > std::max(rank_of(approved), 1))
        found.push_back({.summary = "The cluster has changed since the plan",
                         .detail = fmt::format("The plan said {}, now it would be {}. Plan again.", approved, now)});
      return found;
    };
    auto done = session.apply(wish_of(config, loaded.document), judge,
                              timeout_of(planned, prior.is_null() ? "create" : "update"));
    if (!done) return {.value = prior, .messages = {message_of(done.error(), "applying")}};
    if (has_errors(done->messages)) return {.value = prior, .messages = std::move(done->messages)};
    Value state = planned;
    if (state["id"].is_unknown()) set(state, "id", Value(loaded.document->hash));
    if (state["impact"].is_unknown()) set(state, "impact", Value(impact_word(done->plan.plan)));
    if (state["changes"].is_unknown()) set(state, "changes", Value(changes_of(done->plan.plan)));
    if (state["vms"].is_unknown()) {
      List names;
      for (const ResolvedVm& vm : done->plan.fleet.vms) names.emplace_back(vm.name);
      set(state, "vms", Value(std::move(names)));
    }
    if (state["applied"].is_unknown()) set(state, "applied", Value(done->plan.plan.inputs.made_at));
    return {.value = std::move(state)};
  }

  Answer import(Session&, const std::string& id) const override {
    return {.value = conformed(Value(Map{{"file", Value(id)}}), schema().attributes)};
  }
  Answer upgrade(std::int64_t, const Value& old) const override {
    return {.value = conformed(old, schema().attributes)};
  }
  Answer move(const std::string& provider, const std::string& type, const Value&) const override {
    return {
        .messages = {{.summary = "Cannot move from this type", .detail = fmt::format("{} of {}.", type, provider)}}};
  }
};

}  // namespace

std::unique_ptr<Resource> fleet_resource() { return std::make_unique<FleetResource>(); }

}  // namespace pvr::tf
