#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "reconciler/base/flat_map.h"
#include "reconciler/base/result.h"
#include "reconciler/base/units.h"
#include "reconciler/model/live_host.h"

namespace pvr {

/// One guest's file of /etc/pve, as it is.
struct GuestFile {
  std::string node = {};
  Vmid vmid = {};
  std::string text = {};
};

/// What the API cannot tell: ZFS and the system of a node. Safe from several threads; every call has a deadline of the
/// implementation. Errors: kUnreachable (no connection, host key refused), kForbidden (no right, no sudo), kNotFound
/// (no such dataset), kServer (the command failed; its stderr is the message).
class ZfsReader {
 public:
  virtual ~ZfsReader() = default;
  /// Everything, in one round trip. What of it cannot be read is in `gaps`.
  [[nodiscard]] virtual Result<LiveHost> host(const std::string& node) = 0;
  /// Of all this only what the fleet can set besides datasets: pools with their properties, ARC, parameters and
  /// modprobe.d of zfs, timers, mounts. Quick however many datasets there are. What cannot be read is an error.
  [[nodiscard]] virtual Result<LiveHost> settings(const std::string& node) = 0;
  /// The files of all VMs of the cluster, in one round trip to any node of it; sorted by vmid.
  [[nodiscard]] virtual Result<std::vector<GuestFile>> guest_files(const std::string& node) = 0;
  /// One dataset as it is now; nothing: there is none of that name.
  [[nodiscard]] virtual Result<std::optional<LiveDataset>> dataset(const std::string& node,
                                                                   const std::string& name) = 0;
  /// Volumes directly below `parent` that carry a mark of ours.
  [[nodiscard]] virtual Result<std::vector<LiveDataset>> marked(const std::string& node, const std::string& parent) = 0;
  /// Is the volume's device open? Processes that hold it, "pid (name)"; empty: nobody.
  [[nodiscard]] virtual Result<std::vector<std::string>> holders(const std::string& node,
                                                                 const std::string& volume) = 0;
};

struct NewZvol {
  std::string name = {};
  ByteSize size = {};  // a multiple of volblocksize
  ByteSize volblocksize = {};
  FlatMap<std::string> properties = {};  // "compression" → "lz4"; user marks with their prefix
};

/// Source and target are volumes of one node; nobody writes the source while this runs.
struct ZvolCopy {
  std::string source = {};  // "tank/vm-701-disk-1", or a snapshot of it "…@before"
  std::string since = {};   // with a snapshot as source: only what changed after this older snapshot
  std::string target = {};
  ByteRate limit = {};  // zero: none
};

struct CopyProgress {
  ByteSize done = {};   // of `total`
  ByteSize total = {};  // allocated bytes of the source, estimated
};

/// What comparing found: the checksum of the contents, holes and blocks of zeroes counting the same on both sides.
struct ContentChecksums {
  std::string source = {};  // SHA-256, hexadecimal
  std::string target = {};
  [[nodiscard]] bool equal() const { return !source.empty() && source == target; }
};

/// The reader, plus the commands that change a node. Names are validated before they travel. A lost connection is
/// Error{effect = kPossible}: look before anything else.
class ZfsHost : public ZfsReader {
 public:
  /// An empty text takes the property away again: it is inherited, a mark is gone.
  [[nodiscard]] virtual Status set_properties(const std::string& node, const std::string& dataset,
                                              const FlatMap<std::string>& set) = 0;
  [[nodiscard]] virtual Status set_pool_properties(const std::string& node, const std::string& pool,
                                                   const FlatMap<std::string>& set) = 0;
  /// Parameters of the running zfs module, one after the other in this order: of the ARC's limits each is checked
  /// against the other as it is by then, and one that does not fit is ignored without a word.
  [[nodiscard]] virtual Status set_parameters(const std::string& node,
                                              const std::vector<std::pair<std::string, std::string>>& set) = 0;
  /// Makes kOwnModprobeFile set exactly these parameters of zfs, as a whole or not at all; no other file is touched.
  [[nodiscard]] virtual Status write_modprobe(const std::string& node, const FlatMap<std::string>& options) = 0;
  /// Enables and starts a timer of systemd, or disables and stops it: "zfs-trim-monthly@tank.timer".
  [[nodiscard]] virtual Status set_timer(const std::string& node, const std::string& unit, bool enabled) = 0;
  /// A file system that PVE can use as the `pool` of a zfspool storage; never mounted.
  [[nodiscard]] virtual Status create_dataset(const std::string& node, const std::string& name,
                                              const FlatMap<std::string>& properties) = 0;
  /// Thin; returns when the device link leads to the new volume.
  [[nodiscard]] virtual Status create_zvol(const std::string& node, const NewZvol& zvol) = 0;
  /// Fact (experiments E5): ZFS renames a volume in use without a question. The caller makes sure that nobody uses it;
  /// the implementation refuses when the device is open. Returns when the new link is there.
  [[nodiscard]] virtual Status rename(const std::string& node, const std::string& from, const std::string& to) = 0;
  /// Destroys a dataset without children or snapshots, and only the one with this guid.
  [[nodiscard]] virtual Status destroy(const std::string& node, const std::string& dataset,
                                       const std::string& guid) = 0;
  [[nodiscard]] virtual Status snapshot(const std::string& node, const std::string& dataset,
                                        const std::string& name) = 0;
  [[nodiscard]] virtual Status destroy_snapshot(const std::string& node, const std::string& dataset,
                                                const std::string& name) = 0;
  /// Copies what is allocated and nothing else; holes of the source are holes of the target. A copy that was killed
  /// goes on behind the last extent that was written, read back and found equal (the mark "copied" of the target).
  /// Refused while another copy writes the target. `progress` is called from this thread.
  [[nodiscard]] virtual Status copy(const std::string& node, const ZvolCopy& copy,
                                    const std::function<void(const CopyProgress&)>& progress, std::stop_token stop) = 0;
  /// Reads both sides from the disks and compares them as a whole; a target that is longer may only hold zeroes behind
  /// the source's end.
  [[nodiscard]] virtual Result<ContentChecksums> compare(const std::string& node, const ZvolCopy& copy,
                                                         const std::function<void(const CopyProgress&)>& progress,
                                                         std::stop_token stop) = 0;
};

}  // namespace pvr
