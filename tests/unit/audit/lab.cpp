#include "tests/unit/audit/lab.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace pvr::audit_test {

Lab::Lab(const std::string& cluster)
    : Lab(pvesim::Simulator::from_text(cluster, {.manual_clock = true, .clock_scale = {}, .seed = {}})) {}

Lab Lab::from_file(const std::string& path) {
  return Lab(pvesim::Simulator::from_file(path, {.manual_clock = true, .clock_scale = {}, .seed = {}}));
}

Lab::Lab(std::unique_ptr<pvesim::Simulator> sim) : sim_(std::move(sim)) {
  clock_ = std::make_unique<testing::SimulatedClock>(*sim_);
  const pvesim::Response made = sim_->admin_call("POST", "/access/users/root@pam/token/audit", {{"privsep", "0"}});
  ConnectionOptions options;
  options.endpoints = {"https://node:8006"};
  options.token_id = "root@pam!audit";
  options.token_secret = Secret(nlohmann::json::parse(made.body)["data"]["value"].get<std::string>());
  auto transport = std::make_unique<testing::SimulatedTransport>(
      *sim_, std::map<std::string, std::string>{{"https://node:8006", sim_->node_names().front()}});
  client_ = std::make_unique<PveClient>(std::move(options), std::move(transport), *clock_, std::stop_token());
  runner_ = std::make_unique<testing::SimulatedRunner>(*sim_);
  zfs_ = std::make_unique<HostZfs>(*runner_, *clock_, HostZfsOptions{});
}

AuditResult Lab::look(std::shared_ptr<const FleetDocument> fleet) {
  auto result = audit_cluster(*client_, *clock_, std::move(fleet), options_);
  if (!result) throw std::runtime_error(result.error().text());
  return std::move(result).value();
}

std::string Lab::call(const std::string& method, const std::string& path,
                      const std::vector<std::pair<std::string, std::string>>& params) {
  const pvesim::Response answer = sim_->admin_call(method, path, params);
  if (answer.status != 200)
    return fmt::format("{} {}: {} {} {}", method, path, answer.status, answer.reason, answer.body);
  const auto body = nlohmann::json::parse(answer.body, nullptr, false);
  sim_->settle();
  if (!body.is_object() || !body.contains("data") || !body["data"].is_string()) return {};
  const std::string upid = body["data"].get<std::string>();
  for (const pvesim::TaskInfo& task : sim_->tasks()) {
    if (task.upid == upid && task.exit_status != "OK" && !task.exit_status.starts_with("WARNINGS"))
      return task.exit_status;
  }
  return {};
}

std::optional<std::string> Lab::type(const std::string& command, const std::string& node) {
  const std::vector<std::string> words = shell_words(command);
  const auto options = [&words](std::size_t from) {
    std::vector<std::pair<std::string, std::string>> params;
    for (std::size_t i = from; i + 1 < words.size(); i += 2) params.emplace_back(words[i].substr(2), words[i + 1]);
    return params;
  };
  const auto guest = [this](const std::string& vmid) {
    return fmt::format("/nodes/{}/qemu/{}", sim_->vm_node(std::stoi(vmid)), vmid);
  };
  const std::string name = words.at(0) + " " + words.at(1);
  const auto redirect = std::ranges::find_if(words, [](const std::string& w) { return w == ">" || w == ">>"; });
  if (words.at(0) == "echo" && redirect != words.end()) {
    // A shell of root opens the file and echo writes into it; the stand-in for that is tee.
    std::vector<std::string> argv = {"tee", words.back()};
    if (*redirect == ">>") argv.insert(argv.begin() + 1, "-a");
    const auto ran = runner_->run({.node = node, .argv = argv, .input = words.at(1) + "\n", .acts = true});
    if (!ran) return ran.error().text();
    return ran->exit_code == 0 ? std::string() : ran->err;
  }
  if (name == "zfs set" || words.at(0) == "zpool" || words.at(0) == "systemctl" || words.at(0) == "update-initramfs") {
    const auto ran = runner_->run({.node = node, .argv = words, .acts = true});
    if (!ran) return ran.error().text();
    return ran->exit_code == 0 ? std::string() : ran->err;
  }
  if (name == "qm set") return call("POST", guest(words.at(2)) + "/config", options(3));
  if (name == "qm reboot") return call("POST", guest(words.at(2)) + "/status/reboot");
  if (name == "qm disk" && words.at(2) == "move")
    return call("POST", guest(words.at(3)) + "/move_disk", {{"disk", words.at(4)}, {"storage", words.at(5)}});
  if (name == "qm disk" && words.at(2) == "unlink") return call("PUT", guest(words.at(3)) + "/unlink", options(4));
  if (name == "pvesm set") return call("PUT", "/storage/" + words.at(2), options(3));
  if (name == "pvesm free") {
    const std::string& volume = words.at(2);
    const std::string storage = volume.substr(0, volume.find(':'));
    std::string home = sim_->node_names().front();
    for (const pvesim::VolumeInfo& info : sim_->volumes(storage))
      if (info.volid == volume && !info.node.empty()) home = info.node;
    return call("DELETE", fmt::format("/nodes/{}/storage/{}/content/{}", home, storage, volume));
  }
  if (name == "pvesh set") return call("PUT", words.at(2), options(3));
  return std::nullopt;
}

std::vector<std::string> shell_words(const std::string& command) {
  std::vector<std::string> words;
  std::string word;
  bool quoted = false;
  bool any = false;
  for (std::size_t i = 0; i < command.size(); ++i) {
    const char c = command[i];
    if (c == '\'') {
      quoted = !quoted;
      any = true;
    } else if (c == '\\' && !quoted) {
      word += command.at(++i);
    } else if (c == ' ' && !quoted) {
      if (any || !word.empty()) words.push_back(std::exchange(word, {}));
      any = false;
    } else {
      word += c;
    }
  }
  if (any || !word.empty()) words.push_back(word);
  return words;
}

std::vector<std::string> ids_of(const AuditReport& report) {
  std::vector<std::string> ids;
  for (const AuditFinding& finding : report.findings) ids.push_back(finding.id);
  std::ranges::sort(ids);
  return ids;
}

const AuditFinding* find(const AuditReport& report, const std::string& id) {
  const auto at = std::ranges::find(report.findings, id, &AuditFinding::id);
  return at == report.findings.end() ? nullptr : &*at;
}

}  // namespace pvr::audit_test
