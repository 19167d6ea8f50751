#include "simulator/host/datasets.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>

#include "simulator/wire/formats.h"
#include "simulator/world/storage.h"
#include "simulator/world/text.h"

namespace pvesim {
namespace {

struct Native {
  std::string_view name = {};
  std::string_view fallback = {};  // the default; "" for those that are reckoned
  std::string_view values = {};    // words `zfs set` takes, "|" between; "" for others
  bool inherits = true;
  char applies = 'b';  // v volumes, f file systems, b both
};

// Fact: names, defaults and words of OpenZFS 2.3; those that a volume or a file system does not have are left out.
constexpr Native kNatives[] = {
    {"checksum", "on", "on|off|fletcher2|fletcher4|sha256|sha512|skein|edonr|blake3"},
    {"compression", "on", ""},
    {"readonly", "off", "on|off"},
    {"copies", "1", "1|2|3"},
    {"primarycache", "all", "all|none|metadata"},
    {"secondarycache", "all", "all|none|metadata"},
    {"logbias", "latency", "latency|throughput"},
    {"dedup", "off", "on|off|verify|sha256"},
    {"sync", "standard", "standard|always|disabled"},
    {"volmode", "default", "default|full|geom|dev|none", true, 'v'},
    {"snapdev", "hidden", "hidden|visible"},
    {"redundant_metadata", "all", "all|most|some|none"},
    {"encryption", "off", "", false},
    {"recordsize", "131072", "", true, 'f'},
    {"atime", "on", "on|off", true, 'f'},
    {"relatime", "on", "on|off", true, 'f'},
    {"canmount", "on", "on|off|noauto", false, 'f'},
    {"mountpoint", "", "", true, 'f'},
    {"xattr", "sa", "on|off|sa|dir", true, 'f'},
    {"dnodesize", "legacy", "legacy|auto|1k|2k|4k|8k|16k", true, 'f'},
    {"acltype", "off", "off|nfsv4|posix|posixacl", true, 'f'},
    {"special_small_blocks", "0", "", true, 'f'},
};

const Native* native(std::string_view name) {
  const auto found =
      std::find_if(std::begin(kNatives), std::end(kNatives), [&](const Native& one) { return one.name == name; });
  return found == std::end(kNatives) ? nullptr : found;
}

bool applies(const Native& one, bool volume) { return one.applies == 'b' || (one.applies == 'v') == volume; }

bool is_word_of(std::string_view word, std::string_view words) {
  const auto list = split_at(words, '|');
  return std::find(list.begin(), list.end(), word) != list.end();
}

const Section* own_of(const ZPool& pool, std::string_view name) {
  const auto found = pool.properties.find(name);
  return found == pool.properties.end() ? nullptr : &found->second;
}

/// The value and its source, looked for on the dataset and then upwards.
PropertyValue inherited(const Dataset& dataset, std::string_view name, std::string_view fallback, bool inherits) {
  const auto look = [&](const Section* section) -> const std::string* {
    if (section == nullptr) return nullptr;
    const auto at = section->find(name);
    return at == section->end() ? nullptr : &at->second;
  };
  const Section* own = dataset.volume != nullptr ? &dataset.volume->properties : own_of(*dataset.pool, dataset.name);
  if (const std::string* value = look(own)) return {std::string(name), *value, "local"};
  if (inherits) {
    for (std::string above = parent_of(dataset.name); !above.empty(); above = parent_of(above))
      if (const std::string* value = look(own_of(*dataset.pool, above)))
        return {std::string(name), *value, "inherited from " + above};
    // PVE sets the compression of the pools it makes.
    if (name == "compression" && dataset.pool->compression != "on")
      return {std::string(name), dataset.pool->compression,
              dataset.name == dataset.pool->name ? "local" : "inherited from " + dataset.pool->name};
  }
  return {std::string(name), std::string(fallback), "default"};
}

std::string mountpoint(const Dataset& dataset) {
  const PropertyValue set = inherited(dataset, "mountpoint", "", true);
  if (set.value.empty()) return "/" + dataset.name;
  if (set.source == "local" || set.value == "none" || set.value == "legacy") return set.value;
  const std::string above = set.source.substr(std::string_view("inherited from ").size());
  return set.value + dataset.name.substr(above.size());
}

}  // namespace

std::string parent_of(std::string_view name) {
  const auto slash = name.rfind('/');
  return slash == std::string_view::npos ? std::string() : std::string(name.substr(0, slash));
}

std::vector<Dataset> datasets_of(World& world, const Node& node) {
  std::vector<Dataset> found;
  Node& own = world.nodes.at(node.name);
  for (auto& [name, pool] : own.pools)
    for (const std::string& dataset : pool.datasets) found.push_back({.name = dataset, .pool = &pool});
  for (auto& [key, backing] : world.backings) {
    if (backing.kind != "zfs" || backing.node != node.name) continue;
    ZPool* pool = pool_of_dataset(world, node.name, backing.path);
    if (pool == nullptr) continue;
    for (auto& [name, volume] : backing.volumes)
      found.push_back({.name = backing.path + "/" + name, .pool = pool, .backing = &backing, .volume = &volume});
  }
  std::sort(found.begin(), found.end(), [](const Dataset& a, const Dataset& b) { return a.name < b.name; });
  return found;
}

std::optional<Dataset> find_dataset(World& world, const Node& node, std::string_view name) {
  for (Dataset& one : datasets_of(world, node))
    if (one.name == name) return std::move(one);
  return std::nullopt;
}

std::int64_t zfs_number(std::string_view text) {
  std::string plain(text);
  for (char& c : plain) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  for (const std::string_view unit : {"IB", "B"})
    if (ends_with(plain, unit) && plain.size() > unit.size()) plain.resize(plain.size() - unit.size());
  return parse_size(plain);
}

Section& own_properties(const Dataset& dataset) {
  return dataset.volume != nullptr ? dataset.volume->properties : dataset.pool->properties[dataset.name];
}

std::uint64_t guid_of(World& world, const Dataset& dataset) {
  std::uint64_t& guid = dataset.volume != nullptr ? dataset.volume->guid : dataset.pool->guids[dataset.name];
  if (guid == 0) guid = world.next_guid();
  return guid;
}

std::vector<std::string> open_by(const World& world, const Dataset& dataset) {
  std::vector<std::string> found;
  if (dataset.volume == nullptr) return found;
  const VolumeRef ref{dataset.backing->key, dataset.volume->name};
  for (const auto& [vmid, vm] : world.vms) {
    if (!vm.running) continue;
    const bool open = std::any_of(vm.running->open.begin(), vm.running->open.end(),
                                  [&](const auto& one) { return one.second == ref; });
    if (open) found.push_back(std::to_string(vm.running->pid) + " (kvm)");
  }
  for (const std::string& other : dataset.volume->held_by) found.push_back(other);
  return found;
}

Backing& place_below(World& world, const Node& node, const std::string& dataset) {
  const std::string key = backing_key_of("zfs", node.name, dataset);
  if (const auto found = world.backings.find(key); found != world.backings.end()) return found->second;
  StorageDef def{"", "zfspool", {{"pool", dataset}}};
  (void)connect_storage(world, def, node.name);
  return world.backings.at(key);
}

std::vector<std::string> snapshots_of(const Volume& volume) {
  std::vector<std::pair<std::uint64_t, std::string>> ordered;
  for (const auto& [name, snapshot] : volume.snapshots) ordered.emplace_back(snapshot.order, name);
  std::sort(ordered.begin(), ordered.end());
  std::vector<std::string> names;
  names.reserve(ordered.size());
  for (auto& [order, name] : ordered) names.push_back(std::move(name));
  return names;
}

std::vector<PropertyValue> properties_of(World& world, const Node& node, const Dataset& dataset) {
  const bool volume = dataset.is_volume();
  const Volume* zvol = dataset.volume;
  std::vector<PropertyValue> all;
  const auto add = [&](std::string_view name, std::string value, std::string source = "-") {
    all.push_back({std::string(name), std::move(value), std::move(source)});
  };
  const auto number = [](std::int64_t n) { return std::to_string(n); };
  Backing place;
  place.kind = "zfs";
  place.node = node.name;
  place.path = zvol != nullptr ? dataset.backing->path : dataset.name;
  const Space space = space_of(world, place);
  const std::int64_t data = zvol != nullptr ? zvol->used : 98304;
  const std::int64_t used = zvol == nullptr ? space.used : std::max(zvol->refreservation, zvol->used);
  const std::int64_t available = zvol == nullptr
                                     ? space.available
                                     : space.available + std::max<std::int64_t>(0, zvol->refreservation - zvol->used);
  add("type", volume ? "volume" : "filesystem");
  add("creation", number(zvol != nullptr ? zvol->ctime : 1735689600));
  add("used", number(used));
  add("available", number(available));
  add("referenced", number(data));
  add("compressratio", "1.00");
  if (zvol != nullptr && !zvol->origin.empty()) add("origin", dataset.backing->path + "/" + zvol->origin);
  add("reservation", "0", "default");
  if (volume) {
    add("volsize", number(zvol->size), "local");
    add("volblocksize", number(zvol->volblocksize), zvol->volblocksize == 16384 ? "default" : "-");
    add("refreservation", number(zvol->refreservation), zvol->refreservation == 0 ? "default" : "local");
    add("logicalused", number(data));
    add("logicalreferenced", number(data));
  } else {
    add("mounted", "yes");
    add("quota", "0", "default");
    add("refquota", "0", "default");
    add("refreservation", "0", "default");
  }
  add("createtxg", number(static_cast<std::int64_t>(guid_of(world, dataset) % 100000) + 10));
  add("guid", std::to_string(guid_of(world, dataset)));
  add("written", number(data));
  for (const Native& one : kNatives) {
    if (!applies(one, volume)) continue;
    PropertyValue value = inherited(dataset, one.name, one.fallback, one.inherits);
    if (one.name == "mountpoint") value.value = mountpoint(dataset);
    all.push_back(std::move(value));
  }
  // Fact: user properties are inherited by everything below.
  std::map<std::string, PropertyValue> users;
  for (std::string above = dataset.name; !above.empty(); above = parent_of(above)) {
    const bool own = above == dataset.name;
    const Section* section = own && zvol != nullptr ? &zvol->properties : own_of(*dataset.pool, above);
    if (section == nullptr) continue;
    for (const auto& [name, value] : *section)
      if (name.find(':') != std::string::npos)
        users.try_emplace(name, PropertyValue{name, value, own ? "local" : "inherited from " + above});
  }
  for (auto& [name, value] : users) all.push_back(std::move(value));
  return all;
}

std::string property_refusal(const Dataset& dataset, std::string_view name, std::string_view value) {
  const std::string quoted = "'" + std::string(name) + "'";
  if (name.find(':') != std::string_view::npos) return {};
  static constexpr std::array<std::string_view, 12> kReckoned = {
      "type", "creation", "used",   "available",   "referenced", "compressratio",
      "guid", "written",  "origin", "logicalused", "createtxg",  "logicalreferenced"};
  if (std::find(kReckoned.begin(), kReckoned.end(), name) != kReckoned.end() || name == "volblocksize" ||
      name == "encryption")
    return quoted + " is readonly";
  if (name == "refreservation" || name == "reservation" || name == "volsize") {
    if (name == "volsize" && !dataset.is_volume()) return quoted + " does not apply to datasets of this type";
    if (value == "none" || (value == "auto" && name == "refreservation" && dataset.is_volume())) return {};
    return zfs_number(value) >= 0 ? std::string() : "bad numeric value '" + std::string(value) + "'";
  }
  const Native* known = native(name);
  if (known == nullptr && name != "quota" && name != "refquota") return "invalid property " + quoted;
  if (known == nullptr) return {};
  if (!applies(*known, dataset.is_volume())) return quoted + " does not apply to datasets of this type";
  if (name == "compression") {
    const bool good = is_word_of(value, "on|off|lzjb|gzip|zle|lz4|zstd") || starts_with(value, "gzip-") ||
                      starts_with(value, "zstd-");
    return good ? std::string()
                : quoted +
                      " must be one of 'on | off | lzjb | gzip | gzip-[1-9] | zle | lz4 | zstd | zstd-[1-19] | "
                      "zstd-fast | zstd-fast-[1-10,20,30,40,50,60,70,80,90,100,500,1000]'";
  }
  if (name == "recordsize") {
    const std::int64_t size = zfs_number(value);
    const bool good = size >= 512 && size <= (16LL << 20) && (size & (size - 1)) == 0;
    return good ? std::string() : quoted + " must be power of 2 from 512B to 16M";
  }
  if (known->values.empty() || is_word_of(value, known->values)) return {};
  std::string words;
  for (const std::string& word : split_at(known->values, '|')) words += (words.empty() ? "" : " | ") + word;
  return quoted + " must be one of '" + words + "'";
}

}  // namespace pvesim
