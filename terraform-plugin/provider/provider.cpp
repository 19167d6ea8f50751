#include "terraform-plugin/provider/provider.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "schema/fleet_schema.h"
#include "schema/source_loader.h"

namespace pvr::tf {
namespace {

Schema provider_schema() {
  Schema out;
  out.help =
      "Proxmox VE by what each VM is for. The provider works with the same engine as the command line `pvereconcile`: "
      "roles and "
      "rules decide disk settings, nothing is restarted, copied offline or destroyed without being told to, and the "
      "only copy "
      "of a disk's data is never given up.";
  out.attributes = attributes_of(fleet_tables().cluster);
  out.attributes.push_back(
      given("fleet_file", Shape::kText,
            "A fleet file or directory with what resources refer to: storages, lanes, roles. Its VMs are "
            "not managed from here."));
  Attribute secret =
      given("token_secret", Shape::kText,
            "Secret of the token. Better in the environment, `PVERECONCILE_TOKEN_SECRET`, or in `token_file`.");
  secret.sensitive = true;
  out.attributes.push_back(std::move(secret));
  out.attributes.push_back(
      given("break_lease", Shape::kBool,
            "Take the cluster's lease even where somebody else holds it. Only when you know that holder "
            "is gone. The lease of a run that was killed on this machine is taken at once without it."));
  out.attributes.push_back(
      given("lease_wait", Shape::kText, "How long to wait for the lease of another run. Default `10m`."));
  std::ranges::sort(out.attributes, {}, &Attribute::name);
  return out;
}

FleetText cluster_text(const Value& config) {
  FleetText text;
  text.line(0, "version: 1");
  text.line(0, "cluster:");
  FleetText fields;
  fields.fields(1, fleet_tables().cluster, config, {});
  if (fields.text().empty()) {
    FleetText none;
    none.line(0, "version: 1");
    return none;
  }
  text.fields(1, fleet_tables().cluster, config, {});
  return text;
}

/// The provider block before the fleet file.
WrittenCluster merged(WrittenCluster over, const WrittenCluster& under) {
  if (over.endpoints.empty()) over.endpoints = under.endpoints;
  if (!over.fingerprint) over.fingerprint = under.fingerprint;
  if (!over.ca_file) over.ca_file = under.ca_file;
  if (!over.token_file) over.token_file = under.token_file;
  if (!over.token_id) over.token_id = under.token_id;
  if (!over.ssh_user) {
    over.ssh_user = under.ssh_user;
    over.ssh_sudo = under.ssh_sudo;
    over.ssh_port = under.ssh_port;
    over.ssh_hosts = under.ssh_hosts;
    over.ssh_local = under.ssh_local;
  }
  for (const auto& [name, limit] : under.limits) {
    if (!over.limits.contains(name)) over.limits.set(name, limit);
  }
  return over;
}

Message unknown_type(std::string_view type) {
  return {.summary = "Unknown type", .detail = fmt::format("This provider has no {}.", type)};
}

}  // namespace

Provider::Provider(OpenLink open, Environment environment, Log& log)
    : environment_(std::move(environment)), log_(log), session_(std::move(open), log) {
  resources_.emplace("pvereconcile_vm", vm_resource());
  resources_.emplace("pvereconcile_storage", storage_resource());
  resources_.emplace("pvereconcile_ha_resource", ha_resource());
  resources_.emplace("pvereconcile_fleet", fleet_resource());
  data_sources_.emplace("pvereconcile_role", role_data());
  data_sources_.emplace("pvereconcile_audit", audit_data());
  data_sources_.emplace("pvereconcile_plan", plan_data());
  schema_.provider = provider_schema();
  for (const auto& [name, resource] : resources_) schema_.resources.emplace(name, resource->schema());
  for (const auto& [name, source] : data_sources_) schema_.data_sources.emplace(name, source->schema());
  schema_.functions = function_schemas();
}

Messages Provider::validate_provider(const Value& config) const {
  Messages out = shape_problems(config, schema_.provider.attributes);
  if (has_errors(out) || has_unknown(config)) return out;
  if (const std::string* wait = config["lease_wait"].text(); wait != nullptr && !parse_duration(*wait))
    out.push_back({.summary = "Not a duration", .detail = "Write 90s or 10m.", .path = {attribute("lease_wait")}});
  const FleetText text = cluster_text(config);
  SourceSet sources;
  const std::uint32_t file = sources.add("provider", text.text());
  const auto loaded = load_fleet(std::move(sources));
  std::ranges::move(messages_of(loaded.diagnostics, *loaded.value->sources, file, text), std::back_inserter(out));
  return out;
}

Messages Provider::configure(const Value& config) {
  if (has_unknown(config)) {
    log_.write(LogLevel::kInfo, "a value of the provider block is not known yet", {});
    return {};
  }
  Messages out = validate_provider(config);
  if (has_errors(out)) return out;
  const FleetText text = cluster_text(config);
  SourceSet sources;
  sources.add("provider", text.text());
  const auto own = load_fleet(std::move(sources));

  Settings settings;
  settings.cluster = own.value->cluster;
  if (const std::string* path = config["fleet_file"].text()) {
    LoadedSources files = load_sources(*path);
    settings.sources = files.sources;
    settings.has_fleet_file = true;
    Checked<FleetDocument> fleet = load_fleet_file(*path);
    for (Message& message : messages_of(fleet.diagnostics, *fleet.value->sources, 0, {})) {
      message.path = {attribute("fleet_file")};
      out.push_back(std::move(message));
    }
    if (!fleet.ok()) return out;
    for (const WrittenStorage& storage : fleet.value->storages) settings.storages.push_back(storage.id);
    settings.cluster = merged(std::move(settings.cluster), fleet.value->cluster);
  }
  settings.environment = environment_;
  if (const std::string* secret = config["token_secret"].text())
    settings.environment["PVERECONCILE_TOKEN_SECRET"] = *secret;
  // What the block says wins over the environment.
  if (const List* endpoints = config["endpoints"].list()) {
    for (const Value& endpoint : *endpoints) settings.flags.endpoints.push_back(endpoint.text_or_empty());
  }
  settings.flags.token_id = config["token_id"].text_or_empty();
  settings.flags.token_file = config["token_file"].text_or_empty();
  settings.flags.ca_file = config["ca_file"].text_or_empty();
  settings.flags.fingerprint = config["fingerprint"].text_or_empty();
  const bool* break_lease = config["break_lease"].flag();
  settings.break_lease = break_lease != nullptr && *break_lease;
  if (const std::string* wait = config["lease_wait"].text())
    settings.lease_wait = parse_duration(*wait).value_or(settings.lease_wait);
  session_.configure(std::move(settings));
  return out;
}

Messages Provider::validate_resource(std::string_view type, const Value& config) {
  const auto found = resources_.find(type);
  if (found == resources_.end()) return {unknown_type(type)};
  return found->second->validate(session_, config);
}

Answer Provider::upgrade(std::string_view type, std::int64_t version, const Value& old) const {
  const auto found = resources_.find(type);
  if (found == resources_.end()) return {.messages = {unknown_type(type)}};
  return found->second->upgrade(version, old);
}

Answer Provider::read(std::string_view type, const Value& state) {
  const auto found = resources_.find(type);
  if (found == resources_.end()) return {.value = state, .messages = {unknown_type(type)}};
  if (!session_.configured()) return {.value = state};
  return found->second->read(session_, state);
}

Planned Provider::plan(std::string_view type, const Value& prior, const Value& config) {
  const auto found = resources_.find(type);
  if (found == resources_.end()) return {.messages = {unknown_type(type)}};
  return found->second->plan(session_, prior, config);
}

Answer Provider::apply(std::string_view type, const Value& prior, const Value& planned, const Value& config,
                       const std::string& note) {
  const auto found = resources_.find(type);
  if (found == resources_.end()) return {.value = prior, .messages = {unknown_type(type)}};
  return found->second->apply(session_, prior, planned, config, note);
}

Answer Provider::import(std::string_view type, const std::string& id) {
  const auto found = resources_.find(type);
  if (found == resources_.end()) return {.messages = {unknown_type(type)}};
  return found->second->import(session_, id);
}

Answer Provider::move(std::string_view type, const std::string& source_provider, const std::string& source_type,
                      const Value& old) const {
  const auto found = resources_.find(type);
  if (found == resources_.end()) return {.messages = {unknown_type(type)}};
  return found->second->move(source_provider, source_type, old);
}

Messages Provider::validate_data(std::string_view type, const Value& config) const {
  const auto found = data_sources_.find(type);
  if (found == data_sources_.end()) return {unknown_type(type)};
  Messages out = shape_problems(config, found->second->schema().attributes);
  if (has_errors(out) || has_unknown(config)) return out;
  std::ranges::move(found->second->validate(config), std::back_inserter(out));
  return out;
}

Answer Provider::read_data(std::string_view type, const Value& config) {
  const auto found = data_sources_.find(type);
  if (found == data_sources_.end()) return {.messages = {unknown_type(type)}};
  return found->second->read(session_, config);
}

Provider::Called Provider::call(std::string_view function, const std::vector<Value>& arguments) const {
  return call_function(function, arguments);
}

}  // namespace pvr::tf
