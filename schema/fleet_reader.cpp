#include "schema/fleet_reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <chrono>

namespace pvr {
namespace {

/// A day of the calendar, as ISO 8601 writes it.
bool is_date(std::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return false;
  const auto number = [text](std::size_t at, std::size_t count) {
    int value = 0;
    for (const char c : text.substr(at, count)) {
      if (c < '0' || c > '9') return -1;
      value = value * 10 + (c - '0');
    }
    return value;
  };
  const int month = number(5, 2);
  const int day = number(8, 2);
  if (number(0, 4) < 1 || month < 1 || day < 1) return false;
  return std::chrono::year_month_day{std::chrono::year{number(0, 4)}, std::chrono::month{static_cast<unsigned>(month)},
                                     std::chrono::day{static_cast<unsigned>(day)}}
      .ok();
}

template <class List>
void sort_by_name(List& list, auto member) {
  std::ranges::sort(list, {}, member);
}

std::string endpoint_problem(std::string_view url) {
  constexpr std::string_view kScheme = "https://";
  if (url.starts_with("http://")) return "PVE speaks TLS only; write https://.";
  if (!url.starts_with(kScheme)) return "An endpoint is a URL such as https://pve1.lan:8006.";
  std::string_view rest = url.substr(kScheme.size());
  std::string_view host = rest.substr(0, rest.find('/'));
  std::string_view path = rest.substr(host.size());
  if (host.find('@') != std::string_view::npos)
    return "An endpoint holds no user and no password; use token_id and token_file.";
  bool clean = !host.empty() && host.find_first_of(" ?#\\\"'<>,;") == std::string_view::npos;
  if (!clean) return "An endpoint is a URL such as https://pve1.lan:8006.";
  if (!path.empty() && path != "/" && path != "/api2/json" && path != "/api2/json/") {
    return "Nothing stands behind host and port of an endpoint, or /api2/json.";
  }
  return {};
}

std::string address_problem(std::string_view text) {
  const bool clean = !text.empty() && text.size() < 256 && text.front() != '-' && std::ranges::all_of(text, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' ||
           c == '_' || c == ':' || c == '%';
  });
  return clean ? std::string()
               : "It is a host name, an address, or a Host of the ssh configuration; user and port are keys of their "
                 "own.";
}

std::string fingerprint_problem(std::string_view text) {
  auto hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); };
  bool ok = text.size() == 95;
  for (std::size_t i = 0; ok && i < text.size(); ++i) ok = i % 3 == 2 ? text[i] == ':' : hex(text[i]);
  if (ok) return {};
  return "It has 32 pairs of hex digits joined by colons, as PVE shows it under Node, System, Certificates.";
}

std::string token_problem(std::string_view text) {
  std::size_t at = text.find('@');
  std::size_t mark = text.find('!');
  bool ok = at != std::string_view::npos && mark != std::string_view::npos && at > 0 && mark > at + 1 &&
            mark + 1 < text.size();
  return ok ? std::string() : "An API token is named USER@REALM!NAME.";
}

/// Seconds of "12h", "7d", "4w".
std::optional<std::int64_t> parse_span_of_time(std::string_view text) {
  if (text.size() < 2 || text.size() > 8) return std::nullopt;
  std::int64_t amount = 0;
  auto [end, fault] = std::from_chars(text.data(), text.data() + text.size() - 1, amount);
  if (fault != std::errc{} || end != text.data() + text.size() - 1 || amount < 0) return std::nullopt;
  switch (text.back()) {
    case 's':
      return amount;
    case 'm':
      return amount * 60;
    case 'h':
      return amount * 3600;
    case 'd':
      return amount * 86400;
    case 'w':
      return amount * 7 * 86400;
    default:
      return std::nullopt;
  }
}

std::string uuid_problem(std::string_view text) {
  bool ok = text.size() == 36;
  for (std::size_t i = 0; ok && i < text.size(); ++i) {
    char c = text[i];
    bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    ok = dash ? c == '-' : (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
  }
  return ok ? std::string() : "A uuid looks like 8d2c9c1e-7a5b-4b62-9f0c-0d6a4c1f2b3e.";
}

/// "[DAY ]HH:MM-HH:MM", several joined by commas.
bool is_window(std::string_view window) {
  constexpr std::string_view kDays[] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
  if (std::size_t space = window.find(' '); space != std::string_view::npos) {
    if (std::ranges::find(kDays, window.substr(0, space)) == std::end(kDays)) return false;
    window.remove_prefix(space + 1);
  }
  if (window.size() != 11 || window[5] != '-' || window.substr(0, 5) == window.substr(6)) return false;
  auto digit = [&](std::size_t i, char most) { return window[i] >= '0' && window[i] <= most; };
  auto time = [&](std::size_t i) {
    bool hour = digit(i, '1') ? digit(i + 1, '9') : window[i] == '2' && digit(i + 1, '3');
    return hour && window[i + 2] == ':' && digit(i + 3, '5') && digit(i + 4, '9');
  };
  return time(0) && time(6);
}

/// A dataset as it may travel to a node; narrower than ZFS, which allows blanks.
std::string dataset_problem(std::string_view name, bool pool) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  const auto legal = [&](char c) {
    return letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' || c == ':' || c == '/';
  };
  const bool whole = !name.empty() && name.size() < 256 && letter(name.front()) && std::ranges::all_of(name, legal);
  const bool parts = name.find("//") == std::string_view::npos && !name.ends_with('/');
  if (!whole || !parts)
    return "A dataset is named POOL/NAME: letters, digits, \"-\", \"_\", \".\" and \":\" between slashes.";
  const bool below = name.find('/') != std::string_view::npos;
  if (pool && below) return "That is a dataset of a pool: write it under datasets.";
  if (!pool && !below) return "That is a pool: its root dataset's properties stand under pools.";
  return {};
}

std::string maintenance_problem(std::string_view text) {
  while (true) {
    std::size_t comma = text.find(',');
    if (!is_window(text.substr(0, comma))) break;
    if (comma == std::string_view::npos) return {};
    text.remove_prefix(comma + 1);
    if (text.starts_with(' ')) text.remove_prefix(1);
  }
  return "Write it as \"02:00-05:00\" or \"Sat 02:00-05:00, Sun 22:00-04:00\"; days are Mon Tue Wed Thu Fri Sat Sun.";
}

}  // namespace

bool FleetReader::unique(Places& places, std::string_view what, std::string_view name, const YamlNode& key) {
  auto [at, added] = places.try_emplace(std::string(name), key.span);
  if (added) return true;
  // Within one file the YAML reader has said so already.
  if (at->second.file != key.span.file) {
    in().error(key.span, "schema.name.duplicate", "Given twice",
               fmt::format("There are two {} called \"{}\".", what, name), {{"The other one is here.", at->second}});
  }
  return false;
}

bool FleetReader::name_ok(std::string_view what, std::string_view name, SourceSpan span) {
  std::string problem = name_problem(name);
  if (problem.empty()) return true;
  in().error(span, "schema.name.invalid", "Not a legal name",
             fmt::format("\"{}\" cannot be the name of a {}. {}", name, what, problem));
  return false;
}

std::optional<Spanned<std::string>> FleetReader::checked_text(
    const Field& field, const YamlNode& value, const std::function<std::string(std::string_view)>& problem) {
  std::optional<Spanned<std::string>> text = in().text(field, value);
  if (!text) return std::nullopt;
  std::string why = problem(text->value);
  if (why.empty()) return text;
  in().error(value.span, "schema.value.illegal", "Not a legal value",
             fmt::format("\"{}\" cannot be \"{}\". {}", field.name, text->value, why));
  return std::nullopt;
}

void FleetReader::read(FleetDocument& out) {
  out_ = &out;
  for (bool vms : {false, true}) {
    for (std::uint32_t i = 0; i < files_.size(); ++i) {
      if (files_[i].complete) file(i, *files_[i].tree.root(), vms);
    }
  }
  bool all_read = std::ranges::all_of(files_, &YamlFile::complete);
  if (!version_stated_ && all_read && files_.size() > 1) {
    in().error({1, 1, 1, 0}, "schema.key.missing", "A key is missing",
               "The fleet does not say which language it is written in. Begin its first file with \"version: 1\".");
  }
  auto by_name = [](const auto& entry) -> const std::string& { return entry.name; };
  auto by_id = [](const auto& entry) -> const std::string& { return entry.id; };
  sort_by_name(out.storages, by_id);
  sort_by_name(out.lanes, by_name);
  sort_by_name(out.roles, by_name);
  sort_by_name(out.pools, by_id);
  sort_by_name(out.hosts, &WrittenHost::node);
  sort_by_name(out.vms, by_name);
}

void FleetReader::file(std::uint32_t index, const YamlNode& root, bool vms) {
  in_.emplace(files_[index].tree, diagnostics_, secrets_);
  const Tables& tables = fleet_tables();
  bool builtin = index == 0;
  if (vms) {
    // Everything else of the file was read and judged in the first pass.
    const YamlNode* node = files_[index].tree.find(root, "vms");
    if (node == nullptr || is_null(*node)) return;
    in().named("vms", *node,
               [&](std::string_view name, const YamlNode& key, const YamlNode& value) { read_vm(name, key, value); });
    return;
  }
  in().fields(tables.file, root,
              [&](const Field& field, const YamlNode&, const YamlNode& value) { section(field, value, builtin); });
}

void FleetReader::section(const Field& field, const YamlNode& node, bool builtin) {
  using Read = void (FleetReader::*)(std::string_view, const YamlNode&, const YamlNode&);
  auto each = [&](Read entry) {
    in().named(field.name, node, [&](std::string_view name, const YamlNode& key, const YamlNode& value) {
      (this->*entry)(name, key, value);
    });
  };
  switch (field.key) {
    case Key::kVersion:
      version_stated_ = version_stated_ || !builtin;
      if (auto version = in().integer(field, node); version && *version != 1) {
        in().error(node.span, "schema.version", "Unknown version of the language",
                   fmt::format("This program reads version 1, not {}. A newer pvereconcile may read it.", *version));
      }
      return;
    case Key::kCluster: {
      if (cluster_place_) {
        return in().error(node.span, "schema.name.duplicate", "Given twice", "A fleet has one cluster.",
                          {{"The other one is here.", *cluster_place_}});
      }
      cluster_place_ = node.span;
      out_->cluster.span = node.span;
      return read_cluster(*field.table, node);
    }
    case Key::kStorages:
      return each(&FleetReader::read_storage);
    case Key::kLanes:
      return each(&FleetReader::read_lane);
    case Key::kPools:
      return each(&FleetReader::read_pool);
    case Key::kHosts:
      return each(&FleetReader::read_host);
    case Key::kAudit:
      in().fields(*field.table, node, [&](const Field& row, const YamlNode&, const YamlNode& value) {
        if (in().form(row, value) == 0) return;
        in().items(value, [&](const YamlNode& item, std::size_t) { read_suppression(item); });
      });
      return;
    case Key::kRoles:
      in().named(field.name, node, [&](std::string_view name, const YamlNode& key, const YamlNode& value) {
        read_role(name, key, value, builtin);
      });
      return;
    default:
      return;  // include: read by the loader; vms: the second pass
  }
}

void FleetReader::read_cluster(const Table& table, const YamlNode& node) {
  WrittenCluster& cluster = out_->cluster;
  in().fields(table, node, [&](const Field& field, const YamlNode&, const YamlNode& value) {
    switch (field.key) {
      case Key::kEndpoints:
        if (auto list = in().words(field, value)) {
          for (auto& url : *list) {
            std::string problem = endpoint_problem(url.value);
            if (url.value.find('@') != std::string::npos) in().secret(value);
            if (!problem.empty()) in().error(url.span, "schema.value.illegal", "Not a legal value", problem);
          }
          cluster.endpoints = std::move(*list);
        }
        break;
      case Key::kFingerprint:
        cluster.fingerprint = checked_text(field, value, fingerprint_problem);
        break;
      case Key::kCaFile:
        cluster.ca_file = in().text(field, value);
        break;
      case Key::kTokenId:
        if (value.kind == YamlKind::kScalar && value.text.find('=') != std::string_view::npos) {
          in().secret(value);
          in().error(value.span, "schema.key.refused", "Not allowed in a fleet file",
                     "Only the id of the token stands here, USER@REALM!NAME, never its secret.");
          break;
        }
        cluster.token_id = checked_text(field, value, token_problem);
        break;
      case Key::kTokenFile:
        cluster.token_file = in().text(field, value);
        break;
      case Key::kSsh:
      case Key::kLimits:
        read_cluster(*field.table, value);
        break;
      case Key::kSshUser:
        cluster.ssh_user = in().text(field, value);
        break;
      case Key::kSshSudo:
        cluster.ssh_sudo = in().boolean(field, value).value_or(false);
        break;
      case Key::kSshPort:
        if (const auto port = in().integer(field, value)) cluster.ssh_port = static_cast<int>(*port);
        break;
      case Key::kSshLocal:
        cluster.ssh_local = in().boolean(field, value);
        break;
      case Key::kSshHosts:
        in().named(field.name, value, [&](std::string_view name, const YamlNode& at, const YamlNode& host) {
          if (const std::string problem = node_problem(name); !problem.empty())
            in().error(at.span, "schema.name.invalid", "Not a legal name", fmt::format("\"{}\": {}", name, problem));
          static constexpr Field kAddress{.name = "hosts", .forms = kTextForm};
          if (auto text = checked_text(kAddress, host, address_problem)) cluster.ssh_hosts.set(name, std::move(*text));
        });
        break;
      case Key::kLimit: {
        std::optional<OptionValue> limit;
        if ((field.forms & kSizeForm) != 0) {
          if (auto size = in().size(field, value)) limit = OptionValue(*size);
        } else if ((field.forms & kIntegerForm) != 0) {
          if (auto number = in().integer(field, value)) limit = OptionValue(*number);
        } else if (auto text = checked_text(field, value, [](std::string_view t) {
                     return parse_span_of_time(t) ? std::string() : "Write a number and s, m, h, d or w: 7d.";
                   })) {
          limit = OptionValue(*parse_span_of_time(text->value));
        }
        if (limit) cluster.limits.set(field.name, {std::move(*limit), value.span});
        break;
      }
      default:
        break;
    }
  });
}

void FleetReader::read_storage(std::string_view id, const YamlNode& key, const YamlNode& node) {
  if (!unique(storage_places_, "storages", id, key)) return;
  std::string problem = storage_id_problem(id);
  if (!problem.empty())
    in().error(key.span, "schema.name.invalid", "Not a legal name", fmt::format("\"{}\": {}", id, problem));
  WrittenStorage storage;
  storage.id = id;
  storage.span = key.span;
  const Table& table = fleet_tables().storage;
  std::vector<std::pair<const Field*, const YamlNode*>> keys;  // of set properties, for the check against the type
  in().fields(table, node, [&](const Field& field, const YamlNode& at, const YamlNode& value) {
    switch (field.key) {
      case Key::kManage:
        if (auto managed = in().boolean(field, value)) storage.reference_only = !*managed;
        break;
      case Key::kType:
        if (auto type = in().text(field, value)) storage.type = std::move(*type);
        break;
      case Key::kPlp:
        storage.plp = in().boolean(field, value);
        break;
      case Key::kMedia:
        if (auto text = in().text(field, value))
          storage.media = {text->value == "ssd" ? Media::kSsd : Media::kHdd, text->span};
        break;
      case Key::kBacking:
        if (auto text = in().text(field, value)) {
          StorageKind kind = text->value == "zfs"     ? StorageKind::kZfsFile
                             : text->value == "btrfs" ? StorageKind::kBtrfs
                                                      : StorageKind::kFile;
          storage.backing = {kind, text->span};
        }
        break;
      case Key::kLayout:
        storage.layout = in().text(field, value);
        break;
      case Key::kClasses:
        in().named(field.name, value,
                   [&](std::string_view name, const YamlNode& class_key, const YamlNode& class_node) {
                     read_class(storage, name, class_key, class_node);
                   });
        sort_by_name(storage.classes, &WrittenClass::name);
        break;
      default: {
        keys.emplace_back(&field, &at);
        auto read = in().setting(field, value);
        if (field.name == "nodes" && read) {
          for (const std::string& name : std::get<StringList>(read->value)) {
            std::string why = node_problem(name);
            if (!why.empty())
              in().error(value.span, "schema.value.illegal", "Not a legal value", fmt::format("\"{}\": {}", name, why));
          }
        }
        if (read) in().put(storage.properties, field.lowered, std::move(*read));
        break;
      }
    }
  });
  if (storage.type.value.empty()) {
    if (!storage.reference_only && node.kind == YamlKind::kMapping && in().tree().find(node, "type") == nullptr) {
      in().error(key.span, "schema.key.missing", "A key is missing",
                 fmt::format("Storage \"{}\" needs \"type\". With \"manage: false\" it may be left out.", id));
    }
  } else {
    for (const auto& [field, at] : keys) {
      std::vector<std::string_view> types = split_words(field->setting->types, ' ');
      if (std::ranges::find(types, storage.type.value) != types.end()) continue;
      in().error(at->span, "schema.storage.property", "Not a property of this storage type",
                 fmt::format("A {} storage has no \"{}\"; it belongs to {}.", storage.type.value, field->name,
                             fmt::join(types, ", ")),
                 {{"The type is stated here.", storage.type.span}});
    }
    for (std::string_view needed :
         storage.reference_only ? std::vector<std::string_view>{} : required_properties(storage.type.value)) {
      if (in().tree().find(node, needed) != nullptr) continue;
      in().error(
          key.span, "schema.key.missing", "A key is missing",
          fmt::format(
              "A {} storage needs \"{}\". With \"manage: false\" the storage is only referred to and needs no more.",
              storage.type.value, needed));
    }
    if (!storage.classes.empty() && storage.type.value != "zfspool") {
      in().error(
          storage.classes.front().span, "schema.storage.classes", "Block-size classes need a zfspool",
          fmt::format("\"{}\" is of type {}, whose volumes have no volblocksize to choose.", id, storage.type.value));
    }
    bool directory = storage.type.value == "dir" || storage.type.value == "nfs" || storage.type.value == "cifs";
    if (storage.backing && !directory) {
      in().error(storage.backing->span, "schema.storage.backing", "The type tells what lies below",
                 fmt::format("\"backing\" is for dir, nfs and cifs storages; {} needs none.", storage.type.value));
    }
  }
  out_->storages.push_back(std::move(storage));
}

void FleetReader::read_class(WrittenStorage& storage, std::string_view name, const YamlNode& key,
                             const YamlNode& node) {
  name_ok("class", name, key.span);
  WrittenClass made;
  made.name = name;
  made.span = key.span;
  in().fields(fleet_tables().storage_class, node, [&](const Field& field, const YamlNode&, const YamlNode& value) {
    if (field.key == Key::kId) {
      made.id = checked_text(field, value, storage_id_problem);
    } else if (field.key == Key::kDataset) {
      made.pool = in().text(field, value);
    } else if (auto read = in().setting(field, value)) {
      if (field.key == Key::kBlocksize) {
        auto bytes = std::get<ByteSize>(read->value).bytes;
        if (bytes < 512 || bytes > (16U << 20U) || (bytes & (bytes - 1)) != 0) {
          in().error(value.span, "schema.value.blocksize", "Not a block size",
                     "A block size is a power of two from 512B to 16M, such as 16k.");
        }
      }
      in().put(made.settings, field.lowered, std::move(*read));
    }
  });
  storage.classes.push_back(std::move(made));
}

void FleetReader::read_lane(std::string_view name, const YamlNode& key, const YamlNode& node) {
  if (!unique(lane_places_, "lanes", name, key) || !name_ok("lane", name, key.span)) return;
  WrittenLane lane;
  lane.name = name;
  lane.span = key.span;
  bool known = name == "shared" || name == "pinned";
  lane.mobility = name == "pinned" ? Mobility::kPinned : Mobility::kMobile;
  const Table& table = fleet_tables().lane;
  bool stated = false;
  auto storage = [&](const Field& field, const YamlNode& value) {
    return checked_text(field, value, storage_id_problem);
  };
  auto nodes = [&](const YamlNode& map) {
    in().named(name, map, [&](std::string_view on, const YamlNode& at, const YamlNode& value) {
      std::string problem = node_problem(on);
      if (!problem.empty())
        in().error(at.span, "schema.name.invalid", "Not a legal name", fmt::format("\"{}\": {}", on, problem));
      if (auto id = storage(*table.find("storage"), value)) lane.per_node.set(on, std::move(*id));
    });
  };
  if (node.kind == YamlKind::kMapping) {
    bool long_form =
        std::ranges::any_of(table.fields, [&](const Field& f) { return in().tree().find(node, f.name) != nullptr; });
    if (!long_form) {
      nodes(node);
    } else {
      in().fields(table, node, [&](const Field& field, const YamlNode&, const YamlNode& value) {
        if (field.key == Key::kStorage) lane.storage = storage(field, value);
        if (field.key == Key::kNodes) nodes(value);
        if (field.key != Key::kMobility) return;
        stated = true;
        if (auto text = in().text(field, value)) {
          Mobility wanted = text->value == "pinned" ? Mobility::kPinned : Mobility::kMobile;
          if (known && wanted != lane.mobility) {
            in().error(value.span, "schema.lane.mobility", "This lane's mobility is given",
                       fmt::format("The lane \"{}\" is {}. Give a lane of another name another mobility.", name,
                                   to_text(lane.mobility)));
          }
          lane.mobility = wanted;
        }
      });
    }
  } else if (is_null(node) || node.kind == YamlKind::kSequence) {
    in().error(node.span, "schema.value.type", "Wrong type",
               fmt::format("The lane \"{}\" takes a storage id, or a mapping from nodes to storage ids.", name));
  } else {
    lane.storage = storage(*table.find("storage"), node);
  }
  if (!known && !stated) {
    in().error(
        key.span, "schema.key.missing", "A key is missing",
        fmt::format(
            "The lane \"{}\" must say \"mobility: mobile\" or \"mobility: pinned\"; only shared and pinned are known.",
            name));
  }
  out_->lanes.push_back(std::move(lane));
}

void FleetReader::read_pool(std::string_view id, const YamlNode& key, const YamlNode& node) {
  if (!unique(pool_places_, "pools", id, key)) return;
  std::string problem = pool_id_problem(id);
  if (problem.empty() && id == "pvereconcile-lease") problem = "This pool is the lease of pvereconcile itself.";
  if (!problem.empty())
    in().error(key.span, "schema.name.invalid", "Not a legal name", fmt::format("\"{}\": {}", id, problem));
  WrittenPool pool;
  pool.id = id;
  pool.span = key.span;
  in().fields(fleet_tables().pool, node, [&](const Field& field, const YamlNode&, const YamlNode& value) {
    pool.comment = in().text(field, value);
  });
  out_->pools.push_back(std::move(pool));
}

void FleetReader::read_host(std::string_view node, const YamlNode& key, const YamlNode& value) {
  if (!unique(host_places_, "hosts", node, key)) return;
  if (const std::string problem = node_problem(node); !problem.empty())
    in().error(key.span, "schema.name.invalid", "Not a legal name", fmt::format("\"{}\": {}", node, problem));
  WrittenHost host;
  host.node = node;
  host.span = key.span;
  const Table& table = fleet_tables().host;
  in().fields(table, value, [&](const Field& field, const YamlNode&, const YamlNode& of) {
    if (field.key == Key::kHostPools || field.key == Key::kHostDatasets) {
      in().named(field.name, of, [&](std::string_view name, const YamlNode& at, const YamlNode& part) {
        read_host_part(host, *field.table, name, at, part);
      });
      return;
    }
    if (field.key == Key::kArcMax && in().form(field, of) != kSizeForm) {
      host.arc_by_rule = in().text(field, of).has_value();
      return;
    }
    const std::optional<ByteSize> size = in().size(field, of);
    if (!size) return;
    const auto least = static_cast<std::uint64_t>(field.minimum);
    if (size->bytes < least || size->bytes > static_cast<std::uint64_t>(field.maximum))
      return in().error(
          of.span, "schema.value.range", "Out of range",
          fmt::format("\"{}\" is at least {}; OpenZFS ignores less.", field.name, to_human(ByteSize{least})));
    in().put(host.settings, field.lowered, {OptionValue(*size), of.span});
  });
  if (const auto* least = host.settings.find("arc_min");
      least != nullptr && !host.arc_by_rule && !host.settings.contains("arc_max"))
    in().error(least->span, "schema.host.arc", "arc_min needs arc_max",
               "What the cache keeps at least is a part of what it may have: state arc_max, too.");
  sort_by_name(host.parts, &WrittenHostPart::name);
  out_->hosts.push_back(std::move(host));
}

void FleetReader::read_host_part(WrittenHost& host, const Table& table, std::string_view name, const YamlNode& key,
                                 const YamlNode& node) {
  WrittenHostPart part;
  part.name = name;
  part.span = key.span;
  part.is_pool = &table == &fleet_tables().host_pool;
  if (const std::string problem = dataset_problem(name, part.is_pool); !problem.empty())
    return in().error(key.span, "schema.name.invalid", "Not a legal name", fmt::format("\"{}\": {}", name, problem));
  in().fields(table, node, [&](const Field& field, const YamlNode&, const YamlNode& value) {
    auto read = in().setting(field, value);
    if (!read) return;
    // Sizes of records are powers of two.
    const auto* size = std::get_if<ByteSize>(&read->value);
    const auto low = static_cast<std::uint64_t>(field.minimum);
    const auto high = static_cast<std::uint64_t>(field.maximum);
    if (size != nullptr && (size->bytes < low || size->bytes > high || (size->bytes & (size->bytes - 1)) != 0))
      return in().error(value.span, "schema.value.range", "Out of range",
                        fmt::format("\"{}\" is a power of two from 512 bytes to 16 MiB.", field.name));
    in().put(part.settings, field.lowered, std::move(*read));
  });
  const auto* autotrim = part.settings.find("autotrim");
  const auto* trim = part.settings.find("trim");
  if (autotrim != nullptr && trim != nullptr && autotrim->value == OptionValue(std::string("off")) &&
      trim->value == OptionValue(std::string("none")))
    diagnostics_.push_back({.severity = Severity::kWarning,
                            .code = "policy.z11",
                            .summary = "Nothing trims this pool.",
                            .detail = fmt::format("\"{}\" has autotrim: off and trim: none; SSDs want one of them "
                                                  "(rule Z11).",
                                                  name),
                            .span = trim->span,
                            .notes = {}});
  host.parts.push_back(std::move(part));
}

void FleetReader::read_suppression(const YamlNode& node) {
  WrittenSuppression entry;
  entry.span = node.span;
  in().fields(fleet_tables().suppression, node, [&](const Field& field, const YamlNode&, const YamlNode& value) {
    auto read = in().text(field, value);
    if (!read) return;
    const auto illegal = [&](std::string_view why) {
      in().error(value.span, "schema.value.illegal", "Not a legal value", std::string(why));
    };
    if (field.name == "rule") {
      entry.rule = read->value;
    } else if (field.name == "subject") {
      entry.subject = read->value;
    } else if (field.name == "reason") {
      if (read->value.find_first_not_of(" \t") == std::string::npos)
        illegal("Say why it is accepted; whoever reads this later wants to know.");
      entry.reason = read->value;
    } else {
      if (!is_date(read->value)) illegal(fmt::format("\"{}\" is no day. Write it as 2027-01-31.", read->value));
      entry.until = read->value;
    }
  });
  out_->suppressions.push_back(std::move(entry));
}

void FleetReader::read_role(std::string_view name, const YamlNode& key, const YamlNode& node, bool builtin) {
  if (auto at = role_places_.find(name); at != role_places_.end() && at->second.file == 0 && !builtin) {
    return in().error(
        key.span, "schema.role.builtin", "A built-in role",
        fmt::format("\"{}\" is built in. Give yours another name and write \"extends: {}\" in it.", name, name),
        {{"The built-in role.", at->second}});
  }
  if (!unique(role_places_, "roles", name, key) || !name_ok("role", name, key.span)) return;
  WrittenRole role;
  role.name = name;
  role.span = key.span;
  role.builtin = builtin;
  Guest guest{role.options, role.disk_defaults, role.disks, role.lane, role.clone};
  in().fields(fleet_tables().role, node, [&](const Field& field, const YamlNode& at, const YamlNode& value) {
    switch (field.key) {
      case Key::kExtends:
        role.extends = in().text(field, value);
        return;
      case Key::kNote:
        if (auto text = in().text(field, value)) role.note = std::move(text->value);
        return;
      case Key::kOs:
        if (auto text = in().text(field, value)) {
          GuestOs os = text->value == "linux"     ? GuestOs::kLinux
                       : text->value == "windows" ? GuestOs::kWindows
                                                  : GuestOs::kOther;
          role.os = {os, text->span};
        }
        return;
      default:
        guest_field(guest, field, at, value);
    }
  });
  guest_end(guest, "", false);
  role_nets_.emplace(name, std::move(guest.nets));
  role_index_.emplace(name, out_->roles.size());
  out_->roles.push_back(std::move(role));
}

void FleetReader::read_vm(std::string_view name, const YamlNode& key, const YamlNode& node) {
  if (!unique(vm_places_, "VMs", name, key)) return;
  std::string problem = guest_name_problem(name);
  if (!problem.empty())
    in().error(key.span, "schema.name.invalid", "Not a legal name",
               fmt::format("\"{}\" cannot be the name of a VM. {}", name, problem));
  WrittenVm& vm = out_->vms.emplace_back();
  vm.name = name;
  vm.span = key.span;
  vm.vmid.span = key.span;
  vm.state.span = key.span;
  Guest guest{vm.options, vm.disk_defaults, vm.disks, vm.lane, vm.clone};
  in().fields(fleet_tables().vm, node, [&](const Field& field, const YamlNode& at, const YamlNode& value) {
    switch (field.key) {
      case Key::kVmid:
        if (auto number = in().integer(field, value)) vm.vmid = {Vmid{static_cast<std::uint32_t>(*number)}, value.span};
        return;
      case Key::kRole:
        vm.role = in().text(field, value);
        return;
      case Key::kNode:
        vm.node = checked_text(field, value, node_problem);
        return;
      case Key::kLinked:
        vm.linked_clone = in().boolean(field, value).value_or(false);
        return;
      case Key::kPool:
        vm.pool = checked_text(field, value, pool_id_problem);
        return;
      case Key::kUuid:
        vm.uuid = checked_text(field, value, uuid_problem);
        if (vm.uuid)
          std::ranges::transform(vm.uuid->value, vm.uuid->value.begin(),
                                 [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c; });
        return;
      case Key::kState:
        if (auto text = in().text(field, value)) {
          VmState state = text->value == "running"   ? VmState::kRunning
                          : text->value == "stopped" ? VmState::kStopped
                          : text->value == "absent"  ? VmState::kAbsent
                                                     : VmState::kPresent;
          vm.state = {state, text->span};
        }
        return;
      case Key::kHa: {
        unsigned form = in().form(field, value);
        if (form == 0) return;
        WrittenHa ha;
        ha.span = value.span;
        ha.enabled = form != kBoolForm || value.text == "true";
        if (form == kTableForm) {
          in().fields(*field.table, value, [&](const Field& row, const YamlNode&, const YamlNode& of) {
            if (auto read = in().setting(row, of)) in().put(ha.settings, row.lowered, std::move(*read));
          });
        }
        vm.ha = std::move(ha);
        return;
      }
      case Key::kReplication:
        if (in().form(field, value) == 0) return;
        in().items(value, [&](const YamlNode& item, std::size_t) {
          WrittenReplication job;
          job.span = item.span;
          in().fields(*field.table, item, [&](const Field& row, const YamlNode&, const YamlNode& of) {
            if (row.key == Key::kTarget) {
              if (auto target = checked_text(row, of, node_problem)) job.target = std::move(target->value);
            } else if (auto read = in().setting(row, of)) {
              in().put(job.settings, row.lowered, std::move(*read));
            }
          });
          vm.replication.push_back(std::move(job));
        });
        return;
      case Key::kAllow:
        if (auto list = in().words(field, value)) {
          for (const auto& word : *list) {
            vm.allow.restart |= word.value == "restart";
            vm.allow.offline_copy |= word.value == "offline-copy";
            vm.allow.destroy |= word.value == "destroy";
          }
        }
        return;
      case Key::kRequireBackup:
        vm.require_backup = checked_text(field, value, [](std::string_view text) {
          const auto span = parse_span_of_time(text);
          return text == "take" || (span && *span > 0) ? std::string()
                                                       : "Write take, or a number and s, m, h, d or w: 24h.";
        });
        return;
      case Key::kLeave:
        vm.leave = read_leave(field, value, {Home::kVmOption}, {"efidisk", "tpm"});
        return;
      case Key::kMaintenance:
        vm.maintenance = checked_text(field, value, maintenance_problem);
        return;
      default:
        guest_field(guest, field, at, value);
    }
  });
  guest_end(guest, vm.role ? std::string_view(vm.role->value) : std::string_view(), true);
}

std::vector<Spanned<std::string>> FleetReader::read_leave(const Field& field, const YamlNode& value,
                                                          std::initializer_list<Home> homes,
                                                          std::initializer_list<std::string_view> further) {
  auto list = in().words(field, value);
  if (!list) return {};
  for (const auto& word : *list) {
    const bool known = std::ranges::find(further, word.value) != further.end() ||
                       std::ranges::any_of(homes, [&](Home home) { return find_setting(home, word.value) != nullptr; });
    if (known) continue;
    std::vector<std::string_view> names(further);
    for (const Setting& row : setting_catalogue()) {
      if (std::ranges::find(homes, row.home) != homes.end()) names.push_back(row.name);
    }
    in().error(word.span, "schema.leave.unknown", "No such setting",
               fmt::format("\"{}\" cannot be left alone, because there is none.{}", word.value,
                           did_you_mean(word.value, names)));
  }
  return std::move(*list);
}

std::vector<const WrittenRole*> FleetReader::chain(std::string_view role) const {
  std::vector<const WrittenRole*> out;
  for (auto at = role_index_.find(role); at != role_index_.end();) {
    const WrittenRole* next = &out_->roles[at->second];
    if (std::ranges::find(out, next) != out.end()) break;  // a cycle; the checks name it
    out.push_back(next);
    if (!next->extends) break;
    at = role_index_.find(next->extends->value);
  }
  return out;
}

}  // namespace pvr
