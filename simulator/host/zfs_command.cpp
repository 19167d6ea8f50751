// zfs get, zfs list, and where the other subcommands go.

#include <algorithm>
#include <functional>

#include "simulator/host/datasets.h"
#include "simulator/host/host_command.h"
#include "simulator/world/storage.h"
#include "simulator/world/text.h"

namespace pvesim {
namespace {

HostAnswer usage(const std::string& text) { return {2, {}, text + "\nusage:\n\tzfs ...\n"}; }

/// "-Hp -t volume -o name,value -d 1 …" of get and list.
struct Options {
  bool ok = true;
  std::string problem = {};
  bool script = false, numbers = false, recursive = false;
  int depth = -1;  // -1: not given
  std::vector<std::string> types = {};
  std::vector<std::string> columns = {};
  std::string sort = {};
  std::vector<std::string> rest = {};
};

Options read_options(const std::vector<std::string>& argv) {
  Options options;
  std::size_t at = 2;
  for (; at < argv.size() && argv[at].size() > 1 && argv[at].front() == '-'; ++at) {
    const std::string& word = argv[at];
    for (std::size_t letter = 1; letter < word.size(); ++letter) {
      const char flag = word[letter];
      if (flag == 'H') options.script = true;
      if (flag == 'p') options.numbers = true;
      if (flag == 'r') options.recursive = true;
      if (std::string_view("Hpr").find(flag) != std::string_view::npos) continue;
      std::string value = word.substr(letter + 1);
      if (value.empty() && at + 1 < argv.size()) value = argv[++at];
      if (flag == 't') {
        options.types = split_at(value, ',');
      } else if (flag == 'o') {
        options.columns = split_at(value, ',');
      } else if (flag == 's') {
        options.sort = value;
      } else if (flag == 'd' && all_digits(value)) {
        options.depth = std::stoi(value);
      } else {
        options.ok = false;
        options.problem = std::string("invalid option '") + flag + "'";
      }
      break;
    }
  }
  options.rest.assign(argv.begin() + static_cast<std::ptrdiff_t>(std::min(at, argv.size())), argv.end());
  return options;
}

/// How many levels `name` lies below `top`; -1: not below it.
int levels_below(const std::string& name, const std::string& top) {
  if (name == top) return 0;
  if (!starts_with(name, top + "/")) return -1;
  return static_cast<int>(std::count(name.begin() + static_cast<std::ptrdiff_t>(top.size()), name.end(), '/'));
}

bool has_type(const Options& options, std::string_view type) {
  return std::find(options.types.begin(), options.types.end(), type) != options.types.end();
}

/// The datasets a command names, or all; the text of the refusal when one is missing.
std::vector<Dataset> chosen(HostCall& call, const Options& options, const std::vector<std::string>& names,
                            std::string& missing) {
  std::vector<Dataset> found;
  const std::vector<Dataset> all = datasets_of(call.world, call.node);
  const bool deep = options.recursive || options.depth >= 0;
  const int depth = options.depth >= 0 ? options.depth : 1000;
  for (const std::string& name : names) {
    const bool there = std::any_of(all.begin(), all.end(), [&](const Dataset& one) { return one.name == name; });
    if (!there && missing.empty()) missing = "cannot open '" + name + "': dataset does not exist";
  }
  for (const Dataset& one : all) {
    const bool named = names.empty() || std::any_of(names.begin(), names.end(), [&](const std::string& top) {
                         const int levels = levels_below(one.name, top);
                         return levels == 0 || (deep && levels > 0 && levels <= depth);
                       });
    if (!named) continue;
    if (!options.types.empty() && !has_type(options, "all") &&
        !has_type(options, one.is_volume() ? "volume" : "filesystem"))
      continue;
    found.push_back(one);
  }
  return found;
}

HostAnswer get(HostCall& call) {
  Options options = read_options(call.argv);
  if (!options.ok) return usage(options.problem);
  if (options.rest.empty()) return usage("missing property argument");
  if (!options.script || !options.numbers) return usage("the stand-in prints only -Hp");
  const std::vector<std::string> wanted = split_at(options.rest.front(), ',');
  options.rest.erase(options.rest.begin());
  std::string missing;
  const std::vector<Dataset> found = chosen(call, options, options.rest, missing);
  if (!missing.empty()) return refuse(1, missing);
  if (options.columns.empty()) options.columns = {"name", "property", "value", "source"};
  HostAnswer answer;
  for (const Dataset& dataset : found) {
    const std::vector<PropertyValue> all = properties_of(call.world, call.node, dataset);
    const auto print = [&](const PropertyValue& value) {
      std::string row;
      for (const std::string& column : options.columns)
        row += (row.empty() ? "" : "\t") + (column == "name"       ? dataset.name
                                            : column == "property" ? value.name
                                            : column == "value"    ? value.value
                                                                   : value.source);
      answer.out += row + "\n";
    };
    for (const std::string& name : wanted) {
      if (name == "all") {
        for (const PropertyValue& value : all) print(value);
        continue;
      }
      const auto value = std::find_if(all.begin(), all.end(), [&](const auto& one) { return one.name == name; });
      if (value != all.end())
        print(*value);
      else if (name.find(':') != std::string::npos ||
               !property_refusal(dataset, name, "").starts_with("invalid property"))
        print({name, "-", "-"});
      else
        return usage("bad property list: invalid property '" + name + "'");  // Fact: one unknown fails them all
    }
  }
  return answer;
}

HostAnswer list(HostCall& call) {
  Options options = read_options(call.argv);
  if (!options.ok) return usage(options.problem);
  if (!options.script || !options.numbers) return usage("the stand-in prints only -Hp");
  if (options.columns.empty()) options.columns = {"name", "used", "avail", "refer", "mountpoint"};
  HostAnswer answer;
  std::string missing;
  if (options.types == std::vector<std::string>{"snapshot"}) {
    if (options.columns != std::vector<std::string>{"name"})
      return usage("the stand-in prints only names of snapshots");
    Options all = options;
    all.types.clear();
    // Fact: -d counts from the dataset; its own snapshots are one level down.
    if (all.depth > 0) --all.depth;
    for (const Dataset& dataset : chosen(call, all, options.rest, missing)) {
      if (dataset.volume == nullptr) continue;
      for (const std::string& snapshot : snapshots_of(*dataset.volume))
        answer.out += dataset.name + "@" + snapshot + "\n";
    }
    return missing.empty() ? answer : refuse(1, missing);
  }
  if (has_type(options, "all") || has_type(options, "snapshot"))
    return usage("the stand-in lists snapshots only by themselves");
  for (const Dataset& dataset : chosen(call, options, options.rest, missing)) {
    const std::vector<PropertyValue> all = properties_of(call.world, call.node, dataset);
    std::string row;
    for (const std::string& column : options.columns) {
      const std::string name = column == "avail" ? "available" : column == "refer" ? "referenced" : column;
      const auto value = std::find_if(all.begin(), all.end(), [&](const auto& one) { return one.name == name; });
      row += (row.empty() ? "" : "\t") + (name == "name" ? dataset.name : value == all.end() ? "-" : value->value);
    }
    answer.out += row + "\n";
  }
  return missing.empty() ? answer : refuse(1, missing);
}

}  // namespace

HostAnswer run_zfs(HostCall& call) {
  if (call.argv.size() < 2) return usage("missing command");
  const std::string& verb = call.argv[1];
  if (verb == "get") return get(call);
  if (verb == "list") return list(call);
  if (verb == "version")
    return {0, "zfs-" + call.node.zfs_version + "-pve1\nzfs-kmod-" + call.node.zfs_version + "-pve1\n", {}};
  return run_zfs_change(call);
}

}  // namespace pvesim
