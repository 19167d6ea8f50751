#pragma once

#include <string_view>

#include "reconciler/base/units.h"
#include "reconciler/model/storage_kind.h"
#include "reconciler/policy/rule.h"

namespace pvr {

/// A zpool that the fleet manages, as far as the fleet states it.
struct ManagedPool {
  bool autotrim = false;  // stated: on
};

inline constexpr Default<std::string_view, ManagedPool> kPoolTrimDefaults[] = {
    {.id = "Z11",
     .applies = [](const ManagedPool& p) { return !p.autotrim; },
     .value = "monthly",
     .why = "a monthly trim of the whole pool costs less than trimming every freed block",
     .source = "S0"},
};
static_assert(well_formed(kPoolTrimDefaults));

inline constexpr Default<std::string_view, ManagedPool> kPoolAtimeDefaults[] = {
    {.id = "Z7",
     .applies = [](const ManagedPool&) { return true; },
     .value = "off",
     .why = "every read of a file would cost a write",
     .source = "S0, S1"},
};
static_assert(well_formed(kPoolAtimeDefaults));

inline constexpr Default<std::string_view, ManagedPool> kPoolXattrDefaults[] = {
    {.id = "Z7",
     .applies = [](const ManagedPool&) { return true; },
     .value = "sa",
     .why = "extended attributes in the inode save a seek each",
     .source = "S0, S1"},
};
static_assert(well_formed(kPoolXattrDefaults));

inline constexpr Default<std::string_view, ManagedPool> kPoolDnodesizeDefaults[] = {
    {.id = "Z7",
     .applies = [](const ManagedPool&) { return true; },
     .value = "auto",
     .why = "attributes in the inode need room there",
     .source = "S0, S1"},
};
static_assert(well_formed(kPoolDnodesizeDefaults));

/// A node whose ARC the fleet limits: arc_min is this part of arc_max.
struct ManagedArc {
  ByteSize memory = {};  // zero: unknown
};
inline constexpr int kArcMinShare = 4;
inline constexpr Default<int, ManagedArc> kArcMinDefaults[] = {
    {.id = "Z13",
     .applies = [](const ManagedArc&) { return true; },
     .value = kArcMinShare,
     .why = "a quarter of zfs_arc_max stays when guests press, and the rest can be given back",
     .source = "S1"},
};
static_assert(well_formed(kArcMinDefaults));
/// For `arc_max: auto`: the low end of the table, recommended_arc().
inline constexpr Default<int, ManagedArc> kArcMaxDefaults[] = {
    {.id = "Z13",
     .applies = [](const ManagedArc& h) { return h.memory.bytes != 0; },
     .value = 0,
     .why = "the smaller limit that the table advises for the memory of the node; guests need the rest",
     .source = "S1"},
};
static_assert(well_formed(kArcMaxDefaults));

}  // namespace pvr
