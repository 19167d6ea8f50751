#include "tests/scenarios/direct_zfs.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "simulator/world/storage.h"
#include "simulator/world/world.h"

namespace pvr::scenario {
namespace {

constexpr std::string_view kMark = "pvereconcile:";

struct Place {
  pvesim::Backing* backing = nullptr;
  pvesim::Volume* volume = nullptr;
};

std::string parent_of(const std::string& dataset) { return dataset.substr(0, dataset.rfind('/')); }
std::string name_of(const std::string& dataset) { return dataset.substr(dataset.rfind('/') + 1); }
std::string without_snapshot(const std::string& dataset) { return dataset.substr(0, dataset.find('@')); }

pvesim::Backing* backing_at(pvesim::World& world, const std::string& node, const std::string& dataset) {
  for (auto& [key, backing] : world.backings)
    if (backing.kind == "zfs" && backing.node == node && backing.path == dataset) return &backing;
  return nullptr;
}

std::optional<Place> find(pvesim::World& world, const std::string& node, const std::string& dataset) {
  pvesim::Backing* backing = backing_at(world, node, parent_of(dataset));
  if (backing == nullptr) return std::nullopt;
  const auto at = backing->volumes.find(name_of(dataset));
  if (at == backing->volumes.end()) return std::nullopt;
  return Place{backing, &at->second};
}

bool is_file_system(pvesim::World& world, const std::string& node, const std::string& dataset) {
  const pvesim::ZPool* pool = pvesim::pool_of_dataset(world, node, dataset);
  return pool != nullptr && (pool->datasets.contains(dataset) || pool->name == dataset);
}

Error no_such(const std::string& dataset) {
  return Error{.kind = ErrorKind::kNotFound,
               .message = fmt::format("cannot open '{}': dataset does not exist", dataset)};
}
Error dead() { return Error{.kind = ErrorKind::kUnauthorized, .message = "killed"}; }

struct Content {
  std::uint64_t fingerprint = 0;
  std::int64_t used = 0;
};
std::optional<Content> content_of(pvesim::World& world, const std::string& node, const std::string& source) {
  const auto place = find(world, node, without_snapshot(source));
  if (!place) return std::nullopt;
  const auto at = source.find('@');
  if (at == std::string::npos) return Content{place->volume->fingerprint, place->volume->used};
  const auto snapshot = place->volume->snapshots.find(source.substr(at + 1));
  if (snapshot == place->volume->snapshots.end()) return std::nullopt;
  return Content{snapshot->second.fingerprint, snapshot->second.used};
}

ZfsMemory::Extra& extra(ZfsMemory& memory, const std::string& node, const std::string& dataset) {
  ZfsMemory::Extra& found = memory.of[node + "/" + dataset];
  if (found.guid.empty()) found.guid = std::to_string(memory.next_guid++);
  return found;
}

LiveDataset describe(ZfsMemory& memory, const std::string& node, const std::string& name,
                     const pvesim::Volume* volume) {
  LiveDataset out{.name = name, .is_volume = volume != nullptr};
  const ZfsMemory::Extra& more = extra(memory, node, name);
  out.properties.set("guid", more.guid);
  out.properties.set("readonly", "off");
  if (volume != nullptr) {
    out.properties.set("volsize", std::to_string(volume->size));
    out.properties.set("volblocksize", std::to_string(volume->volblocksize));
    out.properties.set("refreservation", std::to_string(volume->refreservation));
    out.properties.set("used", std::to_string(volume->used));
    out.properties.set("referenced", std::to_string(volume->used));
    out.properties.set("compression", "on");
    out.properties.set("sync", "standard");
    out.properties.set("logbias", "latency");
    out.properties.set("primarycache", "all");
    std::vector<std::pair<std::uint64_t, std::string>> snapshots;
    for (const auto& [snapshot, what] : volume->snapshots) snapshots.emplace_back(what.order, snapshot);
    std::ranges::sort(snapshots);
    for (auto& [order, snapshot] : snapshots) out.snapshots.push_back(snapshot);
  }
  for (const auto& [key, value] : more.own) {
    if (key.starts_with(kMark)) {
      out.marks.set(key.substr(kMark.size()), value);
    } else {
      out.properties.set(key, value);
      out.own.push_back(key);
    }
  }
  return out;
}

void set_all(ZfsMemory::Extra& more, pvesim::Volume* volume, const FlatMap<std::string>& set) {
  for (const auto& [key, value] : set) {
    if (key == "refreservation" && volume != nullptr) {
      volume->refreservation = value == "auto" ? volume->size + (1 << 20) : 0;
    } else if (value.empty()) {
      more.own.erase(key);
    } else {
      more.own[key] = value;
    }
  }
}

}  // namespace

Fate::Verdict Fate::next() {
  const std::scoped_lock lock(mutex_);
  if (dead_) return Verdict::kDead;
  if (++effects_ != nth_) return Verdict::kGoOn;
  dead_ = true;
  return after_ ? Verdict::kDieAfter : Verdict::kDieBefore;
}

bool Fate::dead() const {
  const std::scoped_lock lock(mutex_);
  return dead_;
}

int Fate::effects() const {
  const std::scoped_lock lock(mutex_);
  return effects_;
}

Status DirectZfs::effect(const std::string& name, const std::function<Status()>& act) {
  if (before) before(name);
  switch (fate_->next()) {
    case Fate::Verdict::kDead:
    case Fate::Verdict::kDieBefore:
      return dead();
    case Fate::Verdict::kDieAfter:
      static_cast<void>(act());
      return dead();
    case Fate::Verdict::kGoOn:
      break;
  }
  return act();
}

Result<LiveHost> DirectZfs::host(const std::string& node) {
  if (fate_->dead()) return dead();
  LiveHost host{.node = node, .zfs_version = "2.3.9"};
  sim_.inspect([&](pvesim::World& world) {
    const auto at = world.nodes.find(node);
    if (at == world.nodes.end()) return;
    for (const auto& [name, pool] : at->second.pools) {
      host.zpools.push_back({.name = name, .health = pool.health, .size = {static_cast<std::uint64_t>(pool.size)}});
      for (const std::string& dataset : pool.datasets)
        host.datasets.push_back(describe(memory_, node, dataset, nullptr));
    }
    for (const auto& [key, backing] : world.backings) {
      if (backing.kind != "zfs" || backing.node != node) continue;
      for (const auto& [name, volume] : backing.volumes)
        host.datasets.push_back(describe(memory_, node, backing.path + "/" + name, &volume));
    }
  });
  std::ranges::sort(host.datasets, {}, &LiveDataset::name);
  return host;
}

Result<std::optional<LiveDataset>> DirectZfs::dataset(const std::string& node, const std::string& name) {
  if (fate_->dead()) return dead();
  std::optional<LiveDataset> found;
  sim_.inspect([&](pvesim::World& world) {
    if (const auto place = find(world, node, name))
      found = describe(memory_, node, name, place->volume);
    else if (is_file_system(world, node, name))
      found = describe(memory_, node, name, nullptr);
  });
  return found;
}

Result<std::vector<LiveDataset>> DirectZfs::marked(const std::string& node, const std::string& parent) {
  auto all = host(node);
  if (!all) return std::move(all).error();
  std::erase_if(all->datasets, [&](const LiveDataset& one) {
    return !one.is_volume || one.marks.empty() || parent_of(one.name) != parent;
  });
  return std::move(all->datasets);
}

Result<std::vector<std::string>> DirectZfs::holders(const std::string& node, const std::string& volume) {
  if (fate_->dead()) return dead();
  std::vector<std::string> list;
  sim_.inspect([&](pvesim::World& world) {
    const auto place = find(world, node, volume);
    if (!place) return;
    for (const auto& [vmid, vm] : world.vms) {
      if (!vm.running) continue;
      for (const auto& [slot, ref] : vm.running->open)
        if (ref.backing == place->backing->key && ref.name == place->volume->name)
          list.push_back(fmt::format("{} (kvm)", vm.running->pid));
    }
  });
  return list;
}

Status DirectZfs::set_properties(const std::string& node, const std::string& dataset, const FlatMap<std::string>& set) {
  return effect("set", [&]() -> Status {
    Status status = no_such(dataset);
    sim_.inspect([&](pvesim::World& world) {
      const auto place = find(world, node, dataset);
      if (!place && !is_file_system(world, node, dataset)) return;
      set_all(extra(memory_, node, dataset), place ? place->volume : nullptr, set);
      status = Done{};
    });
    return status;
  });
}

Status DirectZfs::create_dataset(const std::string& node, const std::string& name,
                                 const FlatMap<std::string>& properties) {
  return effect("create_dataset", [&]() -> Status {
    Status status = no_such(name);
    sim_.inspect([&](pvesim::World& world) {
      pvesim::ZPool* pool = pvesim::pool_of_dataset(world, node, name);
      if (pool == nullptr) return;
      pool->datasets.insert(name);
      set_all(extra(memory_, node, name), nullptr, properties);
      status = Done{};
    });
    return status;
  });
}

Status DirectZfs::create_zvol(const std::string& node, const NewZvol& zvol) {
  return effect("create_zvol", [&]() -> Status {
    Status status = no_such(parent_of(zvol.name));
    sim_.inspect([&](pvesim::World& world) {
      pvesim::Backing* backing = backing_at(world, node, parent_of(zvol.name));
      if (backing == nullptr) return;
      if (backing->volumes.contains(name_of(zvol.name))) {
        status = Error{.kind = ErrorKind::kServer, .message = "dataset already exists"};
        return;
      }
      pvesim::Volume volume{.name = name_of(zvol.name)};
      volume.size = static_cast<std::int64_t>(zvol.size.bytes);
      volume.volblocksize = static_cast<std::int64_t>(zvol.volblocksize.bytes);
      backing->volumes.emplace(volume.name, volume);
      set_all(extra(memory_, node, zvol.name), &backing->volumes.at(volume.name), zvol.properties);
      status = Done{};
    });
    return status;
  });
}

Status DirectZfs::rename(const std::string& node, const std::string& from, const std::string& to) {
  return effect("rename", [&]() -> Status {
    Status status = no_such(from);
    sim_.inspect([&](pvesim::World& world) {
      const auto place = find(world, node, from);
      pvesim::Backing* target = backing_at(world, node, parent_of(to));
      if (!place || target == nullptr) return;
      if (target->volumes.contains(name_of(to))) {
        status = Error{.kind = ErrorKind::kServer,
                       .message = fmt::format("cannot rename '{}': dataset already exists", from)};
        return;
      }
      pvesim::Volume moved = std::move(*place->volume);
      place->backing->volumes.erase(name_of(from));
      moved.name = name_of(to);
      target->volumes.emplace(moved.name, std::move(moved));
      auto node_of = memory_.of.extract(node + "/" + from);
      if (!node_of.empty()) {
        node_of.key() = node + "/" + to;
        memory_.of.insert(std::move(node_of));
      }
      status = Done{};
    });
    return status;
  });
}

Status DirectZfs::destroy(const std::string& node, const std::string& dataset, const std::string& guid) {
  return effect("destroy", [&]() -> Status {
    Status status = no_such(dataset);
    sim_.inspect([&](pvesim::World& world) {
      if (extra(memory_, node, dataset).guid != guid) {
        status = Error{.kind = ErrorKind::kConflict, .message = "another dataset has the name"};
        return;
      }
      if (const auto place = find(world, node, dataset)) {
        if (!place->volume->snapshots.empty()) {
          status = Error{.kind = ErrorKind::kServer, .message = "volume has children"};
          return;
        }
        place->backing->volumes.erase(name_of(dataset));
      } else if (pvesim::ZPool* pool = pvesim::pool_of_dataset(world, node, dataset)) {
        if (pool->datasets.erase(dataset) == 0) return;
      }
      memory_.of.erase(node + "/" + dataset);
      status = Done{};
    });
    return status;
  });
}

Status DirectZfs::snapshot(const std::string& node, const std::string& dataset, const std::string& name) {
  return effect("snapshot", [&]() -> Status {
    Status status = no_such(dataset);
    sim_.inspect([&](pvesim::World& world) {
      const auto place = find(world, node, dataset);
      if (!place) return;
      std::uint64_t order = 1;
      for (const auto& [other, what] : place->volume->snapshots) order = std::max(order, what.order + 1);
      place->volume->snapshots[name] = {.fingerprint = place->volume->fingerprint,
                                        .used = place->volume->used,
                                        .size = place->volume->size,
                                        .order = order};
      status = Done{};
    });
    return status;
  });
}

Status DirectZfs::destroy_snapshot(const std::string& node, const std::string& dataset, const std::string& name) {
  return effect("destroy_snapshot", [&]() -> Status {
    Status status = no_such(dataset);
    sim_.inspect([&](pvesim::World& world) {
      const auto place = find(world, node, dataset);
      if (place && place->volume->snapshots.erase(name) != 0) status = Done{};
    });
    return status;
  });
}

Status DirectZfs::copy(const std::string& node, const ZvolCopy& copy,
                       const std::function<void(const CopyProgress&)>& progress, std::stop_token stop) {
  constexpr int kExtents = 3;
  std::optional<Content> source;
  sim_.inspect([&](pvesim::World& world) { source = content_of(world, node, copy.source); });
  if (!source) return no_such(copy.source);
  if (!copy.since.empty() && copy.source.find('@') == std::string::npos)
    return Error{.kind = ErrorKind::kRejected, .message = "only a snapshot has an older one"};
  for (int extent = 1; extent <= kExtents; ++extent) {
    if (stop.stop_requested()) return Error{.kind = ErrorKind::kInterrupted, .message = "stopped"};
    const Status written = effect("copy", [&]() -> Status {
      sim_.inspect([&](pvesim::World& world) {
        const auto target = find(world, node, copy.target);
        if (!target) return;
        // A part of the data is another content than all of it.
        const auto part = static_cast<std::uint64_t>(kExtents - extent);
        target->volume->fingerprint = source->fingerprint ^ (part * 0x9e3779b97f4a7c15ULL) ^ (spoil_copy ? 1U : 0U);
        target->volume->used = source->used * extent / kExtents;
      });
      return Done{};
    });
    if (!written) return written;
    const auto total = static_cast<std::uint64_t>(source->used);
    progress({.done = {total * static_cast<std::uint64_t>(extent) / kExtents}, .total = {total}});
  }
  return Done{};
}

Result<ContentChecksums> DirectZfs::compare(const std::string& node, const ZvolCopy& copy,
                                            const std::function<void(const CopyProgress&)>& progress, std::stop_token) {
  if (fate_->dead()) return dead();
  ContentChecksums sums;
  sim_.inspect([&](pvesim::World& world) {
    const auto source = content_of(world, node, copy.source);
    const auto target = content_of(world, node, copy.target);
    if (source) sums.source = fmt::format("{:064x}", source->fingerprint);
    if (target) sums.target = fmt::format("{:064x}", target->fingerprint);
  });
  progress({});
  return sums;
}

}  // namespace pvr::scenario
