#include <fmt/format.h>

#include <algorithm>

#include "terraform-plugin/provider/resource.h"

namespace pvr::tf {
namespace {

Schema make_schema() {
  Schema out;
  out.version = 1;
  out.help =
      "A guest under HA, for guests that are managed elsewhere. A guest that pvereconcile_vm manages states `ha` "
      "there. "
      "Destroying the resource takes the guest out of HA; the guest itself stays as it is.";
  out.attributes.push_back(required("vmid", Shape::kNumber, "Number of the guest."));
  for (Attribute& attribute : attributes_of(fleet_tables().ha)) out.attributes.push_back(std::move(attribute));
  out.attributes.push_back(timeouts_attribute());
  out.attributes.push_back(computed("id", Shape::kText, "HA's name of the guest: `vm:VMID`."));
  out.attributes.push_back(computed("sync", Shape::kText, "`in-sync` or `differs`."));
  return out;
}

const Schema& ha_schema() {
  static const Schema kSchema = make_schema();
  return kSchema;
}

class HaResource final : public Resource {
 public:
  const Schema& schema() const override { return ha_schema(); }

  Messages validate(Session&, const Value& config) const override {
    Messages out = shape_problems(config, schema().attributes);
    std::ranges::move(timeout_problems(config), std::back_inserter(out));
    return out;
  }

  Answer read(Session& session, const Value& state) const override {
    const auto guest = guest_of(session, state);
    if (!guest) return {.value = state, .messages = {message_of(guest.error(), "listing the guests")}};
    if (guest->empty()) return {};
    const Loaded loaded = load(session, state, *guest, true);
    if (!loaded.document) return {.value = state, .messages = loaded.messages};
    const auto seen = session.status(loaded.document);
    if (!seen) return {.value = state, .messages = {message_of(seen.error(), "reading HA")}};
    const std::string sid = sid_of(state);
    if (std::ranges::find(seen->live.ha, sid, &LiveHa::sid) == seen->live.ha.end()) return {};
    Value now = state;
    set(now, "id", Value(sid));
    const auto entry = std::ranges::find(seen->diff.ha, sid, &HaDiff::sid);
    const bool differs = entry != seen->diff.ha.end() && entry->action != HaDiff::Action::kNone;
    set(now, "sync", Value(differs ? "differs" : "in-sync"));
    return {.value = std::move(now)};
  }

  Planned plan(Session& session, const Value& prior, const Value& config) const override {
    Planned out{.state = config};
    if (config.is_null()) return out;
    out.messages = shape_problems(config, schema().attributes);
    const auto vmid = config["vmid"].integer();
    set(out.state, "id", vmid ? Value(sid_of(config)) : Value(Unknown{}));
    set(out.state, "sync", Value("in-sync"));
    if (!prior.is_null() && vmid && prior["vmid"] != config["vmid"]) {
      out.messages.push_back({.summary = "Another guest",
                              .detail = "The guest of an HA resource cannot change: declare another resource.",
                              .path = {attribute("vmid")}});
    }
    if (has_errors(out.messages) || has_unknown(config) || !session.configured()) return out;
    const auto guest = guest_of(session, config);
    if (!guest) {
      out.messages.push_back(message_of(guest.error(), "listing the guests"));
      return out;
    }
    if (guest->empty()) return out;  // made earlier in this run, perhaps
    const Loaded loaded = load(session, config, *guest, true);
    out.messages = loaded.messages;
    if (!loaded.document) return out;
    const auto made = session.plan({.document = loaded.document, .targets = {"ha/" + *guest}});
    if (!made) {
      out.messages.push_back(message_of(made.error(), "planning"));
      return out;
    }
    out.messages = plan_errors(*made);
    for (const BlockedItem& item : made->plan.blocked) out.messages.push_back(blocked_message(item, Level::kError));
    return out;
  }

  Answer apply(Session& session, const Value& prior, const Value& planned, const Value& config,
               const std::string&) const override {
    const bool wanted = !planned.is_null();
    const Value& of = wanted ? config : prior;
    const auto guest = guest_of(session, of);
    if (!guest) return {.value = prior, .messages = {message_of(guest.error(), "listing the guests")}};
    if (guest->empty()) {
      if (!wanted) return {};
      return {.value = prior,
              .messages = {{.summary = "There is no such guest", .detail = sid_of(of), .path = {attribute("vmid")}}}};
    }
    const Loaded loaded = load(session, of, *guest, wanted);
    if (!loaded.document) return {.value = prior, .messages = loaded.messages};
    const auto judge = [](const PlanResult& fresh) {
      Messages found = plan_errors(fresh);
      for (const BlockedItem& item : fresh.plan.blocked) found.push_back(blocked_message(item, Level::kError));
      return found;
    };
    const char* operation = !wanted ? "delete" : prior.is_null() ? "create" : "update";
    auto done =
        session.apply({.document = loaded.document, .targets = {"ha/" + *guest}}, judge, timeout_of(of, operation));
    if (!done) return {.value = prior, .messages = {message_of(done.error(), "applying")}};
    if (has_errors(done->messages)) return {.value = prior, .messages = std::move(done->messages)};
    return {.value = planned};
  }

  Answer import(Session& session, const std::string& id) const override {
    const auto vmid = Value(id.starts_with("vm:") ? id.substr(3) : id).integer();
    if (!vmid) return {.messages = {{.summary = "Not a guest", .detail = fmt::format("\"{}\": write vm:VMID.", id)}}};
    Value state = conformed(Value(Map{{"vmid", Value(*vmid)}}), schema().attributes);
    const auto guest = guest_of(session, state);
    if (!guest) return {.messages = {message_of(guest.error(), "listing the guests")}};
    if (guest->empty())
      return {
          .messages = {{.summary = "There is no such guest", .detail = fmt::format("No VM is {}.", sid_of(state))}}};
    const Loaded loaded = load(session, state, *guest, true);
    if (!loaded.document) return {.messages = loaded.messages};
    const auto seen = session.status(loaded.document);
    if (!seen) return {.messages = {message_of(seen.error(), "reading HA")}};
    const auto live = std::ranges::find(seen->live.ha, sid_of(state), &LiveHa::sid);
    if (live == seen->live.ha.end())
      return {.messages = {{.summary = "Not under HA",
                            .detail = fmt::format("{} exists and HA does not manage it.", sid_of(state))}}};
    put_properties(state, fleet_tables().ha, schema().attributes, Home::kHa, live->properties);
    return {.value = std::move(state)};
  }
  Answer upgrade(std::int64_t, const Value& old) const override {
    return {.value = conformed(old, schema().attributes)};
  }
  Answer move(const std::string& provider, const std::string& type, const Value&) const override {
    return {
        .messages = {{.summary = "Cannot move from this type", .detail = fmt::format("{} of {}.", type, provider)}}};
  }

 private:
  static std::string sid_of(const Value& value) { return fmt::format("vm:{}", value["vmid"].integer().value_or(0)); }

  /// What it is called in our text; empty: there is no such guest.
  static Result<std::string> guest_of(Session& session, const Value& value) {
    const auto rows = session.guests();
    if (!rows) return Error(rows.error());
    const auto row = std::ranges::find(*rows, value["vmid"].integer().value_or(0),
                                       [](const GuestRow& guest) { return std::int64_t{guest.vmid.number}; });
    if (row == rows->end() || row->type != "qemu") return std::string();
    // HA knows a guest by its number. Its name may be none the fleet language takes, and for some seconds after its
    // creation the list has only a stand-in for it, "VM 301".
    return fmt::format("vm-{}", row->vmid.number);
  }

  static Loaded load(Session& session, const Value& value, const std::string& guest, bool wanted) {
    FleetText text;
    text.line(0, "vms:");
    text.line(1, in_quotes(guest) + ":");
    text.line(2, fmt::format("vmid: {}", value["vmid"].integer().value_or(0)), {attribute("vmid")});
    FleetText fields;
    fields.fields(3, fleet_tables().ha, value, {});
    if (!wanted) {
      text.line(2, "ha: false");
    } else if (fields.text().empty()) {
      text.line(2, "ha: true");
    } else {
      text.line(2, "ha:");
      text.fields(3, fleet_tables().ha, value, {});
    }
    Loaded loaded = session.load(text, guest, "pvereconcile_ha_resource");
    if (loaded.document) {
      // What it is called here is nothing it is to be called.
      FleetDocument document = *loaded.document;
      for (WrittenVm& vm : document.vms) vm.options.erase("name");
      loaded.document = std::make_shared<const FleetDocument>(std::move(document));
    }
    return loaded;
  }
};

}  // namespace

std::unique_ptr<Resource> ha_resource() { return std::make_unique<HaResource>(); }

}  // namespace pvr::tf
