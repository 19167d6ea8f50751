#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace pvr {

/// What went wrong outside, as far as the caller may act on it.
enum class ErrorKind : std::uint8_t {
  kUnreachable,   // no endpoint answered, name not found, refused
  kTls,           // certificate or fingerprint does not fit
  kUnauthorized,  // 401
  kForbidden,     // 403: the text names path and privilege
  kRejected,      // 400 and "no such thing": repeating cannot help
  kConflict,      // digest changed under us
  kLocked,        // a lock of PVE: waiting can help
  kNoQuorum,      // writes refused until quorum returns
  kNotFound,      // the guest, volume, storage or task does not exist (PVE says so by text)
  kTimeout,       // no answer in time, 596 and friends
  kTaskFailed,    // the task ended with an error text
  kServer,        // a 500 that fits no other kind: re-read before deciding
  kMalformed,     // the answer was not what the schema says
  kInterrupted,   // the user asked to stop
  kLeaseLost,     // another writer holds the lease
  kBroken,        // a bug of ours or an impossible state: "This is a bug in pvereconcile."
};

/// Whether the other side may have acted.
enum class Effect : std::uint8_t { kNone, kPossible };

struct Error {
  ErrorKind kind = ErrorKind::kServer;
  std::string message = {};
  std::string context = {};  // "moving vm/101/scsi0 to storage \"tank\""
  Effect effect = Effect::kNone;
  int http_status = 0;

  [[nodiscard]] Error during(std::string_view what) && {
    context = context.empty() ? std::string(what) : std::string(what) + ": " + context;
    return std::move(*this);
  }
  /// "while moving …: message"
  [[nodiscard]] std::string text() const { return context.empty() ? message : "while " + context + ": " + message; }
};

/// A value or an Error. `value()` and `error()` require that the case holds.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT(google-explicit-constructor)
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(google-explicit-constructor)
  [[nodiscard]] bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  [[nodiscard]] const T& value() const& { return std::get<0>(state_); }
  [[nodiscard]] T& value() & { return std::get<0>(state_); }
  [[nodiscard]] T&& value() && { return std::get<0>(std::move(state_)); }
  [[nodiscard]] const Error& error() const& { return std::get<1>(state_); }
  [[nodiscard]] Error&& error() && { return std::get<1>(std::move(state_)); }
  const T& operator*() const& { return value(); }
  T& operator*() & { return value(); }
  const T* operator->() const { return &value(); }
  T* operator->() { return &value(); }

 private:
  std::variant<T, Error> state_;
};

struct Done {
  friend bool operator==(const Done&, const Done&) = default;
};
using Status = Result<Done>;

}  // namespace pvr
