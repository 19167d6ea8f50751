#include "providers/host/host_zfs.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <utility>

#include "providers/host/host_reading.h"
#include "providers/host/zfs_errors.h"
#include "providers/host/zfs_names.h"

namespace pvr {
namespace {

using namespace std::chrono_literals;

// Fact: 1,000 zvols take 15 s of the node's CPU; a sleeping disk and a busy pool take more.
constexpr std::chrono::milliseconds kReadLimit = 5min;
constexpr std::chrono::milliseconds kActLimit = 5min;
constexpr std::chrono::milliseconds kCopySilence = 15min;
constexpr int kLinkTries = 60;
constexpr std::chrono::milliseconds kLinkPause = 500ms;

Status checked(std::string problem) {
  if (problem.empty()) return Done{};
  return Error{.kind = ErrorKind::kRejected, .message = std::move(problem)};
}

Status checked_properties(const FlatMap<std::string>& properties) {
  for (const auto& [name, value] : properties)
    if (Status fine = checked(property_problem(name, value)); !fine) return fine;
  return Done{};
}

/// "tank/x" or "tank/x@before".
Status checked_source(const std::string& name) {
  const std::size_t at = name.find('@');
  if (Status fine = checked(dataset_problem(std::string_view(name).substr(0, at))); !fine) return fine;
  return at == std::string::npos ? Status(Done{}) : checked(snapshot_problem(std::string_view(name).substr(at + 1)));
}

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || read.ec != std::errc() || read.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

bool is_checksum(std::string_view text) {
  return text.size() == 64 &&
         std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

}  // namespace

// ------------------------------------------------------------------------------------------------ commands

std::vector<std::string> HostZfs::as_root(std::vector<std::string> argv) const {
  if (options_.sudo) argv.insert(argv.begin(), {"sudo", "-n", "--"});
  return argv;
}

Result<CommandOutput> HostZfs::run(const Command& command) {
  if (const Status right = know(command.node); !right) return Error(right.error());
  auto ended = runner_.run(command);
  if (!ended) return ended;
  if (ended->exit_code != 0) return classify_command(command, *ended);
  return ended;
}

Result<CommandOutput> HostZfs::read(const std::string& node, std::vector<std::string> argv) {
  return run({.node = node, .argv = std::move(argv), .limit = kReadLimit});
}

Status HostZfs::act(const std::string& node, std::vector<std::string> argv, std::string input) {
  const Command command{
      .node = node, .argv = as_root(std::move(argv)), .input = std::move(input), .limit = kActLimit, .acts = true};
  auto ended = run(command);
  if (!ended && ended.error().kind == ErrorKind::kLocked) {
    // Fact: straight after a volume was made, udev probes its device and `zfs destroy` finds it busy. Longer than that
    // only somebody waits who looks at the world, and at the lease, in between.
    if (Status settled = settle(node); !settled) return settled;
    ended = run(command);
  }
  return ended ? Status(Done{}) : Status(Error(ended.error()));
}

Status HostZfs::know(const std::string& node) {
  {
    const std::scoped_lock lock(mutex_);
    if (known_.contains(node)) return Done{};
  }
  const Command command{.node = node, .argv = {"uname", "-n"}};
  const auto ended = runner_.run(command);
  if (!ended) return Error(ended.error());
  if (ended->exit_code != 0) return classify_command(command, *ended);
  const auto lines = lines_of(ended->out);
  const std::string name(lines.empty() ? std::string_view() : lines.front().substr(0, lines.front().find('.')));
  if (name != node)
    return Error{
        .kind = ErrorKind::kRejected,
        .message = fmt::format("the address of node \"{}\" leads to a machine that calls itself \"{}\"; nothing "
                               "is done there. State the right one in cluster.ssh.hosts",
                               node, name)};
  const std::scoped_lock lock(mutex_);
  known_.insert(node);
  return Done{};
}

// ------------------------------------------------------------------------------------------------ reading

Result<LiveHost> HostZfs::host(const std::string& node) {
  return read_by(node, std::string(kReadHostScript), HostParts::kAll);
}

Result<LiveHost> HostZfs::settings(const std::string& node) {
  auto host = read_by(node, settings_script(kReadHostScript), HostParts::kSettings);
  if (host && !host->gaps.empty()) return Error{.kind = ErrorKind::kServer, .message = host->gaps.front()};
  return host;
}

Result<LiveHost> HostZfs::read_by(const std::string& node, std::string script, HostParts parts) {
  const Command command{.node = node, .argv = {"sh"}, .input = std::move(script), .limit = kReadLimit};
  // The script's own answer says which machine this is: one round trip.
  const auto ended = runner_.run(command);
  if (!ended) return Error(ended.error());
  if (ended->exit_code != 0) return classify_command(command, *ended);
  auto host = read_host(ended->out, parts);
  if (!host) return std::move(host).error().during(fmt::format("reading node \"{}\"", node));
  if (host->node != node)
    return Error{.kind = ErrorKind::kRejected,
                 .message = fmt::format("the address of node \"{}\" leads to a machine that calls itself \"{}\". State "
                                        "the right one in cluster.ssh.hosts",
                                        node, host->node)};
  const std::scoped_lock lock(mutex_);
  known_.insert(node);
  return host;
}

Result<std::vector<GuestFile>> HostZfs::guest_files(const std::string& node) {
  // Every line with its file: nobody has to parse where a file begins, and a sudoers line can name it exactly.
  Command command{
      .node = node, .argv = as_root({"grep", "-ar", "--include=*.conf", "^", "/etc/pve/nodes"}), .limit = kReadLimit};
  if (const Status right = know(node); !right) return Error(right.error());
  const auto ended = runner_.run(command);
  if (!ended) return Error(ended.error());
  if (ended->exit_code == 1 && ended->err.empty()) return std::vector<GuestFile>{};  // grep: no line at all
  if (ended->exit_code != 0) return classify_command(command, *ended);
  constexpr std::string_view kStart = "/etc/pve/nodes/";
  constexpr std::string_view kFolder = "qemu-server";
  std::vector<GuestFile> files;
  for (const std::string_view line : lines_of(ended->out)) {
    const std::size_t colon = line.find(".conf:");
    if (!line.starts_with(kStart) || colon == std::string_view::npos)
      return Error{.kind = ErrorKind::kMalformed,
                   .message = fmt::format("grep: unexpected row \"{}\"", line.substr(0, 200))};
    const std::string_view path = line.substr(kStart.size(), colon - kStart.size());
    const std::size_t first = path.find('/');
    const std::size_t last = path.rfind('/');
    if (first == std::string_view::npos || first == last || path.substr(first + 1, last - first - 1) != kFolder)
      continue;
    const auto id = number(path.substr(last + 1));
    if (!id || *id > 999'999'999) continue;
    const Vmid vmid{static_cast<std::uint32_t>(*id)};
    const std::string owner(path.substr(0, first));
    if (files.empty() || files.back().vmid != vmid || files.back().node != owner)
      files.push_back({.node = owner, .vmid = vmid});
    files.back().text += line.substr(colon + 6);
    files.back().text += '\n';
  }
  std::ranges::sort(files, {}, &GuestFile::vmid);
  return files;
}

Result<std::optional<LiveDataset>> HostZfs::dataset(const std::string& node, const std::string& name) {
  if (const Status fine = checked(dataset_problem(name)); !fine) return Error(fine.error());
  const auto rows = read(node, {"zfs", "get", "-Hp", "-o", "name,property,value,source", "all", name});
  if (!rows && rows.error().kind == ErrorKind::kNotFound) return std::optional<LiveDataset>();
  if (!rows) return Error(rows.error());
  auto found = read_datasets(rows->out);
  if (!found) return std::move(found).error();
  if (found->size() != 1 || found->front().name != name)
    return Error{.kind = ErrorKind::kMalformed,
                 .message = fmt::format("zfs get of \"{}\" told of something else", name)};
  const auto snapshots =
      read(node, {"zfs", "list", "-Hp", "-t", "snapshot", "-o", "name", "-s", "createtxg", "-d", "1", name});
  // Gone between the two: there is none of that name.
  if (!snapshots && snapshots.error().kind == ErrorKind::kNotFound) return std::optional<LiveDataset>();
  if (!snapshots) return Error(snapshots.error());
  if (Status added = read_snapshots(snapshots->out, *found); !added) return Error(added.error());
  return std::optional(std::move(found->front()));
}

Result<std::vector<LiveDataset>> HostZfs::marked(const std::string& node, const std::string& parent) {
  if (const Status fine = checked(dataset_problem(parent)); !fine) return Error(fine.error());
  const auto rows =
      read(node, {"zfs", "get", "-Hp", "-d", "1", "-t", "volume", "-o", "name,property,value,source", "all", parent});
  if (!rows) return Error(rows.error());
  auto found = read_datasets(rows->out);
  if (!found) return std::move(found).error();
  std::erase_if(*found, [](const LiveDataset& one) { return one.marks.empty(); });
  if (found->empty()) return found;
  const auto snapshots =
      read(node, {"zfs", "list", "-Hp", "-t", "snapshot", "-o", "name", "-s", "createtxg", "-d", "2", parent});
  if (!snapshots) return Error(snapshots.error());
  if (Status added = read_snapshots(snapshots->out, *found); !added) return Error(added.error());
  return found;
}

Result<HostZfs::Device> HostZfs::device(const std::string& node, const std::string& volume, bool with_holders) {
  std::vector<std::string> argv = {"perl", "-", with_holders ? "holders" : "device", volume};
  const auto ended = run({.node = node,
                          .argv = with_holders ? as_root(std::move(argv)) : std::move(argv),
                          .input = std::string(kZvolDeviceProgram)});
  if (!ended) return Error(ended.error());
  Device device;
  for (const std::string_view row : lines_of(ended->out)) {
    const auto columns = columns_of(row);
    const auto value = columns.size() == 2 ? number(columns[1]) : std::nullopt;
    if (columns.size() == 2 && columns[0] == "absent") return device;
    if (columns.size() == 2 && columns[0] == "device") {
      device.present = true;
    } else if (columns.size() == 2 && columns[0] == "holder") {
      device.holders.emplace_back(columns[1]);
    } else if (value && columns[0] == "size") {
      device.size = {*value};
    } else if (value && columns[0] == "block") {
      device.block = {*value};
    } else {
      return Error{.kind = ErrorKind::kMalformed,
                   .message = fmt::format("device of \"{}\": unexpected row \"{}\"", volume, row)};
    }
  }
  if (!device.present)
    return Error{.kind = ErrorKind::kMalformed,
                 .message = fmt::format("nothing was told of the device of \"{}\"", volume)};
  return device;
}

Result<std::vector<std::string>> HostZfs::holders(const std::string& node, const std::string& volume) {
  if (const Status fine = checked(dataset_problem(volume)); !fine) return Error(fine.error());
  auto found = device(node, volume, true);
  if (!found) return std::move(found).error();
  if (found->present) return std::move(found->holders);
  // No link is no proof: udev may be late. A volume without a device is not open, though nobody may believe it at once.
  if (Status settled = settle(node); !settled) return Error(settled.error());
  found = device(node, volume, true);
  if (!found) return std::move(found).error();
  if (found->present) return std::move(found->holders);
  const auto zvol = dataset(node, volume);
  if (!zvol) return Error(zvol.error());
  if (!*zvol) return Error{.kind = ErrorKind::kNotFound, .message = fmt::format("there is no volume \"{}\"", volume)};
  if ((*zvol)->text("volmode") == "none") return std::vector<std::string>{};
  return Error{.kind = ErrorKind::kServer,
               .message = fmt::format("/dev/zvol/{} is not there, so nobody can tell who holds the volume", volume)};
}

// ------------------------------------------------------------------------------------------------ changes

Status HostZfs::settle(const std::string& node) {
  const auto ended = read(node, {"udevadm", "settle", "--timeout=30"});
  if (!ended) return Error(ended.error());
  return Done{};
}

Status HostZfs::link_follows(const std::string& node, const LiveDataset& volume) {
  if (volume.text("volmode") == "none") return Done{};
  const auto size = volume.bytes("volsize");
  const auto block = volume.bytes("volblocksize");
  for (int tries = 1;; ++tries) {
    // Fact: `zfs` returns before /dev/zvol follows; for a moment the link may lead to another device.
    if (Status settled = settle(node); !settled) return settled;
    const auto found = device(node, volume.name, false);
    if (!found) return Error(found.error());
    if (found->present && size == found->size && block == found->block) return Done{};
    if (tries == kLinkTries || !clock_.wait(kLinkPause, {}))
      return Error{
          .kind = ErrorKind::kServer,
          .message = fmt::format("/dev/zvol/{} does not lead to the volume; udev on node \"{}\" does not follow",
                                 volume.name, node),
          .effect = Effect::kPossible};
  }
}

Status HostZfs::set_properties(const std::string& node, const std::string& dataset, const FlatMap<std::string>& set) {
  if (Status fine = checked(dataset_problem(dataset)); !fine) return fine;
  if (Status fine = checked_properties(set); !fine) return fine;
  std::vector<std::string> argv = {"zfs", "set"};
  for (const auto& [name, value] : set)
    if (!value.empty()) argv.push_back(name + "=" + value);
  if (argv.size() > 2) {
    argv.push_back(dataset);
    if (Status done = act(node, std::move(argv)); !done) return done;
  }
  for (const auto& [name, value] : set)
    if (value.empty())
      if (Status done = act(node, {"zfs", "inherit", name, dataset}); !done) return done;
  return Done{};
}

Status HostZfs::set_pool_properties(const std::string& node, const std::string& pool, const FlatMap<std::string>& set) {
  if (Status fine = checked(dataset_problem(pool)); !fine) return fine;
  if (Status fine = checked_properties(set); !fine) return fine;
  if (pool.find('/') != std::string::npos)
    return Error{.kind = ErrorKind::kRejected, .message = fmt::format("\"{}\" is no pool", pool)};
  // Fact: `zpool set` takes one property at a time.
  for (const auto& [name, value] : set)
    if (Status done = act(node, {"zpool", "set", name + "=" + value, pool}); !done) return done;
  return Done{};
}

Status HostZfs::set_parameters(const std::string& node, const std::vector<std::pair<std::string, std::string>>& set) {
  for (const auto& [name, value] : set)
    if (Status fine = checked(parameter_problem(name, value)); !fine) return fine;
  for (const auto& [name, value] : set)
    if (Status done = act(node, {"tee", "/sys/module/zfs/parameters/" + name}, value + "\n"); !done) return done;
  return Done{};
}

Status HostZfs::write_modprobe(const std::string& node, const FlatMap<std::string>& options) {
  std::string text =
      "# Written by pvereconcile as its fleet file says. A change made here is lost; options of yours belong into a "
      "file of their own.\n";
  for (const auto& [name, value] : options) {
    if (Status fine = checked(parameter_problem(name, value)); !fine) return fine;
    text += fmt::format("options zfs {}={}\n", name, value);
  }
  // The whole file is on the disk before it gets its name; modprobe does not read one that ends in .new.
  const std::string path(kOwnModprobeFile);
  const std::string fresh = path + ".new";
  if (Status done = act(node, {"dd", "of=" + fresh, "conv=fsync", "status=none"}, std::move(text)); !done) return done;
  return act(node, {"mv", "-fT", "--", fresh, path});
}

Status HostZfs::set_timer(const std::string& node, const std::string& unit, bool enabled) {
  if (Status fine = checked(unit_problem(unit)); !fine) return fine;
  return act(node, {"systemctl", enabled ? "enable" : "disable", "--now", unit});
}

Status HostZfs::create_dataset(const std::string& node, const std::string& name,
                               const FlatMap<std::string>& properties) {
  if (Status fine = checked(dataset_problem(name)); !fine) return fine;
  if (Status fine = checked_properties(properties); !fine) return fine;
  std::vector<std::string> argv = {"zfs", "create"};
  if (!properties.contains("canmount")) argv.insert(argv.end(), {"-o", "canmount=off"});
  for (const auto& [property, value] : properties) argv.insert(argv.end(), {"-o", property + "=" + value});
  argv.push_back(name);
  return act(node, std::move(argv));
}

Status HostZfs::create_zvol(const std::string& node, const NewZvol& zvol) {
  if (Status fine = checked(dataset_problem(zvol.name)); !fine) return fine;
  if (Status fine = checked_properties(zvol.properties); !fine) return fine;
  if (!std::has_single_bit(zvol.volblocksize.bytes) || zvol.volblocksize.bytes < 512)
    return Error{.kind = ErrorKind::kRejected,
                 .message = fmt::format("{} is no volblocksize: a power of two from 512 bytes on is wanted",
                                        to_text(zvol.volblocksize))};
  // Fact: `zfs create` rounds other sizes up without a word.
  if (zvol.size.bytes == 0 || zvol.size.bytes % zvol.volblocksize.bytes != 0)
    return Error{.kind = ErrorKind::kRejected,
                 .message = fmt::format("{} is no multiple of the volblocksize {}", to_text(zvol.size),
                                        to_text(zvol.volblocksize))};
  std::vector<std::string> argv = {"zfs",
                                   "create",
                                   "-s",
                                   "-V",
                                   std::to_string(zvol.size.bytes),
                                   "-o",
                                   fmt::format("volblocksize={}", zvol.volblocksize.bytes)};
  for (const auto& [property, value] : zvol.properties) argv.insert(argv.end(), {"-o", property + "=" + value});
  argv.push_back(zvol.name);
  if (Status done = act(node, std::move(argv)); !done) return done;
  const auto made = dataset(node, zvol.name);
  if (!made) return Error(made.error());
  if (!*made || (*made)->bytes("volsize") != zvol.size || (*made)->bytes("volblocksize") != zvol.volblocksize)
    return Error{.kind = ErrorKind::kServer,
                 .message = fmt::format("\"{}\" is not what was asked for", zvol.name),
                 .effect = Effect::kPossible};
  return link_follows(node, **made);
}

Status HostZfs::rename(const std::string& node, const std::string& from, const std::string& to) {
  if (Status fine = checked(dataset_problem(from)); !fine) return fine;
  if (Status fine = checked(dataset_problem(to)); !fine) return fine;
  const auto found = dataset(node, from);
  if (!found) return Error(found.error());
  if (!*found) return Error{.kind = ErrorKind::kNotFound, .message = fmt::format("there is no dataset \"{}\"", from)};
  if ((*found)->is_volume) {
    const auto held = holders(node, from);
    if (!held) return Error(held.error());
    if (!held->empty())
      return Error{.kind = ErrorKind::kLocked,
                   .message = fmt::format("\"{}\" is in use by {}{}", from, held->front(),
                                          held->size() == 1 ? "" : fmt::format(" and {} more", held->size() - 1))};
  }
  if (Status done = act(node, {"zfs", "rename", from, to}); !done) return done;
  LiveDataset renamed = **found;
  renamed.name = to;
  return renamed.is_volume ? link_follows(node, renamed) : Status(Done{});
}

Status HostZfs::destroy(const std::string& node, const std::string& dataset_name, const std::string& guid) {
  if (Status fine = checked(dataset_problem(dataset_name)); !fine) return fine;
  if (dataset_name.find('/') == std::string::npos)
    return Error{.kind = ErrorKind::kRejected, .message = fmt::format("\"{}\" is a pool", dataset_name)};
  const auto found = dataset(node, dataset_name);
  if (!found) return Error(found.error());
  if (!*found)
    return Error{.kind = ErrorKind::kNotFound, .message = fmt::format("there is no dataset \"{}\"", dataset_name)};
  if (guid.empty() || (*found)->text("guid") != guid)
    return Error{.kind = ErrorKind::kConflict,
                 .message = fmt::format("\"{}\" is another dataset now (guid {}, not {})", dataset_name,
                                        (*found)->text("guid"), guid)};
  if (!(*found)->snapshots.empty())
    return Error{
        .kind = ErrorKind::kRejected,
        .message = fmt::format("\"{}\" has snapshots ({} and maybe more)", dataset_name, (*found)->snapshots.front())};
  return act(node, {"zfs", "destroy", dataset_name});
}

Status HostZfs::snapshot(const std::string& node, const std::string& dataset_name, const std::string& name) {
  if (Status fine = checked(dataset_problem(dataset_name)); !fine) return fine;
  if (Status fine = checked(snapshot_problem(name)); !fine) return fine;
  return act(node, {"zfs", "snapshot", dataset_name + "@" + name});
}

Status HostZfs::destroy_snapshot(const std::string& node, const std::string& dataset_name, const std::string& name) {
  if (Status fine = checked(dataset_problem(dataset_name)); !fine) return fine;
  if (Status fine = checked(snapshot_problem(name)); !fine) return fine;
  return act(node, {"zfs", "destroy", dataset_name + "@" + name});
}

// ------------------------------------------------------------------------------------------------ contents

Result<ContentChecksums> HostZfs::run_copy_program(const std::string& node, std::vector<std::string> words,
                                                   const std::function<void(const CopyProgress&)>& progress,
                                                   std::stop_token stop, bool acts) {
  std::vector<std::string> argv = {"perl", "-"};
  argv.insert(argv.end(), words.begin(), words.end());
  CopyProgress now;
  ContentChecksums sums;
  bool ended_well = false;
  std::string stranger;
  Command command{.node = node,
                  .argv = as_root(std::move(argv)),
                  .input = std::string(options_.copy_program),
                  .limit = 0ms,
                  .silence = kCopySilence,
                  .stop = std::move(stop),
                  .acts = acts};
  command.on_line = [&](std::string_view line) {
    const std::size_t blank = line.find(' ');
    const std::string_view key = line.substr(0, blank);
    const std::string_view value = blank == std::string_view::npos ? std::string_view() : line.substr(blank + 1);
    const auto bytes = number(value);
    if (key == "end" && value.empty()) {
      ended_well = true;
    } else if ((key == "total" || key == "done") && bytes) {
      (key == "total" ? now.total : now.done) = ByteSize{*bytes};
      if (progress) progress(now);
    } else if ((key == "source" || key == "target") && is_checksum(value)) {
      (key == "source" ? sums.source : sums.target) = value;
    } else if (stranger.empty()) {
      stranger = line.substr(0, 200);
    }
  };
  const auto ended = run(command);
  if (!ended) return Error(ended.error());
  if (!stranger.empty())
    return Error{.kind = ErrorKind::kMalformed,
                 .message = fmt::format("the copy program said \"{}\"", stranger),
                 .effect = acts ? Effect::kPossible : Effect::kNone};
  if (!ended_well)
    return Error{.kind = ErrorKind::kServer,
                 .message = "the copy program ended without a word",
                 .effect = acts ? Effect::kPossible : Effect::kNone};
  return sums;
}

Status HostZfs::copy(const std::string& node, const ZvolCopy& copy,
                     const std::function<void(const CopyProgress&)>& progress, std::stop_token stop) {
  if (Status fine = checked_source(copy.source); !fine) return fine;
  if (Status fine = checked(dataset_problem(copy.target)); !fine) return fine;
  std::vector<std::string> words = {"copy"};
  if (!copy.since.empty()) {
    if (Status fine = checked(snapshot_problem(copy.since)); !fine) return fine;
    words.insert(words.end(), {"--since", copy.since});
  }
  if (copy.limit.bytes_per_second != 0)
    words.insert(words.end(), {"--limit", std::to_string(copy.limit.bytes_per_second)});
  words.insert(words.end(), {copy.source, copy.target});
  const auto ended = run_copy_program(node, std::move(words), progress, std::move(stop), true);
  if (!ended) return Error(ended.error()).during(fmt::format("copying \"{}\" to \"{}\"", copy.source, copy.target));
  return Done{};
}

Result<ContentChecksums> HostZfs::compare(const std::string& node, const ZvolCopy& copy,
                                          const std::function<void(const CopyProgress&)>& progress,
                                          std::stop_token stop) {
  if (const Status fine = checked_source(copy.source); !fine) return Error(fine.error());
  if (const Status fine = checked_source(copy.target); !fine) return Error(fine.error());
  auto sums = run_copy_program(node, {"compare", copy.source, copy.target}, progress, std::move(stop), false);
  if (!sums)
    return std::move(sums).error().during(fmt::format("comparing \"{}\" with \"{}\"", copy.source, copy.target));
  if (sums->source.empty() || sums->target.empty())
    return Error{.kind = ErrorKind::kMalformed, .message = "the copy program told no checksums"};
  return sums;
}

}  // namespace pvr
