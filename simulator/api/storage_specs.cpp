// Parameters of the storage and disk methods, in the notation of spec_text.h.
// Fact: names, types, limits and formats of the parameters as PVE 9.2's API schema states them.

#include "simulator/api/spec_text.h"

namespace pvesim {

std::string_view storage_spec_text() {
  return R"SPEC(GET /storage
 type string opt enum=btrfs|cephfs|cifs|dir|esxi|iscsi|iscsidirect|lvm|lvmthin|nfs|pbs|rbd|zfs|zfspool
POST /storage protected
 authsupported string opt
 base string opt fmt=pve-volume-id
 blocksize string opt fmt=pve-storage-zfs-blocksize
 bwlimit string opt
  clone number opt min=0
  default number opt min=0
  migration number opt min=0
  move number opt min=0
  restore number opt min=0
 comstar_hg string opt
 comstar_tg string opt
 content string opt fmt=pve-storage-content-list
 content-dirs string opt fmt=pve-dir-override-list
 create-base-path boolean opt
 create-subdirs boolean opt
 data-pool string opt
 datastore string opt
 disable boolean opt
 domain string opt maxlen=256
 encryption-key string opt
 export string opt fmt=pve-storage-path
 fingerprint string opt pattern=([A-Fa-f0-9]{2}:){31}[A-Fa-f0-9]{2}
 format string opt enum=raw|qcow2|subvol|vmdk
 fs-name string opt fmt=pve-configid
 fuse boolean opt
 is_mountpoint string opt
 iscsiprovider string opt
 keyring string opt
 krbd boolean opt
 lio_tpg string opt
 master-pubkey string opt
 max-protected-backups integer opt min=-1
 mkdir boolean opt
 monhost string opt fmt=pve-storage-portal-dns-list
 mountpoint string opt fmt=pve-storage-path
 namespace string opt
 nocow boolean opt
 nodes string opt fmt=pve-node-list
 nowritecache boolean opt
 options string opt fmt=pve-storage-options
 password string opt maxlen=256
 path string opt fmt=pve-storage-path
 pool string opt
 port integer opt min=1 max=65535
 portal string opt fmt=pve-storage-portal-dns
 preallocation string opt enum=off|metadata|falloc|full
 prune-backups string opt fmt=prune-backups
 saferemove boolean opt
 saferemove-stepsize integer opt enum=1|2|4|8|16|32
 saferemove_throughput string opt
 server string opt fmt=pve-storage-server
 share string opt
 shared boolean opt
 skip-cert-verification boolean opt
 smbversion string opt enum=default|2.0|2.1|3|3.0|3.11
 snapshot-as-volume-chain boolean opt
 sparse boolean opt
 storage string fmt=pve-storage-id
 subdir string opt fmt=pve-storage-path
 tagged_only boolean opt
 target string opt
 thinpool string opt fmt=pve-storage-vgname
 type string enum=btrfs|cephfs|cifs|dir|esxi|iscsi|iscsidirect|lvm|lvmthin|nfs|pbs|rbd|zfs|zfspool
 username string opt
 vgname string opt fmt=pve-storage-vgname
 zfs-base-path string opt fmt=pve-storage-path
GET /storage/{storage}
 storage string fmt=pve-storage-id
PUT /storage/{storage} protected
 blocksize string opt fmt=pve-storage-zfs-blocksize
 bwlimit string opt
  clone number opt min=0
  default number opt min=0
  migration number opt min=0
  move number opt min=0
  restore number opt min=0
 comstar_hg string opt
 comstar_tg string opt
 content string opt fmt=pve-storage-content-list
 content-dirs string opt fmt=pve-dir-override-list
 create-base-path boolean opt
 create-subdirs boolean opt
 data-pool string opt
 delete string opt maxlen=4096 fmt=pve-configid-list
 digest string opt maxlen=64
 disable boolean opt
 domain string opt maxlen=256
 encryption-key string opt
 fingerprint string opt pattern=([A-Fa-f0-9]{2}:){31}[A-Fa-f0-9]{2}
 format string opt enum=raw|qcow2|subvol|vmdk
 fs-name string opt fmt=pve-configid
 fuse boolean opt
 is_mountpoint string opt
 keyring string opt
 krbd boolean opt
 lio_tpg string opt
 master-pubkey string opt
 max-protected-backups integer opt min=-1
 mkdir boolean opt
 monhost string opt fmt=pve-storage-portal-dns-list
 mountpoint string opt fmt=pve-storage-path
 namespace string opt
 nocow boolean opt
 nodes string opt fmt=pve-node-list
 nowritecache boolean opt
 options string opt fmt=pve-storage-options
 password string opt maxlen=256
 pool string opt
 port integer opt min=1 max=65535
 preallocation string opt enum=off|metadata|falloc|full
 prune-backups string opt fmt=prune-backups
 saferemove boolean opt
 saferemove-stepsize integer opt enum=1|2|4|8|16|32
 saferemove_throughput string opt
 server string opt fmt=pve-storage-server
 shared boolean opt
 skip-cert-verification boolean opt
 smbversion string opt enum=default|2.0|2.1|3|3.0|3.11
 snapshot-as-volume-chain boolean opt
 sparse boolean opt
 storage string fmt=pve-storage-id
 subdir string opt fmt=pve-storage-path
 tagged_only boolean opt
 username string opt
 zfs-base-path string opt fmt=pve-storage-path
DELETE /storage/{storage} protected
 storage string fmt=pve-storage-id
GET /nodes/{node}/storage protected proxy
 content string opt fmt=pve-storage-content-list
 enabled boolean opt
 format boolean opt
 storage string opt fmt=pve-storage-id
 target string opt fmt=pve-node
GET /nodes/{node}/storage/{storage}
 storage string fmt=pve-storage-id
GET /nodes/{node}/storage/{storage}/status protected proxy
 storage string fmt=pve-storage-id
GET /nodes/{node}/storage/{storage}/content protected proxy
 content string opt fmt=pve-storage-content
 storage string fmt=pve-storage-id
 vmid integer opt min=100 max=999999999 fmt=pve-vmid
POST /nodes/{node}/storage/{storage}/content protected proxy
 filename string
 format string opt req=size enum=raw|qcow2|subvol|vmdk
 size string pattern=\d+[MG]?
 storage string fmt=pve-storage-id
 vmid integer min=100 max=999999999 fmt=pve-vmid
GET /nodes/{node}/storage/{storage}/content/{volume} protected proxy
 storage string opt fmt=pve-storage-id
 volume string
PUT /nodes/{node}/storage/{storage}/content/{volume} protected proxy
 notes string opt
 protected boolean opt
 storage string opt fmt=pve-storage-id
 volume string
DELETE /nodes/{node}/storage/{storage}/content/{volume} protected proxy
 delay integer opt min=1 max=30
 storage string opt fmt=pve-storage-id
 volume string
POST /nodes/{node}/storage/{storage}/download-url protected proxy
 checksum string opt req=checksum-algorithm
 checksum-algorithm string opt req=checksum enum=md5|sha1|sha224|sha256|sha384|sha512
 compression string opt
 content string enum=iso|vztmpl|import fmt=pve-storage-content
 filename string maxlen=255
 storage string fmt=pve-storage-id
 url string pattern=https?://.*
 verify-certificates boolean opt
GET /nodes/{node}/storage/{storage}/import-metadata protected proxy
 storage string fmt=pve-storage-id
 volume string
GET /nodes/{node}/disks/zfs protected proxy
POST /nodes/{node}/disks/zfs protected proxy
 add_storage boolean opt
 ashift integer opt min=9 max=16
 compression string opt enum=on|off|gzip|lz4|lzjb|zle|zstd
 devices string fmt=string-list
 draid-config string opt
  data integer min=1
  spares integer min=0
 name string fmt=pve-storage-id
 raidlevel string enum=single|mirror|raid10|raidz|raidz2|raidz3|draid|draid2|draid3
GET /nodes/{node}/disks/zfs/{name} protected proxy
 name string fmt=pve-storage-id
GET /nodes/{node}/disks/list protected proxy
 include-partitions boolean opt
 skipsmart boolean opt
 type string opt enum=unused|journal_disks
GET /nodes/{node}/disks proxy
GET /nodes/{node}/hardware/pci protected proxy
 pci-class-blacklist string opt fmt=string-list
 verbose boolean opt
GET /nodes/{node}/hardware
)SPEC";
}

}  // namespace pvesim
