#include "reconciler/execute/lease.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

namespace pvr {
namespace {

constexpr std::string_view kFormat = "pvereconcile.lease";

std::int64_t seconds_of(std::chrono::sys_seconds time) { return time.time_since_epoch().count(); }

std::string utc(std::chrono::sys_seconds time) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::chrono::system_clock::to_time_t(time)));
}

}  // namespace

std::string print_lease(const LeaseRecord& record) {
  nlohmann::json json = {{"format", kFormat},
                         {"version", 1},
                         {"holder", record.holder},
                         {"nonce", record.nonce},
                         {"taken", seconds_of(record.taken)},
                         {"expires", seconds_of(record.expires)}};
  if (!record.restarting.empty()) json["restarting"] = record.restarting;
  if (record.released) json["released"] = true;
  if (!record.process.empty()) json["process"] = record.process;
  return json.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

Result<LeaseRecord> parse_lease(std::string_view text) {
  const auto malformed = [] {
    return Error{.kind = ErrorKind::kMalformed, .message = "the lease pool's comment is not a lease record"};
  };
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return malformed();
  try {
    if (json.value("format", std::string()) != kFormat) return malformed();
    LeaseRecord record;
    record.holder = json.at("holder").get<std::string>();
    record.nonce = json.at("nonce").get<std::string>();
    record.taken = std::chrono::sys_seconds(std::chrono::seconds(json.at("taken").get<std::int64_t>()));
    record.expires = std::chrono::sys_seconds(std::chrono::seconds(json.at("expires").get<std::int64_t>()));
    record.restarting = json.value("restarting", std::set<std::uint32_t>());
    record.released = json.value("released", false);
    record.process = json.value("process", std::string());
    return record;
  } catch (const nlohmann::json::exception&) {
    return malformed();
  }
}

std::string describe_lease(const LeaseRecord& record, std::chrono::system_clock::time_point now) {
  if (record.released) return "held by nobody; a restart is unfinished";
  const auto age = std::chrono::floor<std::chrono::minutes>(now - record.taken);
  if (record.expires == std::chrono::sys_seconds::max())
    return fmt::format("held by {}, without an end", record.holder);
  return fmt::format("held by {} since {} ({} min), until {}", record.holder, utc(record.taken), age.count(),
                     utc(record.expires));
}

LeaseClaim judge_lease(const LeaseRecord& record, std::string_view my_nonce, std::chrono::sys_seconds now) {
  if (!record.released && record.nonce == my_nonce) return LeaseClaim::kMine;
  if (record.released) return LeaseClaim::kFree;
  // Subtract instead of add: `expires` may be the end of time.
  return record.expires < now - kClockSkew ? LeaseClaim::kFree : LeaseClaim::kHeld;
}

Result<std::optional<LeaseRecord>> read_lease(PveReader& pve) {
  auto pools = pve.pools();
  if (!pools) return std::move(pools).error().during("reading the lease");
  const auto at = pools->find(std::string(kLeasePool));
  if (at == pools->end()) return std::optional<LeaseRecord>();
  auto record = parse_lease(at->second);
  if (record) return std::optional(*record);
  // Somebody made this pool by hand, or wrote over the comment: respected, and broken only on purpose.
  return std::optional(
      LeaseRecord{.holder = fmt::format("somebody unknown (the comment of pool {} is not ours)", kLeasePool),
                  .nonce = {},
                  .taken = {},
                  .expires = std::chrono::sys_seconds::max()});
}

Lease::Lease(PveApi& pve, Clock& clock, LeaseOptions options)
    : pve_(pve), clock_(clock), options_(std::move(options)), began_(clock.wall()), began_at_(clock.steady()) {}

std::chrono::sys_seconds Lease::now() const {
  const std::chrono::system_clock::time_point counted =
      began_ + std::chrono::duration_cast<std::chrono::system_clock::duration>(clock_.steady() - began_at_);
  return std::chrono::floor<std::chrono::seconds>(std::max(clock_.wall(), counted));
}

LeaseRecord Lease::fresh_record() const {
  return {.holder = options_.holder,
          .nonce = options_.nonce,
          .taken = now(),
          .expires = now() + options_.lifetime,
          .restarting = {},
          .released = false,
          .process = options_.process};
}

Error Lease::lost(const std::string& why) const {
  return {.kind = ErrorKind::kLeaseLost, .message = "The lease of this cluster is not ours: " + why + "."};
}

Result<std::unique_ptr<Lease>> Lease::acquire(PveApi& pve, Clock& clock, LeaseOptions options) {
  std::unique_ptr<Lease> lease(new Lease(pve, clock, std::move(options)));
  lease->record_ = lease->fresh_record();
  const Status created = pve.create_pool(std::string(kLeasePool), print_lease(lease->record_));
  if (!created && created.error().kind == ErrorKind::kForbidden) {
    Error error = created.error();
    error.message += fmt::format(
        "\nThe lease is a pool: grant Pool.Allocate on /pool/{}, or give it up with --no-lease.", kLeasePool);
    return std::move(error).during("taking the lease");
  }
  // Created or not, the answer may have been lost, and "exists already" is only a text: what counts is whose nonce is
  // there.
  auto seen = read_lease(pve);
  if (!seen) return std::move(seen).error();
  if (!seen->has_value()) {
    if (!created) return Error(created.error()).during("taking the lease");
    return lease->lost("somebody removed it at once");
  }
  const LeaseRecord& record = **seen;
  const LeaseClaim claim = judge_lease(record, lease->options_.nonce, lease->now());
  if (claim == LeaseClaim::kMine) return lease;
  // Killed on this machine: it renews nothing and gives nothing back. A request of its that is still on its way has the
  // settling time to arrive, and its notes of restarts stay as long as its lease would have lasted.
  const auto& has_ended = lease->options_.has_ended;
  const bool dead = has_ended && !record.process.empty() && has_ended(record.process);
  if (claim == LeaseClaim::kHeld && !dead && !lease->options_.break_existing)
    return lease->lost(describe_lease(record, clock.wall()) +
                       ". Wait for it, or break it with --break-lease when that run is known to be dead");
  const Status taken = lease->take_over(record);
  if (!taken) return Error(taken.error());
  return lease;
}

Status Lease::take_over(const LeaseRecord& from) {
  record_ = fresh_record();
  record_.restarting = from.restarting;
  if (!from.restarting.empty()) {
    inherited_ = from.restarting;
    inherited_until_ = from.released ? from.expires : from.expires + kClockSkew;
  }
  // PVE offers no compare-and-set for a pool. Everybody who finds the lease free writes and then waits longer than a
  // request takes: the last writer is the one whose nonce is still there.
  const Status written = pve_.update_pool(std::string(kLeasePool), print_lease(record_));
  if (!written && written.error().effect == Effect::kNone)
    return Error(written.error()).during("taking over the lease");
  clock_.wait(options_.settle, {});
  return check_locked();
}

Status Lease::check_locked() {
  if (gone_) return lost("it was lost before");
  auto seen = read_lease(pve_);
  if (!seen) {
    // Not being able to ask is no loss yet, but nobody may act on a lease that ran out.
    if (now() < record_.expires) return std::move(seen).error();
    gone_ = true;
    return lost("it ran out while the cluster could not be asked");
  }
  if (!seen->has_value()) {
    gone_ = true;
    return lost("somebody removed it");
  }
  if (judge_lease(**seen, options_.nonce, now()) != LeaseClaim::kMine) {
    gone_ = true;
    return lost(describe_lease(**seen, clock_.wall()));
  }
  return Done{};
}

Status Lease::check() {
  const std::scoped_lock lock(mutex_);
  if (!gone_ && record_.expires - now() <= options_.lifetime * 2 / 3) return write_locked();
  return check_locked();
}

bool Lease::is_lost() {
  const Status mine = check();
  return !mine && mine.error().kind == ErrorKind::kLeaseLost;
}

Status Lease::write_locked() {
  const Status mine = check_locked();
  if (!mine) return mine;
  if (now() >= record_.expires) {
    // A newcomer may be about to take it: writing now could take it back from under them.
    gone_ = true;
    return lost("it ran out before it was renewed");
  }
  LeaseRecord next = record_;
  next.expires = now() + options_.lifetime;
  const Status written = pve_.update_pool(std::string(kLeasePool), print_lease(next));
  if (!written) {
    auto seen = read_lease(pve_);
    const bool landed = seen && seen->has_value() && **seen == next;
    if (!landed) return Error(written.error()).during("renewing the lease");
  }
  record_ = std::move(next);
  return Done{};
}

Status Lease::keep() {
  const std::scoped_lock lock(mutex_);
  if (gone_) return lost("it was lost before");
  if (record_.expires - now() > options_.lifetime * 2 / 3) return Done{};
  const Status renewed = write_locked();
  if (!renewed && renewed.error().kind != ErrorKind::kLeaseLost && now() < record_.expires) return Done{};
  return renewed;
}

Status Lease::note_restart(Vmid vmid) {
  const std::scoped_lock lock(mutex_);
  const bool added = record_.restarting.insert(vmid.number).second;
  Status written = write_locked();
  // Not written: nobody would know. The guest must not be stopped.
  if (!written && added) record_.restarting.erase(vmid.number);
  return written;
}

Status Lease::forget_restart(Vmid vmid) {
  const std::scoped_lock lock(mutex_);
  if (inherited_.contains(vmid.number) && now() < inherited_until_) return Done{};
  if (record_.restarting.erase(vmid.number) == 0) return Done{};
  return write_locked();
}

std::set<std::uint32_t> Lease::restarting() const {
  const std::scoped_lock lock(mutex_);
  return record_.restarting;
}

Status Lease::release() {
  const std::scoped_lock lock(mutex_);
  const Status mine = check_locked();
  if (!mine) return mine;
  gone_ = true;
  if (!record_.restarting.empty()) {
    record_.released = true;
    record_.expires = std::max(now(), inherited_until_);
    return pve_.update_pool(std::string(kLeasePool), print_lease(record_));
  }
  const Status deleted = pve_.delete_pool(std::string(kLeasePool));
  if (!deleted && deleted.error().effect == Effect::kPossible) {
    auto seen = read_lease(pve_);
    if (seen && !seen->has_value()) return Done{};
  }
  return deleted;
}

}  // namespace pvr
