#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "reconciler/base/result.h"
#include "reconciler/execute/work.h"

namespace pvr {

/// Waits until a task of PVE ends, reports its progress, and does not care about a stop request: what was begun is
/// awaited.
///
/// Success is "OK" and "WARNINGS: n" (the warnings land in the report). A task nobody knows any more (its node was
/// restarted) is success too as far as this function goes: only the world can tell, and the caller looks there in any
/// case.
///
/// Errors: kTaskFailed, kLocked, kNoQuorum, kConflict or kInterrupted by the task's text, effect kNone (PVE's tasks
/// clean up after themselves; what they leave is seen by looking); kTimeout with effect kPossible when nothing moved
/// for Patience::silence.
[[nodiscard]] Status await_task(Work& work, const Upid& task);

/// For whoever waits for an effect that is under way: does this failed look mean that nothing more will be heard of it,
/// however long the wait (the token is refused, or the client itself was told to end)? Then the error to end with,
/// effect kPossible.
[[nodiscard]] std::optional<Error> end_of_waiting(const Error& look);

/// Changes a guest's configuration in a task and waits for it. For whatever allocates, plugs or frees. `doing` is the
/// error's context.
[[nodiscard]] Status change_config(Work& work, Vmid vmid, const FormFields& set, const std::vector<std::string>& unset,
                                   const std::string& digest, std::string_view doing);

/// Makes PVE note a volume's real size in the drive string. Fact: it does when the same string is written again.
[[nodiscard]] Status note_size(Work& work, const LiveVm& vm, DriveSlot slot);

/// Right before a copy: is there still room where the operation's `copy` goes? The plan's own check may be hours old.
/// kRejected: no.
[[nodiscard]] Status check_space(Work& work);

/// Running tasks of one type for a guest ("qmmove"), newest first. Empty `type`: any.
[[nodiscard]] Result<std::vector<Upid>> running_tasks(Work& work, Vmid vmid, std::string_view type);

}  // namespace pvr
