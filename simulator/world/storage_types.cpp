// Which storage types exist and which properties, contents and formats each has (PVE storage 9.1).

#include <algorithm>
#include <array>

#include "simulator/world/storage.h"
#include "simulator/world/text.h"

namespace pvesim {
namespace {

struct Row {
  const char* name;
  const char* default_content;
  const char* content;
  const char* default_format;
  const char* formats;
  const char* required;
  const char* required_fixed;
  const char* fixed;
  const char* optional;
};

constexpr std::array<Row, 14> kRows = {{
    {"btrfs", "images,rootdir", "backup,images,import,iso,none,rootdir,snippets,vztmpl", "raw", "raw,subvol", "",
     "path", "",
     "content,create-base-path,create-subdirs,disable,format,is_mountpoint,max-protected-backups,mkdir,nocow,nodes,"
     "preallocation,prune-backups,shared"},
    {"cephfs", "backup", "backup,import,iso,snippets,vztmpl", "", "", "", "path", "",
     "bwlimit,content,content-dirs,create-base-path,create-subdirs,disable,format,fs-name,fuse,keyring,max-protected-"
     "backups,mkdir,monhost,nodes,options,prune-backups,subdir,username"},
    {"cifs", "images", "backup,images,import,iso,rootdir,snippets,vztmpl", "raw", "qcow2,raw,vmdk", "",
     "path,server,share", "snapshot-as-volume-chain",
     "bwlimit,content,content-dirs,create-base-path,create-subdirs,disable,domain,format,max-protected-backups,mkdir,"
     "nodes,options,password,preallocation,prune-backups,smbversion,subdir,username"},
    {"dir", "images,rootdir", "backup,images,import,iso,none,rootdir,snippets,vztmpl", "raw", "qcow2,raw,subvol,vmdk",
     "", "path", "snapshot-as-volume-chain",
     "bwlimit,content,content-dirs,create-base-path,create-subdirs,disable,format,is_mountpoint,max-protected-backups,"
     "mkdir,nodes,preallocation,prune-backups,shared"},
    {"esxi", "import", "import", "raw", "qcow2,raw,vmdk", "server,username", "", "",
     "content,disable,nodes,password,port,shared,skip-cert-verification"},
    {"iscsi", "images", "images,none", "", "", "", "portal,target", "", "bwlimit,content,disable,nodes"},
    {"iscsidirect", "images", "images,none", "", "", "", "portal,target", "", "bwlimit,content,disable,nodes"},
    {"lvm", "images", "images,rootdir", "raw", "qcow2,raw", "", "vgname", "base",
     "bwlimit,content,disable,nodes,saferemove,saferemove-stepsize,saferemove_throughput,shared,snapshot-as-volume-"
     "chain,tagged_only"},
    {"lvmthin", "images,rootdir", "images,rootdir", "", "", "", "thinpool,vgname", "", "bwlimit,content,disable,nodes"},
    {"nfs", "images", "backup,images,import,iso,rootdir,snippets,vztmpl", "raw", "qcow2,raw,vmdk", "",
     "export,path,server", "snapshot-as-volume-chain",
     "bwlimit,content,content-dirs,create-base-path,create-subdirs,disable,format,max-protected-backups,mkdir,nodes,"
     "options,preallocation,prune-backups"},
    {"pbs", "backup", "backup,none", "", "", "", "datastore,server", "",
     "content,disable,encryption-key,fingerprint,master-pubkey,max-protected-backups,namespace,nodes,password,port,"
     "prune-backups,username"},
    {"rbd", "images", "images,rootdir", "", "", "", "", "",
     "bwlimit,content,data-pool,disable,keyring,krbd,monhost,namespace,nodes,pool,username"},
    {"zfs", "images", "images", "", "", "", "blocksize,iscsiprovider,pool,portal,target", "",
     "bwlimit,comstar_hg,comstar_tg,content,disable,lio_tpg,nodes,nowritecache,sparse,zfs-base-path"},
    {"zfspool", "images,rootdir", "images,rootdir", "raw", "raw,subvol", "", "pool", "",
     "blocksize,bwlimit,content,disable,mountpoint,nodes,sparse"},
}};

bool contains(const std::vector<std::string>& list, std::string_view key) {
  return std::find(list.begin(), list.end(), key) != list.end();
}

}  // namespace

bool StorageType::knows(std::string_view key) const {
  return contains(required, key) || contains(required_fixed, key) || contains(fixed, key) || contains(optional, key);
}

const StorageType* storage_type(std::string_view name) {
  static const std::vector<StorageType> kTypes = [] {
    std::vector<StorageType> types;
    for (const Row& row : kRows) {
      StorageType type;
      type.name = row.name;
      type.default_content = split_at(row.default_content, ',');
      type.content = split_at(row.content, ',');
      type.default_format = *row.default_format == 0 ? "raw" : row.default_format;
      type.formats = split_at(*row.formats == 0 ? "raw" : row.formats, ',');
      type.required = split_at(row.required, ',');
      type.required_fixed = split_at(row.required_fixed, ',');
      type.fixed = split_at(row.fixed, ',');
      type.optional = split_at(row.optional, ',');
      types.push_back(std::move(type));
    }
    return types;
  }();
  for (const StorageType& type : kTypes)
    if (type.name == name) return &type;
  return nullptr;
}

}  // namespace pvesim
