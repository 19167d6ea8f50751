#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "simulator/wire/faults.h"
#include "simulator/wire/message.h"
#include "simulator/world/clock.h"

namespace pvesim {

class World;

/// A cluster file that cannot be used. `problems` holds every one, each as "NAME:LINE:COLUMN: text".
class ClusterFileError : public std::runtime_error {
 public:
  explicit ClusterFileError(std::vector<std::string> problems);
  [[nodiscard]] const std::vector<std::string>& problems() const { return problems_; }

 private:
  std::vector<std::string> problems_;
};

struct SimulatorOptions {
  /// Virtual time moves only when something waits for it: nothing ever sleeps. For tests.
  bool manual_clock = false;
  /// Virtual seconds per real second of the other clock; unset: cluster.clock_scale of the file.
  std::optional<double> clock_scale = {};
  /// Unset: cluster.seed of the file.
  std::optional<std::uint64_t> seed = {};
};

struct ListenOptions {
  std::string address = "127.0.0.1";  // loopback only
  std::uint16_t port = 0;             // 0: any free one
  bool tls = true;
  /// One listener per node (each on its own port; `port` is the first node's), so that clients can fail over. Otherwise
  /// one listener that answers as the first node that is online.
  bool per_node = false;
};

/// One volume as a test wants to see it.
struct VolumeInfo {
  std::string volid = {};
  std::string node = {};  // empty: shared
  std::int64_t size = 0;  // bytes
  std::int64_t used = 0;
  std::int64_t volblocksize = 0;    // zvols only
  std::int64_t refreservation = 0;  // zvols only; 0 = none
  std::string format = {};
  std::uint64_t fingerprint = 0;  // of the content; 0 = all zeros
  std::uint64_t writes = 0;       // by guests
  std::string origin = {};        // of linked clones
  int owner = 0;                  // vmid in the name; 0: none
  /// Every config entry that names it: "100:scsi0", "100:unused0", "100:[PENDING]:scsi0", "100:[snap]:scsi0".
  std::vector<std::string> referenced_by = {};
};

struct TaskInfo {
  std::string upid = {}, node = {}, type = {}, id = {}, user = {};  // user with its token
  bool running = false;
  std::string exit_status = {};
  std::vector<std::string> log = {};
};

/// A zvol as the node itself sees it, whatever PVE knows of it.
struct ZvolInfo {
  std::string node = {};
  std::string name = {};  // "tank/vbs16k/vm-100-disk-0"
  std::int64_t size = 0, used = 0, volblocksize = 0, refreservation = 0;
  std::uint64_t fingerprint = 0;
  std::uint64_t guid = 0;
  std::map<std::string, std::string> properties = {};  // set on it, user properties included
  std::vector<std::string> snapshots = {};             // in the order they were taken
};

/// What became of a command on a node.
struct CommandAnswer {
  int exit_code = 0;
  std::string out = {};
  std::string err = {};
  Delivery delivery = Delivery::kAnswer;
};

/// A simulated PVE cluster. handle() is the whole server without a transport; listen() puts HTTPS in front of it.
/// Thread safe. Shares only the wire with clients: it includes no header outside simulator/.
class Simulator {
 public:
  /// Builds a cluster from docs/simulated-cluster.md's format. Throws ClusterFileError with every problem found.
  [[nodiscard]] static std::unique_ptr<Simulator> from_file(const std::string& path, SimulatorOptions options = {});
  [[nodiscard]] static std::unique_ptr<Simulator> from_text(const std::string& yaml, SimulatorOptions options = {},
                                                            const std::string& name = "cluster.yaml");
  ~Simulator();
  Simulator(const Simulator&) = delete;
  Simulator& operator=(const Simulator&) = delete;

  /// Serves one request to its end. May take virtual time.
  [[nodiscard]] Response handle(const Request& request);

  /// Runs a command on a node, as ssh would: simulator/host/host_command.h says which there are. Takes virtual time.
  [[nodiscard]] CommandAnswer run_command(const std::string& node, const std::vector<std::string>& argv,
                                          const std::string& input = {});

  // --- the wire
  /// Starts listening and answers the (first) port. Throws std::runtime_error when the address cannot be bound.
  std::uint16_t listen(const ListenOptions& options = {});
  /// Port of one node's listener with per_node; the only one otherwise; 0 when nothing listens.
  [[nodiscard]] std::uint16_t port(const std::string& node = {}) const;
  /// "https://127.0.0.1:PORT".
  [[nodiscard]] std::string url(const std::string& node = {}) const;
  void stop();
  /// SHA-256 "AA:BB:…" and PEM text of a node's certificate; empty name: the first node.
  [[nodiscard]] std::string fingerprint(const std::string& node = {}) const;
  [[nodiscard]] std::string certificate(const std::string& node = {}) const;
  [[nodiscard]] int open_connections() const;
  [[nodiscard]] std::uint64_t accepted_connections() const;

  // --- time
  [[nodiscard]] VirtualTime now() const;
  /// Lets virtual time pass; with the scaled clock this waits for it.
  void advance(VirtualSpan span);
  /// Lets virtual time pass until no task runs. False: some still ran at the limit.
  bool settle(VirtualSpan limit = std::chrono::hours(24));

  // --- faults
  void add_fault(Fault fault);
  void set_random_faults(RandomFaults faults);
  void clear_faults();
  [[nodiscard]] std::uint64_t faults_fired() const;

  // --- looking inside, without requests
  [[nodiscard]] std::vector<std::string> node_names() const;
  [[nodiscard]] std::vector<int> vmids() const;
  [[nodiscard]] bool vm_exists(int vmid) const;
  [[nodiscard]] std::string vm_node(int vmid) const;
  /// The config file as PVE writes it.
  [[nodiscard]] std::string vm_config_text(int vmid) const;
  /// One section: "" the main one, "PENDING", or a snapshot's name.
  [[nodiscard]] std::map<std::string, std::string> vm_config(int vmid, const std::string& section = {}) const;
  [[nodiscard]] bool vm_running(int vmid) const;
  /// What the running QEMU really uses; empty when stopped.
  [[nodiscard]] std::map<std::string, std::string> vm_effective(int vmid) const;
  [[nodiscard]] std::vector<VolumeInfo> volumes() const;
  [[nodiscard]] std::vector<VolumeInfo> volumes(const std::string& storage) const;
  [[nodiscard]] std::optional<VolumeInfo> volume(const std::string& volid) const;
  /// Guest volumes no config names (unusedN counts as a name).
  [[nodiscard]] std::vector<std::string> unreferenced_disks() const;
  /// What an orderly run would not leave: unreferenced disks, unusedN entries ("100:unused0"), config locks
  /// ("100:lock=clone").
  [[nodiscard]] std::vector<std::string> leftovers() const;
  /// Every zvol of every node, sorted by node and name; also those PVE does not take for its own.
  [[nodiscard]] std::vector<ZvolInfo> zvols() const;
  /// Somebody on the node opens the zvol's device and keeps it open ("4711 (dd)"), or closes it again.
  void hold_zvol(const std::string& node, const std::string& name, const std::string& holder);
  void release_zvol(const std::string& node, const std::string& name, const std::string& holder);
  [[nodiscard]] std::vector<TaskInfo> tasks() const;
  [[nodiscard]] std::string storage_cfg() const;
  /// Requests so far by (verb, path template).
  [[nodiscard]] std::map<std::pair<std::string, std::string>, std::uint64_t> request_counts() const;
  [[nodiscard]] std::uint64_t request_count() const;
  void reset_request_counts();

  // --- another admin at work
  void set_config(int vmid, const std::string& key, const std::string& value);
  void delete_config(int vmid, const std::string& key);
  /// These run to the end of their task and answer its exit status.
  std::string start_vm(int vmid);
  std::string stop_vm(int vmid);
  std::string create_snapshot(int vmid, const std::string& name);
  std::string migrate_vm(int vmid, const std::string& target);
  /// The guest writes: changes the content of the volume its running QEMU has open in `slot`. Throws when it is not
  /// open.
  void guest_write(int vmid, const std::string& slot);
  void node_down(const std::string& node);
  void node_up(const std::string& node);
  void set_quorum(bool quorate);
  /// Any call as root@pam with a ticket.
  [[nodiscard]] Response admin_call(const std::string& method, const std::string& path,
                                    const std::vector<std::pair<std::string, std::string>>& params = {});

  /// Everything else: runs `look` with the world under its mutex.
  void inspect(const std::function<void(World&)>& look);

 private:
  class Impl;
  explicit Simulator(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pvesim
