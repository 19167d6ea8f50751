// The calls that change the cluster. None is ever repeated here; Session sends again only what certainly never arrived.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "providers/pve/decode.h"
#include "providers/pve/pve_client.h"
#include "providers/pve/session.h"
#include "reconciler/model/option_codec.h"

namespace pvr {
namespace {

using nlohmann::json;

std::string number(Vmid vmid) { return fmt::format("{}", vmid.number); }

ApiPath of_guest(std::string_view pattern, const GuestRef& guest) {
  return {pattern, {guest.node, number(guest.vmid)}};
}

void add(FormFields& fields, const FlatMap<std::string>& more) {
  for (const auto& [key, value] : more) fields.emplace_back(key, value);
}

void add_list(FormFields& fields, std::string_view key, const std::vector<std::string>& names) {
  if (!names.empty()) fields.emplace_back(key, fmt::format("{}", fmt::join(names, ",")));
}

void add_text(FormFields& fields, std::string_view key, const std::string& text) {
  if (!text.empty()) fields.emplace_back(key, text);
}

Status done(Result<json> answer, std::string_view what) {
  if (!answer.ok()) return std::move(answer).error().during(what);
  return Done{};
}

Result<Upid> task(Result<json> answer, std::string_view what) {
  if (!answer.ok()) return std::move(answer).error().during(what);
  std::string text = text_of(*answer);
  if (!text.starts_with("UPID:")) {
    Error error = malformed("a call that starts a task");
    error.effect = Effect::kPossible;
    return std::move(error).during(what);
  }
  return Upid{std::move(text)};
}

std::string named(std::string_view what, const GuestRef& guest) {
  return fmt::format("{} guest {} on node {}", what, guest.vmid.number, guest.node);
}

FormFields config_fields(const FormFields& set, const std::vector<std::string>& unset, const std::string& digest) {
  FormFields fields = set;
  add_list(fields, "delete", unset);
  add_text(fields, "digest", digest);
  return fields;
}

constexpr std::string_view kConfig = "/nodes/{node}/qemu/{vmid}/config";

}  // namespace

Status PveClient::create_storage(const std::string& id, const std::string& type,
                                 const FlatMap<std::string>& properties) {
  FormFields fields{{"storage", id}, {"type", type}};
  add(fields, properties);
  return done(session_->write("POST", {"/storage", {}}, std::move(fields)), "creating storage " + id);
}

Status PveClient::update_storage(const std::string& id, const FlatMap<std::string>& set,
                                 const std::vector<std::string>& unset, const std::string& digest) {
  FormFields fields;
  add(fields, set);
  add_list(fields, "delete", unset);
  add_text(fields, "digest", digest);
  return done(session_->write("PUT", {"/storage/{storage}", {id}}, std::move(fields)), "changing storage " + id);
}

Status PveClient::delete_storage(const std::string& id) {
  return done(session_->write("DELETE", {"/storage/{storage}", {id}}, {}), "removing storage " + id);
}

Status PveClient::create_pool(const std::string& id, const std::string& comment) {
  FormFields fields{{"poolid", id}};
  add_text(fields, "comment", comment);
  return done(session_->write("POST", {"/pools", {}}, std::move(fields)), "creating pool " + id);
}

Status PveClient::update_pool(const std::string& id, const std::string& comment) {
  return done(session_->write("PUT", {"/pools", {}}, {{"poolid", id}, {"comment", comment}}), "changing pool " + id);
}

Status PveClient::add_to_pool(const std::string& id, Vmid vmid) {
  return done(session_->write("PUT", {"/pools", {}}, {{"poolid", id}, {"vms", number(vmid)}}),
              fmt::format("adding guest {} to pool {}", vmid.number, id));
}

Status PveClient::delete_pool(const std::string& id) {
  return done(session_->write("DELETE", {"/pools", {}}, {{"poolid", id}}), "removing pool " + id);
}

Result<Upid> PveClient::create_guest(const std::string& node, const FormFields& fields) {
  return task(session_->write("POST", {"/nodes/{node}/qemu", {node}}, fields), "creating a guest on node " + node);
}

Result<Upid> PveClient::clone_guest(const GuestRef& source, const FormFields& fields) {
  return task(session_->write("POST", of_guest("/nodes/{node}/qemu/{vmid}/clone", source), fields),
              named("cloning", source));
}

Status PveClient::set_config(const GuestRef& guest, const FormFields& set, const std::vector<std::string>& unset,
                             const std::string& digest) {
  return done(session_->write("PUT", of_guest(kConfig, guest), config_fields(set, unset, digest)),
              named("changing", guest));
}

Result<Upid> PveClient::start_set_config(const GuestRef& guest, const FormFields& set,
                                         const std::vector<std::string>& unset, const std::string& digest) {
  return task(session_->write("POST", of_guest(kConfig, guest), config_fields(set, unset, digest)),
              named("changing", guest));
}

Status PveClient::revert_pending(const GuestRef& guest, const std::vector<std::string>& keys,
                                 const std::string& digest) {
  FormFields fields;
  add_list(fields, "revert", keys);
  add_text(fields, "digest", digest);
  return done(session_->write("PUT", of_guest(kConfig, guest), std::move(fields)),
              named("dropping pending changes of", guest));
}

Result<Upid> PveClient::resize(const GuestRef& guest, DriveSlot slot, ByteSize size, const std::string& digest) {
  // An absolute size: repeating "+10G" after a lost answer would grow twice.
  FormFields fields{{"disk", to_text(slot)}, {"size", print_disk_size(size)}};
  add_text(fields, "digest", digest);
  return task(session_->write("PUT", of_guest("/nodes/{node}/qemu/{vmid}/resize", guest), std::move(fields)),
              named("growing " + to_text(slot) + " of", guest));
}

Result<Upid> PveClient::move_disk(const GuestRef& guest, DriveSlot slot, const std::string& storage,
                                  const std::string& format, ByteRate bandwidth, bool remove_source,
                                  const std::string& digest) {
  FormFields fields{{"disk", to_text(slot)}, {"storage", storage}};
  if (remove_source) fields.emplace_back("delete", "1");
  add_text(fields, "format", format);
  if (bandwidth.bytes_per_second > 0) {
    const std::uint64_t kib = std::max<std::uint64_t>(1, bandwidth.bytes_per_second / 1024);
    fields.emplace_back("bwlimit", fmt::format("{}", kib));
  }
  add_text(fields, "digest", digest);
  return task(session_->write("POST", of_guest("/nodes/{node}/qemu/{vmid}/move_disk", guest), std::move(fields)),
              named("moving " + to_text(slot) + " of", guest));
}

Result<Upid> PveClient::start(const GuestRef& guest) {
  return task(session_->write("POST", of_guest("/nodes/{node}/qemu/{vmid}/status/start", guest)),
              named("starting", guest));
}

Result<Upid> PveClient::shutdown(const GuestRef& guest, std::chrono::seconds timeout) {
  return task(session_->write("POST", of_guest("/nodes/{node}/qemu/{vmid}/status/shutdown", guest),
                              {{"timeout", fmt::format("{}", timeout.count())}}),
              named("shutting down", guest));
}

Result<Upid> PveClient::back_up(const GuestRef& guest, const std::string& storage) {
  FormFields fields{{"vmid", number(guest.vmid)}, {"storage", storage}, {"mode", "snapshot"}, {"compress", "zstd"}};
  return task(session_->write("POST", {"/nodes/{node}/vzdump", {guest.node}}, std::move(fields)),
              named("backing up", guest));
}

Result<Upid> PveClient::destroy_guest(const GuestRef& guest, bool purge) {
  FormFields fields;
  if (purge) fields.emplace_back("purge", "1");
  return task(session_->write("DELETE", of_guest("/nodes/{node}/qemu/{vmid}", guest), std::move(fields)),
              named("destroying", guest));
}

Status PveClient::create_ha(const std::string& sid, const FlatMap<std::string>& set) {
  FormFields fields{{"sid", sid}};
  add(fields, set);
  return done(session_->write("POST", {"/cluster/ha/resources", {}}, std::move(fields)), "creating HA resource " + sid);
}

Status PveClient::update_ha(const std::string& sid, const FlatMap<std::string>& set,
                            const std::vector<std::string>& unset, const std::string& digest) {
  FormFields fields;
  add(fields, set);
  add_list(fields, "delete", unset);
  add_text(fields, "digest", digest);
  return done(session_->write("PUT", {"/cluster/ha/resources/{sid}", {sid}}, std::move(fields)),
              "changing HA resource " + sid);
}

Status PveClient::delete_ha(const std::string& sid) {
  return done(session_->write("DELETE", {"/cluster/ha/resources/{sid}", {sid}}), "removing HA resource " + sid);
}

Status PveClient::create_replication(const std::string& id, const std::string& target,
                                     const FlatMap<std::string>& set) {
  FormFields fields{{"id", id}, {"type", "local"}, {"target", target}};
  add(fields, set);
  return done(session_->write("POST", {"/cluster/replication", {}}, std::move(fields)),
              "creating replication job " + id);
}

Status PveClient::update_replication(const std::string& id, const FlatMap<std::string>& set,
                                     const std::string& digest) {
  FormFields fields;
  add(fields, set);
  add_text(fields, "digest", digest);
  return done(session_->write("PUT", {"/cluster/replication/{id}", {id}}, std::move(fields)),
              "changing replication job " + id);
}

Status PveClient::stop_task(const Upid& task) {
  return done(session_->write("DELETE", {"/nodes/{node}/tasks/{upid}", {task.node(), task.text}}),
              "stopping task " + task.text);
}

}  // namespace pvr
