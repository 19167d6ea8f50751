#include "reconciler/observe/observe.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <tuple>

#include "reconciler/base/text.h"
#include "reconciler/observe/parallel.h"

namespace pvr {
namespace {

// Without these there is nothing to say about the cluster at all.
bool is_fatal(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kTls:
    case ErrorKind::kUnauthorized:
    case ErrorKind::kInterrupted:
    case ErrorKind::kBroken:
      return true;
    default:
      return false;
  }
}

PowerState power_of(std::string_view status) {
  if (status == "stopped") return PowerState::kStopped;
  if (status == "running") return PowerState::kRunning;
  if (status == "paused" || status == "suspended" || status == "prelaunch") return PowerState::kPaused;
  return PowerState::kUnknown;
}

class Observer {
 public:
  Observer(const Scope& scope, PveReader& reader, const ObserveOptions& options)
      : scope_(scope), reader_(reader), options_(options) {}

  Result<LiveState> run() {
    state_.observed_at = options_.now;
    if (!phase({[this] { read_nodes(); }, [this] { read_guest_list(); }, [this] { read_storages(); },
                [this] { read_ha(); }, [this] { read_replication(); }, [this] { read_pools(); },
                [this] { read_mappings(); }, [this] { read_datacenter(); }})) {
      return stopped();
    }
    place_guests();
    std::vector<std::function<void()>> jobs;
    for (LiveNode& node : state_.nodes)
      if (node.online) jobs.emplace_back([this, &node] { read_node(node); });
    if (options_.zfs != nullptr) {
      for (const LiveNode& node : state_.nodes)
        if (node.online) state_.hosts.push_back({.node = node.name});
      for (LiveHost& host : state_.hosts) jobs.emplace_back([this, &host] { read_host(host); });
    }
    std::set<std::string> homes;
    for (LiveVm& guest : state_.vms) {
      if (!wanted(guest) || !guest.readable || guest.is_container) continue;
      jobs.emplace_back([this, &guest] { read_guest(guest); });
      homes.insert(guest.node);
    }
    for (const std::string& home : homes) jobs.emplace_back([this, &home] { read_power(home); });
    if (!phase(jobs)) return stopped();
    place_power();
    if (!phase(storage_jobs())) return stopped();
    finish();
    return std::move(state_);
  }

 private:
  bool phase(const std::vector<std::function<void()>>& jobs) {
    const bool all = run_parallel(jobs, options_.parallelism, options_.stop);
    return all && !fatal_;
  }
  Error stopped() {
    if (fatal_) return std::move(*fatal_);
    return Error{.kind = ErrorKind::kInterrupted, .message = "stopped", .context = "looking at the cluster"};
  }
  // Keeps the first error that ends the look, or what could not be read.
  void failed(const Error& error, const std::string& what, bool needed) {
    const std::scoped_lock lock(mutex_);
    if (needed || is_fatal(error.kind)) {
      if (!fatal_) fatal_ = Error(error).during(what);
      return;
    }
    state_.gaps.push_back(fmt::format("While {}: {}", what, error.text()));
  }

  // ---- the lists ----
  void read_nodes() {
    Result<ClusterStatus> status = reader_.cluster_status();
    if (!status) return failed(status.error(), "reading the cluster's status", true);
    state_.cluster_name = status->name;
    state_.quorate = status->quorate;
    state_.nodes = std::move(status).value().nodes;
    std::ranges::sort(state_.nodes, {}, &LiveNode::name);
  }
  void read_guest_list() {
    Result<std::vector<GuestRow>> rows = reader_.guests();
    if (!rows) return failed(rows.error(), "listing the guests", true);
    rows_ = std::move(rows).value();
  }
  void read_storages() {
    Result<StorageList> list = reader_.storages();
    if (!list) return failed(list.error(), "listing the storages", true);
    state_.storage_digest = list->digest;
    state_.storages = std::move(list).value().storages;
    std::ranges::sort(state_.storages, {}, &LiveStorage::id);
  }
  void read_ha() {
    Result<HaList> list = reader_.ha_resources();
    if (!list) return failed(list.error(), "listing HA resources", false);
    state_.ha_digest = list->digest;
    state_.ha = std::move(list).value().resources;
    std::ranges::sort(state_.ha, {}, &LiveHa::sid);
  }
  void read_replication() {
    Result<std::vector<LiveReplication>> list = reader_.replication_jobs();
    // Needed: a disk must not move to where its guest cannot be replicated.
    if (!list) return failed(list.error(), "listing replication jobs", true);
    state_.replication = std::move(list).value();
    std::ranges::sort(state_.replication, {}, &LiveReplication::id);
  }
  void read_pools() {
    Result<std::map<std::string, std::string>> list = reader_.pools();
    if (!list) return failed(list.error(), "listing pools", false);
    for (const auto& [id, comment] : *list) state_.pools.push_back(id);
  }
  void read_mappings() {
    Result<std::vector<LivePciMapping>> list = reader_.pci_mappings();
    if (!list) return failed(list.error(), "listing PCI mappings", false);
    state_.pci_mappings = std::move(list).value();
    std::ranges::sort(state_.pci_mappings, {}, &LivePciMapping::id);
  }
  void read_datacenter() {
    Result<FlatMap<std::string>> list = reader_.datacenter_options();
    if (!list) return failed(list.error(), "reading the datacenter's options", false);
    state_.datacenter = std::move(list).value();
  }

  // ---- guests and nodes ----
  [[nodiscard]] const LiveNode* node(std::string_view name) const { return std::as_const(state_).node(name); }

  void place_guests() {
    for (const LiveNode& node : state_.nodes) {
      if (node.online) continue;
      state_.partial = true;
      state_.gaps.push_back(
          fmt::format("Node \"{}\" is offline: its guests and local storages are not read.", node.name));
    }
    for (GuestRow& row : rows_) {
      LiveVm guest{.vmid = row.vmid,
                   .name = row.name,
                   .node = row.node,
                   .power = power_of(row.status),
                   .is_template = row.is_template};
      guest.is_container = row.type == "lxc";
      guest.lock = row.lock;
      guest.pool = row.pool;
      guest.ha_state = row.ha_state;
      guest.memory = row.memory;
      const LiveNode* home = node(row.node);
      if (home == nullptr || !home->online) {
        guest.readable = false;
        guest.problem = fmt::format("its node \"{}\" is offline", row.node);
        guest.power = PowerState::kUnknown;
      }
      state_.vms.push_back(std::move(guest));
    }
    std::ranges::sort(state_.vms, {}, &LiveVm::vmid);
    wanted_ids_.insert(scope_.vmids.begin(), scope_.vmids.end());
    wanted_names_.insert(scope_.templates.begin(), scope_.templates.end());
  }
  [[nodiscard]] bool wanted(const LiveVm& guest) const {
    return scope_.all_guests || wanted_ids_.contains(guest.vmid) || wanted_names_.contains(guest.name) ||
           wanted_names_.contains(std::to_string(guest.vmid.number));
  }

  void read_node(LiveNode& node) {
    Result<LiveNode> facts = reader_.node_facts(node.name);
    if (!facts) {
      node.readable = false;
      node.problem = facts.error().text();
      failed(facts.error(), fmt::format("reading node \"{}\"", node.name), false);
    } else {
      LiveNode read = std::move(facts).value();
      node.version = std::move(read.version);
      node.cpu_model = std::move(read.cpu_model);
      node.cpu_flags = std::move(read.cpu_flags);
      node.memory = read.memory;
    }
  }

  void read_host(LiveHost& host) {
    Result<LiveHost> read = options_.zfs->host(host.node);
    if (read) {
      host = std::move(read).value();
      const std::scoped_lock lock(mutex_);
      state_.gaps.insert(state_.gaps.end(), host.gaps.begin(), host.gaps.end());
      return;
    }
    host.readable = false;
    host.problem = read.error().text();
    // Host access is an extra: whatever is wrong with it, the API's answers hold.
    const std::scoped_lock lock(mutex_);
    state_.gaps.push_back(fmt::format("Node \"{}\" is not read over ssh: {}", host.node, host.problem));
  }

  // What lies below the storages in use, on one node.
  void read_layout(LiveNode& node, bool zfs, bool lvm) {
    if (zfs) {
      Result<std::vector<LivePoolLayout>> pools = reader_.zpools(node.name);
      if (pools)
        node.zpools = std::move(pools).value();
      else
        failed(pools.error(), fmt::format("reading the zpools of node \"{}\"", node.name), false);
    }
    if (lvm) {
      Result<std::map<std::string, Media>> groups = reader_.volume_group_media(node.name);
      if (!groups) return failed(groups.error(), fmt::format("reading the disks of node \"{}\"", node.name), false);
      const std::scoped_lock lock(mutex_);
      for (const auto& [group, media] : *groups) group_media_[{node.name, group}] = media;
    }
  }

  // The cluster's list shows power as it was broadcast up to ten seconds ago: a plan right after a run, or right after
  // somebody stopped a guest, would be made for a state that is over.
  void read_power(const std::string& home) {
    Result<std::map<std::uint32_t, PowerState>> found = reader_.power(home);
    if (!found) return failed(found.error(), fmt::format("asking node \"{}\" which guests run", home), false);
    const std::scoped_lock lock(mutex_);
    power_.merge(*found);
  }
  void place_power() {
    for (LiveVm& guest : state_.vms) {
      const auto found = power_.find(guest.vmid.number);
      if (found == power_.end() || found->second == PowerState::kUnknown) continue;
      // The node does not tell paused from running.
      if (found->second == PowerState::kRunning && guest.power == PowerState::kPaused) continue;
      guest.power = found->second;
    }
  }

  void read_guest(LiveVm& guest) {
    const GuestRef ref{.node = guest.node, .vmid = guest.vmid};
    const std::string what = fmt::format("reading guest {} on node \"{}\"", guest.vmid.number, guest.node);
    Result<LiveVm> read = reader_.guest(ref);
    if (!read) {
      guest.readable = false;
      guest.problem = read.error().text();
      return failed(read.error(), what, false);
    }
    LiveVm full = std::move(read).value();
    full.vmid = guest.vmid;
    full.node = guest.node;
    full.pool = guest.pool;
    full.ha_state = guest.ha_state;
    full.memory = guest.memory;
    if (full.lock.empty()) full.lock = guest.lock;
    full.power = guest.power;
    full.is_template = full.is_template || guest.is_template;
    if (full.name.empty()) full.name = guest.name;
    guest = std::move(full);
  }

  // ---- storages ----
  static bool enabled_on(const LiveStorage& storage, const std::string& node) {
    if (const std::string* disabled = storage.properties.find("disable"); disabled != nullptr && *disabled == "1")
      return false;
    const std::string* nodes = storage.properties.find("nodes");
    return nodes == nullptr || nodes->empty() || list_holds(*nodes, node);
  }
  static bool is_shared(const LiveStorage& storage) {
    static constexpr std::string_view kNetworkTypes[] = {"iscsi",  "nfs",         "cifs", "rbd",
                                                         "cephfs", "iscsidirect", "zfs",  "pbs"};
    const std::string* shared = storage.properties.find("shared");
    return (shared != nullptr && *shared == "1") ||
           std::ranges::find(kNetworkTypes, storage.type) != std::end(kNetworkTypes);
  }

  [[nodiscard]] std::vector<std::function<void()>> storage_jobs() {
    // Storages the fleet names, and those its guests' disks are on now.
    std::set<std::string> used(scope_.storages.begin(), scope_.storages.end());
    for (const LiveVm& guest : state_.vms) {
      if (!wanted(guest)) continue;
      for (const LiveDrive& drive : guest.drives)
        for (const auto* state : {&drive.current, &drive.pending})
          if (*state && (*state)->volume) used.insert((*state)->volume->storage);
    }
    std::vector<std::function<void()>> jobs;
    for (LiveNode& node : state_.nodes) {
      if (!node.online) continue;
      const auto holds = [&](std::string_view type) {
        return std::ranges::any_of(state_.storages, [&](const LiveStorage& storage) {
          const bool wanted = scope_.all_guests || used.contains(storage.id);
          return wanted && storage.type.starts_with(type) && enabled_on(storage, node.name);
        });
      };
      const bool zfs = holds("zfspool");
      const bool lvm = holds("lvm");
      if (zfs || lvm) jobs.emplace_back([this, &node, zfs, lvm] { read_layout(node, zfs, lvm); });
    }
    for (LiveStorage& storage : state_.storages) {
      if (!scope_.all_guests && !used.contains(storage.id)) continue;
      bool listed = false;
      for (const LiveNode& node : state_.nodes) {
        if (!enabled_on(storage, node.name)) continue;
        if (!node.online) continue;
        const bool list = !is_shared(storage) || !listed;
        listed = true;
        jobs.emplace_back([this, &storage, &node, list] { read_storage_on(storage, node.name, list); });
      }
      if (!listed && std::ranges::any_of(state_.nodes,
                                         [&](const LiveNode& n) { return !n.online && enabled_on(storage, n.name); })) {
        state_.gaps.push_back(fmt::format("Storage \"{}\" is only on nodes that are offline.", storage.id));
      }
    }
    return jobs;
  }

  void read_storage_on(LiveStorage& storage, const std::string& node, bool list) {
    const std::string what = fmt::format("reading storage \"{}\" on node \"{}\"", storage.id, node);
    Result<LiveStorageOnNode> status = reader_.storage_status(node, storage.id);
    if (!status) return failed(status.error(), what, false);
    {
      const std::scoped_lock lock(mutex_);
      storage.on_node[node] = *status;
    }
    if (!status->active) {
      const std::scoped_lock lock(mutex_);
      if (status->enabled)
        state_.gaps.push_back(fmt::format("Storage \"{}\" is not active on node \"{}\".", storage.id, node));
      return;
    }
    if (!list) return;
    Result<std::vector<LiveVolume>> volumes = reader_.volumes(node, storage.id, std::nullopt);
    if (!volumes) return failed(volumes.error(), what, false);
    const std::scoped_lock lock(mutex_);
    storage.on_node[node].listed = true;
    for (LiveVolume& volume : *volumes) {
      volume.node = is_shared(storage) ? std::string() : node;
      state_.volumes.push_back(std::move(volume));
    }
  }

  void finish() {
    std::ranges::sort(state_.volumes, [](const LiveVolume& a, const LiveVolume& b) {
      return std::tie(a.id, a.node) < std::tie(b.id, b.node);
    });
    std::ranges::sort(state_.gaps);
    for (LiveStorage& storage : state_.storages) find_media(storage);
    if (options_.zfs == nullptr) return;
    for (LiveStorage& storage : state_.storages) find_backing(storage);
    for (LiveVolume& volume : state_.volumes) find_zvol(volume);
  }

  void find_backing(LiveStorage& storage) const {
    const std::string* path = storage.properties.find("path");
    if (storage.type != "dir" || path == nullptr || is_shared(storage)) return;
    for (const LiveNode& node : state_.nodes) {
      if (!enabled_on(storage, node.name)) continue;
      const LiveHost* host = std::as_const(state_).host(node.name);
      const LiveMount* mount = host == nullptr ? nullptr : mount_above(*host, *path);
      if (mount == nullptr) {  // a node that did not say may be the one on ZFS
        if (storage.backing != StorageKind::kZfsFile) storage.backing.reset();
        return;
      }
      const StorageKind kind = mount->fstype == "zfs"     ? StorageKind::kZfsFile
                               : mount->fstype == "btrfs" ? StorageKind::kBtrfs
                                                          : StorageKind::kFile;
      if (!storage.backing || kind == StorageKind::kZfsFile) storage.backing = kind;
      if (storage.backing == StorageKind::kZfsFile) return;
    }
  }
  static const LiveMount* mount_above(const LiveHost& host, std::string_view path) {
    const LiveMount* best = nullptr;
    for (const LiveMount& mount : host.mounts) {
      const std::string_view target = mount.target;
      const bool above = target == "/" || path == target ||
                         (path.starts_with(target) && path.size() > target.size() && path[target.size()] == '/');
      if (above && (best == nullptr || target.size() >= best->target.size())) best = &mount;
    }
    return best;
  }

  void find_zvol(LiveVolume& volume) const {
    const LiveStorage* storage = std::as_const(state_).storage(volume.id.storage);
    if (storage == nullptr || storage->type != "zfspool") return;
    const std::string* pool = storage->properties.find("pool");
    const LiveHost* host = std::as_const(state_).host(volume.node);
    if (pool == nullptr || host == nullptr) return;
    // A linked clone is named with its base: "base-100-disk-0/vm-101-disk-0".
    const LiveDataset* zvol = host->dataset(*pool + "/" + volume.id.name.substr(volume.id.name.rfind('/') + 1));
    if (zvol == nullptr || !zvol->is_volume) return;
    volume.volblocksize = zvol->bytes("volblocksize");
    volume.refreservation = zvol->bytes("refreservation");
  }

  /// From the vdevs that hold the data, where the API's disk list does not tell.
  static Media media_of(const LiveZpool& pool) {
    Media media = Media::kUnknown;
    for (const LiveVdev& vdev : pool.vdevs) {
      if (vdev.role != VdevClass::kData) continue;
      if (vdev.media == Media::kUnknown) return Media::kUnknown;
      if (media != Media::kHdd) media = vdev.media;
    }
    return media;
  }

  void find_media(LiveStorage& storage) const {
    const bool zfs = storage.type == "zfspool";
    const bool lvm = storage.type == "lvm" || storage.type == "lvmthin";
    const std::string* below = storage.properties.find(zfs ? "pool" : "vgname");
    if (below == nullptr || (!zfs && !lvm) || storage.media != Media::kUnknown) return;
    const std::string name = zfs ? below->substr(0, below->find('/')) : *below;
    for (const LiveNode& node : state_.nodes) {
      if (!enabled_on(storage, node.name)) continue;
      const auto pool = std::ranges::find(node.zpools, name, &LivePoolLayout::name);
      const auto group = group_media_.find({node.name, name});
      Media media = Media::kUnknown;
      if (zfs && pool != node.zpools.end()) media = pool->media;
      const LiveHost* host = std::as_const(state_).host(node.name);
      const LiveZpool* zpool = zfs && host != nullptr ? host->zpool(name) : nullptr;
      if (zpool != nullptr && media == Media::kUnknown) media = media_of(*zpool);
      if (lvm && group != group_media_.end()) media = group->second;
      // Where nodes differ the slower one counts: a setting for SSDs would be wrong there.
      if (media != Media::kUnknown && storage.media != Media::kHdd) storage.media = media;
    }
  }

  const Scope& scope_;
  PveReader& reader_;
  const ObserveOptions& options_;
  LiveState state_ = {};
  std::vector<GuestRow> rows_ = {};
  std::map<std::uint32_t, PowerState> power_;
  std::set<Vmid> wanted_ids_ = {};
  std::set<std::string, std::less<>> wanted_names_ = {};
  std::map<std::pair<std::string, std::string>, Media> group_media_ = {};  // by node and volume group
  std::mutex mutex_ = {};
  std::optional<Error> fatal_ = {};
};

}  // namespace

Result<LiveState> observe(const Scope& scope, PveReader& reader, const ObserveOptions& options) {
  return Observer(scope, reader, options).run();
}

}  // namespace pvr
