#include "providers/pve/pve_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>

#include "providers/pve/curl_transport.h"
#include "providers/pve/decode.h"
#include "providers/pve/session.h"

namespace pvr {
namespace {

using nlohmann::json;

std::string number(Vmid vmid) { return fmt::format("{}", vmid.number); }

ApiPath of_guest(std::string_view pattern, const GuestRef& guest) {
  return {pattern, {guest.node, number(guest.vmid)}};
}

Error during_guest(Error error, std::string_view what, const GuestRef& guest) {
  return std::move(error).during(fmt::format("{} guest {} on node {}", what, guest.vmid.number, guest.node));
}

/// "pve-manager/9.2.4/0123abcd" → "9.2.4".
std::string version_of(std::string_view text) {
  const std::size_t first = text.find('/');
  if (first == std::string_view::npos) return std::string(text);
  text.remove_prefix(first + 1);
  return std::string(text.substr(0, text.find('/')));
}

Result<json> rows(Result<json> data, std::string_view what) {
  if (data.ok() && !data->is_array()) return malformed(what);
  return data;
}

std::string digest_of(const json& list) {
  for (const json& row : list) {
    if (std::string digest = text_at(row, "digest"); !digest.empty()) return digest;
  }
  return {};
}

}  // namespace

PveClient::PveClient(ConnectionOptions options, Clock& clock, std::stop_token stop) {
  auto transport = make_curl_transport(options, stop);
  session_ = std::make_unique<Session>(std::move(options), std::move(transport), clock, std::move(stop));
}

PveClient::PveClient(ConnectionOptions options, std::unique_ptr<HttpTransport> transport, Clock& clock,
                     std::stop_token stop)
    : session_(std::make_unique<Session>(std::move(options), std::move(transport), clock, std::move(stop))) {}

PveClient::~PveClient() = default;

std::map<std::pair<std::string, std::string>, std::uint64_t> PveClient::request_counts() const {
  return session_->request_counts();
}

Result<ClusterStatus> PveClient::cluster_status() {
  ClusterStatus status;
  Result<json> data = rows(session_->get({"/cluster/status", {}}), "/cluster/status");
  if (data.ok()) {
    for (const json& row : *data) {
      if (text_at(row, "type") == "cluster") {
        status.name = text_at(row, "name");
        status.quorate = flag_at(row, "quorate", true);
      } else if (text_at(row, "type") == "node") {
        LiveNode node;
        node.name = text_at(row, "name");
        node.online = flag_at(row, "online", true);
        status.nodes.push_back(std::move(node));
      }
    }
  } else {
    // Without Sys.Audit on / the list of nodes still tells who is there; quorum stays unknown and counts as given:
    // writes would say so.
    if (data.error().kind != ErrorKind::kForbidden)
      return std::move(data).error().during("reading the cluster's status");
    Result<json> nodes = rows(session_->get({"/nodes", {}}), "/nodes");
    if (!nodes.ok()) return std::move(nodes).error().during("reading the list of nodes");
    for (const json& row : *nodes) {
      LiveNode node;
      node.name = text_at(row, "node");
      node.online = text_at(row, "status") != "offline";
      status.nodes.push_back(std::move(node));
    }
  }
  std::ranges::sort(status.nodes, {}, &LiveNode::name);
  return status;
}

Result<std::vector<GuestRow>> PveClient::guests() {
  Result<json> data = rows(session_->get({"/cluster/resources", {}}, {{"type", "vm"}}), "/cluster/resources");
  if (!data.ok()) return std::move(data).error().during("listing the guests");
  std::vector<GuestRow> list;
  for (const json& row : *data) {
    const auto vmid = vmid_at(row, "vmid");
    if (!vmid) continue;
    GuestRow guest;
    guest.vmid = *vmid;
    guest.name = text_at(row, "name");
    guest.node = text_at(row, "node");
    guest.type = text_at(row, "type");
    guest.is_template = flag_at(row, "template");
    guest.status = text_at(row, "status");
    guest.lock = text_at(row, "lock");
    guest.pool = text_at(row, "pool");
    guest.ha_state = text_at(row, "hastate");
    guest.memory = size_at(row, "maxmem");
    list.push_back(std::move(guest));
  }
  std::ranges::sort(list, {}, &GuestRow::vmid);
  return list;
}

Result<std::map<std::uint32_t, PowerState>> PveClient::power(const std::string& node) {
  Result<json> data = rows(session_->get({"/nodes/{node}/qemu", {node}}), "/nodes/{node}/qemu");
  if (!data.ok()) return std::move(data).error().during("asking node " + node + " which guests run");
  std::map<std::uint32_t, PowerState> found;
  for (const json& row : *data) {
    const auto vmid = vmid_at(row, "vmid");
    const std::string status = text_at(row, "status");
    if (vmid)
      found[vmid->number] = status == "running"   ? PowerState::kRunning
                            : status == "stopped" ? PowerState::kStopped
                                                  : PowerState::kUnknown;
  }
  return found;
}

Result<LiveNode> PveClient::node_facts(const std::string& node) {
  LiveNode facts;
  facts.name = node;
  Result<json> data = session_->get({"/nodes/{node}/status", {node}});
  if (data.ok() && data->is_object()) {
    facts.version = version_of(text_at(*data, "pveversion"));
    if (const auto cpu = data->find("cpuinfo"); cpu != data->end()) {
      facts.cpu_model = text_at(*cpu, "model");
      facts.cpu_flags = text_at(*cpu, "flags");
    }
    if (const auto memory = data->find("memory"); memory != data->end()) facts.memory = size_at(*memory, "total");
    return facts;
  }
  if (data.ok()) return malformed("/nodes/{node}/status");
  if (data.error().kind != ErrorKind::kForbidden) return std::move(data).error().during("reading node " + node);
  // The version alone needs no privilege.
  Result<json> version = session_->get({"/nodes/{node}/version", {node}});
  if (!version.ok()) return std::move(version).error().during("reading node " + node);
  facts.version = text_at(*version, "version");
  return facts;
}

Result<std::vector<LivePoolLayout>> PveClient::zpools(const std::string& node) {
  const std::string what = "reading the zpools of node " + node;
  Result<json> list = rows(session_->get({"/nodes/{node}/disks/zfs", {node}}), "/nodes/{node}/disks/zfs");
  if (!list.ok()) return std::move(list).error().during(what);
  std::vector<LivePoolLayout> pools;
  if (list->empty()) return pools;
  // SMART is slow and not needed. Without the list only the media stay unknown.
  Result<json> disks_data = session_->get({"/nodes/{node}/disks/list", {node}}, {{"skipsmart", "1"}});
  const std::vector<HostDisk> disks = disks_data.ok() ? decode_disks(*disks_data) : std::vector<HostDisk>{};
  for (const json& row : *list) {
    LivePoolLayout pool;
    pool.name = text_at(row, "name");
    if (pool.name.empty()) continue;
    pool.health = text_at(row, "health");
    pool.size = size_at(row, "size");
    pool.allocated = size_at(row, "alloc");
    pool.free = size_at(row, "free");
    Result<json> status = session_->get({"/nodes/{node}/disks/zfs/{name}", {node, pool.name}});
    if (!status.ok()) return std::move(status).error().during(what);
    decode_layout(pool, *status, disks);
    pools.push_back(std::move(pool));
  }
  std::ranges::sort(pools, {}, &LivePoolLayout::name);
  return pools;
}

Result<std::map<std::string, Media>> PveClient::volume_group_media(const std::string& node) {
  const std::string what = "reading the volume groups of node " + node;
  Result<json> tree = session_->get({"/nodes/{node}/disks/lvm", {node}});
  // A server without this call cannot tell, which is what an empty answer means.
  if (!tree.ok() && tree.error().http_status == 501) return std::map<std::string, Media>();
  if (!tree.ok()) return std::move(tree).error().during(what);
  const auto groups = tree->is_object() ? tree->find("children") : tree->end();
  std::map<std::string, Media> media;
  if (!tree->is_object() || groups == tree->end() || !groups->is_array() || groups->empty()) return media;
  Result<json> disks_data = session_->get({"/nodes/{node}/disks/list", {node}}, {{"skipsmart", "1"}});
  if (!disks_data.ok()) return std::move(disks_data).error().during(what);
  const std::vector<HostDisk> disks = decode_disks(*disks_data);
  for (const json& group : *groups) {
    if (group.contains("children")) media[text_at(group, "name")] = media_of(leaves_of(group), disks);
  }
  std::erase_if(media, [](const auto& entry) { return entry.second == Media::kUnknown || entry.first.empty(); });
  return media;
}

Result<StorageList> PveClient::storages() {
  Result<json> data = rows(session_->get({"/storage", {}}), "/storage");
  if (!data.ok()) return std::move(data).error().during("listing the storages");
  StorageList list;
  list.digest = digest_of(*data);
  for (const json& row : *data) {
    LiveStorage storage;
    storage.id = text_at(row, "storage");
    if (storage.id.empty()) continue;
    storage.type = text_at(row, "type");
    storage.properties = texts_of(row, {"storage", "type", "digest"});
    list.storages.push_back(std::move(storage));
  }
  std::ranges::sort(list.storages, {}, &LiveStorage::id);
  return list;
}

Result<LiveStorageOnNode> PveClient::storage_status(const std::string& node, const std::string& storage) {
  Result<json> data = session_->get({"/nodes/{node}/storage/{storage}/status", {node, storage}});
  if (!data.ok()) return std::move(data).error().during(fmt::format("reading storage {} on node {}", storage, node));
  LiveStorageOnNode status;
  status.active = flag_at(*data, "active");
  status.enabled = flag_at(*data, "enabled", true);
  status.total = size_at(*data, "total");
  status.used = size_at(*data, "used");
  status.available = size_at(*data, "avail");
  return status;
}

Result<std::vector<LiveVolume>> PveClient::volumes(const std::string& node, const std::string& storage,
                                                   std::optional<Vmid> owner) {
  FormFields query;
  if (owner) query.emplace_back("vmid", number(*owner));
  Result<json> data =
      rows(session_->get({"/nodes/{node}/storage/{storage}/content", {node, storage}}, std::move(query)),
           "/nodes/{node}/storage/{storage}/content");
  if (!data.ok()) return std::move(data).error().during(fmt::format("listing storage {} on node {}", storage, node));
  std::vector<LiveVolume> list;
  for (const json& row : *data) {
    const std::string volid = text_at(row, "volid");
    const std::size_t colon = volid.find(':');
    if (colon == std::string::npos) continue;
    LiveVolume volume;
    volume.id = VolumeId{volid.substr(0, colon), volid.substr(colon + 1)};
    volume.node = node;
    volume.format = text_at(row, "format");
    volume.content = text_at(row, "content");
    // An inactive qcow2 LV has no size here, only the upper bound `approximate-size`, which is not the size of the
    // disk.
    if (row.contains("size")) volume.size = size_at(row, "size");
    volume.owner = vmid_at(row, "vmid");
    volume.parent = text_at(row, "parent");
    if (volume.content == "backup") volume.made = number_at(row, "ctime");
    list.push_back(std::move(volume));
  }
  std::ranges::sort(list, {}, &LiveVolume::id);
  return list;
}

Result<LiveVm> PveClient::guest(const GuestRef& guest) {
  Result<json> data = session_->get(of_guest("/nodes/{node}/qemu/{vmid}/pending", guest));
  if (!data.ok()) return during_guest(std::move(data).error(), "reading", guest);
  return decode_guest(guest, *data);
}

Result<GuestStatus> PveClient::guest_status(const GuestRef& guest) {
  Result<json> data = session_->get(of_guest("/nodes/{node}/qemu/{vmid}/status/current", guest));
  if (!data.ok()) return during_guest(std::move(data).error(), "reading the state of", guest);
  GuestStatus status;
  status.power = power_of(text_at(*data, "status"), text_at(*data, "qmpstatus"));
  status.lock = text_at(*data, "lock");
  if (const auto ha = data->find("ha"); data->is_object() && ha != data->end()) {
    status.ha_managed = flag_at(*ha, "managed");
    status.ha_state = text_at(*ha, "state");
  }
  return status;
}

Result<std::vector<LiveSnapshot>> PveClient::snapshots(const GuestRef& guest) {
  Result<json> data = rows(session_->get(of_guest("/nodes/{node}/qemu/{vmid}/snapshot", guest)), "the snapshots");
  if (!data.ok()) return during_guest(std::move(data).error(), "listing the snapshots of", guest);
  std::vector<LiveSnapshot> list;
  for (const json& row : *data) {
    // "current" stands for the guest's present state.
    if (std::string name = text_at(row, "name"); !name.empty() && name != "current") list.push_back({std::move(name)});
  }
  std::ranges::sort(list, {}, &LiveSnapshot::name);
  return list;
}

Result<HaList> PveClient::ha_resources() {
  Result<json> data = rows(session_->get({"/cluster/ha/resources", {}}), "/cluster/ha/resources");
  if (!data.ok()) return std::move(data).error().during("listing the HA resources");
  HaList list;
  list.digest = digest_of(*data);
  for (const json& row : *data) {
    list.resources.push_back({text_at(row, "sid"), texts_of(row, {"sid", "type", "digest"})});
  }
  std::ranges::sort(list.resources, {}, &LiveHa::sid);
  return list;
}

Result<std::vector<LiveReplication>> PveClient::replication_jobs() {
  Result<json> data = rows(session_->get({"/cluster/replication", {}}), "/cluster/replication");
  if (!data.ok()) return std::move(data).error().during("listing the replication jobs");
  std::vector<LiveReplication> list;
  for (const json& row : *data) {
    LiveReplication job;
    job.id = text_at(row, "id");
    job.guest = vmid_at(row, "guest").value_or(Vmid{});
    job.target = text_at(row, "target");
    job.properties = texts_of(row, {"id", "type", "guest", "jobnum", "target", "digest"});
    list.push_back(std::move(job));
  }
  std::ranges::sort(list, {}, &LiveReplication::id);
  return list;
}

Result<std::map<std::string, std::string>> PveClient::pools() {
  Result<json> data = rows(session_->get({"/pools", {}}), "/pools");
  if (!data.ok()) return std::move(data).error().during("listing the pools");
  std::map<std::string, std::string> list;
  for (const json& row : *data) {
    if (std::string id = text_at(row, "poolid"); !id.empty()) list.emplace(std::move(id), text_at(row, "comment"));
  }
  return list;
}

Result<std::vector<std::uint32_t>> PveClient::pool_members(const std::string& pool) {
  Result<json> data = rows(session_->get({"/pools", {}}, {{"poolid", pool}}), "/pools");
  if (!data.ok()) return std::move(data).error().during("reading pool " + pool);
  std::vector<std::uint32_t> members;
  for (const json& row : *data) {
    const auto list = row.is_object() ? row.find("members") : row.end();
    if (!row.is_object() || list == row.end() || text_at(row, "poolid") != pool) continue;
    for (const json& member : *list) {
      if (const auto vmid = vmid_at(member, "vmid")) members.push_back(vmid->number);
    }
  }
  std::ranges::sort(members);
  return members;
}

Result<std::vector<LivePciMapping>> PveClient::pci_mappings() {
  Result<json> data = rows(session_->get({"/cluster/mapping/pci", {}}), "/cluster/mapping/pci");
  if (!data.ok()) return std::move(data).error().during("listing the PCI mappings");
  std::vector<LivePciMapping> list;
  for (const json& row : *data) {
    LivePciMapping mapping;
    mapping.id = text_at(row, "id");
    mapping.live_migration_capable = flag_at(row, "live-migration-capable");
    std::set<std::string> nodes;
    const auto map = row.is_object() ? row.find("map") : row.end();
    if (row.is_object() && map != row.end()) {
      for (const json& entry : *map) {
        const std::string text = "," + text_of(entry);
        const std::size_t at = text.find(",node=");
        if (at == std::string::npos) continue;
        const std::size_t begin = at + 6;
        nodes.insert(text.substr(begin, text.find(',', begin) - begin));
      }
    }
    mapping.nodes.assign(nodes.begin(), nodes.end());
    list.push_back(std::move(mapping));
  }
  std::ranges::sort(list, {}, &LivePciMapping::id);
  return list;
}

Result<FlatMap<std::string>> PveClient::datacenter_options() {
  Result<json> data = session_->get({"/cluster/options", {}});
  if (!data.ok()) return std::move(data).error().during("reading the datacenter options");
  return texts_of(*data, {"digest"});
}

Result<TaskStatus> PveClient::task_status(const Upid& task) {
  Result<json> data = session_->get({"/nodes/{node}/tasks/{upid}/status", {task.node(), task.text}});
  if (!data.ok()) return std::move(data).error().during("asking for task " + task.text);
  TaskStatus status;
  status.running = text_at(*data, "status") != "stopped";
  status.exit_text = text_at(*data, "exitstatus");
  status.type = text_at(*data, "type");
  if (!status.running && status.exit_text.empty()) status.exit_text = "unexpected status";
  return status;
}

Result<TaskLog> PveClient::task_log(const Upid& task, std::size_t start) {
  Result<json> data = rows(session_->get({"/nodes/{node}/tasks/{upid}/log", {task.node(), task.text}},
                                         {{"start", fmt::format("{}", start)}, {"limit", "0"}}),
                           "the task's log");
  if (!data.ok()) return std::move(data).error().during("reading the log of task " + task.text);
  TaskLog log;
  for (const json& row : *data) log.lines.push_back(text_at(row, "t"));
  // PVE's way to say that there is nothing (more).
  if (log.lines.size() == 1 && log.lines.front() == "no content") log.lines.clear();
  log.next = start + log.lines.size();
  return log;
}

Result<std::vector<TaskRow>> PveClient::tasks(const GuestRef& guest, std::int64_t since) {
  FormFields query{{"vmid", number(guest.vmid)}, {"source", since > 0 ? "all" : "active"}, {"limit", "500"}};
  if (since > 0) query.emplace_back("since", fmt::format("{}", since));
  Result<json> data = rows(session_->get({"/nodes/{node}/tasks", {guest.node}}, std::move(query)), "the list of tasks");
  if (!data.ok()) return during_guest(std::move(data).error(), "listing the tasks of", guest);
  std::vector<TaskRow> list;
  for (const json& row : *data) {
    TaskRow task;
    task.upid.text = text_at(row, "upid");
    task.type = text_at(row, "type");
    task.id = text_at(row, "id");
    task.status = text_at(row, "status");
    task.started = number_at(row, "starttime").value_or(0);
    task.running = task.status == "RUNNING" || (!row.contains("endtime") && task.status.empty());
    list.push_back(std::move(task));
  }
  std::ranges::stable_sort(list, std::ranges::greater{}, &TaskRow::started);
  return list;
}

Result<std::vector<std::string>> PveClient::permissions(const std::string& path) {
  Result<json> data = session_->get({"/access/permissions", {}}, {{"path", path}});
  if (!data.ok()) return std::move(data).error().during("reading our permissions on " + path);
  std::vector<std::string> names;
  if (!data->is_object()) return malformed("/access/permissions");
  if (const auto at = data->find(path); at != data->end() && at->is_object()) {
    for (const auto& [name, propagate] : at->items()) names.push_back(name);
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace pvr
