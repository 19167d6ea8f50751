#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <tuple>

#include "reconciler/model/retired.h"
#include "reconciler/planning/diff_vm.h"
#include "reconciler/planning/guest_planner.h"

namespace pvr {
namespace {

// A guest that shuts down and boots again for a rename; the boot itself takes what it takes.
constexpr std::chrono::seconds kRenameDowntime{30};

// A storage as it would be with another block size: for the space a zvol with it takes.
StorageView with_blocks(const StorageView& storage, ByteSize block) {
  StorageView changed = storage;
  changed.blocksize = block;
  return changed;
}

std::vector<std::string> own_snapshots(const LiveDataset& zvol) {
  std::vector<std::string> names;
  for (const std::string& name : zvol.snapshots)
    if (!name.starts_with("pvereconcile-")) names.push_back(name);
  return names;
}

bool is_clone(const LiveDataset& zvol) {
  const std::string_view origin = zvol.text("origin");
  return !origin.empty() && origin != "-";
}

// Whether a property of a zvol is for the one that takes its place, too: not what it measures and reserves, not what
// holds it while it is copied, and not its key, which comes from the parent.
bool goes_along(std::string_view property) {
  static constexpr std::string_view kStay[] = {"volsize",     "volblocksize", "refreservation",
                                               "reservation", "readonly",     "encryption",
                                               "keyformat",   "keylocation",  "pbkdf2iters"};
  return std::ranges::find(kStay, property) == std::end(kStay);
}

std::string gone_words(const StrategyOffer& winner, const StrategyOffer& loser) {
  if (loser.downtime > winner.downtime && winner.downtime.count() == 0)
    return fmt::format("the guest would be stopped for about {} s; {} needs no downtime", loser.downtime.count(),
                       to_text(winner.strategy));
  if (loser.downtime > winner.downtime)
    return fmt::format("the guest would be stopped for about {} s instead of {} s", loser.downtime.count(),
                       winner.downtime.count());
  if (loser.bytes > winner.bytes)
    return fmt::format("it copies {} instead of {}", to_human(loser.bytes), to_human(winner.bytes));
  if (loser.peak_extra > winner.peak_extra)
    return fmt::format("it needs {} of room instead of {}", to_human(loser.peak_extra), to_human(winner.peak_extra));
  return fmt::format("{} costs the same and changes less", to_text(winner.strategy));
}

}  // namespace

std::optional<GuestPlanner::Blocks> GuestPlanner::blocks_of(const DiskDiff& disk) const {
  if (!disk.volume || disk.match != DiskMatch::kInPlace || is_new()) return std::nullopt;
  const ResolvedDisk& wish = desired(disk);
  const Resolved* block = wish.settings.find("volblocksize");
  const auto* size = block != nullptr ? std::get_if<ByteSize>(&block->value) : nullptr;
  if (size == nullptr) return std::nullopt;
  Blocks blocks{.wanted = *size, .size = disk.live_size.value_or(ByteSize{})};
  blocks.here = b_.storages.find(disk.volume->storage);
  blocks.home = disk.move_to ? b_.storages.find(*disk.move_to) : blocks.here;
  if (blocks.here == nullptr || blocks.home == nullptr || !blocks.here->has_zvols() || !blocks.home->has_zvols())
    return std::nullopt;
  blocks.host = b_.storages.host(guest_.node);
  blocks.zvol = b_.storages.zvol(*disk.volume, guest_.node);
  const OptionValue live = live_zvol_value("volblocksize", b_.storages.volume(*disk.volume, guest_.node), blocks.zvol);
  if (const auto* known = std::get_if<ByteSize>(&live)) blocks.live = *known;
  if (blocks.zvol != nullptr && blocks.zvol->bytes("volsize")) blocks.size = *blocks.zvol->bytes("volsize");
  const bool of_class = blocks.home->declared != nullptr && blocks.home->declared->class_of == blocks.here->id;
  const bool differs = blocks.live ? *blocks.live != blocks.wanted : of_class && disk.move_to.has_value();
  // It has the right blocks, and a plain move to where it belongs would take them away.
  const bool would_lose = disk.move_to && blocks.live == blocks.wanted && blocks.home->blocksize != blocks.wanted;
  if ((!differs || block->finding_only) && !would_lose) return std::nullopt;
  // Another storage for reasons of its own: the move makes the zvol anew anyway.
  if (disk.move_to && blocks.home->blocksize == blocks.wanted && !of_class) return std::nullopt;
  return blocks;
}

StrategyOffer GuestPlanner::refused_offer(Strategy strategy, std::string why, std::string remedy) const {
  return {.strategy = strategy, .why = std::move(why), .remedy = std::move(remedy)};
}

std::chrono::seconds GuestPlanner::copy_time(ByteSize bytes) const {
  const std::uint64_t rate = b_.options.copy_rate.bytes_per_second != 0 ? b_.options.copy_rate.bytes_per_second
                                                                        : b_.options.assumed_rate.bytes_per_second;
  return rate == 0 ? std::chrono::seconds{} : std::chrono::seconds((bytes.bytes + rate - 1) / rate);
}

std::optional<PlanBuilder::Refusal> GuestPlanner::unhealthy(const StorageView& storage) const {
  const std::string_view pool = zpool_of(storage.dataset);
  std::string health;
  if (const LiveHost* host = b_.storages.host(guest_.node))
    if (const LiveZpool* found = host->zpool(pool)) health = found->health;
  if (const LiveNode* node = b_.live.node(guest_.node); node != nullptr && health.empty()) {
    const auto at = std::ranges::find(node->zpools, pool, &LivePoolLayout::name);
    if (at != node->zpools.end()) health = at->health;
  }
  if (health.empty() || health == "ONLINE") return std::nullopt;
  return PlanBuilder::Refusal{fmt::format("zpool \"{}\" on {} is {}", pool, guest_.node, health),
                              fmt::format("mend the pool first (on {}: zpool status {})", guest_.node, pool)};
}

std::optional<PlanBuilder::Refusal> GuestPlanner::below_pve_refuses(const DiskDiff& disk, const Blocks& blocks) const {
  if (auto taken = foreign_use(guest_, *disk.volume, b_.storages)) return taken;
  if (blocks.host == nullptr || blocks.zvol == nullptr) {
    const auto asked = std::ranges::find(b_.live.hosts, guest_.node, &LiveHost::node);
    return PlanBuilder::Refusal{asked != b_.live.hosts.end() && !asked->readable
                                    ? fmt::format("node {} cannot be reached: {}", guest_.node, asked->problem)
                                    : std::string("it needs host access (SSH), and there is none"),
                                "state cluster.ssh: {user: …} in the fleet file"};
  }
  const auto replicated =
      std::ranges::any_of(b_.live.replication, [&](const LiveReplication& job) { return job.guest == vm_.vmid; });
  if (replicated)
    return PlanBuilder::Refusal{"the guest is replicated, and its replicas would not fit the new zvol",
                                "remove the replication job and declare it again afterwards"};
  if (ha_)
    if (auto obstacle = ha_obstacle(guest_)) return obstacle;
  if (guest_.is_template || std::ranges::any_of(blocks.host->datasets, [&](const LiveDataset& other) {
        return other.text("origin").starts_with(blocks.zvol->name + "@");
      }))
    return PlanBuilder::Refusal{"other volumes are linked clones of this one",
                                "move those first, which makes them full"};
  return std::nullopt;
}

StrategyOffer GuestPlanner::offer_class_move(const DiskDiff& disk, const Blocks& blocks) {
  constexpr Strategy kThis = Strategy::kClassMove;
  if (blocks.home->blocksize != blocks.wanted) {
    return refused_offer(kThis,
                         fmt::format("the fleet says that the disk belongs on \"{}\", where new zvols get {}",
                                     blocks.home->id, to_text(blocks.home->blocksize)),
                         fmt::format("leave storage: out and give \"{}\" a class with blocksize {}", blocks.home->id,
                                     to_text(blocks.wanted)));
  }
  if (blocks.home == blocks.here)
    return refused_offer(
        kThis, "the disk is on the storage of that block size already, and PVE moves nothing to where it is", "");
  if (std::optional<PlanBuilder::Refusal> refusal = b_.refuses(blocks.home->id, guest_.node))
    return refused_offer(kThis, refusal->why, refusal->remedy);
  if (const std::string why = replication_refuses(disk, *blocks.home); !why.empty())
    return refused_offer(kThis, why, "state replicate: off on the disk, or remove the replication job");
  if (const auto obstacle = allocation_obstacle(guest_, *blocks.home, b_.storages))
    return refused_offer(kThis, obstacle->why, obstacle->remedy);
  if (std::optional<PlanBuilder::Refusal> sick = unhealthy(*blocks.home))
    return refused_offer(kThis, sick->why, sick->remedy);
  const Route way = route(disk, *blocks.home, mode_.running ? std::nullopt : std::optional(Moment::kNow));
  if (!way.moment) return refused_offer(kThis, way.why, way.remedy);
  const ByteSize peak = b_.space.taken(*blocks.home, guest_.node, blocks.size);
  if (const std::optional<std::string> full = b_.space.refuses(*blocks.home, guest_.node, peak))
    return refused_offer(kThis, *full + " (rule Z10)", "make room, or --force-capacity");
  StrategyOffer offer{.strategy = kThis, .possible = true, .needs = "API", .bytes = blocks.size, .peak_extra = peak};
  offer.estimate = copy_time(blocks.size);
  if (!runs_at(*way.moment)) offer.downtime = offer.estimate;
  return offer;
}

const StorageView* GuestPlanner::scratch_for(const DiskDiff& disk, const Blocks& blocks, std::string& why) {
  const StorageView* best = nullptr;
  ByteSize least{};
  why = "no other storage of the node takes disk images";
  for (const auto& [id, view] : b_.storages.all()) {
    if (&view == blocks.here || view.live == nullptr || b_.refuses(id, guest_.node)) continue;
    if (view.has_zvols() && view.dataset == blocks.here->dataset) continue;
    const auto on = view.live->on_node.find(guest_.node);
    if (on == view.live->on_node.end() || !on->second.active) continue;
    DiskDiff there = disk;
    there.move_to = id;
    if (!replication_refuses(there, view).empty()) continue;
    if (allocation_obstacle(guest_, view, b_.storages)) continue;
    // Kept from moving there now, by io_uring for one.
    if (route(there, view, mode_.running ? std::nullopt : std::optional(Moment::kNow)).moment != Moment::kNow) continue;
    const ByteSize taken = b_.space.taken(view, guest_.node, blocks.size);
    if (const std::optional<std::string> full = b_.space.refuses(view, guest_.node, taken)) {
      why = *full + " (rule Z10)";
      continue;
    }
    if (best == nullptr || taken < least) {
      best = &view;
      least = taken;
    }
  }
  return best;
}

StrategyOffer GuestPlanner::offer_out_and_back(const DiskDiff& disk, const Blocks& blocks) {
  constexpr Strategy kThis = Strategy::kOutAndBack;
  if (blocks.home != blocks.here)
    return refused_offer(
        kThis, fmt::format("the disk belongs on \"{}\", not back on \"{}\"", blocks.home->id, blocks.here->id), "");
  if (blocks.here->blocksize != blocks.wanted)
    return refused_offer(
        kThis, fmt::format("new zvols on \"{}\" get {}", blocks.here->id, to_text(blocks.here->blocksize)),
        fmt::format("declare blocksize: {} for storage \"{}\"", to_text(blocks.wanted), blocks.here->id));
  if (desired_text(desired(disk), "storage").empty())
    return refused_offer(kThis,
                         "nothing says where the disk belongs, so nobody would bring it back after an interruption",
                         fmt::format("state storage: {} on the disk", blocks.here->id));
  if (std::optional<PlanBuilder::Refusal> sick = unhealthy(*blocks.here))
    return refused_offer(kThis, sick->why, sick->remedy);
  const Route way = route(disk, *blocks.here, mode_.running ? std::nullopt : std::optional(Moment::kNow));
  if (!way.moment) return refused_offer(kThis, way.why, way.remedy);
  if (way.moment != Moment::kNow)
    return refused_offer(kThis, "the disk cannot be moved now: it has a change that waits for a restart",
                         "restart the guest first, or revert the change");
  if (const auto obstacle = allocation_obstacle(guest_, *blocks.here, b_.storages))
    return refused_offer(kThis, obstacle->why, obstacle->remedy);
  std::string why;
  const StorageView* scratch = scratch_for(disk, blocks, why);
  if (scratch == nullptr)
    return refused_offer(kThis, fmt::format("there is no scratch storage for {}: {}", to_human(blocks.size), why),
                         "make room on another storage of the node, or add one");
  const ByteSize peak = b_.space.taken(*blocks.here, guest_.node, blocks.size);
  if (const std::optional<std::string> full = b_.space.refuses(*blocks.here, guest_.node, peak))
    return refused_offer(kThis, *full + " (rule Z10)", "make room, or --force-capacity");
  StrategyOffer offer{.strategy = kThis,
                      .possible = true,
                      .needs = fmt::format("API, scratch storage \"{}\"", scratch->id),
                      .bytes = blocks.size + blocks.size,
                      .peak_extra = peak + b_.space.taken(*scratch, guest_.node, blocks.size)};
  offer.estimate = copy_time(offer.bytes);
  if (!mode_.running) offer.downtime = offer.estimate;
  return offer;
}

const StorageView* GuestPlanner::staging_for(const Blocks& blocks) const {
  for (const auto& [id, view] : b_.storages.all()) {
    if (&view == blocks.home || !view.has_zvols() || view.blocksize != blocks.wanted) continue;
    if (zpool_of(view.dataset) != zpool_of(blocks.home->dataset) || view.dataset == blocks.home->dataset) continue;
    if (!b_.refuses(id, guest_.node)) return &view;
  }
  return nullptr;
}

StrategyOffer GuestPlanner::offer_swap(const DiskDiff& disk, const Blocks& blocks) {
  constexpr Strategy kThis = Strategy::kSwap;
  const bool staged = blocks.live == blocks.wanted && blocks.here != blocks.home;
  if (std::optional<PlanBuilder::Refusal> refusal = below_pve_refuses(disk, blocks))
    return refused_offer(kThis, refusal->why, refusal->remedy);
  if (std::optional<PlanBuilder::Refusal> waits = waits_for_start(disk))
    return refused_offer(kThis, waits->why, waits->remedy);
  // A class is where the disk belongs then; renaming it back would only be undone.
  const StorageView* home = blocks.home;
  if (!staged && home->declared != nullptr && !home->declared->class_of.empty()) home = blocks.here;
  if (zpool_of(home->dataset) != zpool_of(blocks.here->dataset) && staged)
    return refused_offer(kThis, "the volume is on another zpool, and a zvol is renamed within one only", "");
  Blocks own = blocks;
  own.home = home;
  const StorageView* staging = staged ? blocks.here : staging_for(own);
  if (staging == nullptr) {
    return refused_offer(
        kThis,
        fmt::format("no other storage on zpool \"{}\" makes zvols of {}", zpool_of(home->dataset),
                    to_text(blocks.wanted)),
        fmt::format("give storage \"{}\" a class with blocksize {}", home->id, to_text(blocks.wanted)));
  }
  if (protected_)
    return refused_offer(kThis, "the guest is protected, and an entry of its configuration must go",
                         "state protection: off first");
  if (guest_.has_snapshots())
    return refused_offer(kThis, "the guest has snapshots, which name the volume where it lies now",
                         fmt::format("qm listsnapshot {0}, then qm delsnapshot {0} NAME for each", vm_.vmid.number));
  if (std::optional<PlanBuilder::Refusal> sick = unhealthy(*home)) return refused_offer(kThis, sick->why, sick->remedy);
  if (mode_.running && !allow_.restart && !stops_)
    return refused_offer(kThis, "the guest must be stopped for the rename", way_out("--allow restart"));
  StrategyOffer offer{
      .strategy = kThis, .possible = true, .needs = fmt::format("API, host access, storage \"{}\"", staging->id)};
  if (!staged) {
    DiskDiff there = disk;
    there.move_to = staging->id;
    if (const std::string why = replication_refuses(there, *staging); !why.empty())
      return refused_offer(kThis, why, "remove the replication job");
    if (const auto obstacle = allocation_obstacle(guest_, *staging, b_.storages))
      return refused_offer(kThis, obstacle->why, obstacle->remedy);
    const Route way = route(there, *staging, mode_.running ? std::nullopt : std::optional(Moment::kNow));
    if (!way.moment) return refused_offer(kThis, way.why, way.remedy);
    if (way.moment != Moment::kNow)
      return refused_offer(kThis, "the disk cannot be moved now: it has a change that waits for a restart",
                           "restart the guest first, or revert the change");
    offer.bytes = blocks.size;
    offer.peak_extra = b_.space.taken(*staging, guest_.node, blocks.size);
    if (const std::optional<std::string> full = b_.space.refuses(*staging, guest_.node, offer.peak_extra))
      return refused_offer(kThis, *full + " (rule Z10)", "make room, or --force-capacity");
    offer.estimate = copy_time(offer.bytes);
  }
  if (mode_.running) offer.downtime = kRenameDowntime;
  if (!mode_.running && !staged) offer.downtime = offer.estimate;
  return offer;
}

StrategyOffer GuestPlanner::offer_in_place(const DiskDiff& disk, const Blocks& blocks) {
  constexpr Strategy kThis = Strategy::kInPlace;
  if (std::optional<PlanBuilder::Refusal> refusal = below_pve_refuses(disk, blocks))
    return refused_offer(kThis, refusal->why, refusal->remedy);
  const bool of_class = blocks.home->declared != nullptr && blocks.home->declared->class_of == blocks.here->id;
  if (blocks.home != blocks.here && !of_class)
    return refused_offer(kThis, fmt::format("the disk belongs on \"{}\"", blocks.home->id), "");
  if (blocks.zvol->text("encryptionroot") == blocks.zvol->name)
    return refused_offer(kThis, "the zvol has an encryption key of its own, which a new one would not have",
                         "move the disk to a storage on an encrypted dataset");
  if (is_clone(*blocks.zvol))
    return refused_offer(kThis, "the zvol is a linked clone", "move the disk, which makes it a full one");
  const ResolvedDisk& wish = desired(disk);
  if (const std::vector<std::string> snapshots = own_snapshots(*blocks.zvol); !snapshots.empty()) {
    if (wish.snapshots == "refuse")
      return refused_offer(kThis,
                           fmt::format("the zvol has {} snapshot{} (\"{}\")", snapshots.size(),
                                       snapshots.size() == 1 ? "" : "s", snapshots.front()),
                           "state snapshots: keep (or drop) on the disk");
    if (wish.snapshots == "drop" && guest_.has_snapshots())
      return refused_offer(kThis, "PVE's own snapshots of the guest need those of the zvol",
                           fmt::format("qm delsnapshot {} NAME for each, or snapshots: keep", vm_.vmid.number));
  }
  if (std::optional<PlanBuilder::Refusal> waits = waits_for_start(disk))
    return refused_offer(kThis, waits->why, waits->remedy);
  const LiveDrive* drive = guest_.drive(*disk.live_slot);
  if (drive != nullptr &&
      (drive->pending_delete || (drive->pending && drive->pending->volume != drive->current->volume)))
    return refused_offer(kThis, "the slot has another volume pending", "restart the guest first, or revert the change");
  if (std::optional<PlanBuilder::Refusal> sick = unhealthy(*blocks.here))
    return refused_offer(kThis, sick->why, sick->remedy);
  if (!blocks.host->tools.empty() && std::ranges::find(blocks.host->tools, "perl") == blocks.host->tools.end())
    return refused_offer(kThis, fmt::format("node {} lacks perl, which the copy needs", guest_.node),
                         "apt install perl");
  if (!allow_.offline_copy)
    return refused_offer(kThis, "the guest would be stopped while the disk is copied", way_out("--allow offline-copy"));
  const StorageView as_wanted = with_blocks(*blocks.here, blocks.wanted);
  const ByteSize peak = b_.space.taken(as_wanted, guest_.node, blocks.size.padded_to(blocks.wanted));
  if (const std::optional<std::string> full = b_.space.refuses(*blocks.here, guest_.node, peak))
    return refused_offer(kThis, *full + " (rule Z10)", "make room, or --force-capacity");
  // Only what is allocated is read, and read twice: to copy and to compare.
  const ByteSize bytes = std::min(blocks.zvol->bytes("referenced").value_or(blocks.size), blocks.size);
  StrategyOffer offer{.strategy = kThis, .possible = true, .needs = "host access", .bytes = bytes, .peak_extra = peak};
  offer.estimate = copy_time(bytes + bytes);
  offer.downtime = offer.estimate;
  return offer;
}

GuestPlanner::Choice GuestPlanner::choose_strategy(const DiskDiff& disk) {
  const std::optional<Blocks> blocks = blocks_of(disk);
  if (!blocks) return Choice::kNone;
  StrategyChoice choice{
      .address = address(disk),
      .what = fmt::format("give {} volblocksize {}", to_text(disk.desired_slot), to_text(blocks->wanted))};
  choice.offers = {offer_class_move(disk, *blocks), offer_out_and_back(disk, *blocks), offer_swap(disk, *blocks),
                   offer_in_place(disk, *blocks)};
  // A copy that was begun is gone on with: the guest is stopped for it already.
  const bool begun = disk.unfinished == Unfinished::kHeld && choice.offers[3].possible;
  StrategyOffer* best = nullptr;
  for (StrategyOffer& offer : choice.offers) {
    if (!offer.possible || (begun && offer.strategy != Strategy::kInPlace)) continue;
    const auto price = [](const StrategyOffer& o) {
      return std::tuple(o.downtime.count() > 0, o.bytes, o.peak_extra, o.strategy);
    };
    if (best == nullptr || price(offer) < price(*best)) best = &offer;
  }
  if (best != nullptr) {
    best->chosen = true;
    best->why = begun ? "goes on with the copy that was begun" : "the cheapest that is possible and allowed";
    for (StrategyOffer& offer : choice.offers) {
      if (!offer.possible || offer.chosen) continue;
      offer.why = begun ? "a copy in place was begun" : gone_words(*best, offer);
    }
  }
  const std::optional<StrategyOffer> chosen = best != nullptr ? std::optional(*best) : std::nullopt;
  if (!chosen) {
    std::string why;
    std::vector<std::string> remedies;
    for (const StrategyOffer& offer : choice.offers) {
      why += fmt::format("{}{}: {}", why.empty() ? "" : "; ", to_text(offer.strategy), offer.why);
      if (!offer.remedy.empty() && std::ranges::find(remedies, offer.remedy) == remedies.end())
        remedies.push_back(offer.remedy);
    }
    // What only has to be allowed comes first.
    std::stable_partition(remedies.begin(), remedies.end(),
                          [](const std::string& text) { return text.starts_with("--allow"); });
    b_.block(choice.address, choice.what, why, fmt::format("{}", fmt::join(remedies, "; or ")));
    b_.plan.choices.push_back(std::move(choice));
    return Choice::kRefused;  // the other settings of the disk are none of this
  }
  if (std::optional<PlanBuilder::Refusal> refusal = backup_refuses()) {
    b_.block(choice.address, choice.what, refusal->why, refusal->remedy);
    b_.plan.choices.push_back(std::move(choice));
    return Choice::kRefused;
  }
  b_.plan.choices.push_back(std::move(choice));
  if (chosen->strategy == Strategy::kClassMove) return Choice::kNone;
  if (disk.unfinished == Unfinished::kHeld && chosen->strategy != Strategy::kInPlace) go_on(disk);
  carry_out_strategy(disk, *blocks, chosen->strategy, *chosen);
  return Choice::kPlanned;
}

void GuestPlanner::carry_out_strategy(const DiskDiff& disk, const Blocks& blocks, Strategy strategy,
                                      const StrategyOffer& offer) {
  const DriveSlot slot = *disk.live_slot;
  const Moment stopped = mode_.running ? Moment::kWhileStopped : Moment::kNow;
  const auto line = [&](Impact impact) {
    const Resolved& wish = *desired(disk).settings.find("volblocksize");
    SettingChange change{.key = "volblocksize", .state = SettingState::kDiffers, .desired = wish};
    if (blocks.live) change.configured = *blocks.live;
    PlannedChange out = b_.line(change, Home::kZvolProperty, impact);
    out.reason += fmt::format("{}strategy: {}", out.reason.empty() ? "" : "; ", to_text(strategy));
    return out;
  };
  const auto move = [&](const VolumeId& from, const StorageView& to, Impact impact) {
    Operation op = disk_operation(disk, MoveDisk{.vmid = vm_.vmid,
                                                 .slot = slot,
                                                 .volume = from,
                                                 .storage = to.id,
                                                 .bandwidth = b_.options.copy_rate,
                                                 // A volume of this plan's own making, on its way to somewhere else.
                                                 .remove_source = from.name.empty()});
    op.impact = impact;
    op.after = b_.before_storage(to.id);
    op.locks = {"storage/" + to.id, "copy/" + guest_.node};
    op.copy = b_.copy_cost(to, guest_.node, blocks.size, !mode_.running);
    static_cast<void>(b_.space.reserve(to, guest_.node, op.copy->peak_extra));
    PlannedChange change = line(impact);
    change.to += fmt::format(" (by way of \"{}\")", to.id);
    if (to.blocksize == blocks.wanted) change.to = fmt::format("{} on \"{}\"", to_text(blocks.wanted), to.id);
    op.changes.push_back(std::move(change));
    put(Moment::kNow, std::move(op), {slot});
  };
  const Impact copying = mode_.running ? Impact::kOnlineCopy : Impact::kOfflineCopy;
  DiskDiff rest = disk;
  std::erase_if(rest.settings, [](const SettingChange& change) {
    return change.key == "volblocksize" || change.key == "storage" || change.key == "provisioning";
  });
  Moment then = Moment::kNow;
  if (strategy == Strategy::kOutAndBack) {
    std::string why;
    const StorageView* scratch = scratch_for(disk, blocks, why);
    move(*disk.volume, *scratch, copying);
    retire_after_move(disk, slot, *disk.volume, Moment::kNow);
    move({.storage = scratch->id}, *blocks.here, copying);
    rest.volume = VolumeId{.storage = blocks.here->id};
  } else if (strategy == Strategy::kSwap) {
    const bool staged = blocks.live == blocks.wanted && blocks.here != blocks.home;
    Blocks own = blocks;
    if (!staged && own.home->declared != nullptr && !own.home->declared->class_of.empty()) own.home = own.here;
    const StorageView* staging = staged ? blocks.here : staging_for(own);
    if (!staged) {
      move(*disk.volume, *staging, copying);
      retire_after_move(disk, slot, *disk.volume, Moment::kNow);
    }
    SwapZvol swap{.vmid = vm_.vmid,
                  .slot = slot,
                  .volume = staged ? *disk.volume : VolumeId{.storage = staging->id},
                  .storage = own.home->id,
                  .node = guest_.node,
                  .from = staging->dataset,
                  .to = own.home->dataset};
    Operation op = disk_operation(disk, std::move(swap));
    op.impact = mode_.running ? Impact::kRestart : Impact::kNone;
    op.locks = {"storage/" + own.home->id, "storage/" + staging->id};
    PlannedChange change = line(op.impact);
    change.from = fmt::format("on \"{}\"", staging->id);
    change.to = fmt::format("{} on \"{}\"", to_text(blocks.wanted), own.home->id);
    op.changes.push_back(std::move(change));
    put(stopped, std::move(op), {slot});
    rest.volume = VolumeId{.storage = own.home->id};
    then = stopped;
  } else {
    const Resolved* provisioning = desired(disk).settings.find("provisioning");
    const bool thick = provisioning != nullptr ? provisioning->value == OptionValue(std::string("thick"))
                                               : blocks.zvol->bytes("refreservation").value_or(ByteSize{}).bytes != 0;
    RecreateZvol again{.vmid = vm_.vmid,
                       .slot = slot,
                       .volume = *disk.volume,
                       .node = guest_.node,
                       .dataset = blocks.zvol->name,
                       .guid = std::string(blocks.zvol->text("guid")),
                       .volblocksize = blocks.wanted,
                       .thick = thick,
                       .snapshots = desired(disk).snapshots,
                       .bandwidth = b_.options.copy_rate};
    // What was set on this very zvol, and what the fleet states, is set on the new one.
    for (const std::string& key : blocks.zvol->own)
      if (goes_along(key)) again.properties.set(key, std::string(blocks.zvol->text(key)));
    for (const std::string_view key : {"compression", "sync", "logbias", "primarycache"}) {
      const Resolved* wish = desired(disk).settings.find(key);
      const auto* word = wish != nullptr && !wish->finding_only ? std::get_if<std::string>(&wish->value) : nullptr;
      if (word != nullptr && !std::holds_alternative<FromRule>(wish->origin)) again.properties.set(key, *word);
    }
    std::erase_if(rest.settings, [&](const SettingChange& change) { return again.properties.contains(change.key); });
    Operation op = disk_operation(disk, std::move(again));
    op.impact = Impact::kOfflineCopy;
    op.locks = {"storage/" + blocks.here->id, "copy/" + guest_.node};
    op.copy = CopyCost{.bytes = offer.bytes,
                       .target_storage = blocks.here->id,
                       .target_node = guest_.node,
                       .peak_extra = offer.peak_extra,
                       .estimate = offer.estimate,
                       .downtime = offer.downtime};
    static_cast<void>(b_.space.reserve(*blocks.here, guest_.node, offer.peak_extra));
    op.changes.push_back(line(op.impact));
    put(stopped, std::move(op), {slot});
    then = stopped;
  }
  carry_out(rest, slot, then, {}, drive_changes(rest, false), false);
}

void GuestPlanner::go_on(const DiskDiff& disk) {
  const StorageView* storage = b_.storages.find(disk.volume->storage);
  const LiveHost* host = b_.storages.host(guest_.node);
  if (storage == nullptr || host == nullptr) return;
  const std::string name = fmt::format("{}/{}", storage->dataset, disk.volume->name);
  const LiveDataset* zvol = host->dataset(name);
  if (ha_ && disk.unfinished != Unfinished::kHeld && ha_obstacle(guest_)) {
    b_.block(
        address(disk), "end an interrupted exchange of zvols",
        "HA has given the guest up (service state \"error\") and may start it when that is taken back",
        fmt::format("ha-manager set vm:{0} --state disabled; plan and apply; ha-manager set vm:{0} --state started",
                    vm_.vmid.number),
        false);
    return;
  }
  Operation op{.address = address(disk)};
  std::string what;
  std::string reason;
  if (disk.unfinished == Unfinished::kExchange) {
    const LiveDataset* made = zvol != nullptr ? zvol : host->dataset(work_zvol(name));
    if (made == nullptr) return;
    RecreateZvol again{.vmid = vm_.vmid,
                       .slot = disk.desired_slot,
                       .volume = *disk.volume,
                       .node = guest_.node,
                       .dataset = name,
                       .guid = std::string(mark_of(*made, mark::kReplaces)),
                       .volblocksize = made->bytes("volblocksize").value_or(ByteSize{}),
                       .snapshots = desired(disk).snapshots};
    const auto old = std::ranges::find(host->datasets, again.guid, [](const LiveDataset& d) { return d.text("guid"); });
    again.thick = old != host->datasets.end() && old->bytes("refreservation").value_or(ByteSize{}).bytes != 0;
    op.procedure = std::move(again);
    op.locks = {"copy/" + guest_.node};
    what = "the verified copy in its place";
    reason = "An exchange of zvols was interrupted.";
  } else if (disk.unfinished == Unfinished::kSwap) {
    SwapZvol swap{.vmid = vm_.vmid, .slot = disk.desired_slot, .node = guest_.node};
    std::string staged = to_text(*disk.volume);
    if (zvol != nullptr) {
      staged = mark_of(*zvol, mark::kSwapFrom);
      swap.storage = disk.volume->storage;
      swap.to = storage->dataset;
    } else {
      const auto at =
          std::ranges::find(host->datasets, staged, [](const LiveDataset& d) { return mark_of(d, mark::kSwapFrom); });
      if (at == host->datasets.end()) return;
      swap.to = parent_dataset(at->name);
      for (const auto& [id, view] : b_.storages.all())
        if (view.has_zvols() && view.dataset == swap.to && view.on_node(guest_.node)) swap.storage = id;
    }
    const auto colon = staged.find(':');
    swap.volume = {.storage = staged.substr(0, colon), .name = staged.substr(colon + 1)};
    const StorageView* from = b_.storages.find(swap.volume.storage);
    if (from == nullptr || swap.storage.empty()) {
      b_.block(address(disk), "end an interrupted swap", fmt::format("the storage of {} is not there any more", staged),
               "declare it again");
      return;
    }
    swap.from = from->dataset;
    op.locks = {"storage/" + swap.storage};
    what = fmt::format("on \"{}\"", swap.storage);
    op.procedure = std::move(swap);
    reason = "A swap was interrupted.";
  } else {
    FlatMap<std::string> set;
    set.set("readonly", "");
    op.procedure = SetZvolProperties{.vmid = vm_.vmid,
                                     .slot = disk.desired_slot,
                                     .volume = *disk.volume,
                                     .node = guest_.node,
                                     .dataset = name,
                                     .set = set};
    what = "writable again";
    reason = "A copy that was interrupted held it, and the plan does not go on with it.";
    b_.note({.severity = Severity::kNotice,
             .where = address(disk),
             .what = fmt::format("An interrupted copy left {} on {}; a later one starts anew.", work_zvol(name),
                                 guest_.node),
             .fix = fmt::format("To give it up for good, on {}: zfs destroy {}", guest_.node, work_zvol(name))});
  }
  op.changes.push_back(
      {.key = "volume", .from = to_text(*disk.volume), .to = std::move(what), .reason = std::move(reason)});
  put(Moment::kNow, std::move(op), {disk.desired_slot});
}

void GuestPlanner::zvol_properties(const DiskDiff& disk, DriveSlot slot, const VolumeId& volume, Moment moment) {
  SetZvolProperties set{.vmid = vm_.vmid, .slot = slot, .volume = volume, .node = guest_.node};
  Operation op{.address = address(disk), .impact = mode_.running ? Impact::kLive : Impact::kNone};
  const StorageView* storage = b_.storages.find(volume.storage);
  const LiveHost* host = b_.storages.host(guest_.node);
  if (storage == nullptr || !storage->has_zvols()) return;
  const auto add = [&](const SettingChange& change) {
    const auto* word = std::get_if<std::string>(&change.desired.value);
    if (word == nullptr) return;
    if (change.key == "provisioning")
      set.set.set("refreservation", *word == "thick" ? "auto" : "none");
    else
      set.set.set(change.key, *word);
    PlannedChange line = b_.line(change, Home::kZvolProperty, op.impact);
    if (change.key == "compression") line.to += " (new blocks only)";
    op.changes.push_back(std::move(line));
  };
  if (!volume.name.empty()) {
    for (const SettingChange& change : disk.settings)
      if (is_change(change) && change.key != "volblocksize" && find_setting(Home::kZvolProperty, change.key) != nullptr)
        add(change);
  } else if (host != nullptr) {
    // A zvol that an earlier operation makes inherits from its parent.
    const LiveDataset* parent = host->dataset(storage->dataset);
    for (const auto& [key, wish] : desired(disk).settings) {
      if (key == "volblocksize" || find_setting(Home::kZvolProperty, key) == nullptr || wish.finding_only) continue;
      if (!std::holds_alternative<FromDocument>(wish.origin)) continue;
      OptionValue comes = key == "provisioning" ? OptionValue(std::string(storage->sparse ? "thin" : "thick"))
                                                : live_zvol_value(key, nullptr, parent);
      if (parent == nullptr && key != "provisioning") comes = {};
      if (same_zvol_value(key, comes, wish.value)) continue;
      add({.key = key, .state = SettingState::kDiffers, .configured = comes, .desired = wish});
    }
  }
  if (op.changes.empty()) return;
  op.procedure = std::move(set);
  put(moment, std::move(op), {slot});
}

void GuestPlanner::retire_after_move(const DiskDiff& disk, DriveSlot slot, const VolumeId& old, Moment moment) {
  const LiveDataset* zvol = b_.storages.zvol(old, guest_.node);
  if (zvol == nullptr) return;
  Operation op = disk_operation(disk, RetireVolume{.vmid = vm_.vmid,
                                                   .slot = slot,
                                                   .volume = old,
                                                   .node = guest_.node,
                                                   .dataset = zvol->name,
                                                   .guid = std::string(zvol->text("guid"))});
  op.changes.push_back({.key = "volume",
                        .from = to_text(old),
                        .to = "retired",
                        .reason = "The move leaves it behind; it is kept until its retention is over."});
  put(moment, std::move(op), {slot});
}

std::optional<PlanBuilder::Refusal> GuestPlanner::backup_refuses() {
  if (!vm_.require_backup) return std::nullopt;
  const bool take = *vm_.require_backup == "take";
  std::chrono::seconds age{0};
  if (!take) {
    long number = 0;
    const std::string& text = *vm_.require_backup;
    std::from_chars(text.data(), text.data() + text.size() - 1, number);
    const char unit = text.back();
    const long factor = unit == 's' ? 1 : unit == 'm' ? 60 : unit == 'h' ? 3600 : unit == 'd' ? 86400 : 604800;
    age = std::chrono::seconds(number * factor);
  }
  const auto now = std::chrono::floor<std::chrono::seconds>(b_.options.now).time_since_epoch();
  std::optional<std::int64_t> newest;
  for (const LiveVolume* volume : b_.storages.owned_by(vm_.vmid))
    if (volume->content == "backup" && volume->made && (!newest || *volume->made > *newest)) newest = volume->made;
  if (!take && newest && now - std::chrono::seconds(*newest) <= age) return std::nullopt;
  std::string storage;
  for (const LiveStorage& one : b_.live.storages) {
    const std::string* content = one.properties.find("content");
    const auto on = one.on_node.find(guest_.node);
    if (storage.empty() && content != nullptr && content->find("backup") != std::string::npos &&
        on != one.on_node.end() && on->second.active)
      storage = one.id;
  }
  if (storage.empty())
    return PlanBuilder::Refusal{
        "the fleet requires a backup first, and no storage of the node that takes backups could be read",
        fmt::format("name one in the fleet: storages: {{ID: {{manage: false}}}}")};
  if (!take) {
    return PlanBuilder::Refusal{
        newest
            ? fmt::format("the fleet requires a backup not older than {}, the newest is {} h old", *vm_.require_backup,
                          std::chrono::duration_cast<std::chrono::hours>(now - std::chrono::seconds(*newest)).count())
            : fmt::format("the fleet requires a backup not older than {}, and there is none", *vm_.require_backup),
        fmt::format("on {}: vzdump {} --storage {} --mode snapshot; or require_backup: take", guest_.node,
                    vm_.vmid.number, storage)};
  }
  if (!backup_) {
    Operation op{.address = diff_.address, .procedure = BackUpVm{.vmid = vm_.vmid, .storage = storage}};
    op.locks = {"storage/" + storage};
    op.changes.push_back({.key = "backup",
                          .from = newest ? "an older one" : "none",
                          .to = fmt::format("a new one on {}", storage),
                          .rule = "T5",
                          .reason = "require_backup: take"});
    backup_ = Planned{.operation = std::move(op)};
  }
  return std::nullopt;
}

}  // namespace pvr
