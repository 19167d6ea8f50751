// What is fed to `perl -`: by its first argument the program that tells of a volume's device (device, holders) or the
// one that copies (copy, compare). The text of the program is not looked at, but it must be there.

#include <algorithm>
#include <array>
#include <cstdio>

#include "simulator/host/datasets.h"
#include "simulator/host/host_command.h"
#include "simulator/world/storage.h"
#include "simulator/world/text.h"

namespace pvesim {
namespace {

// Facts (the copy program): a target says what is copied into it, and how far; one that holds data without saying so,
// or a copy of something else, is refused.
constexpr const char* kCopied = "pvereconcile:copied";
constexpr const char* kCopy = "pvereconcile:copy";

std::string device_name(HostCall& call, const Dataset& dataset) {
  return "/dev/zd" + std::to_string(guid_of(call.world, dataset) % 100000 * 16);
}

HostAnswer device(HostCall& call, bool with_holders) {
  if (call.argv.size() != 4) return refuse(255, "a mode and a volume are wanted");
  const auto dataset = find_dataset(call.world, call.node, call.argv[3]);
  // Fact: the link follows the command by a moment.
  if (!dataset || !dataset->is_volume() || dataset->volume->unsettled_until > call.world.now())
    return {0, "absent\t" + call.argv[3] + "\n", {}};
  HostAnswer answer;
  answer.out = "device\t" + device_name(call, *dataset) + "\nsize\t" + std::to_string(dataset->volume->size) +
               "\nblock\t" + std::to_string(dataset->volume->volblocksize) + "\n";
  if (with_holders)
    for (const std::string& holder : open_by(call.world, *dataset)) answer.out += "holder\t" + holder + "\n";
  return answer;
}

/// A volume, or one of its snapshots, as something to read.
struct Content {
  std::uint64_t fingerprint = 0;
  std::int64_t used = 0;
  std::int64_t size = 0;
  const Backing* backing = nullptr;
};

std::optional<Content> content(HostCall& call, const std::string& name) {
  const auto at = name.find('@');
  const auto dataset = find_dataset(call.world, call.node, name.substr(0, at));
  if (!dataset || !dataset->is_volume()) return std::nullopt;
  const Volume& volume = *dataset->volume;
  if (at == std::string::npos) return Content{volume.fingerprint, volume.used, volume.size, dataset->backing};
  const auto snapshot = volume.snapshots.find(name.substr(at + 1));
  if (snapshot == volume.snapshots.end()) return std::nullopt;
  return Content{snapshot->second.fingerprint, snapshot->second.used, snapshot->second.size, dataset->backing};
}

/// Guid of a volume or of a snapshot; a snapshot that was taken again under its name is another one.
std::uint64_t identity(HostCall& call, const std::string& name) {
  const auto at = name.find('@');
  const auto dataset = find_dataset(call.world, call.node, name.substr(0, at));
  if (!dataset || dataset->volume == nullptr) return 0;
  if (at == std::string::npos) return guid_of(call.world, *dataset);
  const auto snapshot = dataset->volume->snapshots.find(name.substr(at + 1));
  if (snapshot == dataset->volume->snapshots.end()) return 0;
  if (snapshot->second.guid == 0) snapshot->second.guid = call.world.next_guid();
  return snapshot->second.guid;
}

struct Origin {
  std::uint64_t to = 0;
  std::uint64_t since = 0;
  [[nodiscard]] std::string text() const { return "to=" + std::to_string(to) + " from=" + std::to_string(since); }
};

std::uint64_t mixed(std::uint64_t a, std::uint64_t b) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const std::uint64_t part : {a, b}) hash = (hash ^ part) * 0x100000001b3U;
  return hash | 1U;
}

std::string checksum(std::uint64_t fingerprint) {
  std::array<char, 17> hex{};
  std::snprintf(hex.data(), hex.size(), "%016llx", static_cast<unsigned long long>(fingerprint));
  return std::string(hex.data()) + hex.data() + hex.data() + hex.data();
}

HostAnswer copy(HostCall& call) {
  std::string since;
  std::int64_t limit = 0;
  std::vector<std::string> names;
  for (std::size_t at = 3; at < call.argv.size(); ++at) {
    if (call.argv[at] == "--since" && at + 1 < call.argv.size())
      since = call.argv[++at];
    else if (call.argv[at] == "--limit" && at + 1 < call.argv.size() && all_digits(call.argv[at + 1]))
      limit = std::stoll(call.argv[++at]);
    else
      names.push_back(call.argv[at]);
  }
  if (names.size() != 2) return refuse(2, "a source and a target are wanted");
  const auto from = content(call, names[0]);
  if (!from) return refuse(1, "\"" + names[0] + "\": dataset does not exist");
  const auto into = find_dataset(call.world, call.node, names[1]);
  if (!into || !into->is_volume()) return refuse(1, "\"" + names[1] + "\": dataset does not exist");
  if (into->volume->unsettled_until > call.world.now())
    return refuse(1, "/dev/zvol/" + names[1] + ": No such file or directory");
  if (!open_by(call.world, *into).empty()) return refuse(1, "/dev/zvol/" + names[1] + ": Device or resource busy");
  Volume& target = *into->volume;
  if (target.size < from->size) return refuse(1, names[1] + " is smaller than " + names[0]);
  const Origin origin{identity(call, names[0]),
                      since.empty() ? 0 : identity(call, names[0].substr(0, names[0].find('@')) + "@" + since)};
  if (!since.empty() && !content(call, names[0].substr(0, names[0].find('@')) + "@" + since))
    return refuse(1, "\"" + since + "\": dataset does not exist");
  std::int64_t begin = 0;
  if (const auto mark = target.properties.find(kCopy); mark != target.properties.end()) {
    const auto at = target.properties.find(kCopied);
    const std::int64_t copied = at == target.properties.end() ? 0 : std::stoll(at->second);
    if (mark->second == origin.text())
      begin = std::min(from->used, copied);
    else if (since.empty())
      return refuse(1, names[1] + " holds a copy of something else");
    else if (!starts_with(mark->second, "to=" + std::to_string(origin.since) + " ") || copied < from->used)
      return refuse(1, names[1] + " does not hold " + since);
  } else if (target.fingerprint != 0 || !since.empty()) {
    return refuse(1, since.empty() ? names[1] + " already holds data, and no mark of a copy"
                                   : names[1] + " does not hold " + since);
  }
  target.properties[kCopy] = origin.text();
  target.properties[kCopied] = std::to_string(begin);
  const double rate = std::max(1024.0, copy_rate(*from->backing, *into->backing, limit / 1024));
  const std::int64_t end = call.cut ? begin + (from->used - begin) / 2 : from->used;
  const std::string marked_key = into->name;
  const auto span =
      std::chrono::milliseconds(static_cast<std::int64_t>(static_cast<double>(end - begin) / rate * 1000.0));
  (void)call.world.wait_until([] { return false; }, call.world.now() + span);
  const auto again = find_dataset(call.world, call.node, marked_key);
  if (!again || again->volume == nullptr) return refuse(1, "/dev/zvol/" + names[1] + ": No such device or address");
  Volume& written = *again->volume;
  const std::int64_t more = end - written.used;
  Backing place;
  place.kind = "zfs";
  place.node = call.node.name;
  place.path = again->backing->path;
  if (written.refreservation < end && more > space_of(call.world, place).available)
    return refuse(1, "/dev/zvol/" + names[1] + ": No space left on device");
  written.used = std::max(written.used, end);
  if (call.cut) {
    written.fingerprint = mixed(from->fingerprint, 0);
    written.properties[kCopied] = std::to_string(end);
    return {137, {}, {}};
  }
  written.fingerprint = from->fingerprint;
  written.properties[kCopied] = std::to_string(from->size);
  HostAnswer answer;
  answer.out = "total " + std::to_string(from->used) + "\n";
  for (int part = 1; part <= 4; ++part)
    answer.out += "done " + std::to_string(begin + (from->used - begin) / 4 * part) + "\n";
  answer.out += "done " + std::to_string(from->used) + "\nend\n";
  return answer;
}

HostAnswer compare(HostCall& call) {
  if (call.argv.size() != 5) return refuse(2, "a source and a target are wanted");
  const auto source = content(call, call.argv[3]);
  const auto target = content(call, call.argv[4]);
  for (std::size_t at = 3; at < 5; ++at)
    if (!(at == 3 ? source : target)) return refuse(1, "\"" + call.argv[at] + "\": dataset does not exist");
  const double rate = std::max(1024.0, static_cast<double>(source->backing->read_rate) / 2);
  const auto span =
      std::chrono::milliseconds(static_cast<std::int64_t>(static_cast<double>(source->used) / rate * 1000.0));
  (void)call.world.wait_until([] { return false; }, call.world.now() + span);
  if (call.cut) return {137, {}, {}};
  const std::string total = std::to_string(source->used);
  return {0,
          "total " + total + "\ndone " + total + "\nsource " + checksum(source->fingerprint) + "\ntarget " +
              checksum(target->fingerprint) + "\nend\n",
          {}};
}

}  // namespace

HostAnswer run_perl(HostCall& call) {
  if (call.argv.size() < 3 || call.argv[1] != "-" || call.input.empty())
    return refuse(2, "the stand-in runs only a program on its standard input");
  const std::string& mode = call.argv[2];
  if (mode == "device" || mode == "holders") return device(call, mode == "holders");
  if (mode == "copy") return copy(call);
  if (mode == "compare") return compare(call);
  return refuse(255, "a mode and a volume are wanted");
}

}  // namespace pvesim
