#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "reconciler/audit/auditor.h"
#include "reconciler/base/text.h"
#include "reconciler/model/retired.h"

namespace pvr {
namespace {

/// Day of the epoch of a calendar date. Fact: days_from_civil, proleptic Gregorian.
std::int64_t day_of(int year, int month, int day) {
  const std::chrono::year_month_day date{std::chrono::year{year}, std::chrono::month{static_cast<unsigned>(month)},
                                         std::chrono::day{static_cast<unsigned>(day)}};
  return std::chrono::sys_days{date}.time_since_epoch().count();
}

std::optional<int> digits(std::string_view text, std::size_t at, std::size_t count) {
  if (at + count > text.size()) return std::nullopt;
  int number = 0;
  const auto [end, fault] = std::from_chars(text.data() + at, text.data() + at + count, number);
  if (fault != std::errc{} || end != text.data() + at + count) return std::nullopt;
  return number;
}

/// The day a backup was made, from its name: "backup/vzdump-qemu-100-2026_01_31-03_00_01.vma.zst" of vzdump, or
/// "backup/vm/100/2026-01-31T03:00:01Z" of a backup server.
std::optional<std::int64_t> backup_day(std::string_view name) {
  std::size_t at = std::string_view::npos;
  if (const auto slash = name.rfind('/'); name.starts_with("backup/vm/") && slash != std::string_view::npos) {
    at = slash + 1;
  } else if (const auto dump = name.find("vzdump-qemu-"); dump != std::string_view::npos) {
    at = name.find('-', dump + 12);
    if (at != std::string_view::npos) ++at;
  }
  if (at == std::string_view::npos) return std::nullopt;
  const auto year = digits(name, at, 4);
  const auto month = digits(name, at + 5, 2);
  const auto day = digits(name, at + 8, 2);
  if (!year || !month || !day || *month < 1 || *month > 12 || *day < 1 || *day > 31) return std::nullopt;
  return day_of(*year, *month, *day);
}

std::optional<Vmid> backup_owner(const LiveVolume& volume) {
  if (volume.owner) return volume.owner;
  return std::nullopt;
}

bool covers(const BackupJob& job, const LiveVm& vm) {
  if (!job.enabled) return false;
  if (!job.node.empty() && job.node != vm.node) return false;
  if (job.all) return std::ranges::find(job.exclude, vm.vmid) == job.exclude.end();
  if (!job.pool.empty()) return job.pool == vm.pool;
  return std::ranges::find(job.vmids, vm.vmid) != job.vmids.end();
}

/// Entries of configurations that name one volume.
struct Users {
  VolumeId volume = {};  // by its first name
  std::vector<std::string> entries = {};

  [[nodiscard]] bool is_shared() const { return entries.size() > 1; }
  void add(const VolumeId& id, const LiveVm& vm, DriveSlot slot) {
    if (entries.empty()) volume = id;
    std::string entry = fmt::format("guest {} ({})", vm.vmid.number, to_text(slot));
    if (std::ranges::find(entries, entry) == entries.end()) entries.push_back(std::move(entry));
  }
};

std::string volume_subject(const VolumeId& volume, std::string_view node) {
  return node.empty() ? "volume/" + to_text(volume) : fmt::format("volume/{}/{}", node, to_text(volume));
}

}  // namespace

void Auditor::audit_volumes() {
  std::set<std::pair<VolumeId, std::string>> used;  // with the node, where the storage is not shared
  std::set<Vmid> unclear;                           // guests that may hold what cannot be seen
  /// By place, whatever name an entry gives it.
  std::map<std::pair<std::string, std::string>, Users> users;
  std::set<Vmid> guests;
  const auto place = [&](const VolumeId& id, const std::string& node) {
    const auto storage = facts_.storages.find(id.storage);
    const bool shared = storage != facts_.storages.end() && storage->second.shared;
    return std::pair(id, shared ? std::string() : node);
  };
  // Two entries of storage.cfg may show one dataset: a zvol in use is in use under either name.
  std::set<std::pair<std::string, std::string>> zvols;
  const auto zvol = [&](const VolumeId& id, const std::string& node) {
    const LiveStorage* storage = live_.storage(id.storage);
    return storage != nullptr && storage->type == "zfspool"
               ? std::pair(fmt::format("{}/{}", property_of(*storage, "pool"), last_component(id.name)), node)
               : std::pair<std::string, std::string>();
  };
  const auto anywhere = [&](const VolumeId& id, const std::string& node) {
    const auto at = zvol(id, node);
    const auto named = place(id, node);
    return at.first.empty() ? std::pair(to_text(named.first), named.second) : at;
  };
  for (const LiveVm& vm : live_.vms) {
    guests.insert(vm.vmid);
    if (vm.is_container || !vm.readable || vm.has_snapshots() || !vm.lock.empty()) unclear.insert(vm.vmid);
    for (const LiveDrive& drive : vm.drives) {
      for (const auto* held : {&drive.current, &drive.pending}) {
        if (!*held || !(*held)->volume) continue;
        used.insert(place(*(*held)->volume, vm.node));
        zvols.insert(zvol(*(*held)->volume, vm.node));
        // Any number of guests may read a CD.
        if ((*held)->medium != Drive::Medium::kCdrom)
          users[anywhere(*(*held)->volume, vm.node)].add(*(*held)->volume, vm, drive.slot);
      }
    }
  }
  for (const LiveVm& vm : live_.vms) {
    for (const LiveDrive& drive : vm.drives) {
      const Drive* held = drive.configured();
      if (drive.slot.bus != Bus::kUnused || held == nullptr || !held->volume) continue;
      // P3: what destroys it for the one guest destroys it for the other.
      if (const auto by = users.find(anywhere(*held->volume, vm.node)); by != users.end() && by->second.is_shared())
        continue;
      const std::string text = to_text(*held->volume);
      const auto volume = std::ranges::find_if(live_.volumes, [&](const LiveVolume& v) {
        return v.id == *held->volume && (v.node.empty() || v.node == vm.node);
      });
      LeftoverFacts facts{.volume = text, .guest = vm.name, .attached = true};
      if (volume != live_.volumes.end() && volume->size) facts.size = *volume->size;
      const std::string slot = to_text(drive.slot);
      for (AuditFinding& finding : judge(leftover_checks(), facts, fmt::format("vm/{}/{}", vm.vmid.number, slot))) {
        finding.name = vm.name;
        finding.node = vm.node;
        if (facts.size.bytes != 0) finding.cost.lost_space = facts.size;
        finding.fix.commands = {fmt::format("qm disk unlink {} --idlist {} --force 1", vm.vmid.number, slot)};
        finding.fix.caution = "this destroys the volume and what is on it";
        finding.fix.effect = FixEffect::kNow;
        add(std::move(finding));
      }
    }
  }
  for (const auto& [where, by] : users) {
    const std::string text = to_text(by.volume);
    const UsersFacts facts{.volume = text, .users = by.entries};
    for (AuditFinding& finding : judge(users_checks(), facts, volume_subject(by.volume, where.second))) {
      finding.node = where.second;
      add(std::move(finding));
    }
  }
  // Fact: without VM.Config.Disk or Datastore.Allocate PVE leaves guest volumes out of the list without a word.
  std::set<std::string> blind;
  for (const auto& [volume, node] : used) {
    const VolumeId& id = volume;
    const LiveStorage* storage = live_.storage(id.storage);
    const bool read =
        storage != nullptr && std::ranges::any_of(storage->on_node, [](const auto& at) { return at.second.active; });
    if (read && std::ranges::none_of(live_.volumes, [&](const LiveVolume& v) {
          return v.id.storage == id.storage && v.content == "images";
        }))
      blind.insert(id.storage);
  }
  if (!blind.empty()) {
    report_.not_checked.push_back(
        {{"P2"},
         fmt::format("orphaned volumes on {}", fmt::join(blind, ", ")),
         "the list of volumes shows none of the guests' disks; it takes VM.Config.Disk on /vms"});
  }
  // What such a guest uses of shared storage would look like nobody's.
  std::vector<std::string> unseen;
  for (const LiveVm& vm : live_.vms)
    if (!vm.readable && !vm.is_container) unseen.push_back(fmt::format("{}", vm.vmid.number));
  if (!unseen.empty()) {
    report_.not_checked.push_back({{"P2"},
                                   "orphaned volumes on shared storages",
                                   fmt::format("what guest {} uses cannot be read", fmt::join(unseen, ", "))});
  }
  // Without a full list of guests a volume of a hidden one would look like nobody's.
  for (const LiveVolume& volume : live_.volumes) {
    if (volume.content != "images" || !volume.owner || (volume.node.empty() && !unseen.empty())) continue;
    if (used.contains({volume.id, volume.node})) continue;
    if (const auto at = zvol(volume.id, volume.node); !at.first.empty() && zvols.contains(at)) continue;
    const bool has_guest = guests.contains(*volume.owner);
    if (unclear.contains(*volume.owner)) continue;
    const std::string& name = volume.id.name;
    // State of a suspended guest or of a snapshot, and what a running backup uses.
    if (has_guest && (name.find("-state-") != std::string::npos || name.find("fleece") != std::string::npos)) continue;
    const std::string text = to_text(volume.id);
    LeftoverFacts facts{.volume = text};
    if (volume.size) facts.size = *volume.size;
    for (AuditFinding& finding : judge(leftover_checks(), facts, volume_subject(volume.id, volume.node))) {
      finding.node = volume.node;
      if (facts.size.bytes != 0) finding.cost.lost_space = facts.size;
      if (has_guest) {
        finding.fix.commands = {fmt::format("qm disk rescan --vmid {}", volume.owner->number)};
        finding.fix.advice = "it then shows as an unused disk of its guest, to attach or to remove";
        finding.fix.effect = FixEffect::kNow;
      } else {
        finding.what += fmt::format("; guest {} does not exist", volume.owner->number);
        finding.fix.commands = {fmt::format("pvesm free {}", shell_word(text))};
        finding.fix.advice =
            "only after you have looked: another cluster on the same storage, or a guest this token may not see, may "
            "use it";
        finding.fix.caution = "this destroys the volume and what is on it";
        finding.fix.effect = FixEffect::kNow;
      }
      add(std::move(finding));
    }
  }
}

void Auditor::audit_backups() {
  bool jobs_known = in_.backup_jobs != nullptr;
  bool has_backup_storage = false;
  bool backups_known = !live_.partial;
  for (const LiveStorage& storage : live_.storages) {
    if (!list_holds(property_of(storage, "content"), "backup") || property_of(storage, "disable") == "1") continue;
    has_backup_storage = true;
    const bool read = std::ranges::any_of(storage.on_node, [](const auto& at) { return at.second.active; });
    backups_known = backups_known && read;
  }
  std::map<Vmid, std::int64_t> newest;
  for (const LiveVolume& volume : live_.volumes) {
    if (volume.content != "backup") continue;
    const auto owner = backup_owner(volume);
    const auto day = backup_day(volume.id.name);
    if (!owner || !day) continue;
    const auto at = newest.try_emplace(*owner, *day).first;
    at->second = std::max(at->second, *day);
  }
  const std::int64_t today = std::chrono::floor<std::chrono::days>(live_.observed_at).time_since_epoch().count();
  const bool any_job = jobs_known && std::ranges::any_of(*in_.backup_jobs, &BackupJob::enabled);
  std::size_t unprotected = 0;
  std::vector<AuditFinding> single;
  for (const LiveVm& vm : live_.vms) {
    if (vm.is_container || !vm.readable || vm.is_template) continue;
    CoverageFacts facts{.guest = vm.name.empty() ? std::string_view("guest") : std::string_view(vm.name)};
    facts.jobs_known = jobs_known;
    facts.in_a_job =
        jobs_known && std::ranges::any_of(*in_.backup_jobs, [&](const BackupJob& job) { return covers(job, vm); });
    facts.backups_known = backups_known && has_backup_storage;
    if (const auto at = newest.find(vm.vmid); at != newest.end())
      facts.newest_age_days = static_cast<int>(std::max<std::int64_t>(today - at->second, 0));
    if (!facts.in_a_job && !facts.newest_age_days) ++unprotected;
    for (AuditFinding& finding : judge(coverage_checks(), facts, fmt::format("vm/{}", vm.vmid.number))) {
      finding.name = vm.name;
      finding.node = vm.node;
      single.push_back(std::move(finding));
    }
  }
  // A cluster that is not backed up by PVE at all is one finding, not one per guest.
  if (newest.empty() && !any_job) {
    CoverageFacts facts{.jobs_known = jobs_known, .unprotected = unprotected};
    if (jobs_known || has_backup_storage)
      for (AuditFinding& finding : judge(coverage_checks(), facts, "cluster")) add(std::move(finding));
  } else {
    for (AuditFinding& finding : single) add(std::move(finding));
  }
  if (!jobs_known) return;
  for (const BackupJob& job : *in_.backup_jobs) {
    if (!job.enabled) continue;
    const LiveStorage* storage = live_.storage(job.storage);
    const BackupFacts facts{
        .job = job.id,
        .mode = job.mode.empty() ? std::string_view("snapshot") : std::string_view(job.mode),
        .compress = job.compress.empty() ? std::string_view("none") : std::string_view(job.compress),
        .to_pbs = storage != nullptr && storage->type == "pbs"};
    for (AuditFinding& finding : judge(backup_checks(), facts, "backup/" + job.id)) {
      const bool is_mode = finding.id == finding_id("T5", 1, finding.subject);
      finding.fix.commands = {fmt::format("pvesh set /cluster/backup/{} --{}", shell_word(job.id),
                                          is_mode ? "mode snapshot" : "compress zstd")};
      finding.fix.effect = FixEffect::kNow;
      add(std::move(finding));
    }
  }
}

}  // namespace pvr
