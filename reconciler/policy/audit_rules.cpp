#include "reconciler/policy/audit_rules.h"

#include <fmt/format.h>

namespace pvr {
namespace {

using enum Severity;

bool wants_uefi(const GuestAuditFacts& g) { return g.ostype == "win11"; }

std::string joined(const std::vector<std::string>& words) { return fmt::format("{}", fmt::join(words, ", ")); }

constexpr Check<GuestAuditFacts> kGuestChecks[] = {
    {.id = "G1",
     .severity = kWarning,
     .found =
         [](const GuestAuditFacts& g) {
           return g.cpu == "kvm64" || g.cpu == "qemu64" || g.cpu == "kvm32" || g.cpu == "qemu32";
         },
     .say =
         [](const GuestAuditFacts& g) { return fmt::format("cpu={}: no AES, no SSE4, no AVX for the guest", g.cpu); },
     .fix = [](const GuestAuditFacts& g) -> std::string { return g.passthrough_pci ? "cpu: host" : "cpu: baseline"; },
     .why = "these models stand for processors of 2005; every node of today can give more",
     .source = "S0, S2"},
    {.id = "G1",
     .severity = kNotice,
     .found =
         [](const GuestAuditFacts& g) {
           return g.passthrough_pci && g.mobility == Mobility::kPinned && g.cpu != "host" && g.cpu != "max";
         },
     .say = [](const GuestAuditFacts& g) { return fmt::format("cpu={} on a guest that cannot leave its node", g.cpu); },
     .fix = [](const GuestAuditFacts&) -> std::string { return "cpu: host"; },
     .why = "a pinned guest needs no common model: host gives it all the processor has",
     .source = "S0, S2"},
    {.id = "G6",
     .severity = kNotice,
     .found = [](const GuestAuditFacts& g) { return g.passthrough_pci && !g.numa; },
     .say = [](const GuestAuditFacts&) -> std::string { return "numa is off on a guest with a passed-through device"; },
     .fix = [](const GuestAuditFacts&) -> std::string { return "numa: true"; },
     .why = "memory and processors of a large pinned guest then lie where its device is",
     .source = "S0, S2"},
    {.id = "G3",
     .severity = kWarning,
     .found = [](const GuestAuditFacts& g) { return wants_uefi(g) && g.bios != "ovmf"; },
     .say = [](const GuestAuditFacts&) -> std::string { return "Windows 11 starts with SeaBIOS instead of UEFI"; },
     .fix = [](const GuestAuditFacts&) -> std::string { return "bios: ovmf with an EFI disk"; },
     .why = "Windows 11 and Server 2025 want UEFI and Secure Boot",
     .source = "S0"},
    {.id = "G3",
     .severity = kWarning,
     .found = [](const GuestAuditFacts& g) { return g.bios == "ovmf" && !g.has_efi_disk; },
     .say = [](const GuestAuditFacts&) -> std::string { return "UEFI without an EFI disk"; },
     .fix = [](const GuestAuditFacts&) -> std::string { return "efidisk: true"; },
     .why = "boot entries and Secure Boot keys are forgotten at every start",
     .source = "S0"},
    {.id = "G4",
     .severity = kWarning,
     .found = [](const GuestAuditFacts& g) { return wants_uefi(g) && !g.has_tpm; },
     .say = [](const GuestAuditFacts&) -> std::string { return "Windows 11 without a TPM"; },
     .fix = [](const GuestAuditFacts&) -> std::string { return "tpm: true"; },
     .why = "Windows 11 and Server 2025 want a TPM 2.0; without one updates and BitLocker fail",
     .source = "S0"},
    {.id = "G5",
     .severity = kNotice,
     .found = [](const GuestAuditFacts& g) { return !g.other_nets.empty(); },
     .say = [](const GuestAuditFacts& g) { return fmt::format("emulated network devices: {}", joined(g.other_nets)); },
     .fix = [](const GuestAuditFacts&) -> std::string { return "model: virtio"; },
     .why = "the paravirtual device is faster and costs the node less",
     .source = "S0, S2"},
};
static_assert(well_formed(kGuestChecks));

constexpr Check<PendingFacts> kPendingChecks[] = {
    {.id = "P1",
     .severity = kNotice,
     .found = [](const PendingFacts& p) { return !p.keys.empty(); },
     .say = [](const PendingFacts& p) { return fmt::format("changes wait for a restart: {}", joined(p.keys)); },
     .fix = [](const PendingFacts&) -> std::string {
       return "restart the guest from PVE; a restart from inside applies nothing";
     },
     .why = "what the configuration shows is not what runs",
     .source = "PVE source"},
};
static_assert(well_formed(kPendingChecks));

std::string sized(ByteSize size) { return size.bytes == 0 ? std::string() : fmt::format(" ({})", to_human(size)); }

constexpr Check<LeftoverFacts> kLeftoverChecks[] = {
    {.id = "P2",
     .severity = kNotice,
     .found = [](const LeftoverFacts& v) { return v.attached; },
     .say =
         [](const LeftoverFacts& v) { return fmt::format("{}{} is detached and takes room", v.volume, sized(v.size)); },
     .fix = [](const LeftoverFacts&) -> std::string { return "remove it once nobody needs its data"; },
     .why = "a detached disk is copied by no backup and still takes its space",
     .source = "PVE source"},
    {.id = "P2",
     .severity = kWarning,
     .found = [](const LeftoverFacts& v) { return !v.attached; },
     .say = [](const LeftoverFacts& v) { return fmt::format("no guest refers to {}{}", v.volume, sized(v.size)); },
     .fix = [](const LeftoverFacts&) -> std::string {
       return "look what it holds, then attach it with qm disk rescan or remove it";
     },
     .why = "an orphaned volume shows nowhere but in the storage's list",
     .source = "PVE source"},
};
static_assert(well_formed(kLeftoverChecks));

constexpr Check<UsersFacts> kUsersChecks[] = {
    {.id = "P3",
     .severity = kWarning,
     .found = [](const UsersFacts& v) { return v.users.size() > 1; },
     .say = [](const UsersFacts& v) { return fmt::format("{} is named by {}", v.volume, joined(v.users)); },
     .fix = [](const UsersFacts&) -> std::string {
       return "unless it holds a cluster file system, find out whose data it is, and take the other entry out by hand";
     },
     .why = "two guests that write to it destroy its file system, and PVE frees it with one whatever the other needs",
     .source = "PVE source"},
};
static_assert(well_formed(kUsersChecks));

constexpr Check<PoolStateFacts> kPoolStateChecks[] = {
    {.id = "Z16",
     .severity = kError,
     .found = [](const PoolStateFacts& p) { return !p.health.empty() && p.health != "ONLINE"; },
     .say = [](const PoolStateFacts& p) { return fmt::format("{} is {}", p.name, p.health); },
     .fix = [](const PoolStateFacts& p) { return fmt::format("zpool status {} names the device; replace it", p.name); },
     .why = "the next failure may be the last",
     .source = "S1"},
    {.id = "Z16",
     .severity = kError,
     .found = [](const PoolStateFacts& p) { return !p.errors.empty() && p.errors != "No known data errors"; },
     .say = [](const PoolStateFacts& p) { return fmt::format("{} has damaged data: {}", p.name, p.errors); },
     .fix =
         [](const PoolStateFacts& p) {
           return fmt::format("zpool status -v {} names the files and volumes; restore them from a backup", p.name);
         },
     .why = "what is damaged cannot be read or copied",
     .source = "S1"},
    {.id = "Z16",
     .severity = kWarning,
     .found =
         [](const PoolStateFacts& p) { return p.scrub_known && (!p.scrub_age_days || *p.scrub_age_days > kScrubDays); },
     .say =
         [](const PoolStateFacts& p) {
           return p.scrub_age_days ? fmt::format("{} was scrubbed {} days ago", p.name, *p.scrub_age_days)
                                   : fmt::format("{} was never scrubbed", p.name);
         },
     .fix = [](const PoolStateFacts& p) { return fmt::format("zpool scrub {}", p.name); },
     .why = "only a scrub finds damage while there is still a good copy to repair it from",
     .source = "S1"},
    {.id = "Z16",
     .severity = kNotice,
     .found = [](const PoolStateFacts& p) { return p.fragmentation && *p.fragmentation >= kFragmentationNotice; },
     .say =
         [](const PoolStateFacts& p) {
           return fmt::format("the free space of {} is fragmented to {} %", p.name, *p.fragmentation);
         },
     .fix = [](const PoolStateFacts&) -> std::string {
       return "keep more space free; only data written anew lies in one piece";
     },
     .why = "writes must search for room, and large blocks find none",
     .source = "S1"},
};
static_assert(well_formed(kPoolStateChecks));

constexpr Check<CoverageFacts> kCoverageChecks[] = {
    {.id = "T5",
     .severity = kWarning,
     .found =
         [](const CoverageFacts& c) {
           return !c.guest.empty() && c.jobs_known && !c.in_a_job && c.backups_known && !c.newest_age_days;
         },
     .say = [](const CoverageFacts&) -> std::string {
       return "no backup job covers the guest, and no backup of it is there";
     },
     .fix = [](const CoverageFacts&) -> std::string { return "put it into a backup job"; },
     .why = "snapshots and RAID are no backup",
     .source = "S1"},
    {.id = "T5",
     .severity = kWarning,
     .found =
         [](const CoverageFacts& c) {
           return !c.guest.empty() && c.backups_known && c.newest_age_days && *c.newest_age_days > kBackupDays;
         },
     .say = [](const CoverageFacts& c) { return fmt::format("the newest backup is {} days old", *c.newest_age_days); },
     .fix = [](const CoverageFacts&) -> std::string { return "see why the job does not run, or take one now"; },
     .why = "what was written since is lost with the disk",
     .source = "S1"},
    {.id = "T5",
     .severity = kNotice,
     .found = [](const CoverageFacts& c) { return c.guest.empty() && c.unprotected != 0; },
     .say =
         [](const CoverageFacts& c) {
           return fmt::format("no backup job of the cluster and no backup on its storages; {} guests are concerned",
                              c.unprotected);
         },
     .fix = [](const CoverageFacts&) -> std::string {
       return "a backup job (Datacenter, Backup), unless something outside PVE makes the backups";
     },
     .why = "the only copy of a guest is the one that runs",
     .source = "S1"},
};
static_assert(well_formed(kCoverageChecks));

}  // namespace

std::span<const Check<GuestAuditFacts>> guest_audit_checks() { return kGuestChecks; }
std::span<const Check<PendingFacts>> pending_checks() { return kPendingChecks; }
std::span<const Check<LeftoverFacts>> leftover_checks() { return kLeftoverChecks; }
std::span<const Check<UsersFacts>> users_checks() { return kUsersChecks; }
std::span<const Check<PoolStateFacts>> pool_state_checks() { return kPoolStateChecks; }
std::span<const Check<CoverageFacts>> coverage_checks() { return kCoverageChecks; }

}  // namespace pvr
