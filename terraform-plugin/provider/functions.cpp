#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>

#include "reconciler/resolve/explain.h"
#include "reconciler/resolve/resolve.h"
#include "schema/fleet_schema.h"
#include "terraform-plugin/provider/provider.h"

namespace pvr::tf {
namespace {

constexpr auto kFacts =
    std::to_array<std::string_view>({"storage_type", "media", "shared", "slot", "purpose", "size", "volblocksize"});

/// "unset (PVE: native)" → "native": what counts for a disk is what PVE really does.
std::string effective(const std::string& value) {
  constexpr std::string_view kUnset = "unset (PVE: ";
  return value.starts_with(kUnset) && value.ends_with(')')
             ? value.substr(kUnset.size(), value.size() - kUnset.size() - 1)
             : value;
}

/// The settings of one disk of a role, offline. Empty with `error`.
std::map<std::string, std::string> resolve_one(const std::string& role, const Map& facts, std::string& error) {
  const auto fact = [&](std::string_view name, std::string_view otherwise) {
    const auto found = facts.find(name);
    return found == facts.end() || found->second.text() == nullptr ? std::string(otherwise) : *found->second.text();
  };
  FleetText text;
  text.line(0, "version: 1");
  text.line(0, "storages:");
  text.line(1, "below:");
  text.line(2, "type: " + in_quotes(fact("storage_type", "zfspool")));
  text.line(2, "manage: false");
  if (const std::string media = fact("media", ""); !media.empty()) text.line(2, "media: " + in_quotes(media));
  if (fact("shared", "false") == "true") text.line(2, "shared: true");
  text.line(0, "lanes:");
  text.line(1, "shared: below");
  text.line(1, "pinned: below");
  text.line(0, "vms:");
  text.line(1, "preview:");
  text.line(2, "vmid: 999999999");
  text.line(2, "role: " + in_quotes(role));
  text.line(2, "disks:");
  text.line(3, "disk:");
  text.line(4, "slot: " + in_quotes(fact("slot", "scsi0")));
  text.line(4, "size: " + in_quotes(fact("size", "32GiB")));
  text.line(4, "storage: below");
  for (const char* name : {"purpose", "volblocksize"}) {
    if (const std::string value = fact(name, ""); !value.empty())
      text.line(4, fmt::format("{}: {}", name, in_quotes(value)));
  }
  SourceSet sources;
  sources.add("function", text.text());
  auto loaded = load_fleet(std::move(sources));
  const auto first_error = [&error](const Diagnostics& diagnostics) {
    const auto found = std::ranges::find(diagnostics, Severity::kError, &Diagnostic::severity);
    if (found != diagnostics.end()) error = found->summary + ": " + found->detail;
    return found != diagnostics.end();
  };
  if (first_error(loaded.diagnostics)) return {};
  const auto document = std::make_shared<const FleetDocument>(*std::move(loaded.value));
  const auto fleet = resolve(document, gather_facts(*document, nullptr));
  if (first_error(fleet.diagnostics)) return {};
  const ResolvedVm* vm = find_vm(*fleet.value, "preview");
  const ResolvedDisk* disk = vm == nullptr ? nullptr : find_disk(*vm, "disk");
  if (disk == nullptr) {
    error = "the role has no such disk";
    return {};
  }
  std::map<std::string, std::string> out;
  for (const Explanation& explanation : explain_all(*fleet.value, *vm, *disk))
    out.emplace(explanation.key, effective(explanation.value));
  out.erase("storage");
  return out;
}

}  // namespace

std::map<std::string, Function> function_schemas() {
  return {{"resolve_disk",
           {.summary = "Settings of a disk, from its role and from what lies below",
            .help = "The settings the rules choose for a disk of a VM with this role. Facts, all of them optional: "
                    "`storage_type` (zfspool, "
                    "lvm, dir, …), `media` (ssd, hdd), `shared` (\"true\"), `slot`, `purpose`, `size`, `volblocksize`. "
                    "Asks no cluster.",
            .parameters = {{.name = "role", .shape = Shape::kText, .help = "The role, one of the built-in ones."},
                           {.name = "facts", .shape = Shape::kTextMap, .help = "What is known of the disk."}},
            .returns = Shape::kTextMap}},
          {"volblocksize_for",
           {.summary = "volblocksize of a zvol, from role and purpose",
            .help = "The volblocksize the rules choose for a disk of this role and purpose (os, data, database, bulk, "
                    "models, media, backup, "
                    "scratch) on ZFS. Asks no cluster.",
            .parameters = {{.name = "role", .shape = Shape::kText, .help = "The role, one of the built-in ones."},
                           {.name = "purpose", .shape = Shape::kText, .help = "What the disk is for."}},
            .returns = Shape::kText}}};
}

Provider::Called call_function(std::string_view function, const std::vector<Value>& arguments) {
  Provider::Called out;
  if (arguments.size() != 2) return {.error = "two arguments are needed"};
  const std::string role = arguments[0].text_or_empty();
  if (function == "resolve_disk") {
    const Map* facts = arguments[1].map();
    if (facts == nullptr) return {.error = "facts must be a map", .argument = 1};
    for (const auto& [name, value] : *facts) {
      if (std::ranges::find(kFacts, name) == kFacts.end())
        return {.error = fmt::format("\"{}\" is no fact; known are storage_type, media, shared, slot, purpose, size, "
                                     "volblocksize",
                                     name),
                .argument = 1};
    }
    Map result;
    for (auto& [name, value] : resolve_one(role, *facts, out.error)) result.emplace(name, Value(value));
    out.result = Value(std::move(result));
  } else if (function == "volblocksize_for") {
    const auto settings = resolve_one(role, Map{{"purpose", arguments[1]}}, out.error);
    const auto found = settings.find("volblocksize");
    out.result = Value(found == settings.end() ? std::string() : found->second);
  } else {
    out.error = fmt::format("there is no function \"{}\"", function);
  }
  if (!out.error.empty()) out.result = Value();
  return out;
}

}  // namespace pvr::tf
