#include "schema/field_table.h"

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <optional>

namespace pvr {
namespace {

constexpr std::string_view kNamePattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$";
constexpr std::string_view kNodePattern = "^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$";
constexpr std::string_view kStoragePattern = "^[A-Za-z][A-Za-z0-9._-]*[A-Za-z0-9]$";
constexpr std::string_view kVolumePattern = "^[A-Za-z][A-Za-z0-9._-]*[A-Za-z0-9]:.+$";
constexpr std::string_view kUuidPattern =
    "^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$";
constexpr std::string_view kNoSecrets =
    "Secrets never stand in a fleet file. Put it into the environment or into a file that only you can read, named by "
    "token_file.";

// Keys of the guest configuration that have a form of their own in the language, or none.
constexpr std::string_view kOwnForm[] = {"boot",         "bootdisk", "cdrom",     "name",       "smp",     "autostart",
                                         "memory",       "balloon",  "efidisk0",  "tpmstate0",  "audio0",  "rng0",
                                         "template",     "citype",   "ciuser",    "cipassword", "sshkeys", "nameserver",
                                         "searchdomain", "cicustom", "ciupgrade", "smbios1"};

struct PropertyGrammar {
  std::string_view name;
  bool required = false;
  std::string_view type = {};
};

/// One entry of Setting::properties; nothing for an alias.
std::optional<PropertyGrammar> read_property(std::string_view entry) {
  if (entry.find('>') != std::string_view::npos) return std::nullopt;
  // A default stands behind '=', which no name and no word of a type holds.
  entry = entry.substr(0, entry.find('='));
  PropertyGrammar out;
  std::size_t colon = entry.find(':');
  out.name = entry.substr(0, colon);
  if (colon != std::string_view::npos) out.type = entry.substr(colon + 1);
  if (out.name.ends_with('!')) {
    out.required = true;
    out.name.remove_suffix(1);
  }
  return out;
}

class Builder {
 public:
  explicit Builder(Tables& out) : t_(out) {}

  void run() {
    small_tables();
    disks();
    machine();
    places();
    file();
    finish();
  }

  std::map<const Setting*, Table>& properties() { return properties_; }

 private:
  static Field own(std::string_view name, Key key, unsigned forms, std::string_view help) {
    Field field;
    field.name = name;
    field.key = key;
    field.forms = forms;
    field.help = help;
    return field;
  }
  static Field text(std::string_view name, Key key, std::string_view help, std::string_view pattern = {}) {
    Field field = own(name, key, kTextForm, help);
    field.pattern = pattern;
    return field;
  }
  static Field words(std::string_view name, Key key, std::string_view values, std::string_view help) {
    Field field = own(name, key, kTextForm, help);
    field.values = values;
    return field;
  }
  static Field integer(std::string_view name, Key key, std::int64_t minimum, std::int64_t maximum,
                       std::string_view help) {
    Field field = own(name, key, kIntegerForm, help);
    field.minimum = minimum;
    field.maximum = maximum;
    return field;
  }
  static Field table(std::string_view name, Key key, unsigned forms, const Table& of, std::string_view help) {
    Field field = own(name, key, forms, help);
    field.table = &of;
    return field;
  }
  static Field refused(std::string_view name, std::string_view why) {
    Field field = own(name, Key::kOwn, kTextForm, "");
    field.refused = why;
    return field;
  }
  static Field required(Field field) {
    field.required = true;
    return field;
  }

  /// A field that is a row of the catalogue.
  Field row(const Setting& setting, std::string_view name = {}, std::string_view lowered = {}) {
    Field field;
    field.name = name.empty() ? setting.name : name;
    field.lowered = lowered.empty() ? setting.name : lowered;
    field.setting = &setting;
    field.help = setting.help;
    field.values = setting.values;
    field.minimum = setting.minimum;
    field.maximum = setting.maximum;
    switch (setting.kind) {
      case ValueKind::kBool:
        field.forms = kBoolForm;
        break;
      case ValueKind::kInteger:
        field.forms = kIntegerForm;
        break;
      case ValueKind::kNumber:
        field.forms = kNumberForm;
        break;
      case ValueKind::kSize:
        field.forms = kSizeForm;
        break;
      case ValueKind::kString:
      case ValueKind::kEnum:
        field.forms = kTextForm;
        break;
      case ValueKind::kList:
      case ValueKind::kSet:
        field.forms = kTextsForm;
        break;
      case ValueKind::kProperties:
        field.forms = kTableForm | (setting.default_key.empty() ? 0U : kTextForm);
        field.table = &properties_of(setting);
        if (const Field* first = field.table->find(setting.default_key)) {
          field.forms |= first->forms & (kBoolForm | kIntegerForm | kNumberForm);
        }
        break;
    }
    if (setting.root_only) {
      field.refused =
          "PVE lets only root@pam with a password login set it, never an API token. Set it on the node with \"qm "
          "set\"; it is left alone.";
    } else if (setting.write_only) {
      field.refused = "Secrets never stand in a fleet file. Set it in PVE itself; it is left alone.";
    } else if (setting.server_written) {
      field.refused = "PVE writes it by itself.";
    }
    return field;
  }
  Field row(Home home, std::string_view key, std::string_view name = {}) {
    const Setting* setting = find_setting(home, key);
    return row(*setting, name, key);
  }

  const Table& properties_of(const Setting& setting) {
    auto [at, added] = properties_.try_emplace(&setting);
    Table& table = at->second;
    if (!added) return table;
    table.name = setting.name;
    table.help = setting.help;
    for (std::string_view entry : split_words(setting.properties)) {
      std::optional<PropertyGrammar> grammar = read_property(entry);
      if (!grammar) continue;
      Field field = own(grammar->name, Key::kProperty, kTextForm | kIntegerForm, "");
      field.lowered = grammar->name;
      field.required = grammar->required;
      if (grammar->type == "bool") {
        field.forms = kBoolForm;
      } else if (grammar->type == "int") {
        field.forms = kIntegerForm;
      } else if (grammar->type == "num") {
        field.forms = kNumberForm;
      } else if (grammar->type == "flags") {
        field.forms = kTextForm | kTextsForm;
      } else if (grammar->type.starts_with('(')) {
        std::string& joined = texts_.emplace_back(grammar->type.substr(1, grammar->type.size() - 2));
        std::ranges::replace(joined, ',', '|');
        field.forms = kTextForm;
        field.values = joined;
      } else if (!grammar->type.empty()) {
        field.forms = kTextForm;
      }
      table.fields.push_back(field);
    }
    std::ranges::sort(table.fields, {}, &Field::name);
    return table;
  }

  /// The keys of a numbered device: its properties, plus the slot it takes, with friendlier names for some.
  Table device(std::string_view name, std::string_view help, std::string_view option) {
    const Setting& setting = *find_setting(Home::kVmOption, option);
    Table table = properties_of(setting);
    table.name = name;
    table.help = help;
    return table;
  }

  void small_tables() {
    t_.ssh = {
        "ssh",
        "SSH to the nodes. Optional; unlocks what the API cannot tell or do.",
        {required(text("user", Key::kSshUser, "User on the nodes.")),
         own("sudo", Key::kSshSudo, kBoolForm, "Use sudo on the nodes."),
         own("hosts", Key::kSshHosts, kNamedTextForm,
             "Host name or address by node; without it the node's name is used, as the ssh configuration has it."),
         integer("port", Key::kSshPort, 1, 65535, "Port of the nodes' sshd; else the ssh configuration says it."),
         own("local", Key::kSshLocal, kBoolForm,
             "Whether this machine is the node of its name, where commands run without ssh; by itself on a PVE "
             "node.")}};
    t_.limits = {
        "limits",
        "Bounds for the work of one run.",
        {integer("copies_per_node", Key::kLimit, 1, 64, "Disk copies running on one node at a time."),
         integer("parallelism", Key::kLimit, 1, 256, "Operations running at a time."),
         own("copy_rate", Key::kLimit, kSizeForm, "Limit of each copy, per second: 200MiB."),
         text("retention", Key::kLimit, "How long a retired volume is kept: 12h, 7d, 4w.", "^[0-9]+[smhdw]$")}};
    t_.cluster = {
        "cluster",
        "How to reach the cluster; flags and the environment win over it.",
        {own("endpoints", Key::kEndpoints, kTextsForm,
             "URLs of the nodes; the next one is tried when one does not answer."),
         text("fingerprint", Key::kFingerprint, "SHA-256 fingerprint of the certificate, as PVE shows it.",
              "^([0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}$"),
         text("ca_file", Key::kCaFile, "File with the certificates to trust."),
         text("token_id", Key::kTokenId, "API token, USER@REALM!NAME.", "^[^@!:]+@[^@!:]+![^@!:]+$"),
         text("token_file", Key::kTokenFile, "File with the token's secret; others must not be able to read it."),
         table("ssh", Key::kSsh, kTableForm, t_.ssh, "SSH to the nodes."),
         table("limits", Key::kLimits, kTableForm, t_.limits, "Bounds for the work of one run."),
         refused("token", kNoSecrets), refused("token_secret", kNoSecrets), refused("password", kNoSecrets)}};
    t_.pool = {"pool", "A resource pool.", {text("comment", Key::kComment, "Note shown by PVE.")}};
    t_.suppression = {
        "suppression",
        "Findings of the audit that somebody has accepted.",
        {required(text("rule", Key::kOwn, "Id of the rule, such as A5.", "^[A-Z][0-9]+$")),
         required(
             text("subject", Key::kOwn,
                  "What it is about, as the audit shows it: vm/301/scsi0, vm/dc-01/*, node/pve1/pool/tank; * stands "
                  "for any text, ? for one character.")),
         required(text("reason", Key::kOwn, "Why it is accepted.")),
         text("until", Key::kOwn, "Last day it holds: 2027-01-31.", "^[0-9]{4}-[0-9]{2}-[0-9]{2}$")}};
    t_.audit = {"audit",
                "What the audit needs to be told.",
                {table("suppress", Key::kSuppress, kTablesForm, t_.suppression, "Findings that are accepted.")}};
    t_.ha = {"ha", "HA resource of the VM.", {}};
    t_.replication = {"replication", "One replication job of the VM.", {}};
    for (const Setting& setting : setting_catalogue()) {
      if (setting.server_written) continue;
      if (setting.home == Home::kHa) t_.ha.fields.push_back(row(setting));
      if (setting.home == Home::kReplication && setting.name != "target") t_.replication.fields.push_back(row(setting));
    }
    t_.replication.fields.push_back(required(text("target", Key::kTarget, "Node to replicate to.", kNodePattern)));
  }

  void disks() {
    Table& disk = t_.disk;
    disk = {"disk", "One disk. It is known by its name; the slot is an attribute.", {}};
    t_.disk_defaults = {"disk-defaults", "Settings for every disk of the VM that does not state them itself.", {}};
    t_.efidisk = {"efidisk", "The disk with the EFI variables.", {}};
    t_.tpm = {"tpm", "The TPM.", {}};
    for (const Setting& setting : setting_catalogue()) {
      bool drive = setting.home == Home::kDriveOption;
      if (drive && setting.buses == "efidisk") {
        if (!setting.server_written) t_.efidisk.fields.push_back(row(setting));
      } else if (drive && setting.buses == "tpmstate") {
        t_.tpm.fields.push_back(row(setting));
      } else if (drive || setting.home == Home::kZvolProperty || setting.home == Home::kFact ||
                 setting.home == Home::kDiskPlace) {
        Field field = row(setting);
        if (setting.name == "slot") {
          field.key = Key::kSlot;
          field.pattern = "^(scsi|virtio|sata|ide)[0-9]+$";
        } else if (setting.name == "size") {
          field.key = Key::kSize;
        } else if (setting.name == "volblocksize") {
          field.key = Key::kBlocksize;
        } else if (setting.name == "storage") {
          field.pattern = kStoragePattern;
        }
        disk.fields.push_back(field);
        constexpr std::string_view kOfOneDisk[] = {"slot", "size", "serial", "wwn", "model", "product", "vendor"};
        if (std::ranges::find(kOfOneDisk, setting.name) == std::end(kOfOneDisk))
          t_.disk_defaults.fields.push_back(field);
      }
    }
    for (Table* special : {&t_.efidisk, &t_.tpm}) {
      Field storage = row(Home::kDiskPlace, "storage");
      storage.pattern = kStoragePattern;
      special->fields.push_back(storage);
    }
    t_.efidisk.fields.push_back(row(Home::kDiskPlace, "format"));
    disk.fields.push_back(text("import", Key::kImport,
                               "Image to start from, as a volume id: local:import/debian.qcow2.", kVolumePattern));
    disk.fields.push_back(text("device", Key::kDevice,
                               "A device of the node passed through whole, instead of a volume: /dev/disk/by-id/….",
                               "^/dev/.+$"));
    disk.fields.push_back(words("state", Key::kDiskState, "present|detached|absent",
                                "detached: kept as an unused volume; absent: retired, which needs --allow destroy."));
    disk.fields.push_back(words("snapshots", Key::kSnapshots, "refuse|keep|drop",
                                "What becomes of snapshots when the zvol is made again. refuse (default): it is not "
                                "made again; keep: they are replayed onto the new one; drop: they stay with the "
                                "retired one and go with it."));
    disk.fields.push_back(own("leave", Key::kLeave, kTextsForm,
                              "Settings of this disk that stay as they are, whatever role and rules say."));
    t_.iso = {"iso",
              "The medium in a CD drive.",
              {required(text("volume", Key::kOwn, "Volume id of the image, or none for an empty drive.")),
               text("slot", Key::kSlot, "Drive of the CD; default ide2.", "^(scsi|sata|ide)[0-9]+$")}};
  }

  static Field renamed(Field field, std::string_view name) {
    field.name = name;
    return field;
  }

  void machine() {
    t_.net = device("net", "A network device. It is known by its name.", "net0");
    for (Field& field : t_.net.fields) {
      if (field.name == "model") field.required = false;
      if (field.name == "tag") field.help = "VLAN.";
      if (field.name == "macaddr") field.help = "Address; unset: PVE makes one up and it stays.";
      if (field.name == "bridge") field.help = "Bridge of the node.";
      if (field.name == "trunks") field.forms = kTextForm | kTextsForm | kIntegerForm;
    }
    for (std::size_t i = 0, count = t_.net.fields.size(); i < count; ++i) {
      if (t_.net.fields[i].name == "tag") t_.net.fields.push_back(renamed(t_.net.fields[i], "vlan"));
      if (t_.net.fields[i].name == "macaddr") t_.net.fields.push_back(renamed(t_.net.fields[i], "mac"));
    }
    t_.net.fields.push_back(
        text("slot", Key::kSlot, "net0 … net31; may be left out when the VM has one net.", "^net[0-9]+$"));
    t_.hostpci = device("hostpci", "A PCI device passed through, by cluster mapping or by address.", "hostpci0");
    t_.hostpci.fields.push_back(
        text("slot", Key::kSlot, "hostpci0 … hostpci15; default: the position in the list.", "^hostpci[0-9]+$"));
    t_.usb = device("usb", "A USB device passed through.", "usb0");
    t_.usb.fields.push_back(
        text("slot", Key::kSlot, "usb0 … usb13; default: the position in the list.", "^usb[0-9]+$"));
    t_.virtiofs = device("virtiofs", "A directory of the host shared with the guest.", "virtiofs0");
    t_.virtiofs.fields.push_back(
        text("slot", Key::kSlot, "virtiofs0 … virtiofs9; default: the position in the list.", "^virtiofs[0-9]+$"));
    t_.address = device("address", "Addresses of one net.", "ipconfig0");
    for (Field& field : t_.address.fields) field.forms = kTextForm;
    t_.custom = device("custom", "Snippet volumes that replace generated files.", "cicustom");
    t_.dns = {"dns",
              "DNS of the guest.",
              {row(Home::kVmOption, "nameserver", "servers"), row(Home::kVmOption, "searchdomain", "domain")}};
    t_.cloud_init = {
        "cloud_init",
        "Cloud-init. On a VM it also adds the drive that carries it.",
        {row(Home::kVmOption, "ciuser", "user"), row(Home::kVmOption, "citype", "type"),
         row(Home::kVmOption, "ciupgrade", "upgrade"),
         own("ssh_keys", Key::kSshKeys, kTextsForm, "Public keys of the user."),
         table("ip", Key::kIp, kNamedForm, t_.address, "Addresses, by name of the net."),
         table("dns", Key::kDns, kTableForm, t_.dns, "DNS of the guest."),
         table("custom", Key::kCustom, kTableForm, t_.custom, "Snippet volumes that replace generated files."),
         text("storage", Key::kStorage, "Storage of the drive; default: that of the VM's disks.", kStoragePattern),
         text("slot", Key::kSlot, "Drive; default: the first free one of ide0 … ide3, sata0 … sata5.",
              "^(scsi|sata|ide)[0-9]+$"),
         refused("password",
                 "Secrets never stand in a fleet file. Give ssh_keys instead, or set the password in PVE itself with "
                 "\"qm set\".")}};

    t_.role = {"role",
               "What a VM is for. A VM takes over everything its role states.",
               {text("extends", Key::kExtends, "Role this one is based on.", kNamePattern),
                words("os", Key::kOs, "linux|windows|other", "System in the guest."),
                text("note", Key::kNote, "What the role is for.")}};
    t_.vm = {
        "vm",
        "One VM, by its guest name.",
        {required(integer("vmid", Key::kVmid, 100, 999999999, "Number of the guest in the cluster.")),
         text("role", Key::kRole, "What the VM is for.", kNamePattern),
         text("node", Key::kNode, "Node the VM belongs to.", kNodePattern),
         own("linked", Key::kLinked, kBoolForm, "Linked clone of the template."),
         text("pool", Key::kPool, "Resource pool."),
         text("uuid", Key::kUuid, "SMBIOS uuid the VM must have; another one stops everything.", kUuidPattern),
         words("state", Key::kState, "present|running|stopped|absent",
               "running, stopped: what the VM is to do; absent: retired, which needs --allow destroy."),
         table("ha", Key::kHa, kBoolForm | kTableForm, t_.ha, "Managed by HA; false: not managed."),
         table("replication", Key::kReplication, kTablesForm, t_.replication, "Replication jobs."),
         own("allow", Key::kAllow, kTextsForm, "What may be done to this VM without asking on the command line."),
         own("leave", Key::kLeave, kTextsForm,
             "Options that stay as they are, whatever role and rules say; efidisk and tpm: none is added."),
         text("maintenance", Key::kMaintenance,
              "When restarts and offline copies are allowed: \"Sat 02:00-05:00, Sun 22:00-04:00\".",
              "^((Mon|Tue|Wed|Thu|Fri|Sat|Sun) )?[0-2][0-9]:[0-5][0-9]-[0-2][0-9]:[0-5][0-9]"
              "(, ?((Mon|Tue|Wed|Thu|Fri|Sat|Sun) )?[0-2][0-9]:[0-5][0-9]-[0-2][0-9]:[0-5][0-9])*$"),
         text("require_backup", Key::kRequireBackup,
              "Before data is rewritten or destroyed: a backup not older than this must exist (24h, 7d), or take: one "
              "is "
              "made first.",
              "^([0-9]+[smhdw]|take)$"),
         table("efidisk", Key::kEfidisk, kBoolForm | kTableForm, t_.efidisk,
               "Disk with the EFI variables, for bios: ovmf."),
         table("tpm", Key::kTpm, kBoolForm | kTextForm | kTableForm, t_.tpm, "TPM; true is v2.0."),
         table("iso", Key::kIso, kTextForm | kTableForm, t_.iso, "Medium in the CD drive: a volume id, or none.")}};
    for (Field& field : t_.vm.fields) {
      if (field.name == "allow") field.values = "restart|offline-copy|destroy";
      if (field.name == "tpm") field.values = "v1.2|v2.0";
    }
    for (Table* to : {&t_.role, &t_.vm}) guest_fields(*to);
  }

  /// What roles and VMs share.
  void guest_fields(Table& to) {
    Field clone = own("clone", Key::kClone, kTextForm | kIntegerForm, "Template to start from: a name or a vmid.");
    clone.minimum = 100;
    clone.maximum = 999999999;
    Field memory = own("memory", Key::kMemory, kSizeForm, "Memory.");
    memory.setting = find_setting(Home::kVmOption, "memory");
    Field balloon =
        own("balloon", Key::kBalloon, kSizeForm | kIntegerForm, "Least memory when ballooning; 0: no balloon device.");
    balloon.setting = find_setting(Home::kVmOption, "balloon");
    for (Field field :
         {text("lane", Key::kLane, "Lane; decides storage and mobility.", kNamePattern), clone, memory, balloon,
          own("options", Key::kOptions, 0, "Further keys of PVE's guest configuration, by their PVE names."),
          table("disk", Key::kDisk, kTableForm, t_.disk_defaults, "Settings for every disk of the VM."),
          table("disks", Key::kDisks, kNamedForm, t_.disk, "Disks by name."),
          table("nets", Key::kNets, kNamedForm, t_.net, "Network devices by name."),
          table("hostpci", Key::kHostpci, kTablesForm, t_.hostpci, "PCI devices passed through."),
          table("usb", Key::kUsb, kTablesForm, t_.usb, "USB devices passed through."),
          own("serial", Key::kSerial, kTextsForm, "Serial ports; each is \"socket\"."),
          table("virtiofs", Key::kVirtiofs, kTablesForm, t_.virtiofs, "Directories of the host shared with the guest."),
          own("boot", Key::kBoot, kTextsForm, "Boot order: names of disks and nets, or their slots."),
          table("cloud_init", Key::kCloudInit, kBoolForm | kTableForm, t_.cloud_init, "Cloud-init."),
          row(Home::kVmOption, "audio0", "audio"), row(Home::kVmOption, "rng0", "rng")}) {
      if (field.name == "rng") field.forms |= kBoolForm;
      to.fields.push_back(field);
    }
    for (const Setting& setting : setting_catalogue()) {
      if (setting.home != Home::kVmOption || setting.count > 0 || setting.server_written) continue;
      if (std::ranges::find(kOwnForm, setting.name) != std::end(kOwnForm)) continue;
      to.fields.push_back(row(setting));
    }
  }

  void places() {
    t_.storage = {
        "storage",
        "A storage of the cluster, by its id.",
        {own("manage", Key::kManage, kBoolForm, "false: only facts for the rules; the storage is never written."),
         own("plp", Key::kPlp, kBoolForm,
             "Whether the log devices of the pool below have power-loss protection; nobody can see that."),
         words("media", Key::kMedia, "ssd|hdd", "What lies below."),
         words("backing", Key::kBacking, "zfs|ext4|xfs|btrfs",
               "File system below a dir storage; the API does not tell."),
         text("layout", Key::kLayout, "Pool layout where it cannot be observed: mirror, raidz1, raidz2 of 6, …"),
         table("classes", Key::kClasses, kNamedForm, t_.storage_class,
               "Block-size classes: each is a storage of its own on a child dataset.")}};
    t_.storage_class = {"class",
                        "A block-size class of a zfspool storage.",
                        {text("id", Key::kId, "Storage id; default STORAGE-CLASS.", kStoragePattern),
                         text("pool", Key::kDataset, "Dataset; default POOL/CLASS.")}};
    for (const Setting& setting : setting_catalogue()) {
      if (setting.home != Home::kStorageOption) continue;
      Field field = row(setting);
      if (setting.kind == ValueKind::kSize) field.key = Key::kBlocksize;
      t_.storage.fields.push_back(field);
      if (setting.name == "blocksize") t_.storage_class.fields.push_back(required(field));
      if (setting.name == "sparse") t_.storage_class.fields.push_back(field);
      if (setting.name == "nodes") {
        for (std::string_view type : split_words(setting.types, ' ')) t_.types.push_back(type);
        std::string& joined = texts_.emplace_back(setting.types);
        std::ranges::replace(joined, ' ', '|');
        t_.storage.fields.push_back(words("type", Key::kType, joined, "Type of the storage."));
      }
    }
    Field arc_max = row(Home::kHostOption, "arc_max");
    arc_max.key = Key::kArcMax;
    arc_max.forms |= kTextForm;
    arc_max.values = "auto";
    t_.host = {"host",
               "A node, by its name: what is named here is set on it over host access (cluster.ssh).",
               {arc_max, row(Home::kHostOption, "arc_min"),
                table("pools", Key::kHostPools, kNamedForm, t_.host_pool, "Zpools of the node by name."),
                table("datasets", Key::kHostDatasets, kNamedForm, t_.host_dataset,
                      "File systems below the pools by name: tank/backup.")}};
    t_.host_pool = {"host_pool",
                    "A zpool of a node. Properties of file systems are those of its root dataset, which the others "
                    "inherit; rules Z7 and Z11 hold for what is left out.",
                    {}};
    t_.host_dataset = {"host_dataset", "A ZFS file system of a node; what is left out is left alone.", {}};
    for (const Setting& setting : setting_catalogue()) {
      if (setting.home == Home::kPoolProperty || setting.home == Home::kDatasetProperty)
        t_.host_pool.fields.push_back(row(setting));
      if (setting.home == Home::kDatasetProperty) t_.host_dataset.fields.push_back(row(setting));
    }
    t_.lane = {"lane",
               "A lane in its long form.",
               {text("storage", Key::kStorage, "Storage on every node.", kStoragePattern),
                own("nodes", Key::kNodes, kNamedTextForm, "Storage by node."),
                words("mobility", Key::kMobility, "mobile|pinned",
                      "Whether the VMs of the lane can move; lanes other than shared and pinned state it.")}};
  }

  void file() {
    Field version =
        integer("version", Key::kVersion, 1, 1, "Version of the fleet language: 1. One file of the fleet says it.");
    Field lanes = table("lanes", Key::kLanes, kNamedForm | kNamedTextForm, t_.lane,
                        "Lanes by name: a storage id, a mapping from nodes to storage ids, or the long form.");
    t_.file = {"fleet",
               "A fleet file.",
               {version,
                own("include", Key::kInclude, kTextForm | kTextsForm,
                    "Further files, as paths or globs relative to this file."),
                table("cluster", Key::kCluster, kTableForm, t_.cluster, "How to reach the cluster."),
                table("storages", Key::kStorages, kNamedForm, t_.storage, "Storages by id."), lanes,
                table("roles", Key::kRoles, kNamedForm, t_.role, "Roles by name."),
                table("pools", Key::kPools, kNamedForm, t_.pool, "Resource pools by id."),
                table("hosts", Key::kHosts, kNamedForm, t_.host, "Nodes by name: their ZFS cache, pools, datasets."),
                table("audit", Key::kAudit, kTableForm, t_.audit, "What the audit needs to be told."),
                table("vms", Key::kVms, kNamedForm, t_.vm, "VMs by guest name.")}};
  }

  void finish() {
    t_.all = {&t_.file,          &t_.cluster,     &t_.ssh,      &t_.limits,      &t_.storage,
              &t_.storage_class, &t_.lane,        &t_.role,     &t_.vm,          &t_.disk,
              &t_.disk_defaults, &t_.efidisk,     &t_.tpm,      &t_.iso,         &t_.net,
              &t_.hostpci,       &t_.usb,         &t_.virtiofs, &t_.cloud_init,  &t_.address,
              &t_.dns,           &t_.custom,      &t_.ha,       &t_.replication, &t_.pool,
              &t_.audit,         &t_.suppression, &t_.host,     &t_.host_pool,   &t_.host_dataset};
    for (Table* table :
         {&t_.file,        &t_.cluster,    &t_.ssh,         &t_.limits, &t_.storage,   &t_.storage_class,
          &t_.lane,        &t_.role,       &t_.vm,          &t_.pool,   &t_.disk,      &t_.disk_defaults,
          &t_.efidisk,     &t_.tpm,        &t_.iso,         &t_.net,    &t_.hostpci,   &t_.usb,
          &t_.virtiofs,    &t_.cloud_init, &t_.address,     &t_.dns,    &t_.custom,    &t_.ha,
          &t_.replication, &t_.audit,      &t_.suppression, &t_.host,   &t_.host_pool, &t_.host_dataset}) {
      std::ranges::sort(table->fields, {}, &Field::name);
    }
    // The property tables that a field of the language leads to.
    std::vector<const Table*> found;
    for (const Table* table : t_.all) {
      for (const Field& field : table->fields) {
        if (field.table == nullptr || !field.refused.empty()) continue;
        if (std::ranges::find(t_.all, field.table) == t_.all.end() &&
            std::ranges::find(found, field.table) == found.end()) {
          found.push_back(field.table);
        }
      }
    }
    std::ranges::sort(found, {}, &Table::name);
    t_.all.insert(t_.all.end(), found.begin(), found.end());
  }

  Tables& t_;
  std::map<const Setting*, Table> properties_ = {};
  std::deque<std::string> texts_ = {};
};

/// The tables point into each other, so they are made in place and never move.
struct Language {
  Language() : builder(tables) { builder.run(); }
  Tables tables = {};
  Builder builder;
};

Language& language() {
  static Language made;
  return made;
}

}  // namespace

const Field* Table::find(std::string_view field) const {
  auto at = std::ranges::lower_bound(fields, field, {}, &Field::name);
  return at != fields.end() && at->name == field ? &*at : nullptr;
}

std::vector<std::string_view> Table::names() const {
  std::vector<std::string_view> out;
  for (const Field& field : fields) {
    if (field.refused.empty()) out.push_back(field.name);
  }
  return out;
}

std::vector<std::string_view> split_words(std::string_view words, char separator) {
  std::vector<std::string_view> out;
  while (!words.empty()) {
    std::size_t end = std::min(words.find(separator), words.size());
    if (end > 0) out.push_back(words.substr(0, end));
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  return out;
}

const Tables& fleet_tables() { return language().tables; }

const Table* property_table(const Setting& setting) {
  const auto& tables = language().builder.properties();
  auto at = tables.find(&setting);
  return at == tables.end() ? nullptr : &at->second;
}

std::vector<std::string_view> required_properties(std::string_view storage_type) {
  struct Row {
    std::string_view type;
    std::string_view keys;
  };
  // Fact: the properties PVE marks as required ("fixed" or not optional) per storage plugin.
  constexpr std::array kRows{Row{"zfspool", "pool"},
                             Row{"lvm", "vgname"},
                             Row{"lvmthin", "thinpool vgname"},
                             Row{"dir", "path"},
                             Row{"btrfs", "path"},
                             Row{"nfs", "export server"},
                             Row{"cifs", "server share"},
                             Row{"iscsi", "portal target"},
                             Row{"iscsidirect", "portal target"},
                             Row{"zfs", "blocksize iscsiprovider pool portal target"},
                             Row{"pbs", "datastore server"},
                             Row{"esxi", "server"}};
  for (const Row& row : kRows) {
    if (row.type == storage_type) return split_words(row.keys, ' ');
  }
  return {};
}

}  // namespace pvr
