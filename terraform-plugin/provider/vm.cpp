#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <set>

#include "reconciler/resolve/explain.h"
#include "terraform-plugin/provider/resource.h"

namespace pvr::tf {
namespace {

constexpr std::int64_t kVersion = 1;
constexpr std::string_view kCreate = "create";
constexpr std::string_view kDestroy = "destroy";

// Computed from what is live, so unknown whenever something is going to be done.
constexpr auto kLive =
    std::to_array<std::string_view>({"smbios_uuid", "current_node", "power", "volumes", "status", "restart_pending"});

Schema make_schema() {
  Schema out;
  out.version = kVersion;
  out.help =
      "A VM, by what it is for. Role, lane and what lies under a disk decide every disk setting; `resolved` and "
      "`reasons` say "
      "what and why. Disks are known by their names: order means nothing, and a slot is an attribute like any other. "
      "Nothing "
      "ever replaces a VM: what cannot change in place is an error that says what to do.";
  out.attributes.push_back(required("name", Shape::kText, "Name of the guest. It can be changed."));
  for (Attribute& attribute : attributes_of(fleet_tables().vm)) out.attributes.push_back(std::move(attribute));
  Attribute protection =
      given("deletion_protection", Shape::kBool,
            "Whether the VM cannot be destroyed. Default `true`: to destroy it, set `false`, apply, and "
            "only then take the resource away.");
  protection.computed = true;
  out.attributes.push_back(std::move(protection));
  out.attributes.push_back(timeouts_attribute());
  out.attributes.push_back(computed("id", Shape::kText, "The vmid, as text."));
  out.attributes.push_back(computed(
      "impact", Shape::kText,
      "What the last planned change costs the users of the guest: `create`, `none`, `live`, `pending-restart`, "
      "`restart`, `online-copy`, `offline-copy` or `destroy`."));
  out.attributes.push_back(
      computed("resolved", Shape::kTextMap,
               "What configuration, role and rules come to, by `option` or `disk/option`, as PVE writes it."));
  out.attributes.push_back(computed("reasons", Shape::kTextMap, "Where each of these values comes from."));
  out.attributes.push_back(status_attribute());
  out.attributes.push_back(computed("restart_pending", Shape::kBool,
                                    "Whether something is written that the running guest does not have yet."));
  out.attributes.push_back(computed("smbios_uuid", Shape::kText, "SMBIOS uuid of the guest: its identity."));
  out.attributes.push_back(computed("current_node", Shape::kText, "Node the guest is on."));
  out.attributes.push_back(computed("power", Shape::kText, "`running`, `stopped`, `paused` or `unknown`."));
  out.attributes.push_back(computed("volumes", Shape::kTextMap, "Volume of each disk."));
  return out;
}

const Schema& vm_schema() {
  static const Schema kSchema = make_schema();
  return kSchema;
}

FleetText text_of(const Value& config, const std::string& uuid) {
  Value shown = config;
  if (!uuid.empty() && shown["uuid"].is_null()) set(shown, "uuid", Value(uuid));
  FleetText text;
  text.line(0, "vms:");
  text.mapping(1, config["name"].text_or_empty(), fleet_tables().vm, shown, {});
  return text;
}

/// The uuid of a guest that this configuration makes. An apply that was cut off finds its guest again by it, and takes
/// no other guest of the same number for its own.
std::string uuid_for(const std::string& cluster, std::int64_t vmid, const std::string& name) {
  const std::string seed = fmt::format("pvereconcile/terraform/{}/{}/{}", cluster, vmid, name);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  EVP_Digest(seed.data(), seed.size(), digest.data(), &length, EVP_sha256(), nullptr);
  digest[6] = static_cast<unsigned char>((digest[6] & 0x0fU) | 0x80U);  // version 8: of our own making
  digest[8] = static_cast<unsigned char>((digest[8] & 0x3fU) | 0x80U);
  std::string out;
  for (std::size_t i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) out += '-';
    out += fmt::format("{:02x}", digest.at(i));
  }
  return out;
}

std::string word_of(PowerState power) {
  switch (power) {
    case PowerState::kStopped:
      return "stopped";
    case PowerState::kRunning:
      return "running";
    case PowerState::kPaused:
      return "paused";
    case PowerState::kUnknown:
      break;
  }
  return "unknown";
}

/// "rule C1: …", "role ai", "lane pinned", "configuration": without places, which would change with every line above.
std::string reason_of(const Explanation& explanation) {
  const std::string& from = explanation.from;
  if (from.starts_with("role ") || from.starts_with("lane ")) return from.substr(0, from.find(','));
  if (from.starts_with("rule ") || from.starts_with("PVE")) return from;
  return "configuration";
}

void put_resolved(Value& state, const ResolvedFleet& fleet, const std::string& name) {
  const ResolvedVm* vm = find_vm(fleet, name);
  if (vm == nullptr) return;
  Map resolved, reasons;
  const auto take = [&](const std::string& prefix, const std::vector<Explanation>& list) {
    for (const Explanation& explanation : list) {
      resolved.insert_or_assign(prefix + explanation.key, Value(explanation.value));
      reasons.insert_or_assign(prefix + explanation.key, Value(reason_of(explanation)));
    }
  };
  take("", explain_all(fleet, *vm));
  for (const ResolvedDisk& disk : vm->disks) take(disk.name + "/", explain_all(fleet, *vm, disk));
  set(state, "resolved", Value(std::move(resolved)));
  set(state, "reasons", Value(std::move(reasons)));
}

/// The computed attributes that tell of the live guest.
void put_live(Value& state, const VmDiff& diff, const LiveState& live) {
  const LiveVm* guest = live.vm(diff.vmid);
  if (guest == nullptr) return;
  bool waits = false;
  set(state, "status", status_of(diff, waits));
  set(state, "restart_pending", Value(waits));
  set(state, "smbios_uuid", Value(guest->uuid));
  set(state, "current_node", Value(guest->node));
  set(state, "power", Value(word_of(guest->power)));
  Map volumes;
  for (const DiskDiff& disk : diff.disks) {
    if (disk.volume) volumes.insert_or_assign(disk.name, Value(to_text(*disk.volume)));
  }
  set(state, "volumes", Value(std::move(volumes)));
}

const VmDiff* diff_of(const Diff& diff, const std::string& name) {
  const auto found = std::ranges::find(diff.vms, name, [](const VmDiff& vm) { return vm.address.name; });
  return found == diff.vms.end() ? nullptr : &*found;
}

/// Drift, where somebody declared the setting: the state says what the guest has, so that a plan shows it.
void put_drift(Value& declared, const std::vector<Attribute>& attributes, const Table& table,
               const std::vector<SettingChange>& settings) {
  for (const SettingChange& change : settings) {
    if (change.state != SettingState::kDiffers || is_absent(change.configured)) continue;
    for (const Field& field : table.fields) {
      if ((field.lowered.empty() ? field.name : field.lowered) != change.key) continue;
      std::string name(field.name);
      std::ranges::replace(name, '-', '_');
      const Attribute* attribute = find_attribute(attributes, name);
      if (attribute == nullptr || !declared[name].is_known()) continue;
      Value live = value_of(field, *attribute, change.configured);
      if (live.is_known()) set(declared, name, std::move(live));
    }
  }
}

void put_drift(Value& state, const VmDiff& diff) {
  const std::vector<Attribute>& attributes = vm_schema().attributes;
  put_drift(state, attributes, fleet_tables().vm, diff.options);
  const Attribute* disks = find_attribute(attributes, "disks");
  Map* map = state.map();
  const auto found = map == nullptr ? Map::iterator() : map->find("disks");
  if (disks == nullptr || map == nullptr || found == map->end() || found->second.map() == nullptr) return;
  for (const DiskDiff& disk : diff.disks) {
    const auto declared = found->second.map()->find(disk.name);
    if (declared == found->second.map()->end()) continue;
    put_drift(declared->second, disks->nested, fleet_tables().disk, disk.settings);
    if (disk.grow_to && disk.live_size && declared->second["size"].is_known())
      set(declared->second, "size", Value(to_text(*disk.live_size)));
  }
}

/// Whether what the user wrote for a part differs from what is in the state.
bool asked_for(const Value& prior, const Value& config, const std::string& part) {
  if (prior.is_null()) return true;
  for (const Attribute& attribute : vm_schema().attributes) {
    if (!attribute.optional && !attribute.required) continue;
    if (attribute.name == "deletion_protection" || attribute.name == "timeouts" || attribute.name == "disks") continue;
    if (prior[attribute.name] != config[attribute.name]) return true;
  }
  if (part.empty()) return prior["disks"] != config["disks"];
  return prior["disks"][part] != config["disks"][part];
}

/// What a plan may not do. `known`: what the user has approved; empty: nothing yet.
Messages refusals(const PlanResult& result, const Value& prior, const Value& config, const Session& session) {
  Messages out = plan_errors(result);
  const VmDiff* diff = diff_of(result.diff, config["name"].text_or_empty());
  if (prior.is_null() && diff != nullptr && !session.was_touched(diff->vmid.number)) {
    const LiveVm* guest = result.live.vm(diff->vmid);
    if (diff->presence == Presence::kWrongIdentity && config["uuid"].is_null()) {
      out.push_back(
          {.summary = "The number is taken",
           .detail = fmt::format("There is a guest {} already (\"{}\"), and this configuration did not make it. To "
                                 "manage it: terraform import ADDRESS {}. Otherwise choose another vmid.",
                                 diff->vmid.number, guest == nullptr ? "?" : guest->name, diff->vmid.number),
           .path = {attribute("vmid")}});
      return out;
    }
  }
  for (const BlockedItem& item : result.plan.blocked) {
    const bool error = item.by_policy && asked_for(prior, config, item.address.part);
    out.push_back(blocked_message(item, error ? Level::kError : Level::kWarning));
  }
  return out;
}

class VmResource final : public Resource {
 public:
  const Schema& schema() const override { return vm_schema(); }

  Messages validate(Session& session, const Value& config) const override {
    Messages out = shape_problems(config, schema().attributes);
    std::ranges::move(timeout_problems(config), std::back_inserter(out));
    if (const std::string* state = config["state"].text(); state != nullptr && *state == "absent")
      out.push_back({.summary = "Not this way",
                     .detail = "To destroy the VM, set deletion_protection = false, apply, and take the resource away.",
                     .path = {attribute("state")}});
    if (has_errors(out) || has_unknown(config) || !session.configured()) return out;
    const FleetText text = text_of(config, "");
    std::ranges::move(session.load(text, config["name"].text_or_empty(), "pvereconcile_vm").messages,
                      std::back_inserter(out));
    return out;
  }

  Answer read(Session& session, const Value& from) const override {
    const auto vmid = from["vmid"].integer();
    if (!vmid) return {.value = from, .messages = {{.summary = "No vmid in the state"}}};
    Value state = from;
    if (was_never_read(from)) {
      // Moved here from another provider's type, with no more than name and number. With what the guest has, the plan
      // shows what the configuration changes about it, instead of every attribute as a new one.
      if (auto adopted = session.adopt_guest(Vmid{static_cast<std::uint32_t>(*vmid)});
          adopted && !adopted->document.vms.empty()) {
        std::vector<std::string> without;
        state = value_of(adopted->document.vms.front(), schema().attributes, without);
        set(state, "name", from["name"]);
        set(state, "deletion_protection", from["deletion_protection"]);
      }
    }
    Loaded loaded = session.load(text_of(state, state["smbios_uuid"].text_or_empty()), state["name"].text_or_empty(),
                                 "pvereconcile_vm");
    if (!loaded.document) {
      // The fleet file may have changed below the state; that is for the next plan to judge.
      const FleetText bare = text_of(bare_state(state), state["smbios_uuid"].text_or_empty());
      loaded = session.load(bare, state["name"].text_or_empty(), "pvereconcile_vm");
      if (!loaded.document) return {.value = state, .messages = std::move(loaded.messages)};
    }
    const auto seen = session.status(loaded.document);
    if (!seen) return {.value = state, .messages = {message_of(seen.error(), "reading the guest")}};
    const VmDiff* diff = diff_of(seen->diff, state["name"].text_or_empty());
    if (diff == nullptr) {
      Messages why;
      for (const Diagnostic& diagnostic : seen->diagnostics) {
        if (diagnostic.severity == Severity::kError)
          why.push_back({.level = Level::kWarning, .summary = diagnostic.summary, .detail = diagnostic.detail});
      }
      return {.value = state, .messages = std::move(why)};
    }
    switch (diff->presence) {
      case Presence::kMissing:
        return {};
      case Presence::kUnreadable:
        return {.value = state,
                .messages = {{.level = Level::kWarning,
                              .summary = "The guest cannot be read",
                              .detail = diff->blocked + ". What the state says of it may be out of date."}}};
      case Presence::kWrongIdentity:
        return {.value = state,
                .messages = {
                    {.summary = "Another machine has the number",
                     .detail = fmt::format("{}. Nothing is done to it. Forget this one with terraform state rm, or "
                                           "restore it.",
                                           diff->blocked)}}};
      default:
        break;
    }
    Value now = state;
    set(now, "id", Value(fmt::format("{}", *vmid)));
    if (now["deletion_protection"].is_null()) set(now, "deletion_protection", Value(true));
    if (now["impact"].is_null()) set(now, "impact", Value("none"));
    put_drift(now, *diff);
    if (const LiveVm* guest = seen->live.vm(diff->vmid); guest != nullptr && !guest->name.empty())
      set(now, "name", Value(guest->name));
    put_resolved(now, seen->fleet, state["name"].text_or_empty());
    put_live(now, *diff, seen->live);
    return {.value = std::move(now)};
  }

  Planned plan(Session& session, const Value& prior, const Value& config) const override {
    if (config.is_null()) return plan_destroy(session, prior);
    Planned out{.state = config, .note = std::string(prior.is_null() ? kCreate : "update")};
    Value& state = out.state;
    if (state["deletion_protection"].is_null()) set(state, "deletion_protection", Value(true));
    const auto vmid = config["vmid"].integer();
    const auto had = prior["vmid"].integer();
    if (had && vmid && *had != *vmid) {
      out.messages.push_back(
          {.summary = "The number of a VM cannot change",
           .detail = fmt::format("PVE has no way to renumber {} to {}. Back the guest up and restore it "
                                 "under the new number, then import that.",
                                 *had, *vmid),
           .path = {attribute("vmid")}});
      return out;
    }
    set(state, "id", vmid ? Value(fmt::format("{}", *vmid)) : Value(Unknown{}));
    for (const char* name : {"impact", "resolved", "reasons"}) set(state, name, Value(Unknown{}));
    for (const std::string_view name : kLive) set(state, name, Value(Unknown{}));
    out.messages = shape_problems(config, schema().attributes);
    if (has_errors(out.messages) || has_unknown(config) || !session.configured() || !vmid) return out;

    const Result<std::string> uuid = identity(session, prior, config, *vmid);
    if (!uuid) {
      out.messages.push_back(message_of(uuid.error(), "looking at the cluster"));
      return out;
    }
    const std::string name = config["name"].text_or_empty();
    Loaded loaded = session.load(text_of(config, *uuid), name, "pvereconcile_vm");
    out.messages = loaded.messages;
    if (!loaded.document) return out;
    auto made = session.plan({.document = loaded.document, .targets = {"vm/" + name}});
    if (!made) {
      out.messages.push_back(message_of(made.error(), "planning"));
      return out;
    }
    std::ranges::move(refusals(*made, prior, config, session), std::back_inserter(out.messages));
    if (has_errors(out.messages)) return out;
    put_resolved(state, made->fleet, name);
    const bool changes = !made->plan.empty();
    if (prior.is_null())
      set(state, "impact", Value(kCreate));
    else
      set(state, "impact", changes ? Value(impact_word(made->plan)) : prior["impact"]);
    // Identity stays; the rest stays when there is nothing to do and nothing else is declared.
    if (!prior.is_null()) {
      set(state, "smbios_uuid", prior["smbios_uuid"]);
      if (!changes) {
        set(state, "current_node", prior["current_node"]);
        set(state, "power", prior["power"]);
        if (same_declaration(prior, state)) {
          set(state, "volumes", prior["volumes"]);
          set(state, "status", prior["status"]);
          set(state, "restart_pending", prior["restart_pending"]);
        }
      }
      for (const std::string_view live : kLive) {
        if (state[live].is_null()) set(state, live, Value(Unknown{}));
      }
      if (state["impact"].is_null()) set(state, "impact", Value("none"));
    }
    if (state != prior) {
      std::ranges::move(cost_messages(made->plan), std::back_inserter(out.messages));
      std::ranges::move(finding_messages(made->plan), std::back_inserter(out.messages));
    }
    return out;
  }

  Answer apply(Session& session, const Value& prior, const Value& planned, const Value& config,
               const std::string& note) const override {
    if (planned.is_null()) return destroy(session, prior, note);
    const auto vmid = config["vmid"].integer();
    if (!vmid) return {.value = prior, .messages = {{.summary = "No vmid"}}};
    const Result<std::string> uuid = identity(session, prior, config, *vmid);
    if (!uuid) return {.value = prior, .messages = {message_of(uuid.error(), "looking at the cluster")}};
    const std::string name = config["name"].text_or_empty();
    Loaded loaded = session.load(text_of(config, *uuid), name, "pvereconcile_vm");
    if (!loaded.document) return {.value = prior, .messages = std::move(loaded.messages)};

    // What was shown is what is done: no worse than planned.
    const std::string approved = planned["impact"].text_or_empty();
    const auto judge = [&](const PlanResult& fresh) {
      Messages found = refusals(fresh, prior, config, session);
      const std::string now = impact_word(fresh.plan);
      const bool known = !approved.empty() && approved != kCreate;
      if (known && rank_of(now) > std::max(rank_of(approved), 1))
        found.push_back({.summary = "The cluster has changed since the plan",
                         .detail = fmt::format("The plan said {}, now it would be {}. Plan again.", approved, now)});
      std::erase_if(found, [](const Message& message) { return message.level == Level::kWarning; });
      return found;
    };
    auto done = session.apply({.document = loaded.document, .targets = {"vm/" + name}}, judge,
                              timeout_of(planned, prior.is_null() ? "create" : "update"));
    if (!done) return {.value = prior, .messages = {message_of(done.error(), "applying")}};
    Messages messages = std::move(done->messages);
    const bool failed = has_errors(messages);
    if (!failed) session.touched(*vmid);

    // A failure keeps what exists in the state: a new guest as far as it came, an old one as it was declared before.
    Value state = failed && !prior.is_null() ? prior : planned;
    const auto seen = session.status(loaded.document);
    const VmDiff* diff = seen ? diff_of(seen->diff, name) : nullptr;
    if (diff == nullptr) {
      if (!failed)
        messages.push_back(seen ? Message{.summary = "The guest cannot be read back"}
                                : message_of(seen.error(), "reading the guest back"));
      if (prior.is_null() && !guest_may_exist(*done)) return {.messages = std::move(messages)};
      return {.value = without_unknown(state, prior), .messages = std::move(messages)};
    }
    if (diff->presence == Presence::kMissing) {
      if (!failed)
        messages.push_back({.summary = "The guest is gone", .detail = "It does not exist after its creation."});
      return {.messages = std::move(messages)};
    }
    if (diff->presence == Presence::kWrongIdentity && prior.is_null()) return {.messages = std::move(messages)};
    if (state["resolved"].is_unknown() || state["resolved"].is_null()) put_resolved(state, seen->fleet, name);
    if (state["impact"].is_unknown())
      set(state, "impact", Value(prior.is_null() ? std::string(kCreate) : impact_word(done->plan.plan)));
    Value live = state;
    put_live(live, *diff, seen->live);
    for (const std::string_view attribute : kLive) {
      if (failed || state[attribute].is_unknown()) set(state, attribute, live[attribute]);
    }
    return {.value = without_unknown(state, prior), .messages = std::move(messages)};
  }

  Answer import(Session& session, const std::string& id) const override {
    const auto slash = id.rfind('/');
    const std::string node = slash == std::string::npos ? "" : id.substr(0, slash);
    const auto vmid = Value(slash == std::string::npos ? id : id.substr(slash + 1)).integer();
    if (!vmid || *vmid < 100)
      return {.messages = {{.summary = "Not a VM", .detail = fmt::format("\"{}\": write VMID or NODE/VMID.", id)}}};
    const auto rows = session.guests();
    if (!rows) return {.messages = {message_of(rows.error(), "listing the guests")}};
    const auto row =
        std::ranges::find(*rows, *vmid, [](const GuestRow& guest) { return std::int64_t{guest.vmid.number}; });
    if (row == rows->end() || row->type != "qemu")
      return {
          .messages = {{.summary = "There is no such VM", .detail = fmt::format("No VM has the number {}.", *vmid)}}};
    if (!node.empty() && row->node != node)
      return {.messages = {{.summary = "The VM is elsewhere",
                            .detail = fmt::format("{} is on {}, not on {}.", *vmid, row->node, node)}}};
    auto adopted = session.adopt_guest(row->vmid);
    if (!adopted) return {.messages = {message_of(adopted.error(), "reading the guest")}};
    Answer out;
    if (adopted->document.vms.empty()) {
      // Its number and name suffice to manage it; what is declared then is compared with what it has.
      out.value = conformed(Value(Map{{"name", Value(row->name)}, {"vmid", Value(*vmid)}}), schema().attributes);
      std::string why;
      for (const std::string& sentence : adopted->left_out) why += (why.empty() ? "" : "\n") + sentence;
      out.messages = {{.level = Level::kWarning,
                       .summary = "The guest is imported by its number alone",
                       .detail = why + "\nIts settings are not in the state; the first plan compares them."}};
    } else {
      std::vector<std::string> without;
      out.value = value_of(adopted->document.vms.front(), schema().attributes, without);
      for (const std::string& key : without)
        out.messages.push_back({.level = Level::kWarning,
                                .summary = "Left as it is",
                                .detail = fmt::format("{} of the guest has no attribute for what it says.", key)});
    }
    set(out.value, "deletion_protection", Value(true));
    return out;
  }

  Answer upgrade(std::int64_t version, const Value& old) const override {
    Value state = old;
    // Version 0 had the disks in a list, each with its name.
    if (const List* list = old["disks"].list(); version == 0 && list != nullptr) {
      Map disks;
      for (const Value& disk : *list) {
        const std::string name = disk["name"].text_or_empty();
        if (name.empty() || disks.contains(name))
          return {.messages = {{.summary = "The state cannot be upgraded",
                                .detail = "It has a disk without a name, or two of the same name."}}};
        Value part = disk;
        if (Map* map = part.map()) map->erase("name");
        disks.emplace(name, std::move(part));
      }
      set(state, "disks", Value(std::move(disks)));
    }
    if (version == 0 && state["deletion_protection"].is_null()) set(state, "deletion_protection", Value(true));
    return {.value = conformed(state, schema().attributes)};
  }

  Answer move(const std::string& provider, const std::string& type, const Value& old) const override {
    Map state{{"deletion_protection", Value(true)}};
    if (type == "proxmox_virtual_environment_vm") {
      // bpg: vm_id is a number; id the same as text.
      auto vmid = old["vm_id"].integer();
      if (!vmid) vmid = old["id"].integer();
      if (vmid) state.insert_or_assign("vmid", Value(*vmid));
      state.insert_or_assign("name", Value(old["name"].text_or_empty()));
    } else if (type == "proxmox_vm_qemu") {
      // Telmate: id is NODE/qemu/VMID.
      auto vmid = old["vmid"].integer();
      const std::string id = old["id"].text_or_empty();
      if (!vmid || *vmid == 0) vmid = Value(id.substr(std::min(id.rfind('/') + 1, id.size()))).integer();
      if (vmid) state.insert_or_assign("vmid", Value(*vmid));
      state.insert_or_assign("name", Value(old["name"].text_or_empty()));
    } else {
      return {
          .messages = {{.summary = "Cannot move from this type",
                        .detail = fmt::format("{} of {}: known are proxmox_virtual_environment_vm (bpg/proxmox) and "
                                              "proxmox_vm_qemu (Telmate/proxmox).",
                                              type, provider)}}};
    }
    if (!state.contains("vmid") || state.at("name").text_or_empty().empty())
      return {.messages = {{.summary = "Cannot move", .detail = "The state of the source has no vmid, or no name."}}};
    return {.value = conformed(Value(std::move(state)), schema().attributes)};
  }

 private:
  static bool was_never_read(const Value& state) {
    return std::ranges::all_of(vm_schema().attributes, [&](const Attribute& attribute) {
      return attribute.name == "name" || attribute.name == "vmid" || attribute.name == "deletion_protection" ||
             state[attribute.name].is_null();
    });
  }

  static Value bare_state(const Value& state) { return Value(Map{{"name", state["name"]}, {"vmid", state["vmid"]}}); }

  static bool same_declaration(const Value& prior, const Value& state) {
    return std::ranges::all_of(vm_schema().attributes, [&](const Attribute& attribute) {
      const bool declared = (attribute.optional || attribute.required) && attribute.name != "timeouts";
      return !declared || prior[attribute.name] == state[attribute.name];
    });
  }

  static Result<std::string> identity(Session& session, const Value& prior, const Value& config, std::int64_t vmid) {
    if (!config["uuid"].is_null()) return std::string();  // stated
    if (!prior.is_null()) return prior["smbios_uuid"].text_or_empty();
    const auto cluster = session.cluster();
    if (!cluster) return Error(cluster.error());
    return uuid_for(cluster->name, vmid, config["name"].text_or_empty());
  }

  static bool guest_may_exist(const Session::Applied& applied) {
    return std::ranges::any_of(applied.report.operations,
                               [](const OperationReport& entry) { return entry.outcome != Outcome::kSkipped; });
  }

  static Value without_unknown(Value state, const Value& prior) {
    if (Map* map = state.map()) {
      for (auto& [name, value] : *map) {
        if (has_unknown(value)) value = prior.is_null() ? Value() : prior[name];
      }
    }
    return state;
  }

  Planned plan_destroy(Session& session, const Value& prior) const {
    Planned out{.note = std::string(kDestroy)};
    const bool* guarded = prior["deletion_protection"].flag();
    if (guarded == nullptr || *guarded) {
      out.messages.push_back(
          {.summary = "The VM is protected",
           .detail = fmt::format("vm/{} has deletion_protection. To destroy it, set deletion_protection = "
                                 "false and apply; then destroy.",
                                 prior["name"].text_or_empty()),
           .path = {attribute("deletion_protection")}});
      return out;
    }
    if (!session.configured()) return out;
    auto made = destruction(session, prior);
    if (!made) {
      out.messages.push_back(made.error().kind == ErrorKind::kInterrupted
                                 ? Message{.summary = "Interrupted"}
                                 : message_of(made.error(), "planning the removal"));
      return out;
    }
    for (const BlockedItem& item : made->plan.blocked) out.messages.push_back(blocked_message(item, Level::kError));
    std::ranges::move(cost_messages(made->plan), std::back_inserter(out.messages));
    return out;
  }

  static Loaded removal_document(Session& session, const Value& prior) {
    Value gone = bare_state(prior);
    set(gone, "state", Value("absent"));
    set(gone, "allow", Value(List{Value("destroy"), Value("restart")}));
    return session.load(text_of(gone, prior["smbios_uuid"].text_or_empty()), prior["name"].text_or_empty(),
                        "pvereconcile_vm");
  }

  static Result<PlanResult> destruction(Session& session, const Value& prior) {
    Loaded loaded = removal_document(session, prior);
    if (!loaded.document)
      return Error{.kind = ErrorKind::kBroken,
                   .message = loaded.messages.empty() ? "no document" : loaded.messages.front().detail};
    return session.plan({.document = loaded.document, .targets = {"vm/" + prior["name"].text_or_empty()}});
  }

  Answer destroy(Session& session, const Value& prior, const std::string& note) const {
    const auto vmid = prior["vmid"].integer().value_or(0);
    const bool* guarded = prior["deletion_protection"].flag();
    const bool protection = guarded == nullptr || *guarded;
    if (note != kDestroy && (protection || session.was_touched(vmid))) {
      // The destroying half of a replacement, as for a tainted object. A guest is never made anew over its data: the
      // other half brings the one that exists to what is declared.
      return {.messages = {{.level = Level::kWarning,
                            .summary = "The VM is kept",
                            .detail = "A protected VM is not replaced but brought to its configuration in place."}}};
    }
    if (protection)
      return {.value = prior,
              .messages = {{.summary = "The VM is protected", .detail = "Set deletion_protection = false first."}}};
    if (session.was_touched(vmid))
      return {.value = prior,
              .messages = {{.summary = "Not destroyed",
                            .detail = "This run has just brought the VM of this number to its configuration."}}};
    Loaded loaded = removal_document(session, prior);
    if (!loaded.document) return {.value = prior, .messages = std::move(loaded.messages)};
    const std::string name = prior["name"].text_or_empty();
    const auto judge = [](const PlanResult& fresh) {
      Messages found = plan_errors(fresh);
      for (const BlockedItem& item : fresh.plan.blocked) found.push_back(blocked_message(item, Level::kError));
      return found;
    };
    auto done =
        session.apply({.document = loaded.document, .targets = {"vm/" + name}}, judge, timeout_of(prior, "delete"));
    if (!done) return {.value = prior, .messages = {message_of(done.error(), "destroying the guest")}};
    if (has_errors(done->messages)) return {.value = prior, .messages = std::move(done->messages)};
    return {.messages = std::move(done->messages)};
  }
};

}  // namespace

std::unique_ptr<Resource> vm_resource() { return std::make_unique<VmResource>(); }

}  // namespace pvr::tf
