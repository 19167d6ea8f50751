#pragma once

#include <string>
#include <vector>

#include "simulator/world/world.h"

// A stand-in for the commands of a node, on the simulated world: zfs, zpool, udevadm, findmnt, …, and the programs that
// are fed to `perl -`. Texts and exit codes are OpenZFS 2.3's and 2.4's, as they were seen on real pools.
namespace pvesim {

struct HostAnswer {
  int exit_code = 0;
  std::string out = {};
  std::string err = {};
};

/// What one command sees. `argv` is without `sudo -n --`.
struct HostCall {
  World& world;
  Node& node;
  std::vector<std::string> argv = {};
  std::string input = {};
  bool cut = false;  // the command is killed on its way: a copy then stops after half of its work
};

/// Runs a command to its end; 127 for one the stand-in does not know. `sh` is no shell: of the script on its input only
/// the lines "part NAME WORDS…" are looked at. WORDS are run as a command, or name one of the script's functions that
/// the stand-in knows by name (vdevs, tools, parameters, modprobe_options, trim_jobs, enabled_timers), and the answer
/// is framed as the script's part() does. A part it does not know fails, as on a node where a program is missing.
[[nodiscard]] HostAnswer run_host_command(HostCall call);

// The parts of it, by program.
[[nodiscard]] HostAnswer run_zfs(HostCall& call);
[[nodiscard]] HostAnswer run_zpool(HostCall& call);
[[nodiscard]] HostAnswer run_perl(HostCall& call);
[[nodiscard]] HostAnswer run_zfs_change(HostCall& call);  // create, set, inherit, rename, destroy, snapshot

[[nodiscard]] inline HostAnswer refuse(int code, std::string text) { return {code, {}, std::move(text) + "\n"}; }

}  // namespace pvesim
