#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "reconciler/model/live_state.h"
#include "reconciler/model/resolved_fleet.h"
#include "reconciler/model/storage_kind.h"

namespace pvr {

/// One storage as diff and plan need it: the live one, or, where it does not exist yet, the one the fleet declares.
struct StorageView {
  std::string id = {};
  std::string type = {};
  StorageKind kind = StorageKind::kUnknown;  // dir counts as kFile here: only unset options are judged by it
  bool shared = false;
  std::vector<std::string> nodes = {};  // empty: all
  std::string dataset = {};             // zfspool: its `pool`
  ByteSize blocksize = {};              // zfspool: of new zvols
  bool sparse = false;                  // zfspool: new zvols are thin
  const LiveStorage* live = nullptr;    // null: does not exist yet
  const ResolvedStorage* declared = nullptr;

  [[nodiscard]] bool on_node(std::string_view node) const;
  /// Volumes are padded to a multiple of this. Fact: zfspool 1 MiB, LVM extents of 4 MiB (the default), everything else
  /// 1 KiB.
  [[nodiscard]] ByteSize grain() const;
  /// Whether volumes have a volblocksize.
  [[nodiscard]] bool has_zvols() const { return kind == StorageKind::kZfsZvol; }
  /// Whether the volumes of `other` are seen here, too: it is the same one, or shows the same dataset.
  [[nodiscard]] bool shows_volumes_of(const StorageView& other) const {
    return id == other.id || (has_zvols() && other.has_zvols() && dataset == other.dataset);
  }
};

/// Look-ups over fleet and live state that would be linear searches otherwise. Holds pointers into both.
class StorageTable {
 public:
  StorageTable(const ResolvedFleet& fleet, const LiveState& live);
  [[nodiscard]] const StorageView* find(std::string_view id) const;
  /// The listed volume, on `node` where the storage is local; null when it is not in the listing.
  [[nodiscard]] const LiveVolume* volume(const VolumeId& id, std::string_view node) const;
  /// Whether the storage was read and has no such volume: somebody removed it, or it is on another node.
  [[nodiscard]] bool is_missing(const VolumeId& id, std::string_view node) const;
  /// The zvol as host access shows it; null without host access, or where there is none (any more).
  [[nodiscard]] const LiveDataset* zvol(const VolumeId& id, std::string_view node) const;
  /// The storage entry and name under which PVE knows a zvol of the node; of several entries the first.
  [[nodiscard]] std::optional<VolumeId> volume_of(std::string_view node, std::string_view dataset) const;
  /// Host access to the node, if it can be read; else null.
  [[nodiscard]] const LiveHost* host(std::string_view node) const;
  /// Volumes whose names carry this guest's number, in order of their ids.
  [[nodiscard]] const std::vector<const LiveVolume*>& owned_by(Vmid vmid) const;
  /// Where a volume lies, by whichever storage it is named. Two entries of storage.cfg may show one dataset: what
  /// counts is the zvol.
  [[nodiscard]] std::string place_of(const VolumeId& id) const;
  /// Who else than `self` uses a volume of `node`, in words: "guest 101 uses it, too (scsi1)". Another guest's
  /// configuration names it, or its own name says that it is another guest's, and that one cannot be looked at. Empty:
  /// nobody that is known. Only guests that were read are known: see read_other_guests().
  [[nodiscard]] std::string other_user(const VolumeId& id, std::string_view node, Vmid self) const;
  /// Which guest nobody can look at might use it as well, in words: its node is offline, or we lack a privilege. For
  /// what destroys the volume. Empty: none.
  [[nodiscard]] std::string unseen_user(const VolumeId& id, std::string_view node, Vmid self) const;
  /// The largest size an entry of a configuration notes. A note may be old, and then it is too small: volumes only
  /// grow.
  [[nodiscard]] std::optional<ByteSize> noted_size(const VolumeId& id, std::string_view node) const;
  /// Whether other guests' volumes are linked clones of this one.
  [[nodiscard]] bool has_children(const VolumeId& id) const;
  /// In order of their ids.
  [[nodiscard]] const std::map<std::string, StorageView, std::less<>>& all() const { return storages_; }

 private:
  const LiveState& live_;
  std::map<std::string, StorageView, std::less<>> storages_;
  std::unordered_map<std::uint32_t, std::vector<const LiveVolume*>> owned_;
  std::vector<std::string> parents_;
  struct Use {
    Vmid vmid = {};
    DriveSlot slot = {};
    std::string_view node = {};
    VolumeId volume = {};
    std::optional<ByteSize> noted = {};
  };
  std::unordered_multimap<std::string, Use> uses_;  // by place
};

}  // namespace pvr
