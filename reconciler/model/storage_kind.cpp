#include "reconciler/model/storage_kind.h"

namespace pvr {

std::string_view to_text(StorageKind kind) {
  switch (kind) {
    case StorageKind::kUnknown:
      return "unknown";
    case StorageKind::kZfsZvol:
      return "zfs-zvol";
    case StorageKind::kZfsFile:
      return "zfs-file";
    case StorageKind::kLvmThick:
      return "lvm-thick";
    case StorageKind::kLvmThickChain:
      return "lvm-thick-chain";
    case StorageKind::kLvmThin:
      return "lvm-thin";
    case StorageKind::kFile:
      return "file";
    case StorageKind::kBtrfs:
      return "btrfs";
    case StorageKind::kNfs:
      return "nfs";
    case StorageKind::kCifs:
      return "cifs";
    case StorageKind::kIscsiLun:
      return "iscsi-lun";
    case StorageKind::kRbd:
      return "rbd";
    case StorageKind::kRbdKernel:
      return "rbd-kernel";
    case StorageKind::kZfsOverIscsi:
      return "zfs-over-iscsi";
    case StorageKind::kDevice:
      return "device";
  }
  return "unknown";
}

std::string_view to_text(Media media) {
  switch (media) {
    case Media::kUnknown:
      return "unknown";
    case Media::kSsd:
      return "ssd";
    case Media::kHdd:
      return "hdd";
  }
  return "unknown";
}

std::string_view to_text(Mobility mobility) { return mobility == Mobility::kMobile ? "mobile" : "pinned"; }

std::string_view to_text(Purpose purpose) {
  switch (purpose) {
    case Purpose::kOs:
      return "os";
    case Purpose::kData:
      return "data";
    case Purpose::kDatabase:
      return "database";
    case Purpose::kBulk:
      return "bulk";
    case Purpose::kModels:
      return "models";
    case Purpose::kMedia:
      return "media";
    case Purpose::kBackup:
      return "backup";
    case Purpose::kScratch:
      return "scratch";
  }
  return "os";
}

std::string_view to_text(GuestOs os) {
  switch (os) {
    case GuestOs::kLinux:
      return "linux";
    case GuestOs::kWindows:
      return "windows";
    case GuestOs::kOther:
      return "other";
  }
  return "other";
}

}  // namespace pvr
