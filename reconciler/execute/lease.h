#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "reconciler/base/result.h"
#include "reconciler/ports/clock.h"
#include "reconciler/ports/pve_api.h"

namespace pvr {

/// The pool whose existence is the lease: creating a pool fails when it exists, so two writers that share nothing but
/// the cluster cannot both get it. Its comment says who holds it.
inline constexpr std::string_view kLeasePool = "pvereconcile-lease";

/// What the comment of the lease pool holds.
struct LeaseRecord {
  std::string holder = {};  // "ci@runner7, pid 4711"
  std::string nonce = {};   // tells this holder from any other
  std::chrono::sys_seconds taken = {};
  std::chrono::sys_seconds expires = {};
  /// Guests that a restart has stopped and not started yet. Outlives the run: whoever comes next starts them again.
  std::set<std::uint32_t> restarting = {};
  bool released = false;     // nobody holds it; kept only because of `restarting`, which is not to be dropped before
                             // `expires`
  std::string process = {};  // mark of the holder's process, by which others on its machine see that it ended
  friend bool operator==(const LeaseRecord&, const LeaseRecord&) = default;
};
/// One line of JSON with a format name.
[[nodiscard]] std::string print_lease(const LeaseRecord& record);
/// kMalformed on a text that is none of ours.
[[nodiscard]] Result<LeaseRecord> parse_lease(std::string_view text);
/// "held by ci@runner7, pid 4711, since 2026-11-20T20:06:47Z (4 min), until …": for people.
[[nodiscard]] std::string describe_lease(const LeaseRecord& record, std::chrono::system_clock::time_point now);

/// May a newcomer take a lease with this record? Pure. Expiry is judged with kClockSkew in the holder's favour.
enum class LeaseClaim : std::uint8_t { kMine, kFree, kHeld };
inline constexpr std::chrono::seconds kClockSkew{30};
[[nodiscard]] LeaseClaim judge_lease(const LeaseRecord& record, std::string_view my_nonce,
                                     std::chrono::sys_seconds now);

/// The record in the cluster, if there is a lease pool. Reads only. A comment that is not ours reads as a holder nobody
/// knows, without expiry.
[[nodiscard]] Result<std::optional<LeaseRecord>> read_lease(PveReader& pve);

struct LeaseOptions {
  std::string holder = {};
  std::string nonce = {};              // unique per run; required
  std::chrono::seconds lifetime{300};  // renewed at a third of it
  std::chrono::seconds settle{3};      // after taking over from somebody: longer than a request takes
  bool break_existing = false;
  std::string process = {};  // mark of this process (LifeSign); empty: nobody can tell whether it lives
  /// Whether the process of a mark is known to have ended. A holder of which that is known holds nothing: its lease is
  /// taken over as if it had run out. Null: nobody can tell.
  std::function<bool(std::string_view mark)> has_ended = {};
};

/// One writer per cluster. Safe to call from several threads. Renews only while something calls keep(): a run that
/// hangs loses its lease, which is what a lease is for.
class Lease {
 public:
  /// Takes the lease.
  ///
  /// Errors: kLeaseLost when somebody else holds it (the message names the holder and what to do); kForbidden without
  /// Pool.Allocate on the pool; otherwise what the cluster answered.
  static Result<std::unique_ptr<Lease>> acquire(PveApi& pve, Clock& clock, LeaseOptions options);

  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  ~Lease() = default;

  /// Asks the cluster whether this run still holds it. Before every operation. kLeaseLost: stop at once, another writer
  /// may be at work.
  [[nodiscard]] Status check();
  /// Asks as check() does: whether it is known to be somebody else's now. No answer is not that.
  [[nodiscard]] bool is_lost();
  /// Renews when a third of the lifetime has passed; otherwise costs nothing. Errors other than kLeaseLost leave the
  /// lease as it was until it expires.
  [[nodiscard]] Status keep();
  /// Gives it back. The pool stays, marked as released, while a restart is unfinished.
  [[nodiscard]] Status release();

  /// Remembers in the cluster that this run stops a guest and will start it again.
  [[nodiscard]] Status note_restart(Vmid vmid);
  /// Keeps a note that was taken over from a holder whose lease would still last: a later run drops it.
  [[nodiscard]] Status forget_restart(Vmid vmid);
  /// Guests whose restart is unfinished, from earlier holders, too.
  [[nodiscard]] std::set<std::uint32_t> restarting() const;

 private:
  Lease(PveApi& pve, Clock& clock, LeaseOptions options);
  /// Never behind what the steady clock has counted: with a wall clock that is set back by hours the others would see a
  /// lease that ran out. Set forward, it counts (a machine that slept): better to lose the lease than to keep one that
  /// others took.
  [[nodiscard]] std::chrono::sys_seconds now() const;
  [[nodiscard]] LeaseRecord fresh_record() const;
  [[nodiscard]] Status take_over(const LeaseRecord& from);
  [[nodiscard]] Status check_locked();
  [[nodiscard]] Status write_locked();
  [[nodiscard]] Error lost(const std::string& why) const;

  PveApi& pve_;
  Clock& clock_;
  LeaseOptions options_;
  const std::chrono::system_clock::time_point began_;     // by the wall clock
  const std::chrono::steady_clock::time_point began_at_;  // by the steady one, at the same moment
  mutable std::mutex mutex_;
  LeaseRecord record_;
  /// Notes of the holder before us. While its lease would still have lasted, a request of its that was on its way may
  /// stop the guest yet: they stay, whatever the guest does.
  std::set<std::uint32_t> inherited_;
  std::chrono::sys_seconds inherited_until_ = {};
  bool gone_ = false;
};

}  // namespace pvr
