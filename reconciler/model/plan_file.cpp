#include <fmt/core.h>
#include <openssl/evp.h>

#include <array>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "reconciler/model/plan.h"
#include "reconciler/model/plan_digest.h"
#include "reconciler/model/settings.h"

namespace pvr {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kFormat = "pvereconcile.plan-file";
constexpr int kVersion = 1;
constexpr std::string_view kSecret = "(secret)";

// ---- the shape of every record, once for writing and reading ----
// `walk` calls visitor(name, member) for each member; the visitor is a Writer (const access) or a Reader.

template <class V>
void walk(V& v, CreateStorage& p) {
  v("id", p.id), v("type", p.type), v("properties", p.properties), v("withheld", p.withheld);
}
template <class V>
void walk(V& v, UpdateStorage& p) {
  v("id", p.id), v("set", p.set), v("unset", p.unset), v("withheld", p.withheld);
}
template <class V>
void walk(V& v, CreatePool& p) {
  v("id", p.id), v("comment", p.comment);
}
template <class V>
void walk(V& v, AddToPool& p) {
  v("id", p.id), v("vmid", p.vmid);
}
template <class V>
void walk(V& v, CreateVm& p) {
  v("node", p.node), v("vmid", p.vmid), v("options", p.options), v("disks", p.disks), v("pool", p.pool),
      v("uuid", p.uuid), v("withheld", p.withheld);
}
template <class V>
void walk(V& v, CloneVm& p) {
  v("source_node", p.source_node), v("source", p.source), v("vmid", p.vmid), v("name", p.name), v("full", p.full),
      v("storage", p.storage);
  v("target_node", p.target_node), v("pool", p.pool);
}
template <class V>
void walk(V& v, SetVmOptions& p) {
  v("vmid", p.vmid), v("set", p.set), v("unset", p.unset), v("withheld", p.withheld);
}
template <class V>
void walk(V& v, SetDriveOptions& p) {
  v("vmid", p.vmid), v("slot", p.slot), v("volume", p.volume), v("set", p.set);
}
template <class V>
void walk(V& v, AddDisk& p) {
  v("vmid", p.vmid), v("slot", p.slot), v("storage", p.storage), v("size", p.size), v("format", p.format),
      v("import_from", p.import_from);
  v("options", p.options), v("cloud_init", p.cloud_init);
}
template <class V>
void walk(V& v, AttachVolume& p) {
  v("vmid", p.vmid), v("slot", p.slot), v("from", p.from), v("volume", p.volume), v("options", p.options),
      v("replaces", p.replaces);
}
template <class V>
void walk(V& v, DetachDisk& p) {
  v("vmid", p.vmid), v("slot", p.slot), v("volume", p.volume);
}
template <class V>
void walk(V& v, DestroyVolume& p) {
  v("vmid", p.vmid), v("volume", p.volume);
}
template <class V>
void walk(V& v, ResizeDisk& p) {
  v("vmid", p.vmid), v("slot", p.slot), v("volume", p.volume), v("size", p.size);
}
template <class V>
void walk(V& v, MoveDisk& p) {
  v("vmid", p.vmid), v("slot", p.slot), v("volume", p.volume), v("storage", p.storage), v("format", p.format),
      v("bandwidth", p.bandwidth), v("remove_source", p.remove_source);
}
template <class V>
void walk(V& v, RestartVm& p) {
  v("vmid", p.vmid), v("ha", p.ha);
}
template <class V>
void walk(V& v, StartVm& p) {
  v("vmid", p.vmid), v("ha", p.ha);
}
template <class V>
void walk(V& v, StopVm& p) {
  v("vmid", p.vmid), v("ha", p.ha), v("again", p.again);
}
template <class V>
void walk(V& v, DestroyVm& p) {
  v("vmid", p.vmid), v("uuid", p.uuid);
}
template <class V>
void walk(V& v, SetHa& p) {
  v("sid", p.sid), v("create", p.create), v("set", p.set), v("unset", p.unset);
}
template <class V>
void walk(V& v, RemoveHa& p) {
  v("sid", p.sid);
}
template <class V>
void walk(V& v, SetReplication& p) {
  v("id", p.id), v("create", p.create), v("target", p.target), v("set", p.set);
}
template <class V>
void walk(V& v, RetireVolume& p) {
  v("vmid", p.vmid), v("slot", p.slot), v("volume", p.volume), v("node", p.node), v("dataset", p.dataset),
      v("guid", p.guid);
}
template <class V>
void walk(V& v, CreateDataset& p) {
  v("node", p.node), v("dataset", p.name), v("properties", p.properties);
}
template <class V>
void walk(V& v, SetZvolProperties& p) {
  v("vmid", p.vmid), v("slot", p.slot), v("volume", p.volume), v("node", p.node), v("dataset", p.dataset),
      v("set", p.set);
}
template <class V>
void walk(V& v, SwapZvol& p) {
  v("vmid", p.vmid), v("slot", p.slot), v("volume", p.volume), v("storage", p.storage), v("node", p.node),
      v("from", p.from), v("to", p.to);
}
template <class V>
void walk(V& v, RecreateZvol& p) {
  v("vmid", p.vmid), v("slot", p.slot), v("volume", p.volume), v("node", p.node), v("dataset", p.dataset),
      v("guid", p.guid);
  v("volblocksize", p.volblocksize), v("thick", p.thick), v("properties", p.properties), v("snapshots", p.snapshots),
      v("bandwidth", p.bandwidth);
}
template <class V>
void walk(V& v, RollBackZvol& p) {
  v("vmid", p.vmid), v("slot", p.slot), v("volume", p.volume), v("node", p.node), v("dataset", p.dataset),
      v("guid", p.guid);
}
template <class V>
void walk(V& v, DestroyDataset& p) {
  v("node", p.node), v("dataset", p.dataset), v("guid", p.guid);
}
template <class V>
void walk(V& v, DeleteStorage& p) {
  v("id", p.id);
}
template <class V>
void walk(V& v, BackUpVm& p) {
  v("vmid", p.vmid), v("storage", p.storage), v("newer_than", p.newer_than);
}
template <class V>
void walk(V& v, SetArcLimits& p) {
  v("node", p.node), v("max", p.max), v("min", p.min), v("options", p.options);
}
template <class V>
void walk(V& v, SetPoolProperties& p) {
  v("node", p.node), v("pool", p.pool), v("set", p.set);
}
template <class V>
void walk(V& v, SetTrimTimer& p) {
  v("node", p.node), v("pool", p.pool), v("timer", p.timer);
}
template <class V>
void walk(V& v, StrategyOffer& p) {
  v("strategy", p.strategy), v("possible", p.possible), v("chosen", p.chosen), v("why", p.why), v("remedy", p.remedy),
      v("needs", p.needs);
  v("bytes", p.bytes), v("peak_extra", p.peak_extra), v("estimate", p.estimate), v("downtime", p.downtime);
}
template <class V>
void walk(V& v, StrategyChoice& p) {
  v("address", p.address), v("what", p.what), v("offers", p.offers);
}
template <class V>
void walk(V& v, PlannedChange& p) {
  v("key", p.key), v("from", p.from), v("to", p.to), v("rule", p.rule), v("reason", p.reason), v("place", p.place),
      v("impact", p.impact);
}
template <class V>
void walk(V& v, Guard& p) {
  v("digest", p.digest), v("uuid", p.uuid), v("section_digest", p.section_digest);
}
template <class V>
void walk(V& v, CopyCost& p) {
  v("bytes", p.bytes), v("target_storage", p.target_storage), v("target_node", p.target_node),
      v("peak_extra", p.peak_extra);
  v("estimate", p.estimate), v("downtime", p.downtime);
}
template <class V>
void walk(V& v, Operation& p) {
  v("id", p.id), v("address", p.address), v("procedure", p.procedure), v("impact", p.impact), v("changes", p.changes),
      v("after", p.after);
  v("locks", p.locks), v("guard", p.guard), v("copy", p.copy), v("node", p.node), v("in_any_case", p.in_any_case);
}
template <class V>
void walk(V& v, BlockedItem& p) {
  v("address", p.address), v("what", p.what), v("why", p.why), v("remedy", p.remedy), v("by_policy", p.by_policy);
}
template <class V>
void walk(V& v, WaitingItem& p) {
  v("address", p.address), v("key", p.key), v("running", p.running), v("configured", p.configured);
}
template <class V>
void walk(V& v, Finding& p) {
  v("severity", p.severity), v("rule", p.rule), v("address", p.where), v("what", p.what), v("fix", p.fix);
}
template <class V>
void walk(V& v, NodeAccess& p) {
  v("user", p.user), v("sudo", p.sudo), v("port", p.port), v("hosts", p.hosts), v("local", p.local);
}
template <class V>
void walk(V& v, PlanInputs& p) {
  v("document_hash", p.document_hash), v("cluster_name", p.cluster_name), v("made_at", p.made_at),
      v("digests", p.digests), v("allow", p.allow), v("ssh", p.ssh);
}
template <class V>
void walk(V& v, Plan& p) {
  v("inputs", p.inputs), v("operations", p.operations), v("choices", p.choices), v("blocked", p.blocked),
      v("waiting", p.waiting), v("findings", p.findings);
  v("gaps", p.gaps), v("partial", p.partial), v("unchanged_vms", p.unchanged_vms);
}

constexpr std::array kImpacts = {"none",        "live",         "pending-restart", "restart",
                                 "online-copy", "offline-copy", "destroy"};
constexpr std::array kStrategies = {"class-move", "out-and-back", "swap", "in-place"};
constexpr std::array kSeverities = {"notice", "warning", "error"};

template <class Enum, std::size_t N>
Enum enum_from(const std::array<const char*, N>& names, const std::string& text) {
  for (std::size_t i = 0; i < N; ++i)
    if (text == names[i]) return static_cast<Enum>(i);
  throw std::runtime_error(fmt::format("\"{}\" is not a word of this format", text));
}

// A finding holds its rule id as a view of static text, so the ids a file may name are spelled out here: "A0" … "Z99".
struct RuleIds {
  std::array<std::array<char, 3>, std::size_t{26}* 100> texts = {};
  constexpr RuleIds() {
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const std::size_t number = i % 100;
      auto& text = texts[i];
      text[0] = static_cast<char>('A' + i / 100);
      text[1] = static_cast<char>('0' + (number < 10 ? number : number / 10));
      text[2] = static_cast<char>('0' + number % 10);
    }
  }
};
constexpr RuleIds kRuleIds;

std::string_view rule_id(std::string_view text) {
  if (text.empty()) return {};
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  const bool fits = (text.size() == 2 || (text.size() == 3 && text[1] != '0' && digit(text[2]))) && text[0] >= 'A' &&
                    text[0] <= 'Z' && digit(text[1]);
  if (!fits) throw std::runtime_error(fmt::format("\"{}\" is not a rule id", text));
  std::size_t number = static_cast<std::size_t>(text[1] - '0');
  if (text.size() == 3) number = number * 10 + static_cast<std::size_t>(text[2] - '0');
  return {kRuleIds.texts[static_cast<std::size_t>(text[0] - 'A') * 100 + number].data(), text.size()};
}

template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};
template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};

struct Writer {
  Json object = Json::object();

  template <class T>
  static Json put(T& value) {
    if constexpr (std::is_same_v<T, std::string> || std::is_arithmetic_v<T>) {
      return value;
    } else if constexpr (std::is_same_v<T, std::string_view>) {
      return std::string(value);
    } else if constexpr (std::is_same_v<T, ByteSize>) {
      return value.bytes;
    } else if constexpr (std::is_same_v<T, ByteRate>) {
      return value.bytes_per_second;
    } else if constexpr (std::is_same_v<T, Vmid>) {
      return value.number;
    } else if constexpr (std::is_same_v<T, std::chrono::seconds>) {
      return static_cast<std::int64_t>(value.count());
    } else if constexpr (std::is_same_v<T, DriveSlot> || std::is_same_v<T, ResourceAddress>) {
      return to_text(value);
    } else if constexpr (std::is_same_v<T, VolumeId>) {
      return value.storage + ":" + value.name;
    } else if constexpr (std::is_same_v<T, Impact>) {
      return kImpacts.at(static_cast<std::size_t>(value));
    } else if constexpr (std::is_same_v<T, Strategy>) {
      return kStrategies.at(static_cast<std::size_t>(value));
    } else if constexpr (std::is_same_v<T, Severity>) {
      return kSeverities.at(static_cast<std::size_t>(value));
    } else if constexpr (std::is_same_v<T, Procedure>) {
      Writer inner;
      std::visit([&inner](auto& p) { walk(inner, p); }, value);
      inner.object["name"] = std::string(procedure_name(value));
      return std::move(inner.object);
    } else if constexpr (IsOptional<T>::value) {
      return value ? put(*value) : Json(nullptr);
    } else if constexpr (IsVector<T>::value) {
      Json list = Json::array();
      for (auto& item : value) list.push_back(put(item));
      return list;
    } else if constexpr (std::is_same_v<T, FlatMap<std::string>> ||
                         std::is_same_v<T, std::map<std::string, std::string>>) {
      Json map = Json::object();
      for (const auto& [key, text] : value) map[key] = text;
      return map;
    } else {
      Writer inner;
      walk(inner, value);
      return std::move(inner.object);
    }
  }
  template <class T>
  void operator()(const char* name, T& value) {
    object[name] = put(value);
  }
};

struct Reader {
  const Json& object;

  template <class T>
  static void get(const Json& json, T& value) {
    if constexpr (std::is_same_v<T, bool>) {
      value = json.get<bool>();
    } else if constexpr (std::is_same_v<T, std::string> || std::is_arithmetic_v<T>) {
      json.get_to(value);
    } else if constexpr (std::is_same_v<T, std::string_view>) {
      value = rule_id(json.get<std::string>());
    } else if constexpr (std::is_same_v<T, ByteSize>) {
      json.get_to(value.bytes);
    } else if constexpr (std::is_same_v<T, ByteRate>) {
      json.get_to(value.bytes_per_second);
    } else if constexpr (std::is_same_v<T, Vmid>) {
      json.get_to(value.number);
    } else if constexpr (std::is_same_v<T, std::chrono::seconds>) {
      value = std::chrono::seconds(json.get<std::int64_t>());
    } else if constexpr (std::is_same_v<T, DriveSlot>) {
      value = need(parse_slot(json.get<std::string>()), json);
    } else if constexpr (std::is_same_v<T, ResourceAddress>) {
      value = need(parse_address(json.get<std::string>()), json);
    } else if constexpr (std::is_same_v<T, VolumeId>) {
      const auto text = json.get<std::string>();
      const auto colon = text.find(':');
      if (colon == std::string::npos) throw std::runtime_error(fmt::format("\"{}\" is not a volume", text));
      value = {.storage = text.substr(0, colon), .name = text.substr(colon + 1)};
    } else if constexpr (std::is_same_v<T, Impact>) {
      value = enum_from<Impact>(kImpacts, json.get<std::string>());
    } else if constexpr (std::is_same_v<T, Strategy>) {
      value = enum_from<Strategy>(kStrategies, json.get<std::string>());
    } else if constexpr (std::is_same_v<T, Severity>) {
      value = enum_from<Severity>(kSeverities, json.get<std::string>());
    } else if constexpr (std::is_same_v<T, Procedure>) {
      const auto name = json.at("name").get<std::string>();
      if (!pick<0>(name, json, value)) throw std::runtime_error(fmt::format("\"{}\" is not a procedure", name));
    } else if constexpr (IsOptional<T>::value) {
      value.reset();
      if (!json.is_null()) get(json, value.emplace());
    } else if constexpr (IsVector<T>::value) {
      value.clear();
      for (const Json& item : as(json, json.is_array())) get(item, value.emplace_back());
    } else if constexpr (std::is_same_v<T, FlatMap<std::string>> ||
                         std::is_same_v<T, std::map<std::string, std::string>>) {
      for (const auto& [key, text] : as(json, json.is_object()).items()) value[key] = text.template get<std::string>();
    } else {
      Reader inner{json};
      walk(inner, value);
    }
  }
  template <class T>
  void operator()(const char* name, T& value) const {
    get(object.at(name), value);
  }

 private:
  static const Json& as(const Json& json, bool fits) {
    if (!fits) throw std::runtime_error("a list or map is missing");
    return json;
  }
  template <class T>
  static T need(const std::optional<T>& value, const Json& json) {
    if (!value) throw std::runtime_error(fmt::format("{} cannot be read", json.dump()));
    return *value;
  }
  template <std::size_t I>
  static bool pick(const std::string& name, const Json& json, Procedure& value) {
    if constexpr (I == std::variant_size_v<Procedure>) {
      return false;
    } else {
      Procedure candidate{std::in_place_index<I>};
      if (procedure_name(candidate) != name) return pick<I + 1>(name, json, value);
      Reader inner{json};
      walk(inner, std::get<I>(candidate));
      value = std::move(candidate);
      return true;
    }
  }
};

std::string sha256_hex(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int length = 0;
  if (EVP_Digest(text.data(), text.size(), digest.data(), &length, EVP_sha256(), nullptr) != 1) return {};
  std::string hex;
  for (unsigned int i = 0; i < length; ++i) hex += fmt::format("{:02x}", digest.at(i));
  return hex;
}

bool is_secret(Home home, std::string_view key) {
  const Setting* setting = find_setting(home, key);
  return setting != nullptr && setting->write_only;
}

void withhold(Home home, FlatMap<std::string>& values, std::vector<std::string>& withheld) {
  std::vector<std::string> secret;
  for (const auto& [key, text] : values)
    if (is_secret(home, key)) secret.push_back(key);
  for (const std::string& key : secret) {
    values.erase(key);
    withheld.push_back(key);
  }
}

// The plan as a file may hold it: no value of a write-only setting.
Plan without_secrets(Plan plan) {
  for (Operation& op : plan.operations) {
    Home home = Home::kVmOption;
    if (auto* p = std::get_if<SetVmOptions>(&op.procedure)) withhold(home, p->set, p->withheld);
    if (auto* p = std::get_if<CreateVm>(&op.procedure)) withhold(home, p->options, p->withheld);
    if (auto* p = std::get_if<CreateStorage>(&op.procedure))
      withhold(home = Home::kStorageOption, p->properties, p->withheld);
    if (auto* p = std::get_if<UpdateStorage>(&op.procedure)) withhold(home = Home::kStorageOption, p->set, p->withheld);
    for (PlannedChange& change : op.changes) {
      if (!is_secret(home, change.key)) continue;
      if (!change.from.empty()) change.from = kSecret;
      if (!change.to.empty()) change.to = kSecret;
    }
  }
  return plan;
}

Error refused(std::string why) {
  return Error{.kind = ErrorKind::kRejected, .message = std::move(why), .context = "reading a plan file"};
}

}  // namespace

std::string print_plan(const Plan& plan) {
  Plan copy = without_secrets(plan);
  Json body = Writer::put(copy);
  Json file = Json::object();
  file["format"] = kFormat;
  file["version"] = kVersion;
  file["checksum"] = sha256_hex(body.dump());
  file["plan"] = std::move(body);
  return file.dump(1) + "\n";
}

std::string plan_digest(const Plan& plan) {
  Plan copy = without_secrets(plan);
  Json operations = Json::array();
  for (Operation& operation : copy.operations) {
    operation.guard = {};
    if (operation.copy) operation.copy->estimate = operation.copy->downtime = {};
    for (PlannedChange& change : operation.changes) {
      change.rule.clear();
      change.reason.clear();
      change.place.clear();
    }
    operations.push_back(Writer::put(operation));
  }
  const Json what = {
      {"cluster", copy.inputs.cluster_name}, {"allow", copy.inputs.allow}, {"operations", std::move(operations)}};
  return sha256_hex(what.dump(-1, ' ', false, Json::error_handler_t::replace));
}

Result<Plan> parse_plan(std::string_view text) {
  try {
    const Json file = Json::parse(text);
    if (!file.is_object() || file.value("format", "") != kFormat)
      return refused("This is not a plan file of pvereconcile.");
    const int version = file.at("version").get<int>();
    if (version != kVersion) {
      return refused(fmt::format("The plan file has version {}, this program reads version {}. Make the plan again.",
                                 version, kVersion));
    }
    const Json& body = file.at("plan");
    if (sha256_hex(body.dump()) != file.at("checksum").get<std::string>()) {
      return refused("The checksum does not fit: the plan file was changed or damaged. Make the plan again.");
    }
    Plan plan;
    Reader::get(body, plan);
    return plan;
  } catch (const std::exception& e) {
    return refused(fmt::format("The plan file cannot be read: {}", e.what()));
  }
}

}  // namespace pvr
