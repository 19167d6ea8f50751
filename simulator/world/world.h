#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "simulator/wire/access.h"
#include "simulator/world/clock.h"

/// The simulated cluster without any wire: plain data, virtual time, tasks.
///
/// Locking: one mutex guards everything in a World. Hold `World::guard()` while you touch it. Functions of World expect
/// the caller to hold it, unless they say otherwise. `wait_until` gives it up while it waits.
/// Determinism: time comes from the SimClock, chance from `random()`; with a ManualClock and a seed the same calls give
/// the same bytes.
namespace pvesim {

/// One section of a section config or of a guest file: key -> value as PVE writes it.
using Section = std::map<std::string, std::string, std::less<>>;

// ------------------------------------------------------------------------------------------------ guests

/// A guest's config file, parsed. The description is kept in values as "description" (decoded text).
struct VmConfig {
  Section values = {};                                           // main section
  Section pending = {};                                          // [PENDING] without the delete line
  std::map<std::string, bool, std::less<>> pending_delete = {};  // key -> force
  Section cloudinit = {};                                        // [special:cloudinit]
  std::map<std::string, Section, std::less<>> snapshots = {};    // by name, all keys including snaptime
};

/// Text exactly as PVE writes the file; its SHA-1 (hex) is the digest of the API. vm_config.h has parse and more.
[[nodiscard]] std::string render_vm_config(const VmConfig& config);
[[nodiscard]] std::string digest_of(std::string_view text);  // SHA-1 hex

/// Names one volume by where its bytes are, whatever storage id is used to reach it.
struct VolumeRef {
  std::string backing = {};  // key of World::backings
  std::string name = {};     // name inside the backing (Volume::name)
  friend bool operator==(const VolumeRef&, const VolumeRef&) = default;
  friend auto operator<=>(const VolumeRef&, const VolumeRef&) = default;
};

/// The QEMU process of a running guest: what it really uses, which may differ from the config file.
struct RunningVm {
  Section effective = {};                                   // config at start plus what was plugged since
  std::map<std::string, VolumeRef, std::less<>> open = {};  // slot -> volume it has open
  VirtualTime since = {};
  int pid = 0;
  std::string machine = {};            // e.g. pc-i440fx-10.2+pve1
  std::string qmp_status = "running";  // running | paused | prelaunch
  bool frozen = false;                 // guest file systems frozen through the agent
};

struct Vm {
  int vmid = 0;
  std::string node = {};
  std::string type = "qemu";
  VmConfig config = {};
  std::optional<RunningVm> running = {};
  // The guest's own behaviour, set from the cluster file or by tests.
  bool guest_agent = true;        // an agent runs inside (only matters with the option `agent`)
  bool ignores_shutdown = false;  // ACPI power-down has no effect
  double write_rate = 0;          // bytes/s of guest writes, lengthens live copies
};

// ------------------------------------------------------------------------------------------------ storage

struct VolumeSnapshot {
  std::uint64_t fingerprint = 0;
  std::int64_t used = 0;
  std::int64_t size = 0;
  std::uint64_t order = 0;  // creation order, for "most recent only" rules
  std::uint64_t guid = 0;   // zvols; 0: nobody asked yet
};

struct Volume {
  std::string name =
      {};  // zvol/LV/image name, or path below the storage dir ("images/100/vm-100-disk-0.raw", "template/iso/x.iso")
  std::string format = "raw";       // raw qcow2 vmdk subvol iso …
  std::int64_t size = 0;            // virtual size, bytes
  std::int64_t used = 0;            // data written, bytes (thin accounting)
  std::int64_t volblocksize = 0;    // zvols only
  std::int64_t refreservation = 0;  // zvols only; 0 = none
  std::uint64_t fingerprint = 0;    // content identity; 0 = all zeros. Copies carry it
  std::uint64_t writes = 0;         // how often a guest changed it
  std::string origin = {};          // linked clone: "base-100-disk-0@__base__" (zvol), base image name else
  std::map<std::string, VolumeSnapshot, std::less<>> snapshots = {};
  std::int64_t ctime = 0;
  std::string notes = {};
  bool is_protected = false;
  // What only the commands of a node see (zvols).
  Section properties = {};                          // set on it, user properties included; not the three numbers above
  std::uint64_t guid = 0;                           // 0: nobody asked yet
  VirtualTime unsettled_until = {};                 // made or renamed on the node: udev still works on the device
  std::set<std::string, std::less<>> held_by = {};  // who has the device open besides QEMU: "4711 (dd)"
};

/// A place where bytes live: a zpool dataset, a volume group, a thin pool, a directory, an NFS export, …
/// Node-local backings have `node`; shared ones have it empty.
struct Backing {
  std::string key = {};   // "zfs:pve1:tank/vbs8k", "vg:pve1:pve", "vg::san-vg", "thin:pve1:vg0/thin0",
                          // "dir:pve1:/srv/d1", "nfs:…", "rbd:…"
  std::string kind = {};  // zfs | lvm-vg | lvm-thin | dir | nfs | cifs | rbd | iscsi | btrfs
  std::string node = {};
  std::string path = {};                  // dataset, vg, vg/thin, directory
  std::string dataset = {};               // directories on ZFS: the dataset below
  std::string filesystem = {};            // below directories: ext4 | zfs | btrfs | xfs | nfs
  std::int64_t capacity = 0;              // bytes; zfs datasets take it from their pool
  std::int64_t base_used = 0;             // bytes used by things the simulator does not know one by one
  std::int64_t read_rate = 400LL << 20;   // bytes/s of copies reading here
  std::int64_t write_rate = 250LL << 20;  // bytes/s of copies writing here
  bool failing = false;                   // every access fails (a dead NFS server …)
  std::map<std::string, Volume, std::less<>> volumes = {};
};

/// A vdev besides those that hold the data.
struct PoolVdev {
  std::string role = "special";  // logs special dedup cache spares
  std::string layout = "single";
  int disks = 1;
  int ashift = 12;
  std::int64_t disk_size = 1LL << 30;
  std::string media = "ssd";
};

struct ZPool {
  std::string name = {};
  std::string layout = "mirror";  // single | mirror | raid10 | raidz | raidz2 | raidz3 | draid…
  int disks = 2;
  int ashift = 12;
  std::string media = "ssd";  // ssd | nvme | hdd
  bool autotrim = false;
  int frag = 0;  // percent
  double dedup = 1.0;
  std::string health = "ONLINE";
  std::int64_t size = 0;  // usable bytes
  std::int64_t base_used = 0;
  std::string compression = "on";
  std::set<std::string, std::less<>> datasets = {};  // full paths including the pool itself
  // What only the commands of a node tell.
  std::map<std::string, Section, std::less<>> properties = {};   // set on file systems, by dataset
  std::map<std::string, std::uint64_t, std::less<>> guids = {};  // of file systems somebody asked for
  std::vector<PoolVdev> vdevs = {};                              // besides the data
  std::int64_t disk_size = 0;                                    // of the data disks; 0: from the pool's size
  std::optional<std::int64_t> scrub_age = {};                    // seconds since the last scrub ended; nothing: never
  std::optional<std::int64_t> trim_age = {};
  int errors = 0;  // data errors
};

/// A section of storage.cfg. Order of World::storages = order in the file.
struct StorageDef {
  std::string id = {};
  std::string type = {};
  Section values = {};  // as stored; content is a sorted comma list, nodes likewise
};

struct DiskInfo {  // one row of disks/list
  std::string devpath = {}, type = "ssd", model = {}, serial = {}, vendor = {}, wwn = {}, used = {}, health = "PASSED";
  std::int64_t size = 0;
  int wearout = 100;
  bool gpt = false;
};

struct PciDevice {
  std::string id = {}, pci_class = "0x030000", vendor = {}, device = {}, vendor_name = {}, name = {};
  int iommugroup = -1;
  bool mdev = false;
};

struct Filesystem {
  std::string type = "ext4";
  std::string dataset = {};  // for type zfs: the dataset mounted there
  std::int64_t size = 0;
};

struct HostSwap {
  std::string device = {};
  std::int64_t size = 0;
};

/// What the API does not tell of a node.
struct HostFacts {
  std::int64_t arc_max = 0;  // 0: OpenZFS' own choice
  std::int64_t arc_min = 0;
  std::vector<HostSwap> swaps = {};
  std::vector<std::string> timers = {};  // enabled ones
  bool trim_cron = false;                // Debian's monthly trim of zpools
  Section parameters = {};               // of the zfs module
  Section modprobe = {};                 // files of /etc/modprobe.d: path, text
  std::vector<std::string> tools = {"perl", "qemu-img", "zfs", "zpool", "udevadm", "dd"};
};

struct Node {
  std::string name = {};
  int id = 0;
  bool online = true;
  std::string version = "9.2.4";        // pve-manager
  std::string qemu_version = "10.2.1";  // newest machine version, "10.2" of it
  std::string zfs_version = "2.4.3";
  int cpus = 8;
  int sockets = 1;
  std::string cpu_model = "QEMU Virtual CPU";
  std::int64_t memory = 64LL << 30;
  std::int64_t rootfs_size = 100LL << 30;
  std::int64_t rootfs_used = 8LL << 30;
  std::string kernel = "6.17.9-1-pve";
  std::string ssl_fingerprint = {};  // SHA-256 of the certificate its pveproxy shows
  VirtualTime booted = {};
  std::map<std::string, ZPool, std::less<>> pools = {};
  std::map<std::string, Filesystem, std::less<>> filesystems = {};
  std::vector<PciDevice> pci = {};
  std::vector<DiskInfo> disks = {};
  HostFacts host = {};
};

// ------------------------------------------------------------------------------------------------ HA, pools, …
// Users, tokens, groups, roles and ACL: AccessTables of wire/access.h.

struct HaResource {
  std::string sid = {};  // "vm:100"
  Section values = {};   // as in ha/resources.cfg: state, max_restart, …
  // What the managers know; not in the file.
  std::string crm_state = "queued";  // queued started stopped request_stop migrate relocate error freeze ignored
  std::string migrate_target = {};   // queued hamigrate
  bool migrate_online = true;
  bool busy = false;          // an LRM task runs for it
  bool hard_stop = false;     // the next stop terminates the guest instead of asking it
  std::int64_t failures = 0;  // starts that failed in a row
};
struct HaRule {
  std::string id = {}, type = {};
  Section values = {};
};
struct ReplicationJob {
  std::string id = {};  // "100-0"
  int vmid = 0;
  Section values = {};  // type target schedule rate disable comment source remove_job
  VirtualTime last_sync = {};
  int fail_count = 0;
  std::string error = {};
};
struct Pool {
  std::string id = {}, comment = {};
  std::set<int> vms = {};
  std::set<std::string, std::less<>> storages = {};
};
struct Mapping {
  std::string id = {};
  Section values = {};
  std::vector<std::string> map = {};
};

// ------------------------------------------------------------------------------------------------ tasks

class Work;

/// A task as GET …/tasks/UPID shows it. Log lines are without "TASK OK": the last line is appended when it ends.
struct Task {
  std::string upid = {}, node = {}, type = {}, id = {}, user = {}, token = {};
  int pid = 0;
  std::int64_t pstart = 0, starttime = 0, endtime = 0;
  bool running = true;
  std::string exit_status = {};
  int warnings = 0;
  std::vector<std::string> log = {};
  std::shared_ptr<Work> work = {};  // null once it ended
};

/// What a fault script does to a step of a task when it is about to begin.
struct StepFault {
  enum class Kind : std::uint8_t { kNone, kFail, kStall } kind = Kind::kNone;
  std::string message = {};
};

// ------------------------------------------------------------------------------------------------ the world

class World {
 public:
  World(std::shared_ptr<SimClock> clock, std::uint64_t seed);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  /// Held around every use of the world by request handlers, tests and the timer of the server. Recursive.
  [[nodiscard]] std::unique_lock<std::recursive_mutex> guard() const;

  // --- time. Events run in order of (time, insertion) under the mutex.
  [[nodiscard]] VirtualTime now() const { return now_; }
  [[nodiscard]] std::int64_t now_seconds() const;
  /// Runs every event due until `until`; now() is `until` afterwards (never goes back).
  void run_until(VirtualTime until);
  /// run_until(clock.now()): call at the begin of each request and from the server's timer.
  void catch_up();
  /// How far the clock is ahead of now(), while events that are due are still to run; zero otherwise.
  [[nodiscard]] VirtualSpan behind() const;
  void at(VirtualTime when, std::function<void()> effect);
  void after(VirtualSpan span, std::function<void()> effect) { at(now_ + span, std::move(effect)); }
  [[nodiscard]] std::optional<VirtualTime> next_event() const;
  /// Lets virtual time pass until `predicate` holds (true) or `deadline` is reached (false). The predicate is called
  /// under the mutex; other requests are served meanwhile.
  bool wait_until(const std::function<bool()>& predicate, VirtualTime deadline);

  // --- chance
  std::uint64_t random();
  [[nodiscard]] std::string random_hex(int digits);
  [[nodiscard]] std::string random_uuid();
  /// Guids of datasets: not by chance, so that asking for one changes nothing else.
  [[nodiscard]] std::uint64_t next_guid();
  [[nodiscard]] std::string random_mac();  // "BC:24:11:…", or datacenter mac_prefix

  // --- tasks
  /// Starts `work` as a task: returns its UPID at once; steps run on virtual time. `user` is user@realm or
  /// user@realm!token.
  std::string start_task(const std::string& node, const std::string& type, const std::string& id,
                         const std::string& auth_id, std::shared_ptr<Work> work);
  /// Runs `work` inside the request: returns when it ended, throws its ApiError; after 30 virtual seconds throws
  /// ApiError{596} while the work goes on (Fact: pveproxy's timeout to pvedaemon).
  void run_synchronously(std::shared_ptr<Work> work);
  /// A task that has no steps of its own (HA requests, …): it is recorded as ended.
  std::string finished_task(const std::string& node, const std::string& type, const std::string& id,
                            const std::string& auth_id, std::vector<std::string> log,
                            const std::string& exit_status = "OK");
  [[nodiscard]] Task* find_task(std::string_view upid);
  /// TERM to the task: it fails with "received interrupt" at once and its clean-up runs. False: not running.
  bool stop_task(std::string_view upid);
  /// SIGKILL or node crash: no clean-up; exit status "unexpected status".
  void kill_task(std::string_view upid);
  std::vector<std::unique_ptr<Task>> tasks = {};  // oldest first
  /// Asked before each step; `task` is null for synchronous work. Set by the fault scripts.
  std::function<StepFault(const Task* task, std::string_view step)> step_fault = {};

  // --- the cluster's data
  std::string cluster_name = {};  // empty: a standalone node
  std::map<std::string, Node, std::less<>> nodes = {};
  std::string first_node = {};  // answers when nothing else is said
  std::map<int, Vm> vms = {};
  std::vector<StorageDef> storages = {};
  std::map<std::string, Backing, std::less<>> backings = {};
  std::map<std::string, Backing> backends = {};  // of the cluster file: what new storages may be attached to
  AccessTables access = {};
  std::map<std::string, HaResource, std::less<>> ha_resources = {};
  std::vector<HaRule> ha_rules = {};  // file order
  std::map<std::string, ReplicationJob, std::less<>> replication = {};
  std::map<std::string, Pool, std::less<>> pools = {};
  std::map<std::string, Mapping, std::less<>> pci_mappings = {};
  std::set<std::string, std::less<>> cpu_models = {};  // custom ones, without "custom-"
  Section datacenter = {};                             // datacenter.cfg: key -> raw value
  bool ha_disarmed = false;

  /// Majority of the nodes online (always, when standalone) and no scripted loss.
  [[nodiscard]] bool quorate() const;
  bool quorum_lost = false;  // scripted

  // --- lookups that fail with PVE's texts (ApiError)
  Node& node(std::string_view name);           // "hostname lookup 'x' failed - …"
  Vm& vm_on(std::string_view node, int vmid);  // "Configuration file 'nodes/N/qemu-server/ID.conf' does not exist"
  [[nodiscard]] Vm* find_vm(int vmid);
  [[nodiscard]] StorageDef* find_storage(std::string_view id);
  StorageDef& storage(std::string_view id);  // "storage 'x' does not exist"

  // --- section files as text; digests are digest_of() of them
  [[nodiscard]] std::string storage_cfg() const;
  [[nodiscard]] std::string storage_digest() const;
  void require_quorum() const;  // "cluster not ready - no quorum?"

  // --- HA and replication run by themselves (10 s and 60 s periods); call after changing their tables.
  void ha_changed();
  [[nodiscard]] bool ha_managed(int vmid) const;  // Fact: state `ignored` and disarm count as unmanaged
  [[nodiscard]] bool replicated(int vmid) const;

  // --- file locks (guest flocks, storage locks): name -> holders
  /// Takes the lock for `owner` if it is free (or shared by sharers only). Recursive for the same owner.
  bool try_lock(const std::string& name, const void* owner, bool shared = false);
  void unlock(const std::string& name, const void* owner);
  void unlock_all(const void* owner);
  [[nodiscard]] bool locked(const std::string& name) const;

  /// Node loss and return. Guests on it die with it (HA recovers its resources); its running tasks are killed.
  void node_down(const std::string& name);
  void node_up(const std::string& name);

 private:
  struct Holders {
    std::map<const void*, int> counts = {};
    bool shared = false;
  };
  void begin_periodic();
  void ha_tick();
  void ha_watch(const std::string& sid, const std::string& upid, const std::string& afterwards);
  void replication_tick();

  friend class Work;
  void remember(const std::shared_ptr<Work>& work);

  mutable std::recursive_mutex mutex_ = {};
  std::shared_ptr<SimClock> clock_;
  VirtualTime now_ = {};
  std::mt19937_64 rng_;
  std::uint64_t event_order_ = 0;
  std::map<std::pair<VirtualTime, std::uint64_t>, std::function<void()>> events_ = {};
  std::map<std::string, Holders, std::less<>> locks_ = {};
  int next_pid_ = 1000;
  std::uint64_t guids_ = 0;
  std::vector<std::weak_ptr<Work>> works_ = {};  // those that may not have ended
};

}  // namespace pvesim
