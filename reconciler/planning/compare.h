#pragma once

#include <string_view>

#include "reconciler/model/diff.h"
#include "reconciler/model/live_state.h"
#include "reconciler/model/settings.h"

namespace pvr {

/// What decides how a change of a guest's setting takes effect.
struct GuestMode {
  bool running = false;     // paused counts: QEMU is there
  StringList hotplug = {};  // classes that are switched on
  bool numa = false;
};
[[nodiscard]] GuestMode mode_of(const LiveVm& guest);

/// How changing `setting` from `from` to `to` reaches this guest now: kAtOnce for a stopped one; kHotplug only where it
/// really is live.
[[nodiscard]] TakesEffect effect_now(const Setting& setting, std::string_view key, const GuestMode& mode,
                                     const OptionValue& from, const OptionValue& to);

/// Whether PVE treats both values alike, absent meaning the setting's default.
[[nodiscard]] bool same_value(const Setting* setting, const OptionValue& a, const OptionValue& b);

/// Three truths of one guest option (not a drive). `live` null: absent.
[[nodiscard]] SettingChange compare_option(std::string_view key, const Resolved& desired, const LiveOption* live,
                                           const LiveVm& guest, const GuestMode& mode);

/// A PVE text as a value; a text the codec refuses is kept as it is.
[[nodiscard]] OptionValue value_of_text(const Setting* setting, std::string_view text);

}  // namespace pvr
