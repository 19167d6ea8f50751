#include "reconciler/resolve/resolve.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "reconciler/model/option_codec.h"
#include "reconciler/model/settings.h"
#include "reconciler/resolve/resolver.h"

namespace pvr {

std::string rule_code(std::string_view rule) {
  std::string code = "policy.";
  for (const char c : rule) code += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return code;
}

SourceSpan span_of(const Origin& origin) {
  const auto* written = std::get_if<FromDocument>(&origin);
  return written != nullptr ? written->span : SourceSpan{};
}

Resolver::Resolver(std::shared_ptr<const FleetDocument> document, const Facts& facts)
    : document_(std::move(document)), facts_(facts) {}

void Resolver::run() {
  out_.document = document_;
  out_.vms.reserve(document_->vms.size());
  for (const WrittenVm& vm : document_->vms) resolve_vm(vm);
  resolve_hosts();
  resolve_storages();  // last: classes and notices depend on who uses them
}

Checked<ResolvedFleet> Resolver::take() {
  std::ranges::sort(out_.storages, {}, &ResolvedStorage::id);
  std::ranges::sort(out_.vms, {}, &ResolvedVm::name);
  std::ranges::sort(out_.hosts, {}, &ResolvedHost::node);
  std::ranges::stable_sort(out_.findings, {}, [](const Finding& f) { return std::tie(f.where, f.rule, f.what); });
  sort_diagnostics(diagnostics_);
  return {std::move(out_), std::move(diagnostics_)};
}

const OptionValue& Resolver::value(Home home, std::string_view key, std::string_view text) {
  const auto [at, fresh] = values_.try_emplace({key, text});
  if (fresh) {
    const Setting* setting = find_setting(home, key);
    Result<OptionValue> read =
        setting != nullptr ? parse_option(*setting, text) : Result<OptionValue>(std::string(text));
    at->second = read.ok() ? std::move(read).value() : OptionValue(std::string(text));
  }
  return at->second;
}

const OptionValue& Resolver::name_value(std::string_view text) {
  const auto at = names_.find(text);
  return at != names_.end() ? at->second
                            : names_.emplace(std::string(text), OptionValue(std::string(text))).first->second;
}

const OptionValue& Resolver::size_value(ByteSize size) { return sizes_.try_emplace(size, size).first->second; }

const StorageFacts* Resolver::storage_facts(std::string_view id) const {
  const auto at = facts_.storages.find(id);
  return at == facts_.storages.end() ? nullptr : &at->second;
}

const std::vector<const WrittenRole*>& Resolver::roles_of(const WrittenVm& written) {
  const std::string_view name = written.role ? std::string_view(written.role->value) : std::string_view{};
  const auto [at, fresh] = chains_.try_emplace(name);
  if (fresh && !name.empty()) at->second = role_chain(*document_, name);
  return at->second;
}

void Resolver::error(std::string code, std::string summary, std::string detail, SourceSpan span) {
  diagnostics_.push_back({.severity = Severity::kError,
                          .code = std::move(code),
                          .summary = std::move(summary),
                          .detail = std::move(detail),
                          .span = span,
                          .notes = {}});
}

void Resolver::report_broken(BrokenRule rule, std::string_view value, const ResourceAddress& where, SourceSpan span,
                             std::vector<Note> notes) {
  diagnostics_.push_back({.severity = Severity::kError,
                          .code = rule_code(rule.id),
                          .summary = fmt::format("Rule {} is broken.", rule.id),
                          .detail = fmt::format("{}: {} is not allowed: {} [{}]. Write {}.", to_text(where), value,
                                                rule.why, rule.source, rule.instead),
                          .span = span,
                          .notes = std::move(notes)});
}

void Resolver::finding(Severity severity, std::string_view rule, ResourceAddress where, std::string what,
                       std::string fix, SourceSpan span) {
  out_.findings.push_back({.severity = severity,
                           .rule = rule,
                           .where = std::move(where),
                           .what = std::move(what),
                           .fix = std::move(fix),
                           .span = span});
}

Checked<ResolvedFleet> resolve(std::shared_ptr<const FleetDocument> document, const Facts& facts) {
  Resolver resolver(std::move(document), facts);
  resolver.run();
  return resolver.take();
}

}  // namespace pvr
