#include "tests/support/simulated_transport.h"

namespace pvr::testing {

Result<HttpResponse> SimulatedTransport::send(const std::string& endpoint, const HttpRequest& request) {
  const auto node = nodes_.find(endpoint);
  if (node == nodes_.end()) {
    return Error{ErrorKind::kUnreachable, endpoint + ": connection refused", {}, Effect::kNone, 0};
  }
  pvesim::Request wire;
  wire.method = request.method;
  wire.path = request.path;
  wire.node = node->second;
  const bool body = request.method == "POST" || request.method == "PUT";
  (body ? wire.body : wire.query) = encode_form(request.fields);
  if (body) wire.headers.emplace_back("Content-Type", "application/x-www-form-urlencoded");
  for (const HttpHeader& header : request.headers) wire.headers.emplace_back(header.name, header.value->reveal());
  pvesim::Response answer = simulator_.handle(wire);
  switch (answer.delivery) {
    case pvesim::Delivery::kAnswer:
      break;
    case pvesim::Delivery::kConnectRefused:
      return Error{ErrorKind::kUnreachable, endpoint + ": connection refused", {}, Effect::kNone, 0};
    case pvesim::Delivery::kLost:
    case pvesim::Delivery::kReset:  // a client cannot tell the two apart
      return Error{ErrorKind::kServer, endpoint + ": the connection was lost", {}, Effect::kPossible, 0};
  }
  return HttpResponse{answer.status, std::move(answer.reason), std::move(answer.body)};
}

std::chrono::system_clock::time_point SimulatedClock::wall() const {
  return std::chrono::system_clock::time_point(
      std::chrono::duration_cast<std::chrono::system_clock::duration>(simulator_.now().time_since_epoch()));
}

std::chrono::steady_clock::time_point SimulatedClock::steady() const {
  return std::chrono::steady_clock::time_point(
      std::chrono::duration_cast<std::chrono::steady_clock::duration>(simulator_.now().time_since_epoch()));
}

bool SimulatedClock::wait(std::chrono::milliseconds span, std::stop_token stop) {
  if (stop.stop_requested()) return false;
  simulator_.advance(std::chrono::duration_cast<pvesim::VirtualSpan>(span));
  return !stop.stop_requested();
}

std::chrono::system_clock::time_point ManualClock::wall() const {
  const std::scoped_lock lock(mutex_);
  return std::chrono::system_clock::time_point(std::chrono::sys_days(std::chrono::year(2026) / 1 / 1)) + passed_;
}

std::chrono::steady_clock::time_point ManualClock::steady() const {
  const std::scoped_lock lock(mutex_);
  return std::chrono::steady_clock::time_point(std::chrono::hours(1)) + passed_;
}

bool ManualClock::wait(std::chrono::milliseconds span, std::stop_token stop) {
  if (stop.stop_requested()) return false;
  advance(span);
  return true;
}

void ManualClock::advance(std::chrono::milliseconds span) {
  const std::scoped_lock lock(mutex_);
  passed_ += span;
}

std::chrono::milliseconds ManualClock::passed() const {
  const std::scoped_lock lock(mutex_);
  return passed_;
}

}  // namespace pvr::testing
