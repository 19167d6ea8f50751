#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "simulator/api/broadcast.h"
#include "simulator/api/method.h"
#include "simulator/wire/auth.h"
#include "simulator/wire/faults.h"
#include "simulator/wire/message.h"
#include "simulator/wire/params.h"

namespace pvesim {

/// Every method of the API. Made once: it says nothing of one cluster.
[[nodiscard]] const MethodTable& all_methods();

/// pveproxy and pvedaemon without a transport: one call of handle() is one HTTP request from first byte to last.
/// Thread safe: takes the world's mutex, gives it up while a handler waits.
class Service {
 public:
  /// `key` signs the tickets.
  Service(World& world, std::string key);

  /// Starts the nodes' status daemons: once the world holds its guests and storages.
  void begin() { broadcast_.begin(); }

  [[nodiscard]] Response handle(const Request& request);
  /// The same for "another admin": neither counted nor met by fault scripts.
  [[nodiscard]] Response handle_quietly(const Request& request);

  [[nodiscard]] FaultScript& faults() { return faults_; }
  [[nodiscard]] Broadcast& broadcast() { return broadcast_; }
  [[nodiscard]] const Tickets& tickets() const { return tickets_; }

  /// Requests so far by (verb, path template); paths without a method count under their own path. Hold the world's
  /// guard.
  [[nodiscard]] const std::map<std::pair<std::string, std::string>, std::uint64_t>& counts() const { return counts_; }
  void reset_counts() { counts_.clear(); }

 private:
  struct Place {
    std::string node = {};      // whose pveproxy answers; empty: nobody listens
    std::string relative = {};  // path below the format
    std::string format = {};    // json, extjs, … ; empty: no API path
  };
  [[nodiscard]] Place place_of(const Request& request) const;
  struct Match {
    const MethodSpec* method = nullptr;
    std::string path_template = {};  // of the path, even when the verb does not exist
    WireParams params = {};
  };
  [[nodiscard]] Match match(std::string_view verb, const std::string& path) const;
  [[nodiscard]] Response serve(const Request& request, const Place& place, bool counted);
  [[nodiscard]] Response call(const Match& match, const Session& session, const Request& request,
                              const std::string& local_node, const std::string& relative, const std::string& format);

  World& world_;
  const MethodTable& methods_;
  const std::vector<std::vector<std::string>>& segments_;  // of each method's path
  FaultScript faults_;
  Tickets tickets_;
  Broadcast broadcast_;
  std::map<std::pair<std::string, std::string>, std::uint64_t> counts_;
  std::map<std::string, int> busy_workers_;  // protected calls being served, by node
};

}  // namespace pvesim
