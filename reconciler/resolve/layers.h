#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "reconciler/model/fleet_document.h"
#include "reconciler/model/resolved_fleet.h"

namespace pvr {

/// One value somebody proposed for a key. Points into the document or into a table of rule values: both outlive the
/// stack.
struct Candidate {
  std::string_view key = {};
  std::uint32_t rank = 0;  // smaller wins
  const OptionValue* value = nullptr;
  SourceSpan span = {};
  Layer layer = Layer::kVm;
  std::string_view holder = {};
  std::string_view rule = {};  // set for values of rules
};

/// Values by layer, strongest first. Reused for one disk or VM after the other, so that it allocates once.
class LayerStack {
 public:
  void clear() { candidates_.clear(); }
  /// Adds a whole layer below all that were added before.
  void add(const WrittenSettings& settings, Layer layer, std::string_view holder = {});
  void add(std::string_view key, const OptionValue& value, Layer layer, std::string_view holder, SourceSpan span);
  void add_rule(std::string_view key, const OptionValue& value, std::string_view rule);
  /// The value that wins for `key`, or null.
  [[nodiscard]] const Candidate* winner(std::string_view key) const;
  [[nodiscard]] std::span<const Candidate> candidates() const { return candidates_; }
  /// Drops every value of a key for which `which(key)` holds.
  template <class F>
  void drop_if(F which) {
    std::erase_if(candidates_, [&](const Candidate& c) { return which(c.key); });
  }
  /// Writes the winners with what they replaced. Does not empty the stack, but sorts it: no `add` afterwards.
  void emit(ResolvedSettings& out);

 private:
  std::vector<Candidate> candidates_;
};

/// The roles a role is made of, child first. Stops at a repetition.
[[nodiscard]] std::vector<const WrittenRole*> role_chain(const FleetDocument& document, std::string_view role);
/// Whether `leave:` names the key.
[[nodiscard]] bool is_left(const std::vector<Spanned<std::string>>& leave, std::string_view key);
[[nodiscard]] const WrittenRole* find_role(const FleetDocument& document, std::string_view name);
[[nodiscard]] const WrittenDisk* find_disk(const std::vector<WrittenDisk>& disks, std::string_view name);

// Values as the rules read them. All take a null pointer as "not stated".
[[nodiscard]] std::string_view text_value(const OptionValue* value);
[[nodiscard]] bool bool_value(const OptionValue* value, bool otherwise = false);

}  // namespace pvr
