#pragma once

#include <memory>
#include <string>
#include <vector>

#include "terraform-plugin/provider/schema.h"
#include "terraform-plugin/provider/session.h"

namespace pvr::tf {

/// A value with what there is to say. Null with errors: there is none.
struct Answer {
  Value value = {};
  Messages messages = {};
};
struct Planned {
  Value state = {};
  std::string note = {};  // handed to apply
  Messages messages = {};
};

/// A kind of thing the provider manages. Values have the full shape of the schema. Stateless; safe from several
/// threads.
class Resource {
 public:
  virtual ~Resource() = default;
  [[nodiscard]] virtual const Schema& schema() const = 0;
  /// Offline, and with unknown values: those cannot be judged.
  [[nodiscard]] virtual Messages validate(Session& session, const Value& config) const = 0;
  /// Null: it is gone.
  [[nodiscard]] virtual Answer read(Session& session, const Value& state) const = 0;
  /// `prior` null: to be created; `config` null: to be destroyed.
  [[nodiscard]] virtual Planned plan(Session& session, const Value& prior, const Value& config) const = 0;
  /// The state after it, also when only a part was done. `planned` null: destroy.
  [[nodiscard]] virtual Answer apply(Session& session, const Value& prior, const Value& planned, const Value& config,
                                     const std::string& note) const = 0;
  [[nodiscard]] virtual Answer import(Session& session, const std::string& id) const = 0;
  /// State of an older version in today's shape.
  [[nodiscard]] virtual Answer upgrade(std::int64_t version, const Value& old) const = 0;
  /// State of another provider's type.
  [[nodiscard]] virtual Answer move(const std::string& provider, const std::string& type, const Value& old) const = 0;
};

class DataSource {
 public:
  virtual ~DataSource() = default;
  [[nodiscard]] virtual const Schema& schema() const = 0;
  [[nodiscard]] virtual Messages validate(const Value& config) const = 0;
  [[nodiscard]] virtual Answer read(Session& session, const Value& config) const = 0;
};

[[nodiscard]] std::unique_ptr<Resource> vm_resource();
[[nodiscard]] std::unique_ptr<Resource> storage_resource();
[[nodiscard]] std::unique_ptr<Resource> ha_resource();
[[nodiscard]] std::unique_ptr<Resource> fleet_resource();
[[nodiscard]] std::unique_ptr<DataSource> role_data();
[[nodiscard]] std::unique_ptr<DataSource> audit_data();
[[nodiscard]] std::unique_ptr<DataSource> plan_data();

// What resources share.

[[nodiscard]] Attribute given(std::string name, Shape shape, std::string help);
[[nodiscard]] Attribute required(std::string name, Shape shape, std::string help);
[[nodiscard]] Attribute computed(std::string name, Shape shape, std::string help);
/// `timeouts = { create = "30m" }`.
[[nodiscard]] Attribute timeouts_attribute();
/// A duration such as "90s", "1h30m"; nothing when it cannot be read.
[[nodiscard]] std::optional<std::chrono::seconds> parse_duration(std::string_view text);
[[nodiscard]] Messages timeout_problems(const Value& config);
/// Zero: no limit.
[[nodiscard]] std::chrono::seconds timeout_of(const Value& value, std::string_view operation);

/// The mildest word for what the operations cost: none, live, pending-restart, restart, online-copy, offline-copy,
/// destroy.
[[nodiscard]] std::string impact_word(const Plan& plan);
[[nodiscard]] int rank_of(std::string_view impact_word);
/// Warnings that say what the plan costs: restarts, copies, what is destroyed.
[[nodiscard]] Messages cost_messages(const Plan& plan);
/// Warnings of the rules.
[[nodiscard]] Messages finding_messages(const Plan& plan);
[[nodiscard]] Message blocked_message(const BlockedItem& item, Level level);
/// Errors of planning, with the place in the configuration where it is known.
[[nodiscard]] Messages plan_errors(const PlanResult& result);
/// "disks[\"root\"]" of an address.
[[nodiscard]] Path path_of(const ResourceAddress& address);

/// One entry for every setting whose three truths are not one: declared, configured, running.
[[nodiscard]] Attribute status_attribute();
[[nodiscard]] Value status_of(const VmDiff& diff, bool& waits_for_restart);

/// Puts unknown, or the prior value, into computed attributes.
void set(Value& object, std::string_view name, Value value);

}  // namespace pvr::tf
