#include "reconciler/resolve/layers.h"

#include <algorithm>
#include <tuple>

namespace pvr {
namespace {

Origin origin_of(const Candidate& candidate) {
  if (!candidate.rule.empty()) return FromRule{candidate.rule};
  return FromDocument{candidate.layer, std::string(candidate.holder), candidate.span};
}

}  // namespace

void LayerStack::add(const WrittenSettings& settings, Layer layer, std::string_view holder) {
  for (const auto& [key, value] : settings) add(key, value.value, layer, holder, value.span);
}

void LayerStack::add(std::string_view key, const OptionValue& value, Layer layer, std::string_view holder,
                     SourceSpan span) {
  candidates_.push_back({.key = key,
                         .rank = static_cast<std::uint32_t>(candidates_.size()),
                         .value = &value,
                         .span = span,
                         .layer = layer,
                         .holder = holder,
                         .rule = {}});
}

void LayerStack::add_rule(std::string_view key, const OptionValue& value, std::string_view rule) {
  add(key, value, Layer::kFleet, {}, {});
  candidates_.back().rule = rule;
}

const Candidate* LayerStack::winner(std::string_view key) const {
  const auto at = std::ranges::find(candidates_, key, &Candidate::key);
  return at == candidates_.end() ? nullptr : &*at;
}

void LayerStack::emit(ResolvedSettings& out) {
  std::ranges::sort(candidates_, {}, [](const Candidate& c) { return std::tuple(c.key, c.rank); });
  out.reserve(candidates_.size());
  for (std::size_t i = 0; i < candidates_.size();) {
    const Candidate& best = candidates_[i];
    std::size_t end = i + 1;
    while (end < candidates_.size() && candidates_[end].key == best.key) ++end;
    Resolved& value = out[best.key];  // keys come in order: appended, nothing moves
    value.value = *best.value;
    value.origin = origin_of(best);
    value.shadowed.reserve(end - i - 1);
    for (std::size_t k = i + 1; k < end; ++k)
      value.shadowed.push_back({*candidates_[k].value, origin_of(candidates_[k])});
    i = end;
  }
}

bool is_left(const std::vector<Spanned<std::string>>& leave, std::string_view key) {
  return std::ranges::find(leave, key, &Spanned<std::string>::value) != leave.end();
}

const WrittenRole* find_role(const FleetDocument& document, std::string_view name) {
  const auto at =
      std::ranges::lower_bound(document.roles, name, {}, [](const WrittenRole& r) { return std::string_view(r.name); });
  return at != document.roles.end() && at->name == name ? &*at : nullptr;
}

std::vector<const WrittenRole*> role_chain(const FleetDocument& document, std::string_view role) {
  std::vector<const WrittenRole*> chain;
  for (const WrittenRole* at = find_role(document, role); at != nullptr;
       at = at->extends ? find_role(document, at->extends->value) : nullptr) {
    if (std::ranges::find(chain, at) != chain.end()) break;
    chain.push_back(at);
  }
  return chain;
}

const WrittenDisk* find_disk(const std::vector<WrittenDisk>& disks, std::string_view name) {
  const auto at = std::ranges::find(disks, name, &WrittenDisk::name);
  return at == disks.end() ? nullptr : &*at;
}

std::string_view text_value(const OptionValue* value) {
  if (value == nullptr) return {};
  const auto* text = std::get_if<std::string>(value);
  return text != nullptr ? std::string_view(*text) : std::string_view{};
}

bool bool_value(const OptionValue* value, bool otherwise) {
  if (value == nullptr) return otherwise;
  if (const auto* flag = std::get_if<bool>(value)) return *flag;
  if (const auto* number = std::get_if<std::int64_t>(value)) return *number != 0;
  return otherwise;
}

}  // namespace pvr
