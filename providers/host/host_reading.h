#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "reconciler/base/result.h"
#include "reconciler/model/live_host.h"

namespace pvr {

// Texts of zfs, zpool and the system of a node into values. Strict: rows are split at tabs and must have the columns
// that were asked for; anything else is kMalformed and the message holds the row.

/// Rows of `zfs get -Hp -o name,property,value,source` of any number of datasets. Sorted by name; a property that does
/// not apply ("-") is left out.
[[nodiscard]] Result<std::vector<LiveDataset>> read_datasets(std::string_view text);

/// Adds the rows of `zfs list -Hp -t snapshot -o name -s createtxg` to the datasets; snapshots of others are passed
/// over.
[[nodiscard]] Status read_snapshots(std::string_view text, std::vector<LiveDataset>& datasets);

/// What read_host.sh printed. A part that is missing, failed or cannot be read becomes a sentence in `gaps`; ZFS parts
/// only where there is ZFS. Error: kMalformed, the text is not from that script at all.
enum class HostParts : std::uint8_t { kAll, kSettings };
[[nodiscard]] Result<LiveHost> read_host(std::string_view text, HostParts parts = HostParts::kAll);

/// The reading script with only those parts that the fleet can set: ZfsReader::settings. For HostParts::kSettings.
[[nodiscard]] std::string settings_script(std::string_view whole);

/// "Sun Nov  8 00:24:01 2026" (UTC) in seconds of the epoch.
[[nodiscard]] std::optional<std::int64_t> read_date(std::string_view text);

/// Lines without their ends; a last line without an end counts.
[[nodiscard]] std::vector<std::string_view> lines_of(std::string_view text);
[[nodiscard]] std::vector<std::string_view> columns_of(std::string_view row);  // split at tabs

}  // namespace pvr
