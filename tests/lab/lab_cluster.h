#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "providers/host/host_zfs.h"
#include "providers/host/ssh_runner.h"
#include "providers/pve/http_transport.h"
#include "reconciler/engine/engine.h"
#include "reconciler/execute/executor.h"
#include "simulator/simulator.h"
#include "tests/support/simulated_transport.h"

namespace pvr::lab {

/// How a run ends before its time. Effects are writes of the API (the lease's left out) and changing commands on the
/// node, counted together.
struct Doom {
  int nth = 0;                             // the client dies when this effect has happened; 0: never
  std::function<void()> with_it = {};      // what else happens then, on the node for one
  std::function<void()> in_the_copy = {};  // happens once, as soon as the copy program has told of some bytes
  bool dies_in_the_copy = false;           // …and the client dies, with its connection
};

/// A simulated PVE cluster of one node whose zvols are the real ones of the lab.
///
/// The simulator plays the API. Whatever it does to a zvol (made, filled by a move, resized, destroyed) is done to the
/// real one, too, with real bytes by `qemu-img convert`, as PVE does. The commands of host access run on the real node
/// and what those answer is what counts; the changing ones are played on the simulated node afterwards, which must
/// agree. So at the end both have the same zvols, and what the real ones hold is told by sha256sum alone.
class LabCluster {
 public:
  /// `ssh` runs commands on the lab's guest. Datasets below `tank/pve` and `rz1/pve` are this cluster's own.
  LabCluster(const std::string& cluster, std::string ssh);

  [[nodiscard]] pvesim::Simulator& sim() { return *sim_; }
  /// Host access of the test itself.
  [[nodiscard]] HostZfs& zfs() { return zfs_; }
  [[nodiscard]] std::string shell(const std::string& script);

  /// Makes the real zvols anew, as the simulated ones are, and fills them: random data with holes between.
  void set_up();
  /// Plans as the command does; fails the test where planning fails.
  [[nodiscard]] Plan plan(const std::string& fleet, Allowance allow, ByteRate copy_rate = {});
  /// A run of a client process of its own.
  [[nodiscard]] ApplyReport apply(const Plan& plan, const Doom& doom = {});
  /// Effects of the last run.
  [[nodiscard]] int effects() const { return effects_; }
  /// Lets tasks end and an abandoned lease run out.
  void let_time_pass();

  /// "tank/pve/z16/vm-121-disk-0": what a drive of a guest holds.
  [[nodiscard]] std::string zvol_of(int vmid, const std::string& slot);
  /// sha256 of the first `length` bytes (0: all) of a real zvol.
  [[nodiscard]] std::string checksum(const std::string& zvol, std::int64_t length = 0);
  /// Name, size and block size of every zvol of this cluster, a line each; the real node's and the simulated one's.
  [[nodiscard]] std::string real_zvols();
  [[nodiscard]] std::string simulated_zvols();

 private:
  friend class LabTransport;
  friend class LabRunner;
  friend class LabClock;
  struct Known {
    pvesim::ZvolInfo zvol = {};
    bool attached = false;  // some drive, not unusedN, names it
  };
  /// Does to the real zvols what the simulator has done to its own since the last time.
  void follow();
  void play(const Command& command);
  [[nodiscard]] std::map<std::string, Known> look();
  void must_run(const std::string& script, const std::string& what);

  std::string ssh_;
  std::unique_ptr<pvesim::Simulator> sim_;
  std::unique_ptr<Clock> clock_;
  std::unique_ptr<CommandRunner> direct_;  // to the lab itself
  std::unique_ptr<CommandRunner> runner_;  // the test's own, without a fate
  HostZfs zfs_;
  std::recursive_mutex mutex_;
  std::map<std::string, Known> known_ = {};
  int effects_ = 0;
  int runs_ = 0;
};

}  // namespace pvr::lab
