#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "simulator/world/world.h"

namespace pvesim {

/// What a node's status daemon last told the cluster. Facts: every node sends its rows every 10 s; rows older than five
/// minutes are dropped; /cluster/resources, /nodes and /pools show these numbers, while configuration keys (lock, tags,
/// pool, node) are read at request time.
class Broadcast {
 public:
  struct Guest {
    VirtualTime sent = {};
    std::string name = {};
    std::string status = {};
    bool is_template = false;
    double cpu = 0;
    int maxcpu = 1;
    std::int64_t mem = 0, maxmem = 0, maxdisk = 0, uptime = 0;
  };
  struct Storage {
    VirtualTime sent = {};
    std::int64_t total = 0, used = 0;
  };
  struct Host {
    VirtualTime sent = {};
    double cpu = 0;
    int maxcpu = 0;
    std::int64_t mem = 0, maxmem = 0, disk = 0, maxdisk = 0, uptime = 0;
  };

  explicit Broadcast(World& world) : world_(world) {}
  Broadcast(const Broadcast&) = delete;
  Broadcast& operator=(const Broadcast&) = delete;

  /// Sends everything once and then every 10 s, each node at its own moment. Must outlive the world's events.
  void begin();
  /// What the daemon of one node (or of all, for "") would send now: for tests that must not wait.
  void send(const std::string& node);

  [[nodiscard]] const Guest* guest(int vmid) const;
  [[nodiscard]] const Storage* storage(const std::string& node, const std::string& id) const;
  [[nodiscard]] const Host* host(const std::string& node) const;

 private:
  void tick(const std::string& node);

  World& world_;
  std::map<int, Guest> guests_ = {};
  std::map<std::pair<std::string, std::string>, Storage> storages_ = {};
  std::map<std::string, Host> hosts_ = {};
};

}  // namespace pvesim
