#include "reconciler/execute/cluster_config.h"

#include <fmt/format.h>

#include <algorithm>

#include "reconciler/model/option_codec.h"
#include "reconciler/model/settings.h"

namespace pvr {
namespace {

constexpr std::string_view kStorageFile = "storage";

/// Does the stored text mean the wanted one? Lists come in any order, sizes and booleans in any spelling.
bool same_text(Home home, std::string_view key, std::string_view wanted, std::string_view stored) {
  if (wanted == stored) return true;
  const Setting* setting = find_setting(home, key);
  if (setting == nullptr) return false;
  const auto a = parse_option(*setting, wanted);
  const auto b = parse_option(*setting, stored);
  return a && b && a.value() == b.value();
}

bool has_all(Home home, const FlatMap<std::string>& stored, const FlatMap<std::string>& wanted) {
  return std::ranges::all_of(wanted, [&](const auto& entry) {
    const Setting* setting = find_setting(home, entry.first);
    // Passwords and keys are never shown.
    if (setting != nullptr && setting->write_only) return true;
    const std::string* text = stored.find(entry.first);
    if (text != nullptr) return same_text(home, entry.first, entry.second, *text);
    return setting != nullptr && !setting->default_text.empty() &&
           same_text(home, entry.first, entry.second, setting->default_text);
  });
}

bool has_none(const FlatMap<std::string>& stored, const std::vector<std::string>& keys) {
  return std::ranges::none_of(keys, [&](const std::string& key) { return stored.contains(key); });
}

/// Section files share one digest: the planned one counts until this run wrote the file itself.
bool is_changed(Work& work, std::string_view file, const std::string& digest) {
  const auto ours = work.memory().digest(std::string(file));
  const std::string expected = ours.value_or(work.operation().guard.section_digest);
  return !expected.empty() && expected != digest;
}

Status remember_storage_file(Work& work) {
  auto list = work.pve().storages();
  if (!list) return Error(list.error());
  work.memory().set_digest(std::string(kStorageFile), list->digest);
  return Done{};
}

Status with_context(const Status& status, const std::string& doing) {
  if (!status) return Error(status.error()).during(doing);
  return status;
}

}  // namespace

// --- storages

Result<EntryFacts> CreateStorageProcedure::observe(const Params& params, Work& work, const Progress&) {
  auto list = work.pve().storages();
  if (!list) return std::move(list).error().during("reading the storages");
  EntryFacts facts;
  const auto at = std::ranges::find(list->storages, params.id, &LiveStorage::id);
  facts.seen.present = at != list->storages.end();
  if (!facts.seen.present) return facts;
  facts.seen.as_wanted = at->type == params.type && has_all(Home::kStorageOption, at->properties, params.properties);
  if (!facts.seen.as_wanted)
    facts.conflict = fmt::format("Storage \"{}\" exists already and is another one.", params.id);
  return facts;
}

Status CreateStorageProcedure::create(const Params& params, const Facts&, Work& work) {
  const std::scoped_lock section(work.memory().section_mutex());
  const Status created = work.pve().create_storage(params.id, params.type, params.properties);
  if (!created) return with_context(created, fmt::format("creating storage \"{}\"", params.id));
  return remember_storage_file(work);
}

Result<DeleteStorageProcedure::Facts> DeleteStorageProcedure::observe(const Params& params, Work& work,
                                                                      const Progress&) {
  const std::string doing = fmt::format("looking at storage \"{}\"", params.id);
  auto list = work.pve().storages();
  if (!list) return std::move(list).error().during(doing);
  Facts facts;
  const auto at = std::ranges::find(list->storages, params.id, &LiveStorage::id);
  facts.seen.present = at != list->storages.end();
  if (!facts.seen.present) return facts;
  const auto cluster = work.pve().cluster_status();
  if (!cluster) return Error(cluster.error()).during(doing);
  const std::string* nodes = at->properties.find("nodes");
  facts.seen.empty = true;
  for (const LiveNode& node : cluster->nodes) {
    if (nodes != nullptr && !nodes->empty() && nodes->find(node.name) == std::string::npos) continue;
    const auto volumes = work.pve().volumes(node.name, params.id, std::nullopt);
    // What cannot be looked at is not empty.
    if (!volumes) return Error(volumes.error()).during(doing);
    if (volumes->empty()) continue;
    facts.seen.empty = false;
    facts.conflict = fmt::format("Storage \"{}\" holds {} on {}.", params.id, to_text(volumes->front().id), node.name);
  }
  return facts;
}

Status DeleteStorageProcedure::remove(const Params& params, const Facts&, Work& work) {
  const std::scoped_lock section(work.memory().section_mutex());
  const Status removed = work.pve().delete_storage(params.id);
  if (!removed) return with_context(removed, fmt::format("removing storage \"{}\"", params.id));
  return remember_storage_file(work);
}

Result<EntryFacts> UpdateStorageProcedure::observe(const Params& params, Work& work, const Progress&) {
  auto list = work.pve().storages();
  if (!list) return std::move(list).error().during("reading the storages");
  EntryFacts facts;
  const auto at = std::ranges::find(list->storages, params.id, &LiveStorage::id);
  facts.seen.present = at != list->storages.end();
  if (!facts.seen.present) {
    facts.conflict = fmt::format("Storage \"{}\" does not exist.", params.id);
    return facts;
  }
  facts.seen.as_wanted =
      has_all(Home::kStorageOption, at->properties, params.set) && has_none(at->properties, params.unset);
  return facts;
}

Status UpdateStorageProcedure::update(const Params& params, const Facts&, Work& work) {
  const std::string doing = fmt::format("changing storage \"{}\"", params.id);
  // Under the mutex: another operation of this run may have written the file since it was observed, and that is no
  // conflict.
  const std::scoped_lock section(work.memory().section_mutex());
  auto list = work.pve().storages();
  if (!list) return std::move(list).error().during(doing);
  if (is_changed(work, kStorageFile, list->digest))
    return Error{.kind = ErrorKind::kConflict,
                 .message = "the storage configuration is not the one the plan was made on"}
        .during(doing);
  const Status updated = work.pve().update_storage(params.id, params.set, params.unset, list->digest);
  if (!updated) {
    if (updated.error().effect == Effect::kPossible) static_cast<void>(remember_storage_file(work));
    return with_context(updated, doing);
  }
  return with_context(remember_storage_file(work), doing);
}

// --- pools

Result<EntryFacts> CreatePoolProcedure::observe(const Params& params, Work& work, const Progress&) {
  auto pools = work.pve().pools();
  if (!pools) return std::move(pools).error().during("reading the pools");
  EntryFacts facts;
  facts.seen.present = pools->contains(params.id);
  return facts;
}

Status CreatePoolProcedure::create(const Params& params, const Facts&, Work& work) {
  return with_context(work.pve().create_pool(params.id, params.comment),
                      fmt::format("creating pool \"{}\"", params.id));
}

Result<EntryFacts> AddToPoolProcedure::observe(const Params& params, Work& work, const Progress&) {
  EntryFacts facts;
  auto pools = work.pve().pools();
  if (!pools) return std::move(pools).error().during("reading the pools");
  facts.seen.present = pools->contains(params.id);
  if (!facts.seen.present) {
    facts.conflict = fmt::format("Pool \"{}\" does not exist.", params.id);
    return facts;
  }
  auto members = work.pve().pool_members(params.id);
  if (!members) return std::move(members).error().during(fmt::format("reading pool \"{}\"", params.id));
  facts.seen.as_wanted = std::ranges::find(*members, params.vmid.number) != members->end();
  return facts;
}

Status AddToPoolProcedure::add(const Params& params, const Facts&, Work& work) {
  return with_context(work.pve().add_to_pool(params.id, params.vmid),
                      fmt::format("adding vm {} to pool \"{}\"", params.vmid.number, params.id));
}

// --- HA

namespace {

Result<EntryFacts> look_at_ha(const std::string& sid, const FlatMap<std::string>& set,
                              const std::vector<std::string>& unset, Work& work) {
  auto list = work.pve().ha_resources();
  if (!list) return std::move(list).error().during("reading the HA resources");
  EntryFacts facts;
  facts.digest = list->digest;
  const auto at = std::ranges::find(list->resources, sid, &LiveHa::sid);
  facts.seen.present = at != list->resources.end();
  if (!facts.seen.present) return facts;
  // Fact: absent keys have the defaults started, 1, 1, 1; "enabled" is an old word for "started".
  static const FlatMap<std::string> kDefaults = [] {
    FlatMap<std::string> map;
    map.set("state", "started");
    map.set("max_restart", "1");
    map.set("max_relocate", "1");
    map.set("failback", "1");
    return map;
  }();
  const auto same = [&](const auto& entry) {
    const std::string* stored = at->properties.find(entry.first);
    if (stored == nullptr) stored = kDefaults.find(entry.first);
    if (stored == nullptr) return false;
    return *stored == entry.second || (entry.first == "state" && *stored == "enabled" && entry.second == "started");
  };
  facts.seen.as_wanted = std::ranges::all_of(set, same) && has_none(at->properties, unset);
  return facts;
}

}  // namespace

Result<EntryFacts> SetHaProcedure::observe(const Params& params, Work& work, const Progress&) {
  return look_at_ha(params.sid, params.set, params.unset, work);
}

Status SetHaProcedure::create(const Params& params, const Facts&, Work& work) {
  const std::scoped_lock section(work.memory().section_mutex());
  return with_context(work.pve().create_ha(params.sid, params.set), fmt::format("creating HA resource {}", params.sid));
}

Status SetHaProcedure::update(const Params& params, const Facts& facts, Work& work) {
  const std::scoped_lock section(work.memory().section_mutex());
  auto list = work.pve().ha_resources();
  const std::string digest = list ? list->digest : facts.digest;
  return with_context(work.pve().update_ha(params.sid, params.set, params.unset, digest),
                      fmt::format("changing HA resource {}", params.sid));
}

Result<EntryFacts> RemoveHaProcedure::observe(const Params& params, Work& work, const Progress&) {
  return look_at_ha(params.sid, {}, {}, work);
}

Status RemoveHaProcedure::remove(const Params& params, const Facts&, Work& work) {
  const std::scoped_lock section(work.memory().section_mutex());
  return with_context(work.pve().delete_ha(params.sid), fmt::format("removing HA resource {}", params.sid));
}

// --- replication

Result<EntryFacts> SetReplicationProcedure::observe(const Params& params, Work& work, const Progress&) {
  auto jobs = work.pve().replication_jobs();
  if (!jobs) return std::move(jobs).error().during("reading the replication jobs");
  EntryFacts facts;
  const auto at = std::ranges::find(*jobs, params.id, &LiveReplication::id);
  facts.seen.present = at != jobs->end();
  if (!facts.seen.present) return facts;
  facts.seen.changed = !params.target.empty() && at->target != params.target;
  if (facts.seen.changed)
    facts.conflict = fmt::format("Replication job {} goes to {}, not {}; its target cannot be changed.", params.id,
                                 at->target, params.target);
  facts.seen.as_wanted = std::ranges::all_of(params.set, [&](const auto& entry) {
    const std::string* stored = at->properties.find(entry.first);
    return stored != nullptr && *stored == entry.second;
  });
  return facts;
}

Status SetReplicationProcedure::create(const Params& params, const Facts&, Work& work) {
  return with_context(work.pve().create_replication(params.id, params.target, params.set),
                      fmt::format("creating replication job {}", params.id));
}

Status SetReplicationProcedure::update(const Params& params, const Facts&, Work& work) {
  return with_context(work.pve().update_replication(params.id, params.set, {}),
                      fmt::format("changing replication job {}", params.id));
}

}  // namespace pvr
