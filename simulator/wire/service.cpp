#include "simulator/wire/service.h"

#include <algorithm>
#include <array>

#include <nlohmann/json.hpp>

#include "simulator/wire/access.h"
#include "simulator/wire/decode.h"
#include "simulator/wire/formats.h"
#include "simulator/world/world.h"

namespace pvesim {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

constexpr std::size_t kMaxBody = std::size_t{512} * 1024;
constexpr int kWorkers = 3;                 // of pvedaemon, per node
constexpr VirtualSpan kProxyTimeout = 30s;  // pveproxy to pvedaemon and to other nodes
constexpr VirtualSpan kLoginDelay = 3s;     // every 401 is this late
constexpr VirtualSpan kNoRoute = 3s;        // until the kernel gives up looking for a dead host

std::vector<std::string> split_path(std::string_view path) {
  std::vector<std::string> out;
  while (!path.empty()) {
    const auto slash = path.find('/');
    if (slash != 0) out.emplace_back(path.substr(0, slash));
    if (slash == path.npos) break;
    path.remove_prefix(slash + 1);
  }
  return out;
}

bool is_parameter(const std::string& segment) { return segment.front() == '{'; }
std::string parameter_name(const std::string& segment) { return segment.substr(1, segment.size() - 2); }

/// Fact: the content index takes everything after it as one volume, slashes included.
bool takes_rest(const std::string& segment) { return segment == "{volume}"; }

std::string first_line(const std::string& text) { return text.substr(0, text.find_first_of("\r\n")); }

std::string_view standard_reason(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    default:
      return "Error";
  }
}

/// An answer whose body is the message itself: what the HTTP layer says before any API method runs.
Response plain(int status, const std::string& reason, const std::string& body) {
  Response response;
  response.status = status;
  response.reason = first_line(reason);
  response.body = body;
  return response;
}

Response json_answer(int status, const std::string& reason, const json& body) {
  Response response;
  response.status = status;
  response.reason = reason.empty() ? std::string(standard_reason(status)) : first_line(reason);
  response.headers.emplace_back("Content-Type", "application/json;charset=UTF-8");
  response.body = body.dump(-1, ' ', false, json::error_handler_t::replace);
  return response;
}

/// The error shapes of PVE's formatters.
Response error_answer(const ApiError& error, const std::string& format) {
  const bool raw = error.status >= 595 && error.status <= 599;
  if (raw) return plain(error.status, error.message, "");
  const bool has_line_end = error.status != 501;  // Fact: only "not implemented" carries no line end
  json body = {{"data", nullptr}};
  std::string message = error.message;
  if (!error.errors.empty()) {
    body["errors"] = error.errors;
    message = "Parameter verification failed.";
    if (!error.message.empty()) message = error.message;
  }
  body["message"] = message + (has_line_end ? "\n" : "");
  if (format == "extjs") {
    body["success"] = 0;
    // Fact: the status of a parameter error arrives as text, the others as numbers.
    if (error.errors.empty())
      body["status"] = error.status;
    else
      body["status"] = std::to_string(error.status);
    return json_answer(200, "", body);
  }
  return json_answer(error.status, message, body);
}

/// Counts the protected calls of one node; the destructor frees the worker.
class Worker {
 public:
  explicit Worker(int& busy) : busy_(busy) { ++busy_; }
  ~Worker() { --busy_; }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

 private:
  int& busy_;
};

}  // namespace

void fail(std::string message) { throw ApiError{500, std::move(message), {}}; }

void fail_param(std::string param, std::string text) { throw ApiError{400, "", {{std::move(param), std::move(text)}}}; }

void fail_permission(const std::string& path, const std::string& privs) {
  std::string message = "Permission check failed";
  if (!path.empty()) message += " (" + path + (privs.empty() ? "" : ", " + privs) + ")";
  throw ApiError{403, std::move(message), {}};
}

void require_privilege(Call& call, std::string_view path, std::string_view privs) {
  if (!has_privilege(call, path, privs)) fail_permission(std::string(path), std::string(privs));
}

bool has_privilege(const Call& call, std::string_view path, std::string_view privs) {
  return holds(call.world, call.session.auth_id(), path, privs);
}

namespace {

struct Methods {
  MethodTable table = {};
  std::vector<std::vector<std::string>> segments = {};
  Methods() {
    add_cluster_methods(table);
    add_node_methods(table);
    add_task_methods(table);
    add_access_methods(table);
    add_pool_methods(table);
    add_ha_methods(table);
    add_replication_methods(table);
    add_mapping_methods(table);
    add_backup_methods(table);
    add_qemu_methods(table);
    add_storage_methods(table);
    for (const MethodSpec& method : table) segments.push_back(split_path(method.path));
  }
};

const Methods& methods() {
  static const Methods made;
  return made;
}

}  // namespace

const MethodTable& all_methods() { return methods().table; }

Service::Service(World& world, std::string key)
    : world_(world),
      methods_(all_methods()),
      segments_(methods().segments),
      tickets_(std::move(key)),
      broadcast_(world) {
  world_.step_fault = [this](const Task* task, std::string_view step) {
    StepFault out;
    Fault fault;
    const std::string_view type = task != nullptr ? std::string_view(task->type) : std::string_view{};
    const std::string_view id = task != nullptr ? std::string_view(task->id) : std::string_view{};
    if (!faults_.for_step(type, id, step, fault)) return out;
    out.kind = fault.action == FaultAction::kTaskStall ? StepFault::Kind::kStall : StepFault::Kind::kFail;
    out.message = fault.message;
    return out;
  };
}

Service::Match Service::match(std::string_view verb, const std::string& path) const {
  const std::vector<std::string> given = split_path(path);
  const auto fits = [&](const std::vector<std::string>& own, int& literal) {
    literal = 0;
    const bool rest = !own.empty() && takes_rest(own.back());
    if (rest ? given.size() < own.size() : given.size() != own.size()) return false;
    for (std::size_t i = 0; i < own.size(); ++i) {
      if (is_parameter(own[i])) {
        if (given[i].find_first_of(" \t\r\n") != std::string::npos) return false;
      } else if (own[i] != given[i]) {
        return false;
      } else {
        ++literal;
      }
    }
    return true;
  };
  Match best;
  int most = -1;  // fixed names win over parameters
  for (std::size_t m = 0; m < methods_.size(); ++m) {
    int literal = 0;
    if (!fits(segments_[m], literal)) continue;
    if (literal < most) continue;
    if (literal > most) best = {};
    most = literal;
    best.path_template = methods_[m].path;
    if (methods_[m].verb != verb) continue;
    best.method = &methods_[m];
    best.params.clear();
    for (std::size_t i = 0; i < segments_[m].size(); ++i) {
      if (!is_parameter(segments_[m][i])) continue;
      std::string value = given[i];
      if (takes_rest(segments_[m][i]))
        for (std::size_t j = i + 1; j < given.size(); ++j) value += "/" + given[j];
      best.params[parameter_name(segments_[m][i])].text = std::move(value);
    }
  }
  return best;
}

Service::Place Service::place_of(const Request& request) const {
  Place place;
  place.node = request.node.empty() ? world_.first_node : request.node;
  const auto online = [&](const std::string& name) {
    const auto found = world_.nodes.find(name);
    return found != world_.nodes.end() && found->second.online;
  };
  if (request.node.empty() && !online(place.node))
    for (const auto& [name, node] : world_.nodes)
      if (node.online) {
        place.node = name;
        break;
      }
  if (!online(place.node)) place.node.clear();

  const std::string path = percent_decode(request.path, false);
  if (path.compare(0, 6, "/api2/") != 0) return place;  // Fact: /api2/FORMAT/…, the format in small letters and digits
  const std::size_t begin = path.find_first_not_of('/', 6);
  if (begin == path.npos) return place;
  const std::size_t end = std::min(path.find('/', begin), path.size());
  place.format = path.substr(begin, end - begin);
  place.relative = end < path.size() ? path.substr(end) : "/";
  const bool letters = place.format.size() >= 2 && place.format.front() >= 'a' && place.format.front() <= 'z' &&
                       std::all_of(place.format.begin(), place.format.end(),
                                   [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); });
  if (!letters) place.format.clear();
  return place;
}

Response Service::handle_quietly(const Request& request) {
  const auto lock = world_.guard();
  world_.catch_up();
  return serve(request, place_of(request), false);
}

Response Service::handle(const Request& request) {
  const auto lock = world_.guard();
  world_.catch_up();
  const Place place = place_of(request);
  const std::string& node = place.node;
  Response response;
  if (node.empty()) {
    response.delivery = Delivery::kConnectRefused;
    response.close = true;
    return response;
  }

  VirtualSpan late{0};
  bool lose = false;
  int pseudo_status = 0;
  for (const Fault& fault : faults_.for_request(request.method, place.relative)) {
    switch (fault.action) {
      case FaultAction::kDelay:
        late += fault.delay;
        break;
      case FaultAction::kLoseAnswer:
        lose = true;
        break;
      case FaultAction::kDrop:
        response.delivery = Delivery::kReset;
        break;
      case FaultAction::kRefuse:
        response.delivery = Delivery::kConnectRefused;
        break;
      case FaultAction::kProxyError:
        pseudo_status = fault.status;
        break;
      case FaultAction::kStatus: {
        ApiError error{fault.status, fault.message, {}};
        response = error_answer(error, place.format);
        response.close = true;
        return response;
      }
      case FaultAction::kNodeDown:
        world_.node_down(fault.node.empty() ? node : fault.node);
        break;
      case FaultAction::kNodeUp:
        world_.node_up(fault.node.empty() ? node : fault.node);
        break;
      case FaultAction::kLoseQuorum:
        world_.quorum_lost = true;
        break;
      case FaultAction::kGainQuorum:
        world_.quorum_lost = false;
        break;
      case FaultAction::kTaskFail:
      case FaultAction::kTaskStall:
      case FaultAction::kHostFail:
      case FaultAction::kHostRefuse:
      case FaultAction::kHostDrop:
      case FaultAction::kHostLoseAnswer:
      case FaultAction::kHostCut:
        break;
    }
  }
  if (!world_.nodes.at(node).online) response.delivery = Delivery::kReset;
  if (response.delivery != Delivery::kAnswer) {
    response.close = true;
    return response;
  }
  if (pseudo_status == 595) {
    response = plain(595, "Connection refused", "");
  } else {
    response = serve(request, place, true);
    if (pseudo_status != 0) response = plain(pseudo_status, "Connection timed out", "");
  }
  if (late > 0ms) world_.wait_until([] { return false; }, world_.now() + late);
  // A node that died while it served the request answers nobody.
  if (lose || !world_.nodes.at(node).online) response.delivery = Delivery::kLost;
  response.close = response.close || response.status >= 400 || response.delivery != Delivery::kAnswer;
  return response;
}

Response Service::serve(const Request& request, const Place& place, bool counted) {
  const std::string& relative = place.relative;
  const std::string& format = place.format;
  static constexpr std::array kVerbs = {"GET", "POST", "PUT", "DELETE"};
  if (std::find(kVerbs.begin(), kVerbs.end(), request.method) == kVerbs.end())
    return plain(501, "method '" + request.method + "' not available", "");
  if (const std::string encoding = header_of(request, "Transfer-Encoding"); !encoding.empty()) {
    const std::string text = encoding == "chunked" ? "chunked transfer encoding not supported"
                                                   : "Unknown transfer encoding '" + encoding + "'";
    return plain(501, text, text);
  }
  const std::string path = percent_decode(request.path, false);
  if (path.compare(0, 5, "/api2") != 0) {
    const std::string text = "no such file '" + path + "'\n";
    return plain(500, text, text);
  }
  if (format.empty()) return plain(501, "no such uri", "no such uri");

  Match found = match(request.method, relative);
  if (counted) ++counts_[{request.method, found.path_template.empty() ? relative : found.path_template}];

  Session session;
  try {
    session = authenticate(world_, tickets_, request, relative);
  } catch (const AuthFailure& failure) {
    world_.wait_until([] { return false; }, world_.now() + kLoginDelay);
    return plain(401, failure.reason, "");
  }

  const std::string length = header_of(request, "Content-Length");
  const bool declared = !length.empty() && is_integer_text(length) && length.size() < 15;
  const std::size_t size = declared ? static_cast<std::size_t>(std::stoll(length)) : request.body.size();
  if (size > 0) {
    if (request.method != "PUT" && request.method != "POST") {
      const std::string text = "Unexpected content for method '" + request.method + "'";
      return plain(501, text, text);
    }
    if (size > kMaxBody) return plain(501, "for data too large", "for data too large");
    const std::string type = header_of(request, "Content-Type");
    const std::string kind = type.substr(0, type.find(';'));
    if (!kind.empty() && kind != "application/x-www-form-urlencoded" && kind != "application/json") {
      const std::string text = "upload 'Content-Type '" + type + "' not implemented";
      return plain(506, text, text);
    }
  }
  if (format != "json" && format != "extjs") {
    const std::string text = "no formatter for uri " + relative + ", " + format;
    return plain(501, text, text);
  }
  return call(found, session, request, place.node, relative, format);
}

Response Service::call(const Match& match, const Session& session, const Request& request,
                       const std::string& local_node, const std::string& relative, const std::string& format) {
  WireParams given;
  try {
    given = request_params(request);
  } catch (const ApiError& error) {
    return plain(500, error.message, error.message + "\n");
  }
  try {
    if (match.method == nullptr)
      throw ApiError{501, "Method '" + request.method + " " + relative + "' not implemented", {}};
    const MethodSpec& method = *match.method;
    for (const auto& [name, value] : match.params) {
      const auto twice = given.find(name);
      if (twice != given.end() && twice->second.text != value.text)
        fail_param(name, "duplicate parameter (already defined in URI) with conflicting values!");
      given[name] = value;
    }
    if (!session.token.empty() && !method.token_allowed)
      fail_permission("URI '" + relative + "' not available with API token, need proper ticket.\n", "");

    const Params unchecked = raw_params(given);
    std::string node = local_node;
    if (const auto named = unchecked.find("node"); named != unchecked.end() && method.proxy_to_node)
      if (named->second != "localhost") node = named->second;

    if (session.user.empty() && !method.without_login) fail_permission("user != null", "");
    if (method.permission && !session.is_root_ticket()) {
      Call asked{world_, session, unchecked, node, {}, &tickets_, &broadcast_};
      method.permission(asked);
    }
    if (node != local_node && !world_.node(node).online) {
      world_.wait_until([] { return false; }, world_.now() + kNoRoute);
      throw ApiError{595, "No route to host", {}};
    }

    ParamErrors errors;
    const auto check = [&] {
      Params checked = check_params(method, given, errors);
      if (!errors.empty()) throw ApiError{400, "", errors};
      return checked;
    };
    const auto run = [&] {
      const Params params = check();
      Call call{world_, session, params, node, {}, &tickets_, &broadcast_};
      json data = method.handler(call);
      json body = {{"data", std::move(data)}};
      if (call.total && *call.total > 0) body["total"] = *call.total;
      if (format == "extjs") body["success"] = 1;
      return json_answer(200, "", body);
    };
    if (!method.is_protected) return run();
    // Fact: the daemon's few workers serve one call at a time; what comes on top waits, and the proxy with it.
    int& busy = busy_workers_[node];
    if (!world_.wait_until([&] { return busy < kWorkers; }, world_.now() + kProxyTimeout))
      throw ApiError{596, "Connection timed out", {}};
    const Worker worker(busy);
    return run();
  } catch (const ApiError& error) {
    if (error.status == 401) world_.wait_until([] { return false; }, world_.now() + kLoginDelay);
    return error_answer(error, format);
  }
}

}  // namespace pvesim
