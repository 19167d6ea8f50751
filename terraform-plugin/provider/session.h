#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "providers/pve/connection_options.h"
#include "reconciler/engine/adopt.h"
#include "reconciler/engine/engine.h"
#include "reconciler/execute/shared_locks.h"
#include "reconciler/ports/life_sign.h"
#include "terraform-plugin/provider/caching_reader.h"
#include "terraform-plugin/provider/language.h"
#include "terraform-plugin/provider/log.h"
#include "terraform-plugin/provider/schema.h"

namespace pvr::tf {

/// The cluster, however it is reached. Everything stays valid as long as the link.
class Link {
 public:
  virtual ~Link() = default;
  [[nodiscard]] virtual PveApi& pve() = 0;
  [[nodiscard]] virtual ZfsHost* zfs() = 0;  // null: no host access
  [[nodiscard]] virtual Clock& clock() = 0;
  [[nodiscard]] virtual bool as_root() const = 0;
};
using OpenLink = std::function<Result<std::unique_ptr<Link>>(ConnectionOptions, const WrittenCluster&)>;
/// Over HTTPS, and over ssh where the configuration says so.
[[nodiscard]] Result<std::unique_ptr<Link>> open_link(ConnectionOptions options, const WrittenCluster& cluster);

/// What the provider block says.
struct Settings {
  SourceSet sources = {};  // texts of fleet_file; only the built-in roles without one
  bool has_fleet_file = false;
  std::vector<std::string> storages = {};  // ids of the fleet file
  WrittenCluster cluster = {};             // of the provider block over that of fleet_file
  ConnectionFlags flags = {};
  Environment environment = {};
  bool break_lease = false;
  std::chrono::seconds lease_wait{600};
};

/// A fleet to plan with, made of the fleet file and a text of ours; without a document when there are errors.
struct Loaded {
  std::shared_ptr<const FleetDocument> document = {};
  Messages messages = {};
};

/// How much of a fleet a plan is about.
struct Wish {
  std::shared_ptr<const FleetDocument> document = {};
  std::vector<std::string> targets = {};
  Allowance allow = {};  // for every guest, besides what the document allows
  bool all_guests = false;
};

/// One provider configuration in one process: one connection, one look at the cluster, one lease for everything that is
/// applied at the same time. Safe from several threads.
class Session {
 public:
  Session(OpenLink open, Log& log) : open_(std::move(open)), log_(log) {}

  void configure(Settings settings);
  [[nodiscard]] bool configured() const;
  /// From now on nothing new is begun; what is under way ends after its current effect.
  void stop() { stop_.request_stop(); }
  [[nodiscard]] std::stop_token stop_token() const { return stop_.get_token(); }
  [[nodiscard]] Log& log() { return log_; }

  /// The fleet file with a text. Only `vm` of the guests is kept; empty: none, and the text is about storages.
  [[nodiscard]] Loaded load(const FleetText& text, std::string_view vm, std::string_view name);
  /// Another text, or file, with the provider's connection instead of its own.
  [[nodiscard]] Loaded load_fleet_text(const std::string& text) const;
  [[nodiscard]] Loaded load_fleet_path(const std::string& path) const;

  /// A storage some other resource of this run declares; guests may name it before it exists.
  void declare_storage(const std::string& id, const FleetText& text);

  /// Looks, with what is known already, and plans.
  [[nodiscard]] Result<PlanResult> plan(const Wish& wish);
  [[nodiscard]] Result<StatusResult> status(const std::shared_ptr<const FleetDocument>& document);
  [[nodiscard]] Result<AuditResult> audit(std::shared_ptr<const FleetDocument> document);
  /// A guest as a further one of the fleet file would be declared for nothing to change. No VM: `left_out` says why.
  [[nodiscard]] Result<Adopted> adopt_guest(Vmid vmid);
  [[nodiscard]] Result<ClusterStatus> cluster();
  [[nodiscard]] Result<std::vector<GuestRow>> guests();
  /// What was seen is not believed any more.
  void forget();

  /// How applying ended: the last plan and what became of it.
  struct Applied {
    PlanResult plan = {};  // the last one made
    ApplyReport report = {};
    bool interrupted = false;
    Messages messages = {};  // errors: not everything was done
  };
  /// Looks afresh, plans, has `judge` look at the plan (errors: nothing is done), and carries it out; once more where a
  /// foreign change came between, up to three times. Under the lease of this process. `limit` zero: no limit of time.
  [[nodiscard]] Result<Applied> apply(const Wish& wish, const std::function<Messages(const PlanResult&)>& judge,
                                      std::chrono::seconds limit);

  /// Guests that were created or changed in this process.
  void touched(std::int64_t vmid);
  [[nodiscard]] bool was_touched(std::int64_t vmid) const;

 private:
  struct Connected {
    std::unique_ptr<Link> link;
    std::unique_ptr<CachingReader> reader;
    std::unique_ptr<CachingZfsReader> zfs;
    std::unique_ptr<SharedLocks> locks;
  };
  [[nodiscard]] Result<Connected*> connect();
  [[nodiscard]] EngineOptions options(const Connected& connected) const;
  [[nodiscard]] Loaded finish(Checked<FleetDocument> loaded, std::uint32_t file, const FleetText& text,
                              std::string_view vm) const;
  [[nodiscard]] Result<Lease*> enter_lease(Connected& connected, const std::stop_token& stop);
  void leave_lease(Connected& connected);

  OpenLink open_;
  Log& log_;
  std::stop_source stop_;
  mutable std::mutex mutex_;
  std::optional<Settings> settings_;
  std::optional<Connected> connected_;
  std::map<std::string, FleetText> declared_storages_;
  std::vector<std::int64_t> touched_;
  std::mutex lease_mutex_;
  std::optional<LifeSign> alive_;  // from the first lease on
  std::unique_ptr<Lease> lease_;
  std::size_t lease_users_ = 0;
};

/// An error of the engine as a message.
[[nodiscard]] Message message_of(const Error& error, std::string_view doing);

}  // namespace pvr::tf
