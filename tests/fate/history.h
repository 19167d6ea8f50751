#pragma once

#include "simulator/simulator.h"
#include "tests/fate/dice.h"
#include "tests/fate/draft.h"
#include "tests/fate/story.h"

namespace pvr::fate {

/// Other people at work: `count` operations of the GUI on the cluster, each one as PVE allows it. What is refused is
/// refused. `settle`: each one ends before the next begins.
void live_on(pvesim::Simulator& sim, const Draft& draft, Dice& dice, Story& story, int count);

/// One operation on a guest of `vmids` that needs no task: it has happened when this returns.
void edit_at_once(pvesim::Simulator& sim, const std::vector<int>& vmids, Dice& dice, Story& story);

/// Keys of real drives ("scsi0", …) of a configuration.
[[nodiscard]] std::vector<std::string> drive_keys(const std::map<std::string, std::string>& config);
/// "z16:vm-100-disk-0" of a drive; "" when it holds no volume.
[[nodiscard]] std::string volume_of(const std::string& drive);
/// The value of one key of a drive ("cache"); "" when it is not there.
[[nodiscard]] std::string drive_option(const std::string& drive, std::string_view key);

}  // namespace pvr::fate
