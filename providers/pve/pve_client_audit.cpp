#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "providers/pve/decode.h"
#include "providers/pve/pve_client.h"
#include "providers/pve/session.h"

namespace pvr {
namespace {

using nlohmann::json;

/// "100,101" as the vmid lists of PVE are written; what is no number is left out.
std::vector<Vmid> vmid_list(std::string_view text) {
  std::vector<Vmid> list;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of(",; "), text.size());
    std::uint32_t number = 0;
    const auto [at, fault] = std::from_chars(text.data(), text.data() + end, number);
    if (fault == std::errc{} && at == text.data() + end) list.push_back({number});
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return list;
}

}  // namespace

Result<std::vector<BackupJob>> PveClient::backup_jobs() {
  Result<json> data = session_->get({"/cluster/backup", {}});
  if (!data.ok()) return std::move(data).error().during("listing the backup jobs");
  if (!data->is_array()) return malformed("/cluster/backup");
  std::vector<BackupJob> jobs;
  for (const json& row : *data) {
    BackupJob job;
    job.id = text_at(row, "id");
    job.enabled = flag_at(row, "enabled", true);
    job.all = flag_at(row, "all");
    job.vmids = vmid_list(text_at(row, "vmid"));
    job.exclude = vmid_list(text_at(row, "exclude"));
    job.pool = text_at(row, "pool");
    job.node = text_at(row, "node");
    job.storage = text_at(row, "storage");
    job.mode = text_at(row, "mode");
    job.compress = text_at(row, "compress");
    jobs.push_back(std::move(job));
  }
  std::ranges::sort(jobs, {}, &BackupJob::id);
  return jobs;
}

Result<std::int64_t> PveClient::node_time(const std::string& node) {
  Result<json> data = session_->get({"/nodes/{node}/time", {node}});
  if (!data.ok()) return std::move(data).error().during("reading the clock of node " + node);
  const auto time = number_at(*data, "time");
  if (!time) return malformed("/nodes/{node}/time");
  return *time;
}

}  // namespace pvr
