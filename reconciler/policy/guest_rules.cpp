#include "reconciler/policy/guest_rules.h"

#include <fmt/format.h>

namespace pvr {
namespace {

bool is_q35(std::string_view machine) { return machine.find("q35") != std::string_view::npos; }

constexpr Check<FirmwareChange> kFirmwareChecks[] = {
    {.id = "G7",
     .severity = Severity::kWarning,
     .found = [](const FirmwareChange& c) { return c.key == "bios" && c.from != c.to; },
     .say =
         [](const FirmwareChange& c) {
           return fmt::format(
               "bios changes ({} to {}) on a guest that has disks: what is installed there may not start", c.from,
               c.to);
         },
     .fix = [](const FirmwareChange&) -> std::string {
       return "convert the boot disk first (Windows: mbr2gpt), or state on the VM the bios it has";
     },
     .why = "what is installed starts from the firmware it was installed with",
     .source = "PVE source"},
    {.id = "G7",
     .severity = Severity::kWarning,
     .found = [](const FirmwareChange& c) { return c.key == "machine" && is_q35(c.from) != is_q35(c.to); },
     .say =
         [](const FirmwareChange& c) {
           return fmt::format(
               "machine changes ({} to {}) on a guest that has disks: its devices move to other addresses, "
               "so network interfaces may get other names",
               c.from, c.to);
         },
     .fix = [](const FirmwareChange&) -> std::string {
       return "prepare the guest first, or state on the VM the machine it has";
     },
     .why = "i440fx and q35 have different buses",
     .source = "PVE source"},
};
static_assert(well_formed(kFirmwareChecks));

}  // namespace

std::span<const Check<FirmwareChange>> firmware_checks() { return kFirmwareChecks; }

}  // namespace pvr
