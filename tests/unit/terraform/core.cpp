#include "tests/unit/terraform/core.h"

#include <set>

#include "providers/pve/pve_client.h"
#include "terraform-plugin/cty/codec.h"

namespace pvr::tf {

const char* const kUsers = R"(
users:
  - {name: root@pam, password: secret, tokens: [{id: ci, secret: very-secret-value, privsep: false}]}
)";

const char* const kSmall = R"(
cluster: {name: small, seed: 3}
users:
  - {name: root@pam, password: secret, tokens: [{id: ci, secret: very-secret-value, privsep: false}]}
nodes:
  pve1:
    version: 9.2.4
    zfs: 2.4.3
    cpu: 64
    memory: 512GiB
    pools: {tank: {size: 8TiB, layout: mirror, media: ssd}}
storages:
  tank: {type: zfspool, pool: tank/vms, sparse: 1, content: "images,rootdir"}
)";

namespace {

constexpr const char* kEndpoint = "https://pve1:8006";

class SimulatedLink final : public Link {
 public:
  SimulatedLink(pvesim::Simulator& simulator, const std::string& node, ConnectionOptions options)
      : clock_(simulator),
        client_(std::move(options),
                std::make_unique<testing::SimulatedTransport>(simulator,
                                                              std::map<std::string, std::string>{{kEndpoint, node}}),
                clock_, {}) {}
  PveApi& pve() override { return client_; }
  ZfsHost* zfs() override { return nullptr; }
  Clock& clock() override { return clock_; }
  bool as_root() const override { return false; }

 private:
  testing::SimulatedClock clock_;
  PveClient client_;
};

void say(std::vector<std::string>& out, const std::string& where, const std::string& what) {
  out.push_back(where + ": " + what);
}

void check_plan(const std::vector<Attribute>& schema, const std::string& where, const Value& prior, const Value& config,
                const Value& planned, std::vector<std::string>& out) {
  if (planned.map() == nullptr) return say(out, where, "no object");
  std::set<std::string> names;
  for (const Attribute& attribute : schema) {
    names.insert(attribute.name);
    const std::string at = where + "." + attribute.name;
    if (!planned.map()->contains(attribute.name)) {
      say(out, at, "missing");
      continue;
    }
    const Value& c = config[attribute.name];
    const Value& p = prior[attribute.name];
    const Value& l = planned[attribute.name];
    if (c.is_null()) {
      if (!attribute.computed && !l.is_null()) say(out, at, "planned value for a non-computed attribute");
      continue;
    }
    if (is_object(attribute.shape) && c.is_known()) {
      if (l.is_unknown()) say(out, at, "planned unknown for configured value");
      continue;  // the parts follow the configuration or the comparison below fails
    }
    if (l != c && (p.is_null() || l != p)) say(out, at, "planned value does not match config value");
  }
  for (const auto& [name, value] : *planned.map()) {
    if (!names.contains(name)) say(out, where, "unsupported attribute " + name);
  }
  for (const Attribute& attribute : schema) {
    if (is_object(attribute.shape) && config[attribute.name].is_known() &&
        planned[attribute.name] != config[attribute.name] && planned[attribute.name] != prior[attribute.name])
      say(out, where + "." + attribute.name, "planned parts do not match config");
  }
}

/// Known values of `from` must be the same in `to`.
void check_known(const std::string& where, const Value& from, const Value& to, std::vector<std::string>& out) {
  if (from.is_unknown()) return;
  if (const Map* map = from.map()) {
    if (to.map() == nullptr) return say(out, where, "was a map");
    if (map->size() != to.map()->size()) return say(out, where, "other keys");
    for (const auto& [name, value] : *map) {
      const auto found = to.map()->find(name);
      if (found == to.map()->end())
        say(out, where, "lost " + name);
      else
        check_known(where + "." + name, value, found->second, out);
    }
    return;
  }
  if (const List* list = from.list()) {
    if (to.list() == nullptr || to.list()->size() != list->size()) return say(out, where, "another number of elements");
    for (std::size_t i = 0; i < list->size(); ++i)
      check_known(where + "[" + std::to_string(i) + "]", (*list)[i], (*to.list())[i], out);
    return;
  }
  if (from != to) say(out, where, "was " + encode_json(from) + ", but now " + encode_json(to));
}

}  // namespace

void KeptLog::write(LogLevel, std::string_view message, const Fields& fields) {
  const std::scoped_lock lock(mutex_);
  text_ += message;
  for (const auto& [name, value] : fields) text_ += " " + name + "=" + value;
  text_ += "\n";
}

std::string KeptLog::text() const {
  const std::scoped_lock lock(mutex_);
  return text_;
}

Lab::Lab(const std::string& cluster, std::string node)
    : sim_(pvesim::Simulator::from_text(cluster)), node_(std::move(node)) {}

std::unique_ptr<Provider> Lab::provider(const Map& config) {
  Environment environment = {{"PVERECONCILE_ENDPOINT", kEndpoint},
                             {"PVERECONCILE_TOKEN", "root@pam!ci=very-secret-value"}};
  auto made = std::make_unique<Provider>(
      [this](ConnectionOptions options, const WrittenCluster&) -> Result<std::unique_ptr<Link>> {
        return std::unique_ptr<Link>(std::make_unique<SimulatedLink>(*sim_, node_, std::move(options)));
      },
      environment, log_);
  const Messages messages = made->configure(conformed(Value(config), made->schema().provider.attributes));
  if (has_errors(messages)) throw std::runtime_error(text_of(messages));
  return made;
}

std::vector<std::string> plan_breaks(const std::vector<Attribute>& schema, const Value& prior, const Value& config,
                                     const Value& planned) {
  std::vector<std::string> out;
  check_plan(schema, "plan", prior, config, planned, out);
  return out;
}

std::vector<std::string> replan_breaks(const Value& first, const Value& second) {
  std::vector<std::string> out;
  check_known("final plan", first, second, out);
  return out;
}

std::vector<std::string> apply_breaks(const Value& planned, const Value& applied) {
  std::vector<std::string> out;
  if (applied.is_null()) say(out, "applied", "root object was present, but now absent");
  if (has_unknown(applied)) say(out, "applied", "still unknown values");
  if (applied.is_known()) check_known("applied", planned, applied, out);
  return out;
}

std::string text_of(const Messages& messages) {
  std::string out;
  for (const Message& message : messages)
    out += (message.level == Level::kError ? "error: " : "warning: ") + to_text(message.path) + " " + message.summary +
           ": " + message.detail + "\n";
  return out;
}

}  // namespace pvr::tf
