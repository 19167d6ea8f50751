// Parameters of the guest methods, in the notation of spec_text.h.
// Fact: names, types, limits and formats of the parameters as PVE 9.2's API schema states them.

#include "simulator/api/spec_text.h"

namespace pvesim {

std::string_view qemu_spec_text() {
  return R"SPEC(~ pve-qm-ide
  *drive
  model string opt maxlen=120 fmt=urlencoded
  ssd boolean opt
  wwn string opt pattern=(?:^(0x)[0-9a-fA-F]{16})
~ pve-qm-rng
  max_bytes integer opt
  period integer opt
  source string opt key enum=/dev/urandom|/dev/random|/dev/hwrng
~ pve-qm-watchdog
  action string opt enum=reset|shutdown|poweroff|pause|debug|none
  model string opt key enum=i6300esb|ib700
~ pve-qm-smbios1
  base64 boolean opt
  family string opt pattern=[A-Za-z0-9+\/]+={0,2}
  manufacturer string opt pattern=[A-Za-z0-9+\/]+={0,2}
  product string opt pattern=[A-Za-z0-9+\/]+={0,2}
  serial string opt pattern=[A-Za-z0-9+\/]+={0,2}
  sku string opt pattern=[A-Za-z0-9+\/]+={0,2}
  uuid string opt pattern=[a-fA-F0-9]{8}(?:-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}
  version string opt pattern=[A-Za-z0-9+\/]+={0,2}
~ pve-qm-cicustom
  meta string opt fmt=pve-volume-id
  network string opt fmt=pve-volume-id
  user string opt fmt=pve-volume-id
  vendor string opt fmt=pve-volume-id
~ pve-qm-ipconfig
  gw string opt fmt=ipv4 req=ip
  gw6 string opt fmt=ipv6 req=ip6
  ip string opt fmt=pve-ipv4-config
  ip6 string opt fmt=pve-ipv6-config
~ pve-qm-hostpci
  device-id string opt pattern=0x[0-9A-Fa-f]{4}
  driver string opt enum=vfio|keep
  host string opt key pattern=(?:[0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}(?:\.[0-9a-f])?(;(?:[0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}(?:\.[0-9a-f])?)*
  legacy-igd boolean opt
  mapping string opt fmt=pve-configid
  mdev string opt pattern=[^/\.:]+
  pcie boolean opt
  rombar boolean opt
  romfile string opt pattern=[^,;]+
  sub-device-id string opt pattern=0x[0-9A-Fa-f]{4}
  sub-vendor-id string opt pattern=0x[0-9A-Fa-f]{4}
  vendor-id string opt pattern=0x[0-9A-Fa-f]{4}
  x-vga boolean opt
~ pve-vm-cpu-conf
  cputype string opt key fmt=pve-cpu-name
  flags string opt pattern=[+-][a-zA-Z0-9\-_.]+(;[+-][a-zA-Z0-9\-_.]+)*
  guest-phys-bits integer opt min=32 max=64
  hidden boolean opt
  hv-vendor-id string opt pattern=[a-zA-Z0-9]{1,12}
  level integer opt min=1
  phys-bits string opt fmt=pve-phys-bits
~ pve-qemu-sev-fmt
  allow-smt boolean opt
  kernel-hashes boolean opt
  no-debug boolean opt
  no-key-sharing boolean opt
  type string key enum=std|es|snp
~ pve-qemu-tdx-fmt
  attestation boolean opt
  type string key enum=tdx
  vsock-cid integer opt min=2
  vsock-port integer opt min=0
= drive
  aio string opt enum=native|threads|io_uring
  backup boolean opt
  bps integer opt
  bps_max_length integer opt min=1
  bps_rd integer opt
  bps_rd_length string opt alias=bps_rd_max_length
  bps_rd_max_length integer opt min=1
  bps_wr integer opt
  bps_wr_length string opt alias=bps_wr_max_length
  bps_wr_max_length integer opt min=1
  cache string opt enum=none|writethrough|writeback|unsafe|directsync
  detect_zeroes boolean opt
  discard string opt enum=ignore|on
  file string key fmt=pve-volume-id-or-qm-path
  format string opt enum=raw|qcow|qed|qcow2|vmdk|cloop
  import-from string opt fmt=pve-volume-id-or-absolute-path
  iops integer opt
  iops_max integer opt
  iops_max_length integer opt min=1
  iops_rd integer opt
  iops_rd_length string opt alias=iops_rd_max_length
  iops_rd_max integer opt
  iops_rd_max_length integer opt min=1
  iops_wr integer opt
  iops_wr_length string opt alias=iops_wr_max_length
  iops_wr_max integer opt
  iops_wr_max_length integer opt min=1
  mbps number opt
  mbps_max number opt
  mbps_rd number opt
  mbps_rd_max number opt
  mbps_wr number opt
  mbps_wr_max number opt
  media string opt enum=cdrom|disk
  replicate boolean opt
  rerror string opt enum=ignore|report|stop
  serial string opt maxlen=60 fmt=urlencoded
  shared boolean opt
  size string opt fmt=disk-size
  snapshot boolean opt
  volume string opt alias=file
  werror string opt enum=enospc|ignore|report|stop
= vm-options
 acpi boolean opt
 affinity string opt fmt=pve-cpuset
 agent string opt
  enabled boolean key
  freeze-fs boolean opt
  freeze-fs-on-backup string opt alias=freeze-fs
  fstrim_cloned_disks boolean opt
  guest-fsfreeze string opt alias=freeze-fs
  type string opt enum=virtio|isa
 allow-ksm boolean opt
 amd-sev string opt fmt=pve-qemu-sev-fmt
 arch string opt enum=x86_64|aarch64
 args string opt
 audio0 string opt
  device string enum=ich9-intel-hda|intel-hda|AC97
  driver string opt enum=spice|none
 autostart boolean opt
 balloon integer opt min=0
 bios string opt enum=seabios|ovmf
 boot string opt fmt=pve-qm-boot
 bootdisk string opt fmt=pve-qm-bootdisk pattern=(ide|sata|scsi|virtio)\d+
 cdrom string opt fmt=pve-qm-ide
 cicustom string opt fmt=pve-qm-cicustom
 cipassword string opt
 citype string opt enum=configdrive2|nocloud|opennebula
 ciupgrade boolean opt
 ciuser string opt
 cores integer opt min=1
 cpu string opt fmt=pve-vm-cpu-conf
 cpulimit number opt min=0 max=128
 cpuunits integer opt min=1 max=262144
 description string opt maxlen=8192
 efidisk0 string opt
  efitype string opt enum=2m|4m
  file string key fmt=pve-volume-id-or-qm-path
  format string opt enum=raw|qcow|qed|qcow2|vmdk|cloop
  import-from string opt fmt=pve-volume-id-or-absolute-path
  ms-cert string opt enum=2011|2023|2023w|2023k
  pre-enrolled-keys boolean opt
  size string opt fmt=disk-size
  volume string opt alias=file
 freeze boolean opt
 hookscript string opt fmt=pve-volume-id
 hostpci[n] string opt n=16 fmt=pve-qm-hostpci
 hotplug string opt fmt=pve-hotplug-features
 hugepages string opt enum=any|2|1024
 ide[n] string opt n=4
  *drive
  model string opt maxlen=120 fmt=urlencoded
  ssd boolean opt
  wwn string opt pattern=(?:^(0x)[0-9a-fA-F]{16})
 intel-tdx string opt fmt=pve-qemu-tdx-fmt
 ipconfig[n] string opt n=32 fmt=pve-qm-ipconfig
 ivshmem string opt
  name string opt pattern=[a-zA-Z0-9\-]+
  size integer min=1
 keephugepages boolean opt
 keyboard string opt enum=de|de-ch|da|en-gb|en-us|es|fi|fr|fr-be|fr-ca|fr-ch|hu|is|it|ja|lt|mk|nl|no|pl|pt|pt-br|sv|sl|tr
 kvm boolean opt
 localtime boolean opt
 lock string opt enum=backup|clone|create|migrate|rollback|snapshot|snapshot-delete|suspending|suspended
 machine string opt
  aw-bits number opt min=32 max=64
  enable-s3 boolean opt
  enable-s4 boolean opt
  type string opt key maxlen=40 pattern=(pc|pc(-i440fx)?-\d+(\.\d+)+(\+pve\d+)?(\.pxe)?|q35|pc-q35-\d+(\.\d+)+(\+pve\d+)?(\.pxe)?|virt(?:-\d+(\.\d+)+)?(\+pve\d+)?)
  viommu string opt enum=intel|virtio
 memory string opt
  current integer key min=16
 migrate_downtime number opt min=0
 migrate_speed integer opt min=0
 name string opt fmt=dns-name
 nameserver string opt fmt=address-list
 net[n] string opt n=32
  bridge string opt fmt=pve-bridge-id
  e1000 string opt alias=macaddr keyalias=model
  e1000-82540em string opt alias=macaddr keyalias=model
  e1000-82544gc string opt alias=macaddr keyalias=model
  e1000-82545em string opt alias=macaddr keyalias=model
  e1000e string opt alias=macaddr keyalias=model
  firewall boolean opt
  host-tunnel boolean opt
  i82551 string opt alias=macaddr keyalias=model
  i82557b string opt alias=macaddr keyalias=model
  i82559er string opt alias=macaddr keyalias=model
  link_down boolean opt
  macaddr string opt fmt=mac-addr
  model string key enum=e1000|e1000-82540em|e1000-82544gc|e1000-82545em|e1000e|i82551|i82557b|i82559er|ne2k_isa|ne2k_pci|pcnet|rtl8139|virtio|vmxnet3
  mtu integer opt min=1 max=65520
  ne2k_isa string opt alias=macaddr keyalias=model
  ne2k_pci string opt alias=macaddr keyalias=model
  pcnet string opt alias=macaddr keyalias=model
  queues integer opt min=0 max=64
  rate number opt min=0
  rtl8139 string opt alias=macaddr keyalias=model
  tag integer opt min=1 max=4094
  trunks string opt pattern=(?:\d+(?:-\d+)?(?:;\d+(?:-\d+)?)*)
  virtio string opt alias=macaddr keyalias=model
  vmxnet3 string opt alias=macaddr keyalias=model
 numa boolean opt
 numa[n] string opt n=8
  cpus string pattern=(?:\d+(?:-\d+)?(?:;\d+(?:-\d+)?)*)
  hostnodes string opt pattern=(?:\d+(?:-\d+)?(?:;\d+(?:-\d+)?)*)
  memory number opt
  policy string opt enum=preferred|bind|interleave
 onboot boolean opt
 ostype string opt enum=other|wxp|w2k|w2k3|w2k8|wvista|win7|win8|win10|win11|l24|l26|solaris
 parallel[n] string opt n=3 pattern=/dev/parport\d+|/dev/usb/lp\d+
 protection boolean opt
 reboot boolean opt
 rng0 string opt fmt=pve-qm-rng
 sata[n] string opt n=6
  *drive
  ssd boolean opt
  wwn string opt pattern=(?:^(0x)[0-9a-fA-F]{16})
 scsi[n] string opt n=31
  *drive
  iothread boolean opt
  product string opt pattern=[A-Za-z0-9\-_\s]{0,16}
  queues integer opt min=2
  ro boolean opt
  scsiblock boolean opt
  ssd boolean opt
  vendor string opt pattern=[A-Za-z0-9\-_\s]{0,8}
  wwn string opt pattern=(?:^(0x)[0-9a-fA-F]{16})
 scsihw string opt enum=lsi|lsi53c810|virtio-scsi-pci|virtio-scsi-single|megasas|pvscsi
 searchdomain string opt
 serial[n] string opt n=4 pattern=(/dev/[^,]+|socket)
 shares integer opt min=0 max=50000
 smbios1 string opt maxlen=512 fmt=pve-qm-smbios1
 smp integer opt min=1
 sockets integer opt min=1
 spice_enhancements string opt
  foldersharing boolean opt
  videostreaming string opt enum=off|all|filter
 sshkeys string opt fmt=urlencoded
 startdate string opt pattern=(now|\d{4}-\d{1,2}-\d{1,2}(T\d{1,2}:\d{1,2}:\d{1,2})?)
 startup string opt fmt=pve-startup-order
 tablet boolean opt
 tags string opt fmt=pve-tag-list
 tdf boolean opt
 template boolean opt
 tpmstate0 string opt
  file string key fmt=pve-volume-id-or-qm-path
  format string opt enum=raw|qcow2|vmdk
  import-from string opt fmt=pve-volume-id-or-absolute-path
  size string opt fmt=disk-size
  version string opt enum=v1.2|v2.0
  volume string opt alias=file
 unused[n] string opt n=256
  file string key fmt=pve-volume-id
  volume string opt alias=file
 usb[n] string opt n=14
  host string opt key pattern=(?:(?:(?:(?:(0x)?([0-9A-Fa-f]{4}):(0x)?([0-9A-Fa-f]{4})))|(?:(?:(\d+)\-(\d+(\.\d+)*)))|[Ss][Pp][Ii][Cc][Ee]))
  mapping string opt fmt=pve-configid
  usb3 boolean opt
 vcpus integer opt min=1
 vga string opt
  clipboard string opt enum=vnc
  memory integer opt min=4 max=512
  type string opt key enum=cirrus|qxl|qxl2|qxl3|qxl4|none|serial0|serial1|serial2|serial3|std|virtio|virtio-gl|vmware
 virtio[n] string opt n=16
  *drive
  iothread boolean opt
  ro boolean opt
 virtiofs[n] string opt n=10
  cache string opt enum=auto|always|metadata|never
  direct-io boolean opt
  dirid string key fmt=pve-configid
  expose-acl boolean opt
  expose-xattr boolean opt
 vmgenid string opt pattern=(?:[a-fA-F0-9]{8}(?:-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}|[01])
 vmstatestorage string opt fmt=pve-storage-id
 watchdog string opt fmt=pve-qm-watchdog
GET /nodes/{node}/qemu protected proxy
 full boolean opt
POST /nodes/{node}/qemu protected proxy
 archive string opt maxlen=255
 bwlimit integer opt min=0
 force boolean opt req=archive
 ha-managed boolean opt
 import-working-storage string opt fmt=pve-storage-id
 live-restore boolean opt
 pool string opt fmt=pve-poolid
 start boolean opt
 storage string opt fmt=pve-storage-id
 unique boolean opt req=archive
 vmid integer min=100 max=999999999 fmt=pve-vmid
 *vm-options
DELETE /nodes/{node}/qemu/{vmid} protected proxy
 destroy-unreferenced-disks boolean opt
 purge boolean opt
 skiplock boolean opt
GET /nodes/{node}/qemu/{vmid} proxy
GET /nodes/{node}/qemu/{vmid}/config proxy
 current boolean opt
 snapshot string opt maxlen=40 fmt=pve-configid
PUT /nodes/{node}/qemu/{vmid}/config protected proxy
 delete string opt fmt=pve-configid-list
 digest string opt maxlen=40
 force boolean opt req=delete
 revert string opt fmt=pve-configid-list
 skiplock boolean opt
 *vm-options
POST /nodes/{node}/qemu/{vmid}/config protected proxy
 background_delay integer opt min=1 max=30
 delete string opt fmt=pve-configid-list
 digest string opt maxlen=40
 force boolean opt req=delete
 import-working-storage string opt fmt=pve-storage-id
 revert string opt fmt=pve-configid-list
 skiplock boolean opt
 *vm-options
GET /nodes/{node}/qemu/{vmid}/pending proxy
PUT /nodes/{node}/qemu/{vmid}/unlink protected proxy
 force boolean opt
 idlist string fmt=pve-configid-list
PUT /nodes/{node}/qemu/{vmid}/resize protected proxy
 digest string opt maxlen=40
 disk string enum=@drives
 size string pattern=\+?\d+(\.\d+)?[KMGT]?
 skiplock boolean opt
POST /nodes/{node}/qemu/{vmid}/move_disk protected proxy
 bwlimit integer opt min=0
 delete boolean opt
 digest string opt maxlen=40
 disk string enum=@drives+unused
 format string opt enum=raw|qcow2|vmdk
 storage string opt fmt=pve-storage-id
 target-digest string opt maxlen=40
 target-disk string opt enum=@drives+unused
 target-vmid integer opt min=100 max=999999999 fmt=pve-vmid
POST /nodes/{node}/qemu/{vmid}/clone protected proxy
 bwlimit integer opt min=0
 description string opt
 format string opt enum=raw|qcow2|vmdk
 full boolean opt
 name string opt fmt=dns-name
 newid integer min=100 max=999999999 fmt=pve-vmid
 pool string opt fmt=pve-poolid
 snapname string opt maxlen=40 fmt=pve-configid
 storage string opt fmt=pve-storage-id
 target string opt fmt=pve-node
POST /nodes/{node}/qemu/{vmid}/template protected proxy
 disk string opt enum=@drives
GET /nodes/{node}/qemu/{vmid}/migrate protected proxy
 target string opt fmt=pve-node
POST /nodes/{node}/qemu/{vmid}/migrate protected proxy
 bwlimit integer opt min=0
 force boolean opt
 migration_network string opt fmt=CIDR
 migration_type string opt enum=secure|insecure
 online boolean opt
 target string fmt=pve-node
 targetstorage string opt fmt=storage-pair-list
 with-conntrack-state boolean opt
 with-local-disks boolean opt
GET /nodes/{node}/qemu/{vmid}/feature protected proxy
 feature string enum=snapshot|clone|copy
 snapname string opt maxlen=40 fmt=pve-configid
GET /nodes/{node}/qemu/{vmid}/cloudinit proxy
PUT /nodes/{node}/qemu/{vmid}/cloudinit protected proxy
GET /nodes/{node}/qemu/{vmid}/status proxy
GET /nodes/{node}/qemu/{vmid}/status/current protected proxy
POST /nodes/{node}/qemu/{vmid}/status/start protected proxy
 force-cpu string opt
 machine string opt
  aw-bits number opt min=32 max=64
  enable-s3 boolean opt
  enable-s4 boolean opt
  type string opt key maxlen=40 pattern=(pc|pc(-i440fx)?-\d+(\.\d+)+(\+pve\d+)?(\.pxe)?|q35|pc-q35-\d+(\.\d+)+(\+pve\d+)?(\.pxe)?|virt(?:-\d+(\.\d+)+)?(\+pve\d+)?)
  viommu string opt enum=intel|virtio
 migratedfrom string opt fmt=pve-node
 migration_network string opt fmt=CIDR
 migration_type string opt enum=secure|insecure
 nets-host-mtu string opt pattern=net\d+=\d+(,net\d+=\d+)*
 skiplock boolean opt
 stateuri string opt maxlen=128
 targetstorage string opt fmt=storage-pair-list
 timeout integer opt min=0
 with-conntrack-state boolean opt
POST /nodes/{node}/qemu/{vmid}/status/stop protected proxy
 keepActive boolean opt
 migratedfrom string opt fmt=pve-node
 overrule-shutdown boolean opt
 skiplock boolean opt
 timeout integer opt min=0
POST /nodes/{node}/qemu/{vmid}/status/shutdown protected proxy
 forceStop boolean opt
 keepActive boolean opt
 skiplock boolean opt
 timeout integer opt min=0
POST /nodes/{node}/qemu/{vmid}/status/reboot protected proxy
 timeout integer opt min=0
POST /nodes/{node}/qemu/{vmid}/status/reset protected proxy
 skiplock boolean opt
POST /nodes/{node}/qemu/{vmid}/status/suspend protected proxy
 skiplock boolean opt
 statestorage string opt req=todisk fmt=pve-storage-id
 todisk boolean opt
POST /nodes/{node}/qemu/{vmid}/status/resume protected proxy
 nocheck boolean opt
 skiplock boolean opt
GET /nodes/{node}/qemu/{vmid}/snapshot protected proxy
POST /nodes/{node}/qemu/{vmid}/snapshot protected proxy
 description string opt
 snapname string maxlen=40 fmt=pve-configid
 vmstate boolean opt
DELETE /nodes/{node}/qemu/{vmid}/snapshot/{snapname} protected proxy
 force boolean opt
 snapname string maxlen=40 fmt=pve-configid
GET /nodes/{node}/qemu/{vmid}/snapshot/{snapname}
 snapname string maxlen=40 fmt=pve-configid
GET /nodes/{node}/qemu/{vmid}/snapshot/{snapname}/config proxy
 snapname string maxlen=40 fmt=pve-configid
PUT /nodes/{node}/qemu/{vmid}/snapshot/{snapname}/config protected proxy
 description string opt
 snapname string maxlen=40 fmt=pve-configid
POST /nodes/{node}/qemu/{vmid}/snapshot/{snapname}/rollback protected proxy
 snapname string maxlen=40 fmt=pve-configid
 start boolean opt
GET /nodes/{node}/qemu/{vmid}/agent proxy
POST /nodes/{node}/qemu/{vmid}/agent/ping protected proxy
POST /nodes/{node}/qemu/{vmid}/agent/fsfreeze-freeze protected proxy
POST /nodes/{node}/qemu/{vmid}/agent/fsfreeze-status protected proxy
POST /nodes/{node}/qemu/{vmid}/agent/fsfreeze-thaw protected proxy
POST /nodes/{node}/qemu/{vmid}/agent/fstrim protected proxy
GET /nodes/{node}/qemu/{vmid}/agent/get-fsinfo protected proxy
GET /nodes/{node}/qemu/{vmid}/agent/get-osinfo protected proxy
GET /nodes/{node}/qemu/{vmid}/agent/info protected proxy
GET /nodes/{node}/qemu/{vmid}/agent/network-get-interfaces protected proxy
)SPEC";
}

}  // namespace pvesim
