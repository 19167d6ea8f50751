#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "simulator/world/world.h"

// Putting the volumes of a cluster file where their storage keeps them. Callers hold World::guard().
namespace pvesim {

/// What a cluster file says about one volume beyond its name and size.
struct VolumeProperties {
  std::optional<std::int64_t> volblocksize = {};
  std::optional<std::int64_t> refreservation = {};  // -1: what a thick zvol of this size gets
  std::optional<std::int64_t> size = {};            // where the config does not say it
  std::optional<double> used_share = {};            // of the size
  std::optional<std::int64_t> used = {};
  std::string notes = {};
  bool is_protected = false;
  Section own = {};  // ZFS properties set on it
};

/// Connects a storage section with the places it stands on. With `nodes` every one of them must have its place, without
/// it at least one. Answers "" or what is missing.
[[nodiscard]] std::string attach_storage(World& world, const StorageDef& storage);

/// Creates a volume that exists from the begin. Answers "" or why it cannot be.
[[nodiscard]] std::string place_volume(World& world, const std::string& storage, const std::string& node,
                                       const std::string& volume, std::int64_t size,
                                       const VolumeProperties& properties);

/// Creates every volume the guest's config names (main section, pending, snapshots) that does not exist yet.
[[nodiscard]] std::string place_vm_volumes(World& world, Vm& vm, const std::map<std::string, VolumeProperties>& zvols);

/// Makes the guest run as if it had been started with its present config.
void begin_running(World& world, Vm& vm);

}  // namespace pvesim
