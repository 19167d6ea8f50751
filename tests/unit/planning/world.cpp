#include "tests/unit/planning/world.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <tuple>

#include "reconciler/model/option_codec.h"
#include "reconciler/planning/verify_plan.h"

namespace pvr::testing {

OptionValue option(Home home, std::string_view key, std::string_view text) {
  const Setting* setting = find_setting(home, key);
  if (setting == nullptr) {
    ADD_FAILURE() << "no such setting: " << key;
    return {};
  }
  Result<OptionValue> value = parse_option(*setting, text);
  if (!value) {
    ADD_FAILURE() << key << "=" << text << ": " << value.error().message;
    return {};
  }
  return *value;
}

Resolved stated(Home home, std::string_view key, std::string_view text) {
  return {.value = option(home, key, text), .origin = FromDocument{.layer = Layer::kVm}};
}

Resolved by_rule(Home home, std::string_view key, std::string_view text, std::string_view rule) {
  return {.value = option(home, key, text), .origin = FromRule{.rule = rule}};
}

DriveSlot slot(std::string_view text) {
  const std::optional<DriveSlot> found = parse_slot(text);
  if (!found) ADD_FAILURE() << "no such slot: " << text;
  return found.value_or(DriveSlot{});
}

ResolvedDisk disk(std::string name, std::string_view at, std::string_view storage, std::string_view size,
                  std::string_view settings) {
  ResolvedDisk out{.name = std::move(name), .slot = slot(at)};
  const auto origin = FromDocument{.layer = Layer::kDisk};
  if (!storage.empty()) out.settings.set("storage", {.value = std::string(storage), .origin = origin});
  if (!size.empty()) {
    const std::optional<ByteSize> bytes = parse_size(size);
    EXPECT_TRUE(bytes) << size;
    out.settings.set("size", {.value = bytes.value_or(ByteSize{}), .origin = origin});
  }
  while (!settings.empty()) {
    const auto comma = settings.find(',');
    const std::string_view pair = settings.substr(0, comma);
    const auto equals = pair.find('=');
    out.settings.set(pair.substr(0, equals),
                     by_rule(Home::kDriveOption, pair.substr(0, equals), pair.substr(equals + 1), "D1"));
    if (comma == std::string_view::npos) break;
    settings.remove_prefix(comma + 1);
  }
  return out;
}

ResolvedVm vm(std::string name, std::uint32_t vmid) {
  return {.name = std::move(name), .vmid = {vmid}, .node = "pve1"};
}

void set(ResolvedVm& vm, std::string_view key, std::string_view text) {
  vm.options.set(key, stated(Home::kVmOption, key, text));
}

LiveVm guest(std::uint32_t vmid, PowerState power) {
  LiveVm out{.vmid = {vmid}, .name = fmt::format("guest-{}", vmid), .node = "pve1", .power = power};
  out.digest = fmt::format("digest-{}", vmid);
  out.uuid = fmt::format("uuid-{}", vmid);
  out.snapshots_known = true;
  return out;
}

void set(LiveVm& guest, std::string_view key, std::string_view text) {
  guest.options.set(key, LiveOption{.current = std::string(text)});
}

LiveDrive& attach(LiveVm& guest, std::string_view at, std::string_view text) {
  Result<Drive> drive = parse_drive(slot(at), text);
  if (!drive) ADD_FAILURE() << at << ": " << text << ": " << drive.error().message;
  LiveDrive entry{.slot = slot(at), .current = drive ? *drive : Drive{}};
  const auto where = std::ranges::lower_bound(guest.drives, entry.slot, {}, &LiveDrive::slot);
  return *guest.drives.insert(where, std::move(entry));
}

LiveState cluster(bool two_nodes) {
  LiveState live;
  live.cluster_name = "lab";
  live.nodes.push_back({.name = "pve1", .version = "9.2.4"});
  if (two_nodes) live.nodes.push_back({.name = "pve2", .version = "9.2.4"});
  live.storage_digest = "storage-digest";
  const auto storage = [&](std::string id, std::string type, FlatMap<std::string> properties) {
    LiveStorage entry{.id = std::move(id), .type = std::move(type), .properties = std::move(properties)};
    for (const LiveNode& node : live.nodes) {
      entry.on_node[node.name] = {.active = true,
                                  .enabled = true,
                                  .total = 1_TiB,
                                  .used = 100_GiB,
                                  .available = ByteSize{(1_TiB).bytes - (100_GiB).bytes}};
    }
    live.storages.push_back(std::move(entry));
  };
  const auto map = [](std::initializer_list<std::pair<const char*, const char*>> pairs) {
    FlatMap<std::string> out;
    for (const auto& [key, text] : pairs) out.set(key, text);
    return out;
  };
  storage("SSD-r10", "zfspool",
          map({{"pool", "tank"}, {"content", "images,rootdir"}, {"sparse", "1"}, {"blocksize", "16k"}}));
  storage("SSD-r10-models", "zfspool",
          map({{"pool", "tank/models"}, {"content", "images,rootdir"}, {"sparse", "1"}, {"blocksize", "128k"}}));
  storage("local", "dir", map({{"path", "/var/lib/vz"}, {"content", "images,iso"}}));
  storage("nfs", "nfs", map({{"server", "10.0.0.1"}, {"export", "/x"}, {"content", "images"}}));
  storage("san", "lvm",
          map({{"vgname", "vg_san"}, {"shared", "1"}, {"content", "images"}, {"snapshot-as-volume-chain", "1"}}));
  storage("thick", "lvm", map({{"vgname", "vg_thick"}, {"shared", "1"}, {"content", "images"}}));
  return live;
}

void list_volume(LiveState& live, std::string_view volume, ByteSize size, std::string_view node) {
  const auto colon = volume.find(':');
  LiveVolume entry{
      .id = {.storage = std::string(volume.substr(0, colon)), .name = std::string(volume.substr(colon + 1))},
      .node = std::string(node)};
  entry.content = "images";
  entry.size = size;
  entry.owner = owner_of(entry.id);
  const auto key = [](const LiveVolume& v) { return std::tie(v.id, v.node); };
  live.volumes.insert(std::ranges::lower_bound(live.volumes, key(entry), {}, key), std::move(entry));
}

void put(LiveState& live, LiveVm guest) {
  for (const LiveDrive& drive : guest.drives) {
    if (!drive.current || !drive.current->volume || drive.current->medium == Drive::Medium::kCdrom) continue;
    const bool known =
        std::ranges::any_of(live.volumes, [&](const LiveVolume& v) { return v.id == *drive.current->volume; });
    if (!known && drive.current->size) list_volume(live, to_text(*drive.current->volume), *drive.current->size);
  }
  const auto where = std::ranges::lower_bound(live.vms, guest.vmid, {}, &LiveVm::vmid);
  live.vms.insert(where, std::move(guest));
}

ResolvedFleet fleet(std::vector<ResolvedVm> vms) {
  ResolvedFleet out;
  auto document = std::make_shared<FleetDocument>();
  document->hash = "document-hash";
  out.document = document;
  out.vms = std::move(vms);
  for (ResolvedVm& entry : out.vms) std::ranges::sort(entry.disks, {}, &ResolvedDisk::name);
  std::ranges::sort(out.vms, {}, &ResolvedVm::name);
  return out;
}

Allowance everything() { return {.restart = true, .offline_copy = true, .destroy = true}; }

Plan plan(const ResolvedFleet& fleet, const LiveState& live, PlanOptions options) {
  Checked<Plan> made = make_plan(fleet, diff(fleet, live), live, options);
  if (!made.ok()) {
    ADD_FAILURE() << "no plan";
    return {};
  }
  for (const std::string& problem : verify_plan(*made.value, fleet, live, options))
    ADD_FAILURE() << problem << "\n" << show(*made.value);
  return std::move(*made.value);
}

std::string names(const Plan& plan) {
  std::string out;
  for (const Operation& op : plan.operations)
    out += (out.empty() ? "" : " ") + std::string(procedure_name(op.procedure));
  return out;
}

std::string show(const Plan& plan) {
  std::string out;
  for (const Operation& op : plan.operations) {
    out += fmt::format("{} {} {} [{}] after {}\n", op.id, procedure_name(op.procedure), to_text(op.address),
                       to_text(op.impact), fmt::join(op.after, ","));
    for (const PlannedChange& change : op.changes)
      out += fmt::format("    {}: {} -> {} ({})\n", change.key, change.from, change.to, change.rule);
  }
  for (const BlockedItem& item : plan.blocked)
    out += fmt::format("blocked {}: {}: {} | {}\n", to_text(item.address), item.what, item.why, item.remedy);
  for (const WaitingItem& item : plan.waiting)
    out += fmt::format("waiting {} {}: {} -> {}\n", to_text(item.address), item.key, item.running, item.configured);
  for (const Finding& item : plan.findings)
    out += fmt::format("finding {} {}: {}\n", to_text(item.where), item.rule, item.what);
  return out;
}

namespace {

// Without what is empty, zero, false or null; an empty text below "set" means something.
std::string without_empty(const nlohmann::json& value) {
  nlohmann::json out = nlohmann::json::object();
  for (const auto& [key, item] : value.items())
    if (!item.empty() && item != "" && item != 0 && item != false) out[key] = item;
  return out.dump();
}

std::string line_of(const PlannedChange& change) {
  std::string out = fmt::format("  {}: {} -> {} [{}]", change.key, change.from, change.to, to_text(change.impact));
  if (!change.rule.empty()) out += " rule " + change.rule;
  if (!change.reason.empty()) out += fmt::format(" ({})", change.reason);
  if (!change.place.empty()) out += " at " + change.place;
  return out + "\n";
}

}  // namespace

std::string told(const Plan& plan) {
  std::string out;
  const nlohmann::json file = nlohmann::json::parse(print_plan(plan));
  const nlohmann::json& body = file.contains("plan") ? file["plan"] : file;
  for (std::size_t i = 0; i < plan.operations.size(); ++i) {
    const Operation& op = plan.operations[i];
    out += fmt::format("{} {} [{}]{}\n", op.id, to_text(op.address), to_text(op.impact),
                       op.in_any_case ? " in any case" : "");
    out += fmt::format("  {}\n", without_empty(body["operations"][i]["procedure"]));
    out += fmt::format("  after {}; locks {}; node {}; guard {} {} {}\n", fmt::join(op.after, " "),
                       fmt::join(op.locks, " "), op.node, op.guard.digest, op.guard.uuid, op.guard.section_digest);
    if (op.copy) out += fmt::format("  copy {}\n", without_empty(body["operations"][i]["copy"]));
    for (const PlannedChange& change : op.changes) out += line_of(change);
  }
  for (const StrategyChoice& choice : plan.choices) {
    out += fmt::format("choice {}: {}\n", to_text(choice.address), choice.what);
    for (const StrategyOffer& offer : choice.offers)
      out += fmt::format("  {}{}: {} => {} | {}; {} B, peak {} B, {} s, down {} s\n", to_text(offer.strategy),
                         offer.chosen     ? " (chosen)"
                         : offer.possible ? " (possible)"
                                          : "",
                         offer.why, offer.remedy, offer.needs, offer.bytes.bytes, offer.peak_extra.bytes,
                         offer.estimate.count(), offer.downtime.count());
  }
  out += refusals(plan);
  for (const WaitingItem& item : plan.waiting)
    out += fmt::format("waiting {} {}: {} -> {}\n", to_text(item.address), item.key, item.running, item.configured);
  for (const Finding& item : plan.findings)
    out += fmt::format("finding {} {}: {} => {}\n", to_text(item.where), item.rule, item.what, item.fix);
  for (const std::string& gap : plan.gaps) out += fmt::format("gap {}\n", gap);
  return out;
}

std::string refusals(const Plan& plan) {
  std::string out;
  for (const BlockedItem& item : plan.blocked)
    out += fmt::format("{}{}: {}: {} => {}\n", item.by_policy ? "" : "(!) ", to_text(item.address), item.what, item.why,
                       item.remedy);
  return out;
}

}  // namespace pvr::testing
