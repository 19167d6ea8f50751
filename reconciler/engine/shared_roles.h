#pragma once

#include <map>
#include <string>

#include "reconciler/model/fleet_document.h"

namespace pvr {

/// Says once, in a role of its own, what several guests of one built-in role state alike: options of the guest and
/// settings of disks of the same name, but not where a disk is, and nothing numbered (a network card has its own MAC).
/// A role is made only where the file gets shorter by it; of several the one that saves most lines comes first. No
/// guest means anything else than before. Returns what each new role is, "role/NAME" → text. Pure.
std::map<std::string, std::string> share_settings(FleetDocument& document);

}  // namespace pvr
