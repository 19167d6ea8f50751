// Tasks of one node: status, log, list, stop (PVE manager 9.x, API2/Tasks).

#include <algorithm>
#include <cctype>

#include "simulator/api/support.h"
#include "simulator/wire/formats.h"
#include "simulator/world/text.h"

namespace pvesim {
namespace {

using nlohmann::json;

/// What a UPID says by itself.
struct Upid {
  std::string node = {}, type = {}, id = {}, user = {}, token = {};
};

/// UPID:NODE:PID:PSTART:STARTTIME:TYPE:ID:USER: with 8, 8 or 9, and 8 hex digits.
std::optional<Upid> parse_upid(const std::string& text) {
  const std::vector<std::string> parts = split_at(text, ':');
  if (parts.size() != 9 || parts[0] != "UPID" || !parts[8].empty()) return std::nullopt;
  const auto hex = [&](std::size_t part, std::size_t least, std::size_t most) {
    const std::string& digits = parts[part];
    return digits.size() >= least && digits.size() <= most &&
           std::all_of(digits.begin(), digits.end(), [](unsigned char c) { return std::isxdigit(c) != 0; });
  };
  if (!is_node_name(parts[1]) || !hex(2, 8, 8) || !hex(3, 8, 9) || !hex(4, 8, 8)) return std::nullopt;
  const bool spaced = std::any_of(text.begin(), text.end(), [](unsigned char c) { return std::isspace(c) != 0; });
  if (spaced || parts[5].empty() || parts[7].empty()) return std::nullopt;
  Upid upid{parts[1], parts[5], parts[6], parts[7], ""};
  if (const auto mark = upid.user.find('!'); mark != std::string::npos) {
    upid.token = upid.user.substr(mark + 1);
    upid.user.resize(mark);
  }
  return upid;
}

/// Fact: a token sees what it started; a user sees that and what its tokens started.
bool is_owner(const std::string& user, const std::string& token, const Session& session) {
  const std::string who = session.auth_id();
  return who == user || (!token.empty() && who == user + "!" + token);
}

/// Parses the {upid} of the path and checks who may see it. `exists`: refuse a UPID without a log file on this node.
Task* task_of(Call& call, const std::string& privilege, bool must_exist) {
  const std::string& text = call.params.at("upid");
  const auto upid = parse_upid(text);
  if (!upid) fail_param("upid", "unable to parse worker upid");
  Task* task = call.world.find_task(text);
  if (task != nullptr && task->node != call.node) task = nullptr;  // the log lies on the node that ran it
  if (must_exist && task == nullptr) fail_param("upid", "no such task");
  if (!is_owner(upid->user, upid->token, call.session)) require_privilege(call, "/nodes/" + call.node, privilege);
  return task;
}

json task_json(const Task& task) {
  json out = {{"upid", task.upid}, {"node", task.node},           {"pid", task.pid}, {"pstart", task.pstart},
              {"type", task.type}, {"starttime", task.starttime}, {"id", task.id},   {"user", task.user}};
  if (!task.token.empty()) out["tokenid"] = task.token;
  return out;
}

std::string status_class(const std::string& status) {
  if (status == "OK") return "ok";
  if (status.rfind("WARNINGS: ", 0) == 0) return "warning";
  return status == "unexpected status" ? "unknown" : "error";
}

json read_log(Call& call) {
  const Task* task = task_of(call, "Sys.Audit", false);
  if (flag_or(call.params, "download", false) && (given(call.params, "start") || given(call.params, "limit")))
    fail("'download' cannot be used together with 'start' or 'limit' parameters");
  const std::int64_t start = integer_or(call.params, "start", 0);
  const std::int64_t limit = integer_or(call.params, "limit", 50);
  std::vector<std::string> lines;
  if (task == nullptr)
    lines = {"unable to open file - No such file or directory"};
  else
    lines = task->log;
  if (lines.empty()) lines = {"no content"};
  json out = json::array();
  for (std::int64_t i = start; i < static_cast<std::int64_t>(lines.size()) && (limit == 0 || i < start + limit); ++i)
    out.push_back({{"n", i + 1}, {"t", lines[static_cast<std::size_t>(i)]}});
  call.total = static_cast<std::int64_t>(lines.size());
  return out;
}

json list_tasks(Call& call) {
  const Params& params = call.params;
  const std::int64_t start = integer_or(params, "start", 0);
  std::int64_t limit = integer_or(params, "limit", 50);
  const bool errors = flag_or(params, "errors", false);
  const std::string source = text_or(params, "source", "archive");
  const bool auditor = has_privilege(call, "/nodes/" + call.node, "Sys.Audit");
  std::set<std::string> classes = {"ok", "warning", "error", "unknown"};
  if (errors) {
    classes.erase("ok");
  } else if (const std::string* filter = find_param(params, "statusfilter")) {
    classes.clear();
    for (std::string name : split_list(*filter)) {
      std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
      classes.insert(std::move(name));
    }
  }
  const auto lower = [](std::string text) {
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
    return text;
  };
  json out = json::array();
  std::int64_t count = 0;
  const auto consider = [&](const Task& task) {
    // Fact: rows of running tasks still carry the token inside the user.
    const std::string user = task.running && !task.token.empty() ? task.user + "!" + task.token : task.user;
    if (const std::string* filter = find_param(params, "userfilter"))
      if (!filter->empty() && lower(user).find(lower(*filter)) == std::string::npos) return;
    if (!auditor && !is_owner(user, task.running ? "" : task.token, call.session)) return;
    if (const std::string* type = find_param(params, "typefilter"); type != nullptr && *type != task.type) return;
    if (const std::string* vmid = find_param(params, "vmid"); vmid != nullptr && *vmid != task.id) return;
    if (given(params, "since") && task.starttime < integer_or(params, "since", 0)) return;
    if (given(params, "until") && task.starttime > integer_or(params, "until", 0)) return;
    if (!task.running && !classes.contains(status_class(task.exit_status))) return;
    if (count++ < start) return;
    if (limit <= 0) return;
    --limit;
    json row = task_json(task);
    if (task.running) {
      row["user"] = user;
      row.erase("tokenid");
      row["saved"] = "0";
      row["status"] = "RUNNING";
    } else {
      row["endtime"] = task.endtime;
      row["status"] = task.exit_status;
    }
    out.push_back(std::move(row));
  };
  const auto& tasks = call.world.tasks;
  if (source != "archive")
    for (auto task = tasks.rbegin(); task != tasks.rend(); ++task)
      if ((*task)->running && (*task)->node == call.node) consider(**task);
  if (source != "active") {
    std::vector<const Task*> ended;
    for (const auto& task : tasks)
      if (!task->running && task->node == call.node) ended.push_back(task.get());
    std::stable_sort(ended.begin(), ended.end(), [](const Task* a, const Task* b) { return a->endtime < b->endtime; });
    for (auto task = ended.rbegin(); task != ended.rend(); ++task) consider(**task);
  }
  call.total = count;
  return out;
}

}  // namespace

void add_task_methods(MethodTable& table) {
  const auto upid_param = [] { return text_param("upid", {}, false); };

  MethodSpec list{.verb = "GET", .path = "/nodes/{node}/tasks", .proxy_to_node = true};
  list.params = {flag_param("errors"),
                 integer_param("limit", 0),
                 node_param(),
                 integer_param("since"),
                 enum_param("source", {"archive", "active", "all"}),
                 integer_param("start", 0),
                 text_param("statusfilter", "pve-task-status-type-list"),
                 text_param("typefilter"),
                 integer_param("until"),
                 text_param("userfilter"),
                 vmid_param("vmid", true)};
  list.handler = list_tasks;
  table.push_back(std::move(list));

  MethodSpec index{.verb = "GET", .path = "/nodes/{node}/tasks/{upid}"};
  index.params = {node_param(), upid_param()};
  index.handler = [](Call&) { return json{{{"name", "log"}}, {{"name", "status"}}}; };
  table.push_back(std::move(index));

  MethodSpec status{
      .verb = "GET", .path = "/nodes/{node}/tasks/{upid}/status", .is_protected = true, .proxy_to_node = true};
  status.params = {node_param(), upid_param()};
  status.handler = [](Call& call) {
    const Task* task = task_of(call, "Sys.Audit", true);
    json out = task_json(*task);
    out["status"] = task->running ? "running" : "stopped";
    if (!task->running) out["exitstatus"] = task->exit_status;
    return out;
  };
  table.push_back(std::move(status));

  MethodSpec log{.verb = "GET", .path = "/nodes/{node}/tasks/{upid}/log", .is_protected = true, .proxy_to_node = true};
  log.params = {flag_param("download"), integer_param("limit", 0), node_param(), integer_param("start", 0),
                upid_param()};
  log.handler = read_log;
  table.push_back(std::move(log));

  MethodSpec stop{.verb = "DELETE", .path = "/nodes/{node}/tasks/{upid}", .is_protected = true, .proxy_to_node = true};
  stop.params = {node_param(), upid_param()};
  stop.handler = [](Call& call) {
    const Task* task = task_of(call, "Sys.Modify", true);
    if (task->running) call.world.stop_task(task->upid);
    return json(nullptr);
  };
  table.push_back(std::move(stop));
}

}  // namespace pvesim
