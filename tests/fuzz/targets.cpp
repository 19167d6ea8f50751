#include "tests/fuzz/targets.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

#include "providers/host/host_reading.h"
#include "providers/pve/pve_client.h"
#include "reconciler/base/text.h"
#include "reconciler/base/units.h"
#include "reconciler/execute/lease.h"
#include "reconciler/execute/task_progress.h"
#include "reconciler/model/address.h"
#include "reconciler/model/drive.h"
#include "reconciler/model/option_codec.h"
#include "reconciler/model/plan.h"
#include "reconciler/model/retired.h"
#include "reconciler/model/settings.h"
#include "reconciler/ports/clock.h"
#include "schema/fleet_schema.h"
#include "schema/terraform_source.h"

namespace pvr::fuzz {
namespace {

/// "first line\nrest": the first line chooses, the rest is read.
std::pair<std::string_view, std::string_view> choice_and_text(std::string_view bytes) {
  const auto end = bytes.find('\n');
  if (end == std::string_view::npos) return {bytes, {}};
  return {bytes.substr(0, end), bytes.substr(end + 1)};
}

std::string drive(std::string_view bytes) {
  const auto [name, text] = choice_and_text(bytes);
  const auto slot = parse_slot(name);
  if (!slot) return {};
  if (to_text(*slot) != name) return fmt::format("slot {} prints as {}", name, to_text(*slot));
  const auto read = parse_drive(*slot, text);
  if (!read) return {};
  const std::string printed = print_drive(*slot, *read);
  const auto again = parse_drive(*slot, printed);
  if (!again) return fmt::format("\"{}\" was printed and cannot be read: {}", printed, again.error().text());
  if (!(*again == *read)) return fmt::format("\"{}\" is not the drive that was printed", printed);
  if (print_drive(*slot, *again) != printed) return fmt::format("\"{}\" prints differently the second time", printed);
  return {};
}

std::string option(std::string_view bytes) {
  const auto [key, text] = choice_and_text(bytes);
  for (const Home home : {Home::kVmOption, Home::kDriveOption, Home::kDiskPlace, Home::kZvolProperty,
                          Home::kStorageOption, Home::kHa, Home::kReplication}) {
    const Setting* setting = find_setting(home, key);
    if (setting == nullptr) continue;
    static_cast<void>(decode_option(*setting, text));
    const auto read = parse_option(*setting, text);
    if (!read) continue;
    const std::string printed = print_option(*setting, *read);
    const auto again = parse_option(*setting, printed);
    if (!again) return fmt::format("{}: \"{}\" was printed and cannot be read: {}", key, printed, again.error().text());
    if (*again != *read) return fmt::format("{}: \"{}\" is not the value that was printed", key, printed);
    const auto normal = normalise_option(*setting, *read);
    if (!normal || *normal != *read) return fmt::format("{}: \"{}\" is not normal", key, printed);
  }
  return {};
}

std::string size(std::string_view text) {
  if (const auto read = parse_size(text); read && parse_size(to_text(*read)) != read)
    return fmt::format("{} bytes print as {}", read->bytes, to_text(*read));
  if (const auto read = parse_disk_size(text); read && parse_disk_size(print_disk_size(*read)) != read)
    return fmt::format("{} bytes print as {} in a drive", read->bytes, print_disk_size(*read));
  return {};
}

std::string fleet(std::string_view text) {
  SourceSet sources;
  sources.add("fleet.yaml", std::string(text));
  const Checked<FleetDocument> read = load_fleet(std::move(sources));
  for (const Diagnostic& diagnostic : read.diagnostics)
    if (render(diagnostic, *read.value->sources).empty()) return "a diagnostic without a word";
  return read.ok() || has_errors(read.diagnostics) ? std::string() : std::string("no fleet, and no reason");
}

std::string plan_file(std::string_view text) {
  const auto read = parse_plan(text);
  if (!read) return read.error().text().empty() ? "refused without a word" : "";
  const std::string printed = print_plan(*read);
  const auto again = parse_plan(printed);
  if (!again) return "a plan was printed and cannot be read: " + again.error().text();
  return print_plan(*again) == printed ? "" : "a plan prints differently the second time";
}

std::string terraform(std::string_view text) {
  const auto converted = fleet_from_terraform(text);
  if (!converted) return converted.error().text().empty() ? "refused without a word" : "";
  SourceSet sources;
  sources.add("converted", converted->text);
  const Checked<FleetDocument> read = load_fleet(std::move(sources));
  for (const Diagnostic& diagnostic : read.diagnostics) {
    if (diagnostic.code.starts_with("schema.yaml."))
      return "what was converted is no YAML: " + render(diagnostic, *read.value->sources);
  }
  return {};
}

class StillClock final : public Clock {
 public:
  std::chrono::system_clock::time_point wall() const override { return std::chrono::system_clock::time_point{}; }
  std::chrono::steady_clock::time_point steady() const override { return now_; }
  bool wait(std::chrono::milliseconds span, std::stop_token stop) override {
    now_ += span;
    return !stop.stop_requested();
  }

 private:
  std::chrono::steady_clock::time_point now_ = {};
};

/// A cluster that answers everything with the same body.
class Parrot final : public HttpTransport {
 public:
  Parrot(int status, std::string_view body) : status_(status), body_(body) {}
  Result<HttpResponse> send(const std::string&, const HttpRequest&) override {
    return HttpResponse{.status = status_, .reason = "so", .body = body_};
  }

 private:
  int status_;
  std::string body_;
};

std::string answers(std::string_view bytes) {
  const auto [status, body] = choice_and_text(bytes);
  const int code = status.starts_with("500")   ? 500
                   : status.starts_with("403") ? 403
                   : status.starts_with("400") ? 400
                                               : 200;
  StillClock clock;
  ConnectionOptions options;
  options.endpoints = {"https://pve.example:8006"};
  options.token_id = "a@pve!b";
  options.token_secret = Secret("00000000-0000-0000-0000-000000000000");
  PveClient pve(std::move(options), std::make_unique<Parrot>(code, body), clock, {});
  const GuestRef guest{.node = "pve1", .vmid = Vmid{100}};
  const Upid task{"UPID:pve1:00000001:00000001:00000001:qmmove:100:root@pam:"};
  std::string silent;
  const auto told = [&silent](const auto& result, const char* what) {
    if (!result && result.error().text().empty()) silent = what;
  };
  told(pve.cluster_status(), "cluster_status");
  told(pve.guests(), "guests");
  told(pve.node_facts("pve1"), "node_facts");
  told(pve.zpools("pve1"), "zpools");
  told(pve.volume_group_media("pve1"), "volume_group_media");
  told(pve.storages(), "storages");
  told(pve.storage_status("pve1", "local"), "storage_status");
  told(pve.volumes("pve1", "local", std::nullopt), "volumes");
  told(pve.guest(guest), "guest");
  told(pve.guest_status(guest), "guest_status");
  told(pve.snapshots(guest), "snapshots");
  told(pve.ha_resources(), "ha_resources");
  told(pve.replication_jobs(), "replication_jobs");
  told(pve.pools(), "pools");
  told(pve.pool_members("lease"), "pool_members");
  told(pve.pci_mappings(), "pci_mappings");
  told(pve.datacenter_options(), "datacenter_options");
  told(pve.backup_jobs(), "backup_jobs");
  told(pve.node_time("pve1"), "node_time");
  told(pve.task_status(task), "task_status");
  told(pve.task_log(task, 0), "task_log");
  told(pve.tasks(guest, 0), "tasks");
  told(pve.permissions("/"), "permissions");
  return silent.empty() ? silent : silent + " fails without a word";
}

std::string host(std::string_view text) {
  if (const auto read = read_host(text); !read && read.error().text().empty()) return "refused without a word";
  if (auto read = read_datasets(text)) {
    for (std::size_t i = 1; i < read->size(); ++i)
      if ((*read)[i].name < (*read)[i - 1].name) return "datasets are not sorted";
    static_cast<void>(read_snapshots(text, *read));
    for (const LiveDataset& dataset : *read) static_cast<void>(retired_from(dataset));
  }
  static_cast<void>(read_date(text));
  return {};
}

std::string words(std::string_view text) {
  for (const std::string_view line : lines_of(text)) {
    if (const auto progress = parse_progress(line);
        progress && !(progress->fraction >= 0.0 && progress->fraction <= 1.0))
      return fmt::format("\"{}\" is {} of a copy", line, progress->fraction);
    static_cast<void>(parse_lease(line));
    if (const auto address = parse_address(line); address && parse_address(to_text(*address)) != address)
      return fmt::format("\"{}\" is not the address that was printed", line);
    if (const auto at = parse_time_stamp(line); at && time_stamp(*at) != line)
      return fmt::format("\"{}\" is not the time that was printed", line);
    if (percent_decode(percent_encode(line)) != line) return fmt::format("\"{}\" is not what was encoded", line);
    static_cast<void>(glob_matches(line, line));
    for (const std::string_view word : list_words(line))
      if (!list_holds(line, word)) return fmt::format("\"{}\" does not hold its word {}", line, word);
  }
  return {};
}

constexpr Target kTargets[] = {{"answers", answers}, {"drive", drive},         {"fleet", fleet},
                               {"host", host},       {"option", option},       {"plan-file", plan_file},
                               {"size", size},       {"terraform", terraform}, {"words", words}};

}  // namespace

std::span<const Target> targets() { return kTargets; }

}  // namespace pvr::fuzz
