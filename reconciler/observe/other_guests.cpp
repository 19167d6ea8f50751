#include <functional>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "reconciler/observe/observe.h"
#include "reconciler/observe/parallel.h"

namespace pvr {
namespace {

/// Every volume a guest's file names: its configuration, what waits for its next start, and its snapshots.
std::vector<LiveDrive> drives_of(std::string_view text) {
  std::vector<LiveDrive> drives;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    const std::size_t colon = line.find(": ");
    if (colon == std::string_view::npos) continue;
    const std::optional<DriveSlot> slot = parse_slot(line.substr(0, colon));
    if (!slot) continue;
    auto drive = parse_drive(*slot, line.substr(colon + 2));
    if (drive && drive->volume) drives.push_back({.slot = *slot, .current = std::move(*drive)});
  }
  return drives;
}

/// A digest comes with a configuration only.
bool is_unread(const LiveVm& guest) { return !guest.is_container && guest.digest.empty(); }

bool read_files(LiveState& live, ZfsReader& zfs) {
  for (const LiveHost& host : live.hosts) {
    if (!host.readable) continue;
    const auto files = zfs.guest_files(host.node);
    if (!files) continue;  // perhaps the next one may be asked
    for (LiveVm& guest : live.vms) {
      if (!is_unread(guest)) continue;
      for (const GuestFile& file : *files) {
        if (file.vmid != guest.vmid) continue;
        guest.drives = drives_of(file.text);
        guest.drives_known = true;
      }
    }
    return true;
  }
  return false;
}

}  // namespace

Result<bool> read_other_guests(LiveState& live, PveReader& reader, const ObserveOptions& options) {
  std::vector<std::function<void()>> jobs;
  for (LiveVm& guest : live.vms) {
    if (!is_unread(guest) || !guest.readable) continue;
    jobs.emplace_back([&reader, &guest] {
      auto read = reader.guest({.node = guest.node, .vmid = guest.vmid});
      if (!read) {
        guest.readable = false;
        guest.problem = read.error().text();
        return;
      }
      guest.digest = std::move(read->digest);
      guest.options = std::move(read->options);
      guest.drives = std::move(read->drives);
    });
  }
  // Every node holds the files of all guests, also of those whose node is offline.
  if (std::ranges::none_of(live.vms, is_unread)) return false;
  if (options.zfs != nullptr && read_files(live, *options.zfs)) return true;
  if (jobs.empty()) return false;
  if (!run_parallel(jobs, options.parallelism, options.stop))
    return Error{.kind = ErrorKind::kInterrupted, .message = "stopped", .context = "looking at the other guests"};
  return true;
}

}  // namespace pvr
