#include "reconciler/planning/space.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace pvr {
namespace {

constexpr double kFullest = 0.90;         // rule Z10
constexpr ByteSize kAccounted = 128_KiB;  // Fact: ZFS computes free space of RAIDZ as if every block had 128 KiB
constexpr int kAshift = 12;

std::string_view zpool_name(const StorageView& storage) {
  const std::string_view dataset = storage.dataset;
  return dataset.substr(0, dataset.find('/'));
}

}  // namespace

double raidz_overhead(ByteSize block, int ashift, int width, int parity) {
  if (parity <= 0 || width <= parity) return 1.0;
  const std::uint64_t sector = 1ULL << static_cast<unsigned>(ashift);
  const std::uint64_t data = std::max<std::uint64_t>(1, (block.bytes + sector - 1) / sector);
  const auto columns = static_cast<std::uint64_t>(width - parity);
  const auto redundancy = static_cast<std::uint64_t>(parity);
  std::uint64_t all = data + (data + columns - 1) / columns * redundancy;
  all = (all + redundancy) / (redundancy + 1) * (redundancy + 1);
  return static_cast<double>(all) / static_cast<double>(data);
}

const LivePoolLayout* SpaceBook::layout_of(const StorageView& storage, std::string_view node) const {
  if (!storage.has_zvols()) return nullptr;
  const LiveNode* host = live_.node(node);
  if (host == nullptr) return nullptr;
  const auto at = std::ranges::find(host->zpools, zpool_name(storage), &LivePoolLayout::name);
  return at != host->zpools.end() ? &*at : nullptr;
}

ByteSize SpaceBook::taken(const StorageView& storage, std::string_view node, ByteSize size) const {
  const ByteSize padded = size.padded_to(storage.grain());
  const LivePoolLayout* layout = layout_of(storage, node);
  if (layout == nullptr || layout->parity == 0) return padded;
  const double overhead = raidz_overhead(storage.blocksize, kAshift, layout->data_width, layout->parity) /
                          raidz_overhead(kAccounted, kAshift, layout->data_width, layout->parity);
  return {static_cast<std::uint64_t>(std::ceil(static_cast<double>(padded.bytes) * std::max(1.0, overhead)))};
}

SpaceBook::Pool& SpaceBook::pool_of(const StorageView& storage, std::string_view node) {
  const bool zpool = storage.has_zvols();
  const std::string key = zpool            ? fmt::format("zpool/{}/{}", node, zpool_name(storage))
                          : storage.shared ? fmt::format("storage/{}", storage.id)
                                           : fmt::format("storage/{}/{}", node, storage.id);
  auto [at, fresh] = pools_.try_emplace(key);
  Pool& pool = at->second;
  if (!fresh) return pool;
  pool.name =
      zpool ? fmt::format("zpool \"{}\" on {}", zpool_name(storage), node) : fmt::format("storage \"{}\"", storage.id);
  const auto count = [&](const LiveStorage& live) {
    for (const auto& [name, status] : live.on_node) {
      // No room at all is no lack of knowledge: of an empty file system on a full zpool, size and room are both zero.
      if (!status.active || (name != node && !storage.shared)) continue;
      pool.known = true;
      pool.total = std::max(pool.total, static_cast<double>(status.total.bytes));
      pool.available = std::max(pool.available, static_cast<double>(status.available.bytes));
    }
  };
  if (zpool) {
    for (const LiveStorage& live : live_.storages) {
      const StorageView* view = storages_.find(live.id);
      if (view != nullptr && view->has_zvols() && zpool_name(*view) == zpool_name(storage)) count(live);
    }
  } else if (storage.live != nullptr) {
    count(*storage.live);
  }
  pool.used = pool.total - pool.available;
  if (const LivePoolLayout* layout = layout_of(storage, node); layout != nullptr && layout->size.bytes != 0) {
    // The pool's own numbers also see what lies outside the storages' datasets. On RAIDZ they count parity.
    const double parity = raidz_overhead(kAccounted, kAshift, layout->data_width, layout->parity);
    pool.total = static_cast<double>(layout->size.bytes) / parity;
    pool.used = static_cast<double>(layout->allocated.bytes) / parity;
    if (!pool.known) pool.available = pool.total - pool.used;
    pool.known = true;
  }
  return pool;
}

std::optional<std::string> SpaceBook::reserve(const StorageView& storage, std::string_view node, ByteSize bytes) {
  std::optional<std::string> full = refuses(storage, node, bytes);
  if (!full) pool_of(storage, node).added += static_cast<double>(bytes.bytes);
  return full;
}

std::optional<std::string> SpaceBook::refuses(const StorageView& storage, std::string_view node, ByteSize bytes) {
  Pool& pool = pool_of(storage, node);
  const double added = pool.added + static_cast<double>(bytes.bytes);
  if (pool.known && !force_) {
    if (added > pool.available) {
      return fmt::format("{} has {} available, this plan would add {} there", pool.name,
                         to_human(ByteSize{static_cast<std::uint64_t>(pool.available)}),
                         to_human(ByteSize{static_cast<std::uint64_t>(added)}));
    }
    if (pool.total > 0 && (pool.used + added) / pool.total >= kFullest) {
      return fmt::format("{} would be {:.0f} % full; from {:.0f} % on nothing is added", pool.name,
                         (pool.used + added) / pool.total * 100, kFullest * 100);
    }
  }
  return std::nullopt;
}

}  // namespace pvr
