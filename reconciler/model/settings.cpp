#include "reconciler/model/settings.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <tuple>

namespace pvr {
namespace {

using enum Home;
using enum ValueKind;
using enum TakesEffect;

// Facts: the option tables of the VM configuration, drive strings and storage.cfg of PVE 9; the hotplug matrix of
// qemu-server.
//
// Grammar of `properties`: entries separated by '|', each
//   NAME[!][:TYPE][=DEFAULT]    '!' required; TYPE: bool, int, num, mac, pci, flags, lower, or words "(a,b,c)";
//   without: any text OLD>NEW                     an alias
// A pair that only states the default of its key means the same as leaving it out.

constexpr std::string_view kThrottleHelp = "Limit of this disk; applied to the running guest.";
constexpr std::string_view kAllBuses = "scsi virtio sata ide";
constexpr std::string_view kHotplugDefault = "network,disk,usb";
constexpr std::string_view kCompressions =
    "off|on|lz4|zstd|zstd-fast|gzip|lzjb|zle|gzip-1|gzip-2|gzip-3|gzip-4|gzip-5|gzip-6|gzip-7|gzip-8|gzip-9|zstd-1|"
    "zstd-2|zstd-3|zstd-4|zstd-5|zstd-6|zstd-7|zstd-8|zstd-9|zstd-10|zstd-11|zstd-12|zstd-13|zstd-14|zstd-15|zstd-16|"
    "zstd-17|zstd-18|zstd-19";

constexpr std::string_view kNetProperties =
    "model!:(e1000,e1000-82540em,e1000-82544gc,e1000-82545em,e1000e,i82551,i82557b,i82559er,ne2k_isa,ne2k_pci,pcnet,"
    "rtl8139,virtio,vmxnet3)|macaddr:mac|bridge|firewall:bool=0|host-tunnel:bool=0|link_down:bool=0|mtu:int|queues:int|"
    "rate:num|tag:int|trunks";
constexpr std::string_view kHostpciProperties =
    "host:pci|mapping|device-id|driver:(vfio,keep)=vfio|legacy-igd:bool=0|mdev|pcie:bool=0|rombar:bool=1|romfile|"
    "sub-device-id|sub-vendor-id|vendor-id|x-vga:bool=0";
constexpr std::string_view kCpuProperties =
    "cputype|flags:flags|guest-phys-bits:int|hidden:bool=0|hv-vendor-id|level:int|phys-bits|reported-model";
constexpr std::string_view kVgaTypes =
    "type:(cirrus,qxl,qxl2,qxl3,qxl4,none,serial0,serial1,serial2,serial3,std,virtio,virtio-gl,vmware)|clipboard|"
    "memory:int";
constexpr std::string_view kOstypes = "other|wxp|w2k|w2k3|w2k8|wvista|win7|win8|win10|win11|l24|l26|solaris";
constexpr std::string_view kKeyboards =
    "de|de-ch|da|en-gb|en-us|es|fi|fr|fr-be|fr-ca|fr-ch|hu|is|it|ja|lt|mk|nl|no|pl|pt|pt-br|sv|sl|tr";

// Sorted below, so the order here is only for readers. One row per entry, as a table: the formatter would give every
// field its line.
// clang-format off
constexpr auto kVmOptions = std::to_array<Setting>({
    // CPU
    {.name = "cores", .kind = kInteger, .default_text = "1", .privilege = "VM.Config.CPU", .minimum = 1,
     .maximum = 8192,
     .help = "CPU cores per socket."},
    {.name = "sockets", .kind = kInteger, .default_text = "1", .privilege = "VM.Config.CPU", .minimum = 1,
     .maximum = 8192, .help = "CPU sockets."},
    {.name = "smp", .kind = kInteger, .default_text = "1", .privilege = "VM.Config.CPU", .minimum = 1, .maximum = 8192,
     .help = "Old spelling of sockets times cores; use cores and sockets."},
    {.name = "vcpus", .kind = kInteger, .effect = kHotplug, .hotplug = "cpu", .privilege = "VM.Config.CPU",
     .minimum = 1, .maximum = 8192, .help = "CPUs plugged in at start, when fewer than cores times sockets."},
    {.name = "cpulimit", .kind = kNumber, .default_text = "0", .effect = kAtOnce, .privilege = "VM.Config.CPU",
     .minimum = 0, .maximum = 128, .help = "Upper limit of CPU time in cores; 0: none."},
    {.name = "cpuunits", .kind = kInteger, .default_text = "100", .effect = kAtOnce, .privilege = "VM.Config.CPU",
     .minimum = 1, .maximum = 262144, .help = "CPU weight; PVE caps it at 10000 on cgroup v2."},
    {.name = "cpu", .kind = kProperties, .default_text = "kvm64", .default_key = "cputype",
     .properties = kCpuProperties, .privilege = "VM.Config.CPU", .help = "CPU model and flags."},
    {.name = "numa", .kind = kBool, .default_text = "0", .privilege = "VM.Config.CPU",
     .help = "Show NUMA to the guest."},
    {.name = "numa", .kind = kProperties, .count = 8,
     .properties = "cpus!|hostnodes|memory:num|policy:(preferred,bind,interleave)", .privilege = "VM.Config.CPU",
     .help = "One NUMA node: its CPUs, memory in MiB and host nodes."},
    {.name = "affinity", .kind = kString, .privilege = "VM.Config.CPU", .root_only = true,
     .help = "Host CPUs the guest may run on, \"0,5,8-11\"."},
    // Memory
    {.name = "memory", .kind = kInteger, .default_text = "512", .default_key = "current", .effect = kHotplug,
     .hotplug = "memory", .privilege = "VM.Config.Memory", .minimum = 16, .maximum = 4178944,
     .help = "Memory in MiB; the fleet file takes a size with a unit."},
    {.name = "balloon", .kind = kInteger, .effect = kAtOnce, .privilege = "VM.Config.Memory", .minimum = 0,
     .maximum = 4178944, .help = "Least memory in MiB when ballooning; 0: no balloon device."},
    {.name = "shares", .kind = kInteger, .default_text = "1000", .effect = kAtOnce, .privilege = "VM.Config.Memory",
     .minimum = 0, .maximum = 50000, .help = "Weight for automatic ballooning; 0: off."},
    {.name = "hugepages", .kind = kEnum, .values = "any|2|1024", .privilege = "VM.Config.Memory", .root_only = true,
     .help = "Back the memory with huge pages of this size in MiB."},
    {.name = "keephugepages", .kind = kBool, .default_text = "0", .privilege = "VM.Config.Memory", .root_only = true,
     .help = "Keep the huge pages after shutdown."},
    {.name = "allow-ksm", .kind = kBool, .default_text = "1", .privilege = "VM.Config.Memory",
     .help = "Let the host merge equal pages of this guest."},
    // Firmware and machine
    {.name = "bios", .kind = kEnum, .values = "seabios|ovmf", .default_text = "seabios",
     .privilege = "VM.Config.Options", .help = "Firmware."},
    {.name = "machine", .kind = kProperties, .default_text = "pc", .default_key = "type",
     .properties = "type|aw-bits:num|enable-s3:bool=0|enable-s4:bool=0|viommu:(intel,virtio)",
     .privilege = "VM.Config.HWType", .help = "Machine type; a pinned version freezes the virtual hardware."},
    {.name = "arch", .kind = kEnum, .values = "x86_64|aarch64", .privilege = "VM.Config.HWType", .root_only = true,
     .help = "Processor architecture; unset: the host's."},
    {.name = "acpi", .kind = kBool, .default_text = "1", .privilege = "VM.Config.HWType", .help = "ACPI."},
    {.name = "kvm", .kind = kBool, .default_text = "1", .privilege = "VM.Config.HWType",
     .help = "Hardware virtualisation."},
    {.name = "smbios1", .kind = kProperties,
     .properties = "uuid:lower|base64:bool=0|family|manufacturer|product|serial|sku|version",
     .privilege = "VM.Config.HWType",
     .server_written = true, .help = "SMBIOS type 1 fields; PVE makes a uuid at creation."},
    {.name = "vmgenid", .kind = kString, .privilege = "VM.Config.HWType", .root_only = true, .server_written = true,
     .help = "Generation id; PVE makes one at creation."},
    {.name = "amd-sev", .kind = kProperties, .default_key = "type",
     .properties = "type!|allow-smt:bool=1|kernel-hashes:bool=0|no-debug:bool=0|no-key-sharing:bool=0",
     .privilege = "VM.Config.HWType", .root_only = true, .help = "AMD memory encryption."},
    {.name = "intel-tdx", .kind = kProperties, .default_key = "type",
     .properties = "type!|attestation:bool=1|vsock-cid:int|vsock-port:int", .privilege = "VM.Config.HWType",
     .root_only = true, .help = "Intel memory encryption."},
    // Disks
    {.name = "scsihw", .kind = kEnum, .values = "lsi|lsi53c810|virtio-scsi-pci|virtio-scsi-single|megasas|pvscsi",
     .default_text = "lsi", .privilege = "VM.Config.HWType", .help = "SCSI controller."},
    {.name = "scsi", .kind = kString, .count = 31, .effect = kHotplug, .hotplug = "disk",
     .privilege = "VM.Config.Disk", .help = "A SCSI drive; written under disks: in the fleet file."},
    {.name = "virtio", .kind = kString, .count = 16, .effect = kHotplug, .hotplug = "disk",
     .privilege = "VM.Config.Disk", .help = "A VirtIO block drive; written under disks: in the fleet file."},
    {.name = "sata", .kind = kString, .count = 6, .privilege = "VM.Config.Disk",
     .help = "A SATA drive; written under disks: in the fleet file."},
    {.name = "ide", .kind = kString, .count = 4, .privilege = "VM.Config.Disk",
     .help = "An IDE drive; written under disks: or as iso: in the fleet file."},
    {.name = "cdrom", .kind = kString, .effect = kAtOnce, .privilege = "VM.Config.CDROM",
     .help = "The medium in the CD drive ide2: a volume id, none, or cdrom."},
    {.name = "unused", .kind = kString, .count = 256, .effect = kAtOnce, .privilege = "VM.Config.Disk",
     .server_written = true, .help = "A detached volume of the guest."},
    {.name = "efidisk0", .kind = kString, .privilege = "VM.Config.Disk", .help = "EFI variables."},
    {.name = "tpmstate0", .kind = kString, .privilege = "VM.Config.Disk", .help = "TPM state."},
    {.name = "boot", .kind = kList, .privilege = "VM.Config.Disk", .help = "Boot order: drives and nets."},
    {.name = "bootdisk", .kind = kString, .privilege = "VM.Config.Disk", .help = "Old spelling of boot."},
    {.name = "vmstatestorage", .kind = kString, .effect = kAtOnce, .privilege = "VM.Config.Disk",
     .help = "Storage for saved memory of snapshots and hibernation."},
    // Network
    {.name = "net", .kind = kProperties, .count = 32, .default_key = "model", .properties = kNetProperties,
     .effect = kHotplug, .hotplug = "network", .privilege = "VM.Config.Network", .help = "A network device."},
    // Devices
    {.name = "hostpci", .kind = kProperties, .count = 16, .default_key = "host", .properties = kHostpciProperties,
     .privilege = "VM.Config.HWType", .help = "A PCI device passed through; by mapping, or raw by root only."},
    {.name = "usb", .kind = kProperties, .count = 14, .default_key = "host",
     .properties = "host|mapping|usb3:bool=0", .effect = kHotplug, .hotplug = "usb", .privilege = "VM.Config.HWType",
     .help = "A USB device passed through."},
    {.name = "serial", .kind = kString, .count = 4, .privilege = "VM.Config.HWType",
     .help = "A serial port: socket, or a device of the host by root only."},
    {.name = "parallel", .kind = kString, .count = 3, .privilege = "VM.Config.HWType", .root_only = true,
     .help = "A parallel port of the host."},
    {.name = "vga", .kind = kProperties, .default_text = "std", .default_key = "type", .properties = kVgaTypes,
     .privilege = "VM.Config.HWType", .help = "Graphics device."},
    {.name = "audio0", .kind = kProperties,
     .properties = "device!:(ich9-intel-hda,intel-hda,AC97)|driver:(spice,none)=spice",
     .privilege = "VM.Config.HWType", .help = "Audio device."},
    {.name = "rng0", .kind = kProperties, .default_key = "source",
     .properties = "source!:(/dev/urandom,/dev/random,/dev/hwrng)|max_bytes:int=1024|period:int=1000",
     .privilege = "VM.Config.HWType", .help = "Random number device."},
    {.name = "watchdog", .kind = kProperties, .default_key = "model",
     .properties = "model:(i6300esb,ib700)|action:(reset,shutdown,poweroff,pause,debug,none)",
     .privilege = "VM.Config.HWType", .help = "Watchdog device."},
    {.name = "tablet", .kind = kBool, .default_text = "1", .effect = kHotplug, .hotplug = "usb",
     .privilege = "VM.Config.HWType", .help = "USB tablet pointer."},
    {.name = "ivshmem", .kind = kProperties, .properties = "name|size!:int", .privilege = "VM.Config.HWType",
     .root_only = true, .help = "Shared memory with the host, MiB."},
    {.name = "virtiofs", .kind = kProperties, .count = 10, .default_key = "dirid",
     .properties = "dirid!|cache:(auto,always,metadata,never)=auto|direct-io:bool=0|expose-acl:bool=0|"
                   "expose-xattr:bool=0",
     .privilege = "VM.Config.Disk", .help = "A directory of the host shared with the guest."},
    {.name = "spice_enhancements", .kind = kProperties,
     .properties = "foldersharing:bool=0|videostreaming:(off,all,filter)=off", .privilege = "VM.Config.HWType",
     .root_only = true, .help = "Extras of the SPICE display."},
    // General
    {.name = "name", .kind = kString, .effect = kAtOnce, .privilege = "VM.Config.Options", .help = "Guest name."},
    {.name = "description", .kind = kString, .effect = kAtOnce, .privilege = "VM.Config.Options",
     .help = "Notes shown by PVE."},
    {.name = "tags", .kind = kSet, .effect = kAtOnce, .privilege = "VM.Config.Options",
     .help = "Labels; PVE lower-cases and sorts them."},
    {.name = "ostype", .kind = kEnum, .values = kOstypes, .default_text = "other", .privilege = "VM.Config.Options",
     .help = "Guest system; l26 is Linux."},
    {.name = "onboot", .kind = kBool, .default_text = "0", .effect = kAtOnce, .privilege = "VM.Config.Options",
     .help = "Start with the node."},
    {.name = "startup", .kind = kProperties, .default_key = "order", .properties = "order:int|up:int|down:int",
     .effect = kAtOnce, .privilege = "VM.Config.Options Sys.Modify@/", .help = "Start order and delays in seconds."},
    {.name = "protection", .kind = kBool, .default_text = "0", .effect = kAtOnce, .privilege = "VM.Config.Options",
     .help = "Refuse removal of the guest and its disks."},
    {.name = "template", .kind = kBool, .default_text = "0", .effect = kFixed, .privilege = "VM.Config.Options",
     .help = "The guest is a template."},
    {.name = "agent", .kind = kProperties, .default_text = "0", .default_key = "enabled",
     .properties = "enabled!:bool|freeze-fs:bool=1|freeze-fs-on-backup>freeze-fs|guest-fsfreeze>freeze-fs|"
                   "fstrim_cloned_disks:bool=0|type:(virtio,isa)=virtio",
     .privilege = "VM.Config.Options", .help = "QEMU guest agent."},
    {.name = "hotplug", .kind = kSet, .values = "network|disk|cpu|memory|usb|cloudinit",
     .default_text = kHotplugDefault, .effect = kAtOnce, .privilege = "VM.Config.HWType",
     .help = "Device classes that change while the guest runs."},
    {.name = "reboot", .kind = kBool, .default_text = "1", .privilege = "VM.Config.Options",
     .help = "Allow the guest to reboot itself."},
    {.name = "autostart", .kind = kBool, .default_text = "0", .privilege = "VM.Config.Options",
     .help = "Restart after a crash; PVE ignores it."},
    {.name = "localtime", .kind = kBool, .privilege = "VM.Config.Options",
     .help = "Real-time clock in local time; unset: by ostype."},
    {.name = "startdate", .kind = kString, .default_text = "now", .privilege = "VM.Config.Options",
     .help = "Initial real-time clock."},
    {.name = "freeze", .kind = kBool, .default_text = "0", .privilege = "VM.PowerMgmt", .help = "Start paused."},
    {.name = "tdf", .kind = kBool, .default_text = "0", .privilege = "VM.Config.Options", .help = "Time drift fix."},
    {.name = "keyboard", .kind = kEnum, .values = kKeyboards, .privilege = "VM.Config.Options",
     .help = "Keyboard layout of the console."},
    {.name = "hookscript", .kind = kString, .effect = kAtOnce, .root_only = true,
     .help = "Script volume run at phases of the guest's life."},
    {.name = "args", .kind = kString, .root_only = true, .help = "Arguments handed to QEMU as they are."},
    {.name = "lock", .kind = kString, .effect = kAtOnce, .root_only = true, .server_written = true,
     .help = "What PVE is doing with the guest."},
    {.name = "migrate_speed", .kind = kInteger, .default_text = "0", .effect = kAtOnce,
     .privilege = "VM.Config.Options", .minimum = 0, .maximum = 1000000, .help = "Migration limit in MB/s; 0: none."},
    {.name = "migrate_downtime", .kind = kNumber, .default_text = "0.1", .effect = kAtOnce,
     .privilege = "VM.Config.Options", .minimum = 0, .maximum = 1000000,
     .help = "Longest pause of a migration, seconds."},
    // Cloud-init
    {.name = "citype", .kind = kEnum, .values = "configdrive2|nocloud|opennebula", .effect = kAtOnce,
     .privilege = "VM.Config.Cloudinit", .help = "Cloud-init format; unset: by ostype."},
    {.name = "ciuser", .kind = kString, .effect = kAtOnce, .privilege = "VM.Config.Cloudinit",
     .help = "User to set up."},
    {.name = "cipassword", .kind = kString, .effect = kAtOnce, .privilege = "VM.Config.Cloudinit", .write_only = true,
     .help = "Password of the user; PVE never shows it again."},
    {.name = "sshkeys", .kind = kString, .effect = kAtOnce, .privilege = "VM.Config.Cloudinit",
     .help = "Public keys, one per line."},
    {.name = "nameserver", .kind = kList, .effect = kAtOnce, .privilege = "VM.Config.Cloudinit",
     .help = "DNS servers."},
    {.name = "searchdomain", .kind = kString, .effect = kAtOnce, .privilege = "VM.Config.Cloudinit",
     .help = "DNS search domains."},
    {.name = "cicustom", .kind = kProperties, .properties = "meta|network|user|vendor", .effect = kAtOnce,
     .privilege = "VM.Config.Cloudinit", .help = "Snippet volumes that replace generated files."},
    {.name = "ciupgrade", .kind = kBool, .default_text = "1", .effect = kAtOnce, .privilege = "VM.Config.Cloudinit",
     .help = "Upgrade packages at first boot."},
    {.name = "ipconfig", .kind = kProperties, .count = 32, .properties = "gw|gw6|ip|ip6", .effect = kAtOnce,
     .privilege = "VM.Config.Cloudinit", .help = "Addresses of the net device of that number."},
    // Written by PVE
    {.name = "meta", .kind = kString, .effect = kAtOnce, .server_written = true, .help = "How the guest was created."},
    {.name = "digest", .kind = kString, .effect = kAtOnce, .server_written = true, .help = "Checksum of the file."},
    {.name = "parent", .kind = kString, .effect = kAtOnce, .server_written = true,
     .help = "Snapshot the state is based on."},
    {.name = "snaptime", .kind = kInteger, .effect = kAtOnce, .server_written = true, .help = "Time of a snapshot."},
    {.name = "vmstate", .kind = kString, .effect = kAtOnce, .server_written = true,
     .help = "Volume with saved memory."},
    {.name = "runningmachine", .kind = kString, .effect = kAtOnce, .server_written = true,
     .help = "Machine of the saved memory."},
    {.name = "runningcpu", .kind = kString, .effect = kAtOnce, .server_written = true,
     .help = "CPU of the saved memory."},
    {.name = "running-nets-host-mtu", .kind = kString, .effect = kAtOnce, .server_written = true,
     .help = "Host MTUs of the saved memory."},
});

constexpr Setting throttle(std::string_view name, ValueKind kind, std::int64_t minimum) {
  return {.name = name, .home = kDriveOption, .kind = kind, .effect = kAtOnce, .buses = kAllBuses,
          .privilege = "VM.Config.Disk", .minimum = minimum, .maximum = 1'000'000'000, .help = kThrottleHelp};
}

constexpr auto kDriveOptions = std::to_array<Setting>({
    {.name = "aio", .home = kDriveOption, .kind = kEnum, .values = "native|threads|io_uring", .buses = kAllBuses,
     .privilege = "VM.Config.Disk", .help = "How QEMU does I/O; unset: depends on storage and cache."},
    {.name = "cache", .home = kDriveOption, .kind = kEnum, .values = "none|writethrough|writeback|unsafe|directsync",
     .buses = kAllBuses, .privilege = "VM.Config.Disk", .help = "Use of the host's page cache."},
    {.name = "discard", .home = kDriveOption, .kind = kEnum, .values = "ignore|on", .default_text = "ignore",
     .buses = kAllBuses, .privilege = "VM.Config.Disk", .help = "Pass TRIM of the guest to the storage."},
    {.name = "iothread", .home = kDriveOption, .kind = kBool, .default_text = "0", .buses = "scsi virtio",
     .privilege = "VM.Config.Disk", .help = "Own I/O thread; on scsi only with virtio-scsi-single."},
    {.name = "queues", .home = kDriveOption, .kind = kInteger, .buses = "scsi", .privilege = "VM.Config.Disk",
     .minimum = 2, .maximum = 1024, .help = "Queues; only with virtio-scsi-single."},
    {.name = "product", .home = kDriveOption, .kind = kString, .buses = "scsi", .privilege = "VM.Config.Disk",
     .help = "Product name, at most 16 characters."},
    {.name = "vendor", .home = kDriveOption, .kind = kString, .buses = "scsi", .privilege = "VM.Config.Disk",
     .help = "Vendor name, at most 8 characters."},
    {.name = "ro", .home = kDriveOption, .kind = kBool, .default_text = "0", .buses = "scsi virtio",
     .privilege = "VM.Config.Disk", .help = "Read-only."},
    {.name = "ssd", .home = kDriveOption, .kind = kBool, .default_text = "0", .buses = "scsi sata ide",
     .privilege = "VM.Config.Disk", .help = "Show the disk as an SSD."},
    {.name = "detect_zeroes", .home = kDriveOption, .kind = kBool, .default_text = "1", .effect = kSilentRestart,
     .buses = kAllBuses, .privilege = "VM.Config.Disk", .help = "Write zeroes as holes."},
    {.name = "serial", .home = kDriveOption, .kind = kString, .effect = kSilentRestart, .buses = kAllBuses,
     .privilege = "VM.Config.Disk", .help = "Serial number, at most 20 bytes."},
    {.name = "model", .home = kDriveOption, .kind = kString, .effect = kSilentRestart, .buses = "ide",
     .privilege = "VM.Config.Disk", .help = "Model name, at most 40 bytes."},
    {.name = "wwn", .home = kDriveOption, .kind = kString, .effect = kSilentRestart, .buses = "scsi sata ide",
     .privilege = "VM.Config.Disk", .help = "World wide name, 0x and 16 hex digits."},
    {.name = "rerror", .home = kDriveOption, .kind = kEnum, .values = "ignore|report|stop", .effect = kSilentRestart,
     .buses = kAllBuses, .privilege = "VM.Config.Disk", .help = "What to do on read errors."},
    {.name = "werror", .home = kDriveOption, .kind = kEnum, .values = "enospc|ignore|report|stop",
     .effect = kSilentRestart, .buses = kAllBuses, .privilege = "VM.Config.Disk",
     .help = "What to do on write errors."},
    {.name = "scsiblock", .home = kDriveOption, .kind = kBool, .default_text = "0", .effect = kSilentRestart,
     .buses = "scsi", .privilege = "VM.Config.Disk", .help = "Pass the whole SCSI device through."},
    {.name = "backup", .home = kDriveOption, .kind = kBool, .default_text = "1", .effect = kAtOnce, .buses = kAllBuses,
     .privilege = "VM.Config.Disk", .help = "Include in backups."},
    {.name = "replicate", .home = kDriveOption, .kind = kBool, .default_text = "1", .effect = kAtOnce,
     .buses = kAllBuses, .privilege = "VM.Config.Disk", .help = "Include in replication."},
    {.name = "shared", .home = kDriveOption, .kind = kBool, .default_text = "0", .effect = kAtOnce, .buses = kAllBuses,
     .privilege = "VM.Config.Disk", .help = "State that every node reaches the volume."},
    {.name = "snapshot", .home = kDriveOption, .kind = kBool, .default_text = "0", .effect = kAtOnce,
     .buses = kAllBuses, .privilege = "VM.Config.Disk",
     .help = "Throw writes away; cannot start on machine 10 and later."},
    throttle("mbps", kNumber, 0), throttle("mbps_rd", kNumber, 0), throttle("mbps_wr", kNumber, 0),
    throttle("mbps_max", kNumber, 0), throttle("mbps_rd_max", kNumber, 0), throttle("mbps_wr_max", kNumber, 0),
    throttle("iops", kInteger, 0), throttle("iops_rd", kInteger, 0), throttle("iops_wr", kInteger, 0),
    throttle("iops_max", kInteger, 0), throttle("iops_rd_max", kInteger, 0), throttle("iops_wr_max", kInteger, 0),
    throttle("bps_max_length", kInteger, 1), throttle("bps_rd_max_length", kInteger, 1),
    throttle("bps_wr_max_length", kInteger, 1), throttle("iops_max_length", kInteger, 1),
    throttle("iops_rd_max_length", kInteger, 1), throttle("iops_wr_max_length", kInteger, 1),
    {.name = "efitype", .home = kDriveOption, .kind = kEnum, .values = "2m|4m", .default_text = "2m", .effect = kFixed,
     .buses = "efidisk", .privilege = "VM.Config.Disk", .help = "Size of the EFI variable store."},
    {.name = "pre-enrolled-keys", .home = kDriveOption, .kind = kBool, .default_text = "0", .effect = kFixed,
     .buses = "efidisk", .privilege = "VM.Config.Disk", .help = "Secure Boot keys enrolled."},
    {.name = "ms-cert", .home = kDriveOption, .kind = kEnum, .values = "2011|2023|2023w|2023k", .default_text = "2011",
     .effect = kAtOnce, .buses = "efidisk", .privilege = "VM.Config.Disk", .server_written = true,
     .help = "Microsoft certificates in the EFI variables."},
    {.name = "version", .home = kDriveOption, .kind = kEnum, .values = "v1.2|v2.0", .default_text = "v1.2",
     .effect = kFixed, .buses = "tpmstate", .privilege = "VM.Config.Disk", .help = "TPM version."},
});

constexpr auto kDiskKeys = std::to_array<Setting>({
    {.name = "storage", .home = kDiskPlace, .kind = kString, .effect = kByMove, .privilege = "VM.Config.Disk",
     .help = "Storage the volume lies on."},
    {.name = "size", .home = kDiskPlace, .kind = kSize, .effect = kAtOnce, .privilege = "VM.Config.Disk",
     .help = "Size; disks only grow."},
    {.name = "slot", .home = kDiskPlace, .kind = kString, .effect = kAtRestart, .privilege = "VM.Config.Disk",
     .help = "Drive key of the guest: scsi0, virtio1, …"},
    {.name = "format", .home = kDiskPlace, .kind = kEnum, .values = "raw|qcow2|vmdk", .effect = kByMove,
     .privilege = "VM.Config.Disk", .help = "Image format."},
    {.name = "volblocksize", .home = kZvolProperty, .kind = kSize, .effect = kByRecreate, .minimum = 512,
     .maximum = 16777216, .help = "Block size of the zvol; fixed when the volume is made."},
    {.name = "provisioning", .home = kZvolProperty, .kind = kEnum, .values = "thin|thick", .effect = kAtOnce,
     .help = "thick reserves the whole size in the pool."},
    {.name = "compression", .home = kZvolProperty, .kind = kEnum, .values = kCompressions, .effect = kNewBlocksOnly,
     .help = "ZFS compression."},
    {.name = "sync", .home = kZvolProperty, .kind = kEnum, .values = "standard|always|disabled",
     .default_text = "standard", .effect = kAtOnce, .help = "How ZFS treats synchronous writes."},
    {.name = "logbias", .home = kZvolProperty, .kind = kEnum, .values = "latency|throughput", .default_text = "latency",
     .effect = kAtOnce, .help = "How ZFS uses the intent log."},
    {.name = "primarycache", .home = kZvolProperty, .kind = kEnum, .values = "all|none|metadata", .default_text = "all",
     .effect = kAtOnce, .help = "What the ARC keeps."},
    {.name = "purpose", .home = kFact, .kind = kEnum, .values = "os|data|database|bulk|models|media|backup|scratch",
     .effect = kAtOnce, .help = "What the disk is for; the rules choose by it."},
    {.name = "disposable", .home = kFact, .kind = kBool, .default_text = "0", .effect = kAtOnce,
     .help = "The data may be lost."},
    {.name = "media", .home = kFact, .kind = kEnum, .values = "ssd|hdd", .effect = kAtOnce,
     .help = "What lies below, where it cannot be observed."},
    {.name = "state", .home = kHa, .kind = kEnum, .values = "started|stopped|enabled|disabled|ignored",
     .default_text = "started", .effect = kAtOnce, .privilege = "Sys.Console@/",
     .help = "State HA keeps the guest in."},
    {.name = "max_restart", .home = kHa, .kind = kInteger, .default_text = "1", .effect = kAtOnce,
     .privilege = "Sys.Console@/", .minimum = 0, .maximum = 1000000, .help = "Restarts on the same node."},
    {.name = "max_relocate", .home = kHa, .kind = kInteger, .default_text = "1", .effect = kAtOnce,
     .privilege = "Sys.Console@/", .minimum = 0, .maximum = 1000000, .help = "Moves to other nodes."},
    {.name = "failback", .home = kHa, .kind = kBool, .default_text = "1", .effect = kAtOnce,
     .privilege = "Sys.Console@/", .help = "Return to the preferred node."},
    {.name = "comment", .home = kHa, .kind = kString, .effect = kAtOnce, .privilege = "Sys.Console@/", .help = "Note."},
    {.name = "group", .home = kHa, .kind = kString, .effect = kAtOnce, .privilege = "Sys.Console@/",
     .help = "HA group; refused once groups became rules."},
    {.name = "target", .home = kReplication, .kind = kString, .effect = kFixed, .privilege = "VM.Replicate",
     .help = "Node replicated to."},
    {.name = "schedule", .home = kReplication, .kind = kString, .default_text = "*/15", .effect = kAtOnce,
     .privilege = "VM.Replicate", .help = "Calendar event."},
    {.name = "rate", .home = kReplication, .kind = kNumber, .effect = kAtOnce, .privilege = "VM.Replicate",
     .minimum = 1, .maximum = 1000000, .help = "Limit in MB/s."},
    {.name = "disable", .home = kReplication, .kind = kBool, .default_text = "0", .effect = kAtOnce,
     .privilege = "VM.Replicate", .help = "Do not run."},
    {.name = "comment", .home = kReplication, .kind = kString, .effect = kAtOnce, .privilege = "VM.Replicate",
     .help = "Note."},
    {.name = "source", .home = kReplication, .kind = kString, .effect = kAtOnce, .privilege = "VM.Replicate",
     .server_written = true, .help = "Node replicated from; PVE keeps it."},
    {.name = "remove_job", .home = kReplication, .kind = kEnum, .values = "local|full", .effect = kAtOnce,
     .privilege = "VM.Replicate", .server_written = true, .help = "The job is being removed."},
});

constexpr std::string_view kEveryType =
    "zfspool dir lvm lvmthin nfs cifs iscsi iscsidirect rbd zfs btrfs cephfs pbs esxi";
constexpr std::string_view kFileTypes = "dir nfs cifs btrfs cephfs";
constexpr std::string_view kLimitTypes = "zfspool dir lvm lvmthin nfs cifs iscsi iscsidirect rbd zfs cephfs pbs";
constexpr std::string_view kPrivilege = "Datastore.Allocate@/storage";

struct StorageText {
  ValueKind kind = kString;
  std::string_view types = {};
  std::string_view fixed = {};
  std::string_view default_text = {};
  std::string_view values = {};
  std::string_view help = {};
};

constexpr Setting storage_key(std::string_view name, StorageText text, TakesEffect effect = kAtOnce) {
  return {.name = name, .home = kStorageOption, .kind = text.kind, .values = text.values,
          .default_text = text.default_text, .effect = effect, .types = text.types, .fixed_types = text.fixed,
          .privilege = kPrivilege, .help = text.help};
}

constexpr auto kStorageOptions = std::to_array<Setting>({
    storage_key("nodes", {.kind = kSet, .types = kEveryType, .help = "Nodes that have the storage; unset: all."}),
    storage_key("disable", {.kind = kBool, .types = kEveryType, .default_text = "0", .help = "Not in use."}),
    storage_key("content", {.kind = kSet, .types = kEveryType,
                            .values = "images|rootdir|vztmpl|iso|backup|snippets|import|none",
                            .help = "What may be stored."}),
    {.name = "bwlimit", .home = kStorageOption, .kind = kProperties,
     .properties = "default:num|move:num|clone:num|restore:num|migration:num", .effect = kAtOnce, .types = kLimitTypes,
     .privilege = kPrivilege, .help = "Limits in KiB/s."},
    storage_key("shared", {.kind = kBool, .types = "dir lvm btrfs", .default_text = "0",
                           .help = "Every node sees the same data."}),
    storage_key("pool", {.types = "zfspool zfs rbd", .fixed = "zfspool zfs", .help = "Dataset or pool."}),
    storage_key("blocksize", {.kind = kSize, .types = "zfspool zfs", .fixed = "zfs", .default_text = "16k",
                              .help = "volblocksize of new zvols."}, kNewVolumesOnly),
    storage_key("sparse", {.kind = kBool, .types = "zfspool zfs", .default_text = "0",
                           .help = "New volumes are thin."}, kNewVolumesOnly),
    {.name = "mountpoint", .home = kStorageOption, .kind = kString, .effect = kAtOnce, .types = "zfspool",
     .privilege = kPrivilege, .server_written = true, .help = "Where the dataset is mounted; PVE fills it in."},
    storage_key("path", {.types = kFileTypes, .fixed = kFileTypes, .help = "Directory."}),
    storage_key("is_mountpoint", {.types = "dir btrfs", .default_text = "no",
                                  .help = "The path must be a mount point: yes, no, or a path."}),
    storage_key("create-base-path", {.kind = kBool, .types = kFileTypes, .default_text = "1",
                                     .help = "Create the directory."}),
    storage_key("create-subdirs", {.kind = kBool, .types = kFileTypes, .default_text = "1",
                                   .help = "Create the sub-directories."}),
    storage_key("mkdir", {.kind = kBool, .types = kFileTypes, .default_text = "1",
                          .help = "Old spelling of the two create keys."}),
    storage_key("content-dirs", {.types = "dir nfs cifs cephfs", .help = "Sub-directory by content type."}),
    storage_key("format", {.kind = kEnum, .types = "dir nfs cifs btrfs", .default_text = "raw",
                           .values = "raw|qcow2|vmdk|subvol", .help = "Image format of new volumes."},
                kNewVolumesOnly),
    storage_key("preallocation", {.kind = kEnum, .types = "dir nfs cifs btrfs", .default_text = "metadata",
                                  .values = "off|metadata|falloc|full", .help = "What new images reserve."},
                kNewVolumesOnly),
    storage_key("snapshot-as-volume-chain", {.kind = kBool, .types = "dir lvm nfs cifs", .fixed = "dir nfs cifs",
                                             .default_text = "0", .help = "Snapshots as a chain of qcow2 volumes."}),
    {.name = "prune-backups", .home = kStorageOption, .kind = kProperties,
     .properties = "keep-all:bool=0|keep-daily:int|keep-hourly:int|keep-last:int|keep-monthly:int|keep-weekly:int|"
                   "keep-yearly:int",
     .effect = kAtOnce, .types = "dir nfs cifs btrfs cephfs pbs", .privilege = kPrivilege, .help = "Backups kept."},
    storage_key("max-protected-backups", {.kind = kInteger, .types = "dir nfs cifs btrfs cephfs pbs",
                                          .help = "Protected backups per guest; -1: no limit."}),
    storage_key("vgname", {.types = "lvm lvmthin", .fixed = "lvm lvmthin", .help = "Volume group."}),
    storage_key("thinpool", {.types = "lvmthin", .fixed = "lvmthin", .help = "Thin pool."}),
    storage_key("base", {.types = "lvm", .fixed = "lvm", .help = "LUN the volume group lies on."}),
    storage_key("saferemove", {.kind = kBool, .types = "lvm", .default_text = "0",
     .help = "Overwrite removed volumes."}),
    storage_key("saferemove-stepsize", {.kind = kEnum, .types = "lvm", .default_text = "32", .values = "1|2|4|8|16|32",
                                        .help = "Step of overwriting in MiB."}),
    storage_key("saferemove_throughput", {.types = "lvm", .help = "Limit of overwriting, bytes per second."}),
    storage_key("tagged_only", {.kind = kBool, .types = "lvm", .default_text = "0",
                                .help = "Only volumes that carry PVE's tag."}),
    storage_key("server", {.types = "nfs cifs pbs esxi", .fixed = "nfs cifs", .help = "Server."}),
    storage_key("export", {.types = "nfs", .fixed = "nfs", .help = "NFS export."}),
    storage_key("options", {.types = "nfs cifs cephfs", .help = "Mount options."}),
    storage_key("share", {.types = "cifs", .fixed = "cifs", .help = "CIFS share."}),
    storage_key("subdir", {.types = "cifs cephfs", .help = "Sub-directory of the share."}),
    storage_key("domain", {.types = "cifs", .help = "CIFS domain."}),
    storage_key("smbversion", {.kind = kEnum, .types = "cifs", .default_text = "default",
                               .values = "default|2.0|2.1|3|3.0|3.11", .help = "SMB version."}),
    storage_key("username", {.types = "cifs rbd cephfs pbs esxi", .help = "User."}),
    {.name = "password", .home = kStorageOption, .kind = kString, .effect = kAtOnce, .types = "cifs pbs esxi",
     .privilege = kPrivilege, .write_only = true, .help = "Password; PVE never shows it."},
    storage_key("portal", {.types = "iscsi iscsidirect zfs", .fixed = "iscsi iscsidirect zfs",
     .help = "iSCSI portal."}),
    storage_key("target", {.types = "iscsi iscsidirect zfs", .fixed = "iscsi iscsidirect zfs",
     .help = "iSCSI target."}),
    storage_key("monhost", {.types = "rbd cephfs", .help = "Monitors."}),
    storage_key("data-pool", {.types = "rbd", .help = "Pool of the data."}),
    storage_key("namespace", {.types = "rbd pbs", .help = "Namespace."}),
    storage_key("krbd", {.kind = kBool, .types = "rbd", .default_text = "0", .help = "Use the kernel driver."}),
    {.name = "keyring", .home = kStorageOption, .kind = kString, .effect = kAtOnce, .types = "rbd cephfs",
     .privilege = kPrivilege, .write_only = true, .help = "Client keyring; PVE never shows it."},
    storage_key("authsupported", {.types = "rbd", .help = "Authentication; old."}),
    storage_key("iscsiprovider", {.types = "zfs", .fixed = "zfs", .help = "comstar, istgt, iet or LIO."}),
    storage_key("nowritecache", {.kind = kBool, .types = "zfs", .default_text = "0",
     .help = "No write cache on the LUN."}),
    storage_key("comstar_hg", {.types = "zfs", .help = "Host group."}),
    storage_key("comstar_tg", {.types = "zfs", .help = "Target group."}),
    storage_key("lio_tpg", {.types = "zfs", .help = "Target portal group."}),
    storage_key("zfs-base-path", {.types = "zfs", .help = "Where the zvols appear."}),
    storage_key("nocow", {.kind = kBool, .types = "btrfs", .default_text = "0", .help = "No copy on write."}),
    storage_key("datastore", {.types = "pbs", .fixed = "pbs", .help = "Datastore of the backup server."}),
    storage_key("port", {.kind = kInteger, .types = "pbs", .help = "Port."}),
    storage_key("fingerprint", {.types = "pbs", .help = "Certificate fingerprint."}),
    {.name = "encryption-key", .home = kStorageOption, .kind = kString, .effect = kAtOnce, .types = "pbs",
     .privilege = kPrivilege, .write_only = true, .help = "Encryption key; PVE never shows it."},
    {.name = "master-pubkey", .home = kStorageOption, .kind = kString, .effect = kAtOnce, .types = "pbs",
     .privilege = kPrivilege, .write_only = true, .help = "Master public key."},
    storage_key("skip-cert-verification", {.kind = kBool, .types = "esxi", .default_text = "0",
                                           .help = "Trust any certificate."}),
    storage_key("fs-name", {.types = "cephfs", .help = "File system name."}),
    storage_key("fuse", {.kind = kBool, .types = "cephfs", .default_text = "0", .help = "Mount through FUSE."}),
});

// Facts: zfs(4), zpoolprops(7) and zfsprops(7) of OpenZFS 2.3; zfs-trim-weekly@ and zfs-trim-monthly@ are timers of
// Debian's zfsutils-linux.
constexpr auto kHostKeys = std::to_array<Setting>({
    {.name = "arc_max", .home = kHostOption, .kind = kSize, .effect = kAtOnce, .minimum = 64LL << 20, .maximum = 1LL << 46,
     .help = "Most memory of the ZFS cache (zfs_arc_max), now and after a boot. auto: what rule Z13 advises."},
    {.name = "arc_min", .home = kHostOption, .kind = kSize, .effect = kAtOnce, .minimum = 32LL << 20, .maximum = 1LL << 46,
     .help = "What the ZFS cache keeps when memory is short (zfs_arc_min); a quarter of arc_max when left out."},
    {.name = "autotrim", .home = kPoolProperty, .kind = kEnum, .values = "on|off", .default_text = "off",
     .effect = kAtOnce, .help = "Freed blocks are trimmed as they come."},
    {.name = "trim", .home = kPoolProperty, .kind = kEnum, .values = "monthly|weekly|none", .effect = kAtOnce,
     .help = "Timer that trims the whole pool."},
    {.name = "atime", .home = kDatasetProperty, .kind = kEnum, .values = "on|off", .effect = kAtOnce,
     .help = "Reading a file writes its access time."},
    {.name = "relatime", .home = kDatasetProperty, .kind = kEnum, .values = "on|off", .effect = kAtOnce,
     .help = "With atime: only once a day, or after a change."},
    {.name = "compression", .home = kDatasetProperty, .kind = kEnum, .values = kCompressions,
     .effect = kNewBlocksOnly, .help = "Compression of new blocks; inherited below."},
    {.name = "dnodesize", .home = kDatasetProperty, .kind = kEnum, .values = "legacy|auto|1k|2k|4k|8k|16k",
     .effect = kNewBlocksOnly, .help = "Room for attributes in the inode of new files."},
    {.name = "logbias", .home = kDatasetProperty, .kind = kEnum, .values = "latency|throughput", .effect = kAtOnce,
     .help = "What synchronous writes are tuned for."},
    {.name = "primarycache", .home = kDatasetProperty, .kind = kEnum, .values = "all|none|metadata",
     .effect = kAtOnce, .help = "What the ARC keeps."},
    {.name = "recordsize", .home = kDatasetProperty, .kind = kSize, .effect = kNewBlocksOnly, .minimum = 512,
     .maximum = 16LL << 20, .help = "Largest block of new files: 128KiB for containers, 1MiB for backups."},
    {.name = "sync", .home = kDatasetProperty, .kind = kEnum, .values = "standard|always", .effect = kAtOnce,
     .help = "Synchronous writes. disabled loses confirmed writes and is not offered (rule Z5)."},
    {.name = "xattr", .home = kDatasetProperty, .kind = kEnum, .values = "on|off|sa|dir", .effect = kNewBlocksOnly,
     .help = "Where extended attributes lie; sa: in the inode."},
});

// clang-format on

// A plain key sorts before the numbered family of the same name (numa, numa0…).
constexpr auto order(const Setting& row) { return std::make_tuple(row.home, row.name, row.count); }

constexpr auto kCatalogue = [] {
  std::array<Setting,
             kVmOptions.size() + kDriveOptions.size() + kDiskKeys.size() + kStorageOptions.size() + kHostKeys.size()>
      rows{};
  auto out = std::ranges::copy(kVmOptions, rows.begin()).out;
  out = std::ranges::copy(kDriveOptions, out).out;
  out = std::ranges::copy(kDiskKeys, out).out;
  out = std::ranges::copy(kStorageOptions, out).out;
  std::ranges::copy(kHostKeys, out);
  std::ranges::sort(rows, {}, [](const Setting& row) { return order(row); });
  return rows;
}();

const Setting* exact(Home home, std::string_view name, bool family) {
  auto at = std::ranges::lower_bound(kCatalogue, std::make_tuple(home, name, family ? 1 : 0), {},
                                     [](const Setting& row) { return order(row); });
  if (at == kCatalogue.end() || at->home != home || at->name != name || (at->count > 0) != family) return nullptr;
  return &*at;
}

}  // namespace

std::span<const Setting> setting_catalogue() { return kCatalogue; }

const Setting* find_setting(Home home, std::string_view key) {
  if (const Setting* plain = exact(home, key, false)) return plain;
  const std::size_t last = key.find_last_not_of("0123456789");
  const std::size_t digits = last == std::string_view::npos ? 0 : last + 1;
  if (digits == 0 || digits == key.size()) return nullptr;
  const std::string_view tail = key.substr(digits);
  if (tail.size() > 3 || (tail.size() > 1 && tail.front() == '0')) return nullptr;
  int index = 0;
  std::from_chars(tail.data(), tail.data() + tail.size(), index);
  const Setting* family = exact(home, key.substr(0, digits), true);
  return family != nullptr && index < family->count ? family : nullptr;
}

}  // namespace pvr
