#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "reconciler/base/flat_map.h"
#include "reconciler/base/result.h"
#include "reconciler/model/live_state.h"
#include "reconciler/ports/pve_api.h"

namespace pvr {

// Decoding of answers. PVE writes a scalar now as a number, now as a text, so every reader takes both; absent, null and
// misfit read as empty or nothing.

/// A scalar as PVE's text ("1" for true); "" for anything else.
[[nodiscard]] std::string text_of(const nlohmann::json& value);
[[nodiscard]] std::string text_at(const nlohmann::json& object, std::string_view key);
[[nodiscard]] std::optional<std::int64_t> number_at(const nlohmann::json& object, std::string_view key);
[[nodiscard]] bool flag_at(const nlohmann::json& object, std::string_view key, bool fallback = false);
/// Negative counts as nothing.
[[nodiscard]] ByteSize size_at(const nlohmann::json& object, std::string_view key);
[[nodiscard]] std::optional<Vmid> vmid_at(const nlohmann::json& object, std::string_view key);
/// All keys but `skip` as texts; objects inside become property strings, lists are joined with ",".
[[nodiscard]] FlatMap<std::string> texts_of(const nlohmann::json& object, std::initializer_list<std::string_view> skip);
[[nodiscard]] Error malformed(std::string_view what);

/// Rows of /nodes/N/qemu/ID/pending.
[[nodiscard]] Result<LiveVm> decode_guest(const GuestRef& guest, const nlohmann::json& rows);
/// status/current and rows of /cluster/resources: "running", "stopped", and the QMP states.
[[nodiscard]] PowerState power_of(std::string_view status, std::string_view qmp_status);

/// One disk of a node: what it is called and what it is.
struct HostDisk {
  std::vector<std::string> names = {};  // /dev/sda, /dev/disk/by-id/…
  std::string serial = {};
  std::string used = {};  // "ZFS", "LVM", …
  Media media = Media::kUnknown;
};
[[nodiscard]] std::vector<HostDisk> decode_disks(const nlohmann::json& rows);
/// What the devices lie on: spinning when any does; unknown when any cannot be told.
[[nodiscard]] Media media_of(const std::vector<std::string>& devices, const std::vector<HostDisk>& disks);
/// /nodes/N/disks/zfs/NAME into `pool`: layout, width, parity, vdevs, media. Logs, caches and spares are no part of the
/// layout.
void decode_layout(LivePoolLayout& pool, const nlohmann::json& status, const std::vector<HostDisk>& disks);
/// Names of all leaves below.
[[nodiscard]] std::vector<std::string> leaves_of(const nlohmann::json& tree);

}  // namespace pvr
