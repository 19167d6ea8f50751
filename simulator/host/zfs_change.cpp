// zfs create, set, inherit, rename, destroy and snapshot.

#include <algorithm>
#include <bit>
#include <cctype>
#include <utility>

#include "simulator/host/datasets.h"
#include "simulator/host/host_command.h"
#include "simulator/world/storage.h"
#include "simulator/world/text.h"

namespace pvesim {
namespace {

constexpr std::int64_t kDefaultBlock = 16384;
constexpr std::int64_t kLargestBlock = 16 << 20;
constexpr int kSetFailed = 255;  // Fact: most failing `zfs set` end with it

HostAnswer usage(const std::string& text) { return {2, {}, text + "\nusage:\n\tzfs ...\n"}; }

std::string in_quotes(std::string_view name) { return "'" + std::string(name) + "'"; }

/// Why a name cannot be one of a dataset; empty: it can.
std::string name_problem(std::string_view name) {
  if (name.size() >= 256) return "name is too long";
  for (const char c : name) {
    const bool legal = std::isalnum(static_cast<unsigned char>(c)) != 0 ||
                       std::string_view("-_.: /").find(c) != std::string_view::npos;
    if (!legal) return std::string("invalid character '") + c + "' in name";
  }
  if (name.empty() || name.front() == '/') return "leading slash in name";
  if (name.back() == '/') return "trailing slash in name";
  return {};
}

std::int64_t available(HostCall& call, const std::string& dataset) {
  Backing place;
  place.kind = "zfs";
  place.node = call.node.name;
  place.path = dataset;
  return space_of(call.world, place).available;
}

/// Puts a value where it belongs. "": done; else the refusal.
std::string assign(HostCall& call, const Dataset& dataset, const std::string& name, const std::string& value) {
  if (std::string refusal = property_refusal(dataset, name, value); !refusal.empty()) return refusal;
  Volume* volume = dataset.volume;
  if (name == "refreservation" && dataset.is_volume()) {
    std::int64_t wanted = 0;
    if (value == "auto")
      wanted = thick_reservation(*dataset.pool, volume->size, volume->volblocksize);
    else if (value != "none")
      wanted = zfs_number(value);
    const std::int64_t more = wanted - std::max(volume->refreservation, volume->used);
    if (more > available(call, dataset.backing->path)) return "size is greater than available space";
    volume->refreservation = wanted;
    return {};
  }
  if (name == "volsize") {
    const std::int64_t size = zfs_number(value);
    if (size <= 0 || size % volume->volblocksize != 0)
      return "'volsize' must be a multiple of volume block size (" + print_size(volume->volblocksize) + ")";
    const bool thick = volume->refreservation > 0 &&
                       volume->refreservation == thick_reservation(*dataset.pool, volume->size, volume->volblocksize);
    if (thick) {
      const std::int64_t reserve = thick_reservation(*dataset.pool, size, volume->volblocksize);
      if (reserve - volume->refreservation > available(call, dataset.backing->path))
        return "size is greater than available space";
      volume->refreservation = reserve;
    }
    volume->size = size;  // Fact: shrinking is not asked about, nor is an open device
    return {};
  }
  // Fact: numbers are shown in bytes (-p), however they were written.
  own_properties(dataset)[name] = name == "recordsize" ? std::to_string(zfs_number(value)) : value;
  return {};
}

HostAnswer create(HostCall& call) {
  bool sparse = false;
  bool parents = false;
  std::string volsize;
  std::vector<std::pair<std::string, std::string>> properties;
  std::vector<std::string> names;
  for (std::size_t at = 2; at < call.argv.size(); ++at) {
    const std::string& word = call.argv[at];
    if (word == "-s") {
      sparse = true;
    } else if (word == "-p") {
      parents = true;
    } else if (word == "-u") {
      continue;
    } else if ((word == "-V" || word == "-b" || word == "-o") && at + 1 < call.argv.size()) {
      const std::string& value = call.argv[++at];
      if (word == "-V") volsize = value;
      if (word == "-b") properties.emplace_back("volblocksize", value);
      const auto equals = value.find('=');
      if (word == "-o" && equals == std::string::npos) return usage("missing '=' for property=value argument");
      if (word == "-o") properties.emplace_back(value.substr(0, equals), value.substr(equals + 1));
    } else if (word.size() > 1 && word.front() == '-') {
      return usage("invalid option '" + word.substr(1) + "'");
    } else {
      names.push_back(word);
    }
  }
  if (names.size() != 1) return usage(names.empty() ? "missing dataset argument" : "too many arguments");
  const std::string& name = names.front();
  const std::string cannot = "cannot create " + in_quotes(name) + ": ";
  if (const std::string problem = name_problem(name); !problem.empty()) return refuse(1, cannot + problem);
  const std::string parent = parent_of(name);
  ZPool* pool = pool_of_dataset(call.world, call.node.name, name);
  if (pool == nullptr) return refuse(1, "cannot open " + in_quotes(name.substr(0, name.find('/'))) + ": no such pool");
  if (find_dataset(call.world, call.node, name)) return refuse(1, cannot + "dataset already exists");
  const auto above = find_dataset(call.world, call.node, parent);
  if (above && above->is_volume()) return refuse(1, cannot + "parent is not a filesystem");
  if (!above && !parents) return refuse(1, cannot + "parent does not exist");
  HostAnswer answer;
  Volume made;
  made.name = name.substr(parent.size() + 1);
  made.ctime = call.world.now_seconds();
  made.volblocksize = volsize.empty() ? 0 : kDefaultBlock;
  std::optional<std::string> reservation;
  Dataset as{.name = name, .pool = pool, .volume = volsize.empty() ? nullptr : &made};
  for (const auto& [property, value] : properties) {
    if (property == "volblocksize" && !volsize.empty()) {
      const std::int64_t block = zfs_number(value);
      if (block < 512 || !std::has_single_bit(static_cast<std::uint64_t>(block)) || block > kLargestBlock)
        return refuse(1, cannot + "'volblocksize' must be power of 2 from 512B to 16M");
      made.volblocksize = block;
      if (block < kDefaultBlock)
        answer.err = "Warning: volblocksize (" + std::to_string(block) +
                     ") is less than the default minimum block size (" + std::to_string(kDefaultBlock) +
                     ").\nTo reduce wasted space a volblocksize of " + std::to_string(kDefaultBlock) +
                     " is recommended.\n";
      continue;
    }
    if (property == "refreservation") {
      reservation = value;
      continue;
    }
    if (const std::string refusal = property_refusal(as, property, value); !refusal.empty())
      return refuse(refusal.starts_with("invalid property") ? 2 : 1, cannot + refusal);
  }
  if (available(call, pool->name) == 0) return refuse(1, cannot + "out of space");
  std::vector<std::string> missing;
  for (std::string one = parent; !one.empty() && !find_dataset(call.world, call.node, one); one = parent_of(one))
    missing.push_back(one);
  if (volsize.empty()) missing.insert(missing.begin(), name);
  const auto keep_properties = [&](Section& section) {
    for (const auto& [property, value] : properties)
      if (property != "volblocksize" && property != "refreservation") section[property] = value;
  };
  if (volsize.empty()) {
    for (const std::string& one : missing) {
      pool->datasets.insert(one);
      (void)place_below(call.world, call.node, one);
    }
    if (!properties.empty()) keep_properties(pool->properties[name]);
    return answer;
  }
  const std::int64_t size = zfs_number(volsize);
  if (size <= 0) return refuse(1, cannot + "volume size cannot be zero");
  made.size = (size + made.volblocksize - 1) / made.volblocksize * made.volblocksize;  // Fact: without a word
  const std::int64_t thick = thick_reservation(*pool, made.size, made.volblocksize);
  if (reservation)
    made.refreservation = *reservation == "none" ? 0 : *reservation == "auto" ? thick : zfs_number(*reservation);
  else
    made.refreservation = sparse ? 0 : thick;
  if (made.refreservation > available(call, pool->name)) return refuse(1, cannot + "out of space");
  for (const std::string& one : missing) pool->datasets.insert(one);
  keep_properties(made.properties);
  made.unsettled_until = call.world.now() + std::chrono::seconds(2);
  Backing& place = place_below(call.world, call.node, parent);
  place.volumes.emplace(made.name, std::move(made));
  return answer;
}

HostAnswer set(HostCall& call) {
  std::vector<std::pair<std::string, std::string>> values;
  std::size_t at = 2;
  for (; at < call.argv.size() && call.argv[at].find('=') != std::string::npos; ++at) {
    const auto equals = call.argv[at].find('=');
    values.emplace_back(call.argv[at].substr(0, equals), call.argv[at].substr(equals + 1));
  }
  if (values.empty()) return usage("missing property=value argument");
  if (at == call.argv.size()) return usage("missing dataset name(s)");
  for (; at < call.argv.size(); ++at) {
    const std::string& name = call.argv[at];
    const auto dataset = find_dataset(call.world, call.node, name);
    if (!dataset) return refuse(1, "cannot open " + in_quotes(name) + ": dataset does not exist");
    for (const auto& [property, value] : values)
      if (const std::string refusal = assign(call, *dataset, property, value); !refusal.empty())
        return refuse(kSetFailed, "cannot set property for " + in_quotes(name) + ": " + refusal);
  }
  return {};
}

HostAnswer inherit(HostCall& call) {
  if (call.argv.size() != 4) return usage("missing dataset argument");
  const std::string& name = call.argv[3];
  const auto dataset = find_dataset(call.world, call.node, name);
  if (!dataset) return refuse(1, "cannot open " + in_quotes(name) + ": dataset does not exist");
  const std::string& property = call.argv[2];
  const std::string refusal = property_refusal(*dataset, property, "none");
  if (starts_with(refusal, "invalid property")) return usage("invalid property '" + property + "'");
  own_properties(*dataset).erase(property);
  return {};
}

/// Moves a volume; whoever has it open keeps it open, and its clones keep their origin.
void move_volume(HostCall& call, const Dataset& from, Backing& to, const std::string& name) {
  const VolumeRef before{from.backing->key, from.volume->name};
  Volume moved = std::move(*from.volume);
  from.backing->volumes.erase(before.name);
  moved.name = name;
  moved.unsettled_until = call.world.now() + std::chrono::milliseconds(600);
  for (auto& [key, other] : from.backing->volumes)
    if (starts_with(other.origin, before.name + "@")) other.origin.replace(0, before.name.size(), name);
  to.volumes.emplace(name, std::move(moved));
  for (auto& [vmid, vm] : call.world.vms) {
    if (!vm.running) continue;
    for (auto& [slot, ref] : vm.running->open)
      if (ref == before) ref = {to.key, name};
  }
}

/// A file system with everything below it.
void move_filesystem(HostCall& call, ZPool& pool, const std::string& from, const std::string& to) {
  const auto renamed = [&](const std::string& name) { return to + name.substr(from.size()); };
  const auto below = [&](const std::string& name) { return name == from || starts_with(name, from + "/"); };
  decltype(pool.datasets) datasets;
  for (const std::string& one : pool.datasets) datasets.insert(below(one) ? renamed(one) : one);
  pool.datasets = std::move(datasets);
  const auto rekey = [&](auto& map) {
    std::remove_reference_t<decltype(map)> out;
    for (auto& [key, value] : map) out.emplace(below(key) ? renamed(key) : key, std::move(value));
    map = std::move(out);
  };
  rekey(pool.properties);
  rekey(pool.guids);
  std::vector<std::string> keys;
  for (const auto& [key, backing] : call.world.backings)
    if (backing.kind == "zfs" && backing.node == call.node.name && below(backing.path)) keys.push_back(key);
  for (const std::string& key : keys) {
    auto node = call.world.backings.extract(key);
    Backing& backing = node.mapped();
    backing.path = renamed(backing.path);
    backing.key = backing_key_of("zfs", call.node.name, backing.path);
    node.key() = backing.key;
    for (auto& [vmid, vm] : call.world.vms) {
      if (!vm.running) continue;
      for (auto& [slot, ref] : vm.running->open)
        if (ref.backing == key) ref.backing = backing.key;
    }
    call.world.backings.insert(std::move(node));
  }
}

HostAnswer rename(HostCall& call) {
  bool parents = false;
  std::vector<std::string> names;
  for (std::size_t at = 2; at < call.argv.size(); ++at) {
    if (call.argv[at] == "-p")
      parents = true;
    else if (call.argv[at] == "-u")
      return refuse(1, "cannot rename: operation not applicable to datasets of this type");
    else
      names.push_back(call.argv[at]);
  }
  if (names.size() != 2) return usage("missing target dataset argument");
  const std::string& from = names[0];
  const std::string& to = names[1];
  const auto dataset = find_dataset(call.world, call.node, from);
  if (!dataset) return refuse(1, "cannot open " + in_quotes(from) + ": dataset does not exist");
  if (const std::string problem = name_problem(to); !problem.empty())
    return refuse(1, "cannot rename to " + in_quotes(to) + ": " + problem);
  if (to.substr(0, to.find('/')) != from.substr(0, from.find('/')))
    return refuse(1, "cannot rename to " + in_quotes(to) + ": datasets must be within same pool");
  if (find_dataset(call.world, call.node, to))
    return refuse(1, "cannot rename " + in_quotes(from) + ": dataset already exists");
  const std::string parent = parent_of(to);
  const auto above = find_dataset(call.world, call.node, parent);
  if (above && above->is_volume()) return refuse(1, "cannot create " + in_quotes(to) + ": parent is not a filesystem");
  if (!above && !parents) return refuse(1, "cannot create " + in_quotes(to) + ": parent does not exist");
  for (std::string one = parent; !one.empty() && !dataset->pool->datasets.contains(one); one = parent_of(one))
    dataset->pool->datasets.insert(one);
  if (dataset->volume == nullptr) {
    move_filesystem(call, *dataset->pool, from, to);
    return {};
  }
  move_volume(call, *dataset, place_below(call.world, call.node, parent), to.substr(parent.size() + 1));
  return {};
}

HostAnswer destroy_snapshot(HostCall& call, const std::string& name) {
  const auto at = name.find('@');
  const auto dataset = find_dataset(call.world, call.node, name.substr(0, at));
  if (!dataset) return refuse(1, "cannot open " + in_quotes(name.substr(0, at)) + ": dataset does not exist");
  const std::string snapshot = name.substr(at + 1);
  if (dataset->volume == nullptr || !dataset->volume->snapshots.contains(snapshot))
    return refuse(1, "could not find any snapshots to destroy; check snapshot names.");
  const std::string origin = dataset->volume->name + "@" + snapshot;
  for (const auto& [key, other] : dataset->backing->volumes)
    if (other.origin == origin)
      return refuse(1, "cannot destroy " + in_quotes(name) +
                           ": snapshot has dependent clones\nuse '-R' to destroy the following datasets:\n" +
                           dataset->backing->path + "/" + other.name);
  dataset->volume->snapshots.erase(snapshot);
  return {};
}

HostAnswer destroy(HostCall& call) {
  bool recursive = false;
  std::vector<std::string> names;
  for (std::size_t at = 2; at < call.argv.size(); ++at) {
    if (call.argv[at] == "-r")
      recursive = true;
    else
      names.push_back(call.argv[at]);
  }
  if (names.size() != 1) return usage("missing dataset argument");
  const std::string& name = names.front();
  if (name.find('@') != std::string::npos) return destroy_snapshot(call, name);
  const auto dataset = find_dataset(call.world, call.node, name);
  if (!dataset) return refuse(1, "cannot open " + in_quotes(name) + ": dataset does not exist");
  const std::string cannot = "cannot destroy " + in_quotes(name) + ": ";
  if (dataset->volume == nullptr) {
    std::string children;
    for (const Dataset& other : datasets_of(call.world, call.node))
      if (starts_with(other.name, name + "/")) children += "\n" + other.name;
    if (!children.empty())
      return refuse(1, cannot + "filesystem has children\nuse '-r' to destroy the following datasets:" + children);
    if (name == dataset->pool->name)
      return refuse(1,
                    cannot + "operation does not apply to pools\nuse 'zpool destroy " + name + "' to destroy the pool");
    ZPool& pool = *dataset->pool;
    pool.datasets.erase(name);
    pool.properties.erase(name);
    pool.guids.erase(name);
    call.world.backings.erase(backing_key_of("zfs", call.node.name, name));
    return {};
  }
  Volume& volume = *dataset->volume;
  for (const auto& [key, other] : dataset->backing->volumes)
    if (starts_with(other.origin, volume.name + "@"))
      return refuse(1, cannot + "volume has dependent clones\nuse '-R' to destroy the following datasets:\n" +
                           dataset->backing->path + "/" + other.name);
  if (!volume.snapshots.empty() && !recursive) {
    std::string list;
    for (const std::string& snapshot : snapshots_of(volume)) list += "\n" + name + "@" + snapshot;
    return refuse(1, cannot + "volume has children\nuse '-r' to destroy the following datasets:" + list);
  }
  // Fact: udev probes the device of a new volume and holds it for a moment.
  if (!open_by(call.world, *dataset).empty() || volume.unsettled_until > call.world.now())
    return refuse(1, cannot + "dataset is busy");
  dataset->backing->volumes.erase(volume.name);
  return {};
}

HostAnswer snapshot(HostCall& call) {
  if (call.argv.size() != 3 || call.argv[2].find('@') == std::string::npos) return usage("missing snapshot argument");
  const std::string& name = call.argv[2];
  const auto at = name.find('@');
  const auto dataset = find_dataset(call.world, call.node, name.substr(0, at));
  if (!dataset) return usage("cannot open " + in_quotes(name.substr(0, at)) + ": dataset does not exist");
  const std::string cannot = "cannot create snapshot " + in_quotes(name) + ": ";
  if (dataset->volume == nullptr) return refuse(1, cannot + "the stand-in keeps snapshots of volumes only");
  Volume& volume = *dataset->volume;
  if (volume.snapshots.contains(name.substr(at + 1))) return refuse(1, cannot + "dataset already exists");
  const std::int64_t room = available(call, dataset->backing->path);
  // Fact: a snapshot of a thick zvol needs room for all it refers to.
  if (room == 0 || (volume.refreservation > 0 && volume.used > room)) return refuse(1, cannot + "out of space");
  std::uint64_t order = 1;
  for (const auto& [key, other] : volume.snapshots) order = std::max(order, other.order + 1);
  volume.snapshots[name.substr(at + 1)] = {volume.fingerprint, volume.used, volume.size, order};
  return {};
}

}  // namespace

HostAnswer run_zfs_change(HostCall& call) {
  const std::string& verb = call.argv[1];
  if (verb == "create") return create(call);
  if (verb == "set") return set(call);
  if (verb == "inherit") return inherit(call);
  if (verb == "rename") return rename(call);
  if (verb == "destroy") return destroy(call);
  if (verb == "snapshot") return snapshot(call);
  return usage("unrecognized command '" + verb + "'");
}

}  // namespace pvesim
