#include "providers/pve/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "providers/pve/errors.h"
#include "reconciler/model/option_codec.h"

namespace pvr {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

constexpr auto kDeadFor = std::chrono::seconds(30);
constexpr auto kFirstPause = milliseconds(250);
constexpr int kAttempts = 4;
// A node that cannot be connected to through its neighbour is mostly off: one more try is enough.
constexpr int kAttemptsBehindProxy = 2;
// Fact: a ticket lives two hours.
constexpr auto kTicketFresh = std::chrono::minutes(60);

std::string expand(const ApiPath& path) {
  std::string out = "/api2/json";
  std::size_t value = 0;
  for (std::string_view rest = path.pattern; !rest.empty();) {
    const std::size_t open = rest.find('{');
    out += rest.substr(0, open);
    if (open == std::string_view::npos) break;
    if (value < path.values.size()) out += percent_encode(path.values[value++]);
    rest.remove_prefix(std::min(rest.size(), rest.find('}', open) + 1));
  }
  return out;
}

Error interrupted() { return {ErrorKind::kInterrupted, "The run was asked to stop.", {}, Effect::kNone, 0}; }

bool worth_repeating(const Error& error) {
  return error.kind == ErrorKind::kTimeout || error.kind == ErrorKind::kUnreachable ||
         (error.kind == ErrorKind::kServer && error.http_status == 0);
}

Result<json> data_of(const HttpResponse& response, bool write) {
  if (response.status >= 400) return classify_answer(response, write);
  const Effect effect = write ? Effect::kPossible : Effect::kNone;
  if (response.status < 200 || response.status >= 300) {
    return Error{ErrorKind::kMalformed,
                 fmt::format("HTTP status {} ({}); is this the port of the API?", response.status, response.reason),
                 {},
                 effect,
                 response.status};
  }
  json body = json::parse(response.body, nullptr, false);
  if (!body.is_object() || !body.contains("data")) {
    return Error{ErrorKind::kMalformed, "The answer is not what the API sends.", {}, effect, response.status};
  }
  // Calls that page, and warnings, keep more beside `data`; nothing here needs it.
  return std::move(body["data"]);
}

}  // namespace

std::string encode_form(const FormFields& fields) {
  std::string out;
  for (const auto& [key, value] : fields) {
    if (!out.empty()) out += '&';
    out += percent_encode(key);
    out += '=';
    out += percent_encode(value);
  }
  return out;
}

Session::Session(ConnectionOptions options, std::unique_ptr<HttpTransport> transport, Clock& clock,
                 std::stop_token stop)
    : options_(std::move(options)), transport_(std::move(transport)), clock_(clock), stop_(std::move(stop)) {
  if (!options_.token_id.empty()) {
    std::string text = fmt::format("PVEAPIToken={}={}", options_.token_id, options_.token_secret.reveal());
    token_ = std::make_shared<const Secret>(text);
    wipe(text);
  }
}

std::vector<std::string> Session::candidates() {
  const std::scoped_lock lock(mutex_);
  const auto now = clock_.steady();
  std::vector<std::string> alive;
  std::vector<std::string> dead;
  for (std::size_t i = 0; i < options_.endpoints.size(); ++i) {
    const std::string& endpoint = options_.endpoints[(preferred_ + i) % options_.endpoints.size()];
    const auto at = dead_until_.find(endpoint);
    (at != dead_until_.end() && at->second > now ? dead : alive).push_back(endpoint);
  }
  // Those believed dead come last, never are left out: belief may be old.
  alive.insert(alive.end(), dead.begin(), dead.end());
  return alive;
}

void Session::remember(const std::string& endpoint, bool alive) {
  const std::scoped_lock lock(mutex_);
  if (!alive) {
    dead_until_[endpoint] = clock_.steady() + kDeadFor;
    return;
  }
  dead_until_.erase(endpoint);
  const auto at = std::ranges::find(options_.endpoints, endpoint);
  if (at != options_.endpoints.end()) preferred_ = static_cast<std::size_t>(at - options_.endpoints.begin());
}

void Session::count(std::string_view method, std::string_view pattern) {
  const std::scoped_lock lock(mutex_);
  ++counts_[{std::string(method), std::string(pattern)}];
}

std::map<std::pair<std::string, std::string>, std::uint64_t> Session::request_counts() const {
  const std::scoped_lock lock(mutex_);
  return counts_;
}

Result<HttpResponse> Session::send_somewhere(const HttpRequest& request, std::string_view pattern) {
  std::optional<Error> first;
  for (const std::string& endpoint : candidates()) {
    if (stop_.stop_requested()) return interrupted();
    count(request.method, pattern);
    Result<HttpResponse> response = transport_->send(endpoint, request);
    if (response.ok()) {
      remember(endpoint, true);
      return response;
    }
    const Error& error = response.error();
    if (error.effect == Effect::kPossible || error.kind == ErrorKind::kInterrupted) return response;
    const bool elsewhere = error.kind == ErrorKind::kUnreachable || error.kind == ErrorKind::kTls;
    if (!elsewhere) return response;
    remember(endpoint, false);
    // A certificate that does not fit needs a human; it must not drown in "connection refused" of a second endpoint.
    if (!first || error.kind == ErrorKind::kTls) first = error;
  }
  return first.value_or(Error{ErrorKind::kUnreachable, "There is no endpoint.", {}, Effect::kNone, 0});
}

Result<Session::Ticket> Session::log_in() {
  HttpRequest request{.method = "POST", .path = "/api2/json/access/ticket", .sensitive = true};
  request.fields = {{"username", options_.user}, {"password", std::string(options_.password.reveal())}};
  Result<HttpResponse> response = send_somewhere(request, "/access/ticket");
  wipe(request.fields.back().second);
  if (!response.ok()) return std::move(response).error().during("logging in");
  Result<json> data = data_of(*response, false);
  wipe(response->body);
  if (!data.ok()) return std::move(data).error().during("logging in");
  if (!data->is_object() || !data->value("ticket", json()).is_string() ||
      !data->value("CSRFPreventionToken", json()).is_string()) {
    return Error{ErrorKind::kMalformed, "The answer to the login holds no ticket.", "logging in", Effect::kNone, 0};
  }
  if (const auto second = data->find("NeedTFA"); second != data->end() && !second->is_null() && *second != 0) {
    return Error{ErrorKind::kUnauthorized, "The user needs a second factor; use an API token.", "logging in",
                 Effect::kNone, 401};
  }
  auto& ticket = (*data)["ticket"].get_ref<std::string&>();
  auto& csrf = (*data)["CSRFPreventionToken"].get_ref<std::string&>();
  std::string cookie = "PVEAuthCookie=" + percent_encode(ticket);
  Ticket taken{std::make_shared<const Secret>(cookie), std::make_shared<const Secret>(csrf), clock_.steady()};
  wipe(cookie);
  wipe(ticket);
  wipe(csrf);
  return taken;
}

Status Session::authenticate(HttpRequest& request) {
  if (token_) {
    request.headers.push_back({"Authorization", token_});
    return Done{};
  }
  const std::scoped_lock login(login_mutex_);
  Ticket ticket;
  {
    const std::scoped_lock lock(mutex_);
    ticket = ticket_;
  }
  if (!ticket.cookie || clock_.steady() - ticket.taken > kTicketFresh) {
    Result<Ticket> taken = log_in();
    if (!taken.ok()) return std::move(taken).error();
    ticket = *taken;
    const std::scoped_lock lock(mutex_);
    ticket_ = ticket;
  }
  request.headers.push_back({"Cookie", ticket.cookie});
  if (request.method != "GET") request.headers.push_back({"CSRFPreventionToken", ticket.csrf});
  return Done{};
}

void Session::forget_ticket(const HttpRequest& request) {
  const std::scoped_lock lock(mutex_);
  // Another thread may have logged in again meanwhile: only the ticket that failed goes.
  if (!request.headers.empty() && ticket_.cookie == request.headers.front().value) ticket_ = {};
}

Result<HttpResponse> Session::send_authenticated(HttpRequest request, std::string_view pattern) {
  for (int attempt = 0;; ++attempt) {
    request.headers.clear();
    if (Status known = authenticate(request); !known.ok()) return std::move(known).error();
    Result<HttpResponse> response = send_somewhere(request, pattern);
    const bool refused = response.ok() && response->status == 401;
    if (!refused || token_ || attempt > 0) return response;
    forget_ticket(request);  // 401 comes before anything is done, so the request may go again
  }
}

Result<json> Session::get(const ApiPath& path, FormFields query) {
  HttpRequest request{.method = "GET", .path = expand(path), .fields = std::move(query)};
  milliseconds pause = kFirstPause;
  for (int attempt = 1;; ++attempt) {
    Result<HttpResponse> response = send_authenticated(request, path.pattern);
    Result<json> data = response.ok() ? data_of(*response, false) : Result<json>(std::move(response).error());
    if (data.ok()) return data;
    Error error = std::move(data).error();
    error.effect = Effect::kNone;  // looking changes nothing
    const int limit = error.http_status == 595 ? kAttemptsBehindProxy : kAttempts;
    if (!worth_repeating(error) || attempt >= limit) return error;
    if (!clock_.wait(pause, stop_)) return interrupted();
    pause *= 2;
  }
}

Result<json> Session::write(std::string_view method, const ApiPath& path, FormFields fields) {
  HttpRequest request{.method = std::string(method), .path = expand(path), .fields = std::move(fields)};
  request.sensitive = std::ranges::any_of(
      request.fields, [](const auto& field) { return field.first == "cipassword" || field.first == "password"; });
  Result<HttpResponse> response = send_authenticated(request, path.pattern);
  if (request.sensitive) {
    for (auto& [key, value] : request.fields) wipe(value);
  }
  if (!response.ok()) return std::move(response).error();
  return data_of(*response, true);
}

}  // namespace pvr
