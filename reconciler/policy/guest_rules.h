#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "reconciler/model/storage_kind.h"
#include "reconciler/policy/rule.h"

namespace pvr {

/// What the rules may look at for one guest.
struct GuestFacts {
  GuestOs os = GuestOs::kLinux;
  Mobility mobility = Mobility::kMobile;
  bool has_role = false;         // a guest without one gets no rules about its hardware
  bool passthrough = false;      // hostpci or a raw disk
  bool passthrough_pci = false;  // hostpci
  bool ha = false;
  bool one_node_device = false;  // a device that exists on one node only
  bool local_disks = false;      // a disk on storage that other nodes do not see
  bool replicated = false;
  bool exists = false;
  bool has_scsi_disk = true;
  bool lane_needs_node = false;  // its lane names a storage for each node, and its node is not known
};

/// Final options of a guest; empty: not set.
struct GuestSettings {
  std::string_view scsihw = {};
  std::string_view cpu = {};
};

using TextDefault = Default<std::string_view, GuestFacts>;  // in PVE's text form

inline constexpr TextDefault kScsihwDefaults[] = {
    {.id = "I1",
     .applies = [](const GuestFacts& g) { return g.has_scsi_disk; },
     .value = "virtio-scsi-single",
     .why = "its own I/O thread and controller for every disk",
     .source = "S0, S3"},
};
static_assert(well_formed(kScsihwDefaults));

inline constexpr TextDefault kBalloonDefaults[] = {
    {.id = "B1",
     .applies = [](const GuestFacts& g) { return g.passthrough_pci; },
     .value = "0",
     .why = "a passed-through device pins the memory of the guest: a balloon can give nothing back",
     .source = "S0"},
    {.id = "B1",
     .applies = [](const GuestFacts& g) { return g.os == GuestOs::kWindows; },
     .value = "0",
     .why = "Windows services, AD and PKI above all, behave poorly under memory pressure: fixed memory",
     .source = "S0"},
};
static_assert(well_formed(kBalloonDefaults));

inline constexpr TextDefault kMachineDefaults[] = {
    {.id = "G2",
     .applies = [](const GuestFacts& g) { return g.has_role && g.passthrough_pci; },
     .value = "q35",
     .why = "PCIe passthrough needs the PCIe bus of q35",
     .source = "S0"},
};
static_assert(well_formed(kMachineDefaults));

/// What decides about the small disks a guest needs without anybody writing them down.
struct FirmwareFacts {
  GuestOs os = GuestOs::kLinux;
  std::string_view bios = {};
  std::string_view ostype = {};
};
/// Values: drive options of a newly made disk, as PVE writes them.
inline constexpr Default<std::string_view, FirmwareFacts> kEfiDiskDefaults[] = {
    {.id = "G3",
     .applies = [](const FirmwareFacts& f) { return f.os == GuestOs::kWindows && f.bios == "ovmf"; },
     .value = "efitype=4m,pre-enrolled-keys=1",
     .why = "without an EFI disk OVMF forgets boot entries and Secure Boot keys at every start",
     .source = "S0"},
};
static_assert(well_formed(kEfiDiskDefaults));

inline constexpr Default<std::string_view, FirmwareFacts> kTpmDefaults[] = {
    {.id = "G4",
     .applies = [](const FirmwareFacts& f) { return f.os == GuestOs::kWindows && f.ostype == "win11"; },
     .value = "version=v2.0",
     .why = "Windows 11 and Server 2025 want a TPM 2.0",
     .source = "S0"},
};
static_assert(well_formed(kTpmDefaults));

/// G5: the model of a network device that states none.
inline constexpr TextDefault kNetModelDefaults[] = {
    {.id = "G5",
     .applies = [](const GuestFacts&) { return true; },
     .value = "virtio",
     .why = "the paravirtual network device is the fastest, and every current guest has its driver",
     .source = "S0, S2"},
};
static_assert(well_formed(kNetModelDefaults));

/// G1: `cpu: baseline` stands for a model that every node the guest may run on can give it; this one when nobody knows
/// the nodes.
inline constexpr TextDefault kCpuDefaults[] = {
    {.id = "G1",
     .applies = [](const GuestFacts&) { return true; },
     .value = "x86-64-v2-AES",
     .why = "the model every node the guest may run on can give it, so that it can move",
     .source = "S0, S2"},
};
static_assert(well_formed(kCpuDefaults));
/// The word `cpu: baseline` of the fleet language; rule G1 puts a model in its place.
inline constexpr std::string_view kCpuBaseline = "baseline";

/// G1: models of PVE that a cluster can share, weakest first.
inline constexpr std::string_view kCpuLevels[] = {"x86-64-v2", "x86-64-v2-AES", "x86-64-v3", "x86-64-v4"};
/// Position in kCpuLevels, or -1.
[[nodiscard]] constexpr int cpu_level(std::string_view model) {
  for (int i = 0; i < static_cast<int>(std::size(kCpuLevels)); ++i) {
    if (kCpuLevels[i] == model) return i;
  }
  return -1;
}

using GuestInvariant = Invariant<GuestFacts, GuestSettings>;
inline constexpr GuestInvariant kGuestInvariants[] = {
    {.id = "W1",
     .key = "scsihw",
     .broken =
         [](const GuestFacts& g, const GuestSettings& s) {
           return g.os == GuestOs::kWindows && (s.scsihw == "megasas" || s.scsihw == "lsi" || s.scsihw == "lsi53c810");
         },
     .why = "Windows has no driver for this controller",
     .instead = "scsihw: virtio-scsi-single with the virtio-win drivers; pvscsi, sata and ide boot without any",
     .source = "S3"},
    {.id = "M1",
     .key = "ha",
     .broken = [](const GuestFacts& g, const GuestSettings&) { return g.ha && g.one_node_device; },
     .why = "HA restarts the guest on another node, but its device exists on one node only",
     .instead = "no ha, or a mapping with a device on every node it may run on",
     .source = "S0"},
};
static_assert(well_formed(kGuestInvariants));

inline constexpr Warning<GuestFacts, GuestSettings> kGuestWarnings[] = {
    {.id = "W1",
     .key = "scsihw",
     .applies =
         [](const GuestFacts& g, const GuestSettings& s) {
           return g.os == GuestOs::kWindows && !g.exists && g.has_scsi_disk && s.scsihw.starts_with("virtio");
         },
     .why = "the Windows installer sees no disk before its virtio driver is loaded",
     .instead = "the virtio-win ISO as a second drive during the installation, or a template that has the drivers",
     .source = "S3"},
    {.id = "M1",
     .key = "ha",
     .applies = [](const GuestFacts& g, const GuestSettings&) { return g.ha && g.local_disks && !g.replicated; },
     .why = "HA cannot start the guest on another node without its disks",
     .instead = "disks on shared storage, or replication",
     .source = "S0, S1"},
    {.id = "G1",
     .key = "cpu",
     .applies =
         [](const GuestFacts& g, const GuestSettings& s) {
           return g.mobility == Mobility::kMobile && (s.cpu == "host" || s.cpu == "max");
         },
     .why = "cpu=host only migrates between equal processors, and this guest is meant to move",
     .instead = "cpu: baseline",
     .source = "S2"},
    {.id = "L1",
     .key = "lane",
     .applies = [](const GuestFacts& g, const GuestSettings&) { return g.lane_needs_node; },
     .why = "it names a storage for each node, and the node of this guest is not known: its disks stay where they are",
     .instead = "node: on the guest",
     .source = "S0"},
};
static_assert(well_formed(kGuestWarnings));

/// G7: a change of bios or machine of a guest that has disks. "unset" is PVE's default.
struct FirmwareChange {
  std::string_view key = {};
  std::string_view from = {};
  std::string_view to = {};
};
[[nodiscard]] std::span<const Check<FirmwareChange>> firmware_checks();

}  // namespace pvr
