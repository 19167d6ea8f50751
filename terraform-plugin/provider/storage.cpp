#include <fmt/format.h>

#include <algorithm>

#include "reconciler/resolve/explain.h"
#include "terraform-plugin/provider/resource.h"

namespace pvr::tf {
namespace {

Schema make_schema() {
  Schema out;
  out.version = 1;
  out.help =
      "A storage of the cluster. It is created when it is missing, and its properties are kept; `manage = false` only "
      "states "
      "facts about it for the rules. Destroying the resource forgets it: the entry and what lies there stay.";
  out.attributes.push_back(required("id", Shape::kText, "Storage id."));
  for (Attribute& attribute : attributes_of(fleet_tables().storage)) out.attributes.push_back(std::move(attribute));
  out.attributes.push_back(timeouts_attribute());
  out.attributes.push_back(
      computed("resolved", Shape::kTextMap, "What configuration and rules come to, by property, as PVE writes it."));
  out.attributes.push_back(status_attribute());
  return out;
}

const Schema& storage_schema() {
  static const Schema kSchema = make_schema();
  return kSchema;
}

FleetText text_of(const Value& config) {
  FleetText text;
  text.line(0, "storages:");
  text.mapping(1, config["id"].text_or_empty(), fleet_tables().storage, config, {});
  return text;
}

void put_resolved(Value& state, const ResolvedFleet& fleet) {
  Map resolved;
  if (const ResolvedStorage* storage = find_storage(fleet, state["id"].text_or_empty())) {
    for (const Explanation& explanation : explain_all(fleet, *storage))
      resolved.insert_or_assign(explanation.key, Value(explanation.value));
  }
  set(state, "resolved", Value(std::move(resolved)));
}

const StorageDiff* diff_of(const Diff& diff, const std::string& id) {
  const auto found =
      std::ranges::find(diff.storages, id, [](const StorageDiff& storage) { return storage.address.name; });
  return found == diff.storages.end() ? nullptr : &*found;
}

Value status_of(const StorageDiff& diff) {
  bool waits = false;
  return tf::status_of(VmDiff{.options = diff.properties}, waits);
}

std::string target_of(const Value& config) { return "storage/" + config["id"].text_or_empty(); }

class StorageResource final : public Resource {
 public:
  const Schema& schema() const override { return storage_schema(); }

  Messages validate(Session& session, const Value& config) const override {
    Messages out = shape_problems(config, schema().attributes);
    std::ranges::move(timeout_problems(config), std::back_inserter(out));
    if (has_errors(out) || has_unknown(config) || !session.configured()) return out;
    std::ranges::move(load(session, config).messages, std::back_inserter(out));
    return out;
  }

  Answer read(Session& session, const Value& state) const override {
    const Loaded loaded = load(session, state);
    if (!loaded.document) return {.value = state, .messages = loaded.messages};
    const auto seen = session.status(loaded.document);
    if (!seen) return {.value = state, .messages = {message_of(seen.error(), "reading the storage")}};
    const std::string id = state["id"].text_or_empty();
    // A storage of which only facts are stated may be the only thing that says so.
    const bool* managed = state["manage"].flag();
    if (seen->live.storage(id) == nullptr && (managed == nullptr || *managed)) return {};
    Value now = state;
    if (const LiveStorage* live = seen->live.storage(id); live != nullptr && now["type"].is_null())
      set(now, "type", Value(live->type));
    put_resolved(now, seen->fleet);
    const StorageDiff* diff = diff_of(seen->diff, id);
    set(now, "status", diff == nullptr ? Value(Map{}) : status_of(*diff));
    return {.value = std::move(now)};
  }

  Planned plan(Session& session, const Value& prior, const Value& config) const override {
    Planned out{.state = config};
    if (config.is_null()) {
      out.messages.push_back(
          {.level = Level::kWarning,
           .summary = "The storage stays",
           .detail = fmt::format("storage/{} is only forgotten: its entry in the cluster and what lies there "
                                 "stay.",
                                 prior["id"].text_or_empty())});
      return out;
    }
    set(out.state, "resolved", Value(Unknown{}));
    set(out.state, "status", Value(Unknown{}));
    if (!prior.is_null() && config["id"].is_known() && prior["id"] != config["id"]) {
      out.messages.push_back({.summary = "The id of a storage cannot change",
                              .detail = "PVE has no way to rename one. Declare another storage and move the disks.",
                              .path = {attribute("id")}});
      return out;
    }
    out.messages = shape_problems(config, schema().attributes);
    if (has_errors(out.messages) || has_unknown(config) || !session.configured()) return out;
    const Loaded loaded = load(session, config);
    out.messages = loaded.messages;
    if (!loaded.document) return out;
    auto made = session.plan({.document = loaded.document, .targets = {target_of(config)}});
    if (!made) {
      out.messages.push_back(message_of(made.error(), "planning"));
      return out;
    }
    out.messages = refusals(*made, prior, config);
    if (has_errors(out.messages)) return out;
    session.declare_storage(config["id"].text_or_empty(), text_of(config));
    put_resolved(out.state, made->fleet);
    if (!prior.is_null() && made->plan.empty()) {
      Value same = out.state;
      set(same, "status", prior["status"]);
      if (same == prior) out.state = same;
    }
    if (out.state != prior) {
      std::ranges::move(cost_messages(made->plan), std::back_inserter(out.messages));
      std::ranges::move(finding_messages(made->plan), std::back_inserter(out.messages));
    }
    return out;
  }

  Answer apply(Session& session, const Value& prior, const Value& planned, const Value& config,
               const std::string&) const override {
    if (planned.is_null()) return {};
    const Loaded loaded = load(session, config);
    if (!loaded.document) return {.value = prior, .messages = loaded.messages};
    const auto judge = [&](const PlanResult& fresh) {
      Messages found = refusals(fresh, prior, config);
      std::erase_if(found, [](const Message& message) { return message.level == Level::kWarning; });
      return found;
    };
    auto done = session.apply({.document = loaded.document, .targets = {target_of(config)}}, judge,
                              timeout_of(planned, prior.is_null() ? "create" : "update"));
    if (!done) return {.value = prior, .messages = {message_of(done.error(), "applying")}};
    session.declare_storage(config["id"].text_or_empty(), text_of(config));
    if (has_errors(done->messages)) return {.value = prior, .messages = std::move(done->messages)};
    const Answer now = read(session, planned_known(planned));
    if (now.value.is_null())
      return {.value = prior, .messages = {{.summary = "The storage is not there after its creation"}}};
    Value state = planned;
    for (const char* name : {"resolved", "status"}) {
      if (state[name].is_unknown()) set(state, name, now.value[name]);
    }
    return {.value = std::move(state), .messages = now.messages};
  }

  Answer import(Session& session, const std::string& id) const override {
    const Value state = conformed(Value(Map{{"id", Value(id)}}), schema().attributes);
    Value probe = state;
    set(probe, "type", Value("dir"));
    set(probe, "path", Value("/"));
    set(probe, "manage", Value(false));
    const Loaded loaded = load(session, probe);
    if (!loaded.document) return {.messages = loaded.messages};
    const auto seen = session.status(loaded.document);
    if (!seen) return {.messages = {message_of(seen.error(), "reading the storage")}};
    const LiveStorage* live = seen->live.storage(id);
    if (live == nullptr)
      return {.messages = {{.summary = "There is no such storage", .detail = fmt::format("\"{}\" is none.", id)}}};
    Value found = state;
    set(found, "type", Value(live->type));
    put_properties(found, fleet_tables().storage, schema().attributes, Home::kStorageOption, live->properties);
    // PVE's default is said, too, where a rule would have it otherwise: an import changes nothing.
    const Loaded stated = load(session, found);
    const auto now = stated.document ? session.status(stated.document) : Result<StatusResult>(StatusResult{});
    if (const StorageDiff* diff = now ? diff_of(now->diff, id) : nullptr) {
      FlatMap<std::string> defaults;
      for (const SettingChange& change : diff->properties) {
        const Setting* setting = find_setting(Home::kStorageOption, change.key);
        const bool by_default = change.state == SettingState::kDiffers && is_absent(change.configured);
        if (by_default && setting != nullptr) defaults.set(change.key, std::string(setting->default_text));
      }
      put_properties(found, fleet_tables().storage, schema().attributes, Home::kStorageOption, defaults);
    }
    return {.value = std::move(found)};
  }

  Answer upgrade(std::int64_t, const Value& old) const override {
    return {.value = conformed(old, schema().attributes)};
  }

  Answer move(const std::string& provider, const std::string& type, const Value&) const override {
    return {
        .messages = {{.summary = "Cannot move from this type", .detail = fmt::format("{} of {}.", type, provider)}}};
  }

 private:
  static Loaded load(Session& session, const Value& config) {
    return session.load(text_of(config), "", config["id"].text_or_empty());
  }
  static Value planned_known(Value planned) {
    for (const char* name : {"resolved", "status"}) {
      if (planned[name].is_unknown()) set(planned, name, Value());
    }
    return planned;
  }
  static Messages refusals(const PlanResult& result, const Value& prior, const Value& config) {
    Messages out = plan_errors(result);
    const bool asked =
        prior.is_null() || std::ranges::any_of(storage_schema().attributes, [&](const Attribute& row) {
          return (row.optional || row.required) && row.name != "timeouts" && prior[row.name] != config[row.name];
        });
    for (const BlockedItem& item : result.plan.blocked)
      out.push_back(blocked_message(item, item.by_policy && asked ? Level::kError : Level::kWarning));
    if (const StorageDiff* diff = diff_of(result.diff, config["id"].text_or_empty())) {
      for (const std::string& fixed : diff->fixed)
        out.push_back({.level = asked ? Level::kError : Level::kWarning,
                       .summary = "A property that cannot change",
                       .detail = fixed});
    }
    return out;
  }
};

}  // namespace

std::unique_ptr<Resource> storage_resource() { return std::make_unique<StorageResource>(); }

}  // namespace pvr::tf
