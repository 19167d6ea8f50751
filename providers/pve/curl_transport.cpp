#include "providers/pve/curl_transport.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <map>
#include <mutex>
#include <vector>

namespace pvr {
namespace {

// Facts about pveproxy: it closes a connection after 100 requests and after 5 s of silence.
constexpr int kRequestsPerConnection = 90;
constexpr long kIdleSeconds = 4;
constexpr std::size_t kBodyLimit = std::size_t{256} << 20U;

struct FreeCurl {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using CurlHandle = std::unique_ptr<CURL, FreeCurl>;
using HeaderList = std::unique_ptr<curl_slist, FreeCurl>;

/// What a connection checks certificates against. OpenSSL may ask again as long as the connection lives.
struct Pin {
  const std::vector<std::string>* fingerprints = nullptr;
  std::string seen = {};
};

/// One kept handle, which is one connection.
struct Line {
  std::unique_ptr<Pin> pin = std::make_unique<Pin>();  // outlives the handle
  CurlHandle handle = {};
  int requests = 0;
};

/// What one transfer fills in.
struct Transfer {
  std::stop_token stop = {};
  HttpResponse response = {};
  std::array<char, CURL_ERROR_SIZE> problem = {};
};

std::size_t take_body(char* data, std::size_t size, std::size_t count, void* to) {
  auto& body = static_cast<Transfer*>(to)->response.body;
  const std::size_t bytes = size * count;
  if (body.size() + bytes > kBodyLimit) return 0;
  body.append(data, bytes);
  return bytes;
}

std::size_t take_header(char* data, std::size_t size, std::size_t count, void* to) {
  auto& response = static_cast<Transfer*>(to)->response;
  std::string_view line(data, size * count);
  if (line.starts_with("HTTP/")) {  // "HTTP/1.1 500 checksum mismatch": the text is the first line of the error
    while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.remove_suffix(1);
    const std::size_t status = line.find(' ');
    const std::size_t reason = status == std::string_view::npos ? status : line.find(' ', status + 1);
    response.reason = reason == std::string_view::npos ? std::string() : std::string(line.substr(reason + 1));
  }
  return size * count;
}

int watch(void* from, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<Transfer*>(from)->stop.stop_requested() ? 1 : 0;
}

std::string fingerprint_of(X509* certificate) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  if (certificate == nullptr || X509_digest(certificate, EVP_sha256(), digest.data(), &length) != 1) return {};
  std::string text;
  for (unsigned i = 0; i < length; ++i) text += fmt::format("{}{:02X}", i == 0 ? "" : ":", digest[i]);
  return text;
}

/// Accepts exactly the pinned certificates, whoever signed them and whatever name they carry.
int check_pin(X509_STORE_CTX* context, void* from) {
  auto& pin = *static_cast<Pin*>(from);
  pin.seen = fingerprint_of(X509_STORE_CTX_get0_cert(context));
  const bool pinned = std::ranges::find(*pin.fingerprints, pin.seen) != pin.fingerprints->end();
  X509_STORE_CTX_set_error(context, pinned ? X509_V_OK : X509_V_ERR_CERT_REJECTED);
  return pinned ? 1 : 0;
}

CURLcode set_up_pin(CURL*, void* context, void* from) {
  SSL_CTX_set_cert_verify_callback(static_cast<SSL_CTX*>(context), check_pin, from);
  return CURLE_OK;
}

bool before_sending(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_OUT_OF_MEMORY:
      return true;
    default:
      return false;
  }
}

bool about_tls(CURLcode code) {
  return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_ISSUER_ERROR ||
         code == CURLE_SSL_CERTPROBLEM;
}

class CurlTransport final : public HttpTransport {
 public:
  CurlTransport(const ConnectionOptions& options, std::stop_token stop) : options_(options), stop_(std::move(stop)) {
    static const CURLcode kReady = curl_global_init(CURL_GLOBAL_DEFAULT);  // once, before the first thread can transfer
    ready_ = kReady == CURLE_OK;
    // The session holds them; here they are of no use.
    options_.token_secret = {};
    options_.password = {};
  }

  Result<HttpResponse> send(const std::string& endpoint, const HttpRequest& request) override {
    if (!ready_) return Error{ErrorKind::kBroken, "libcurl could not be set up", {}, Effect::kNone, 0};
    std::optional<Line> line = borrow(endpoint);
    if (!line) return Error{ErrorKind::kInterrupted, "The run was asked to stop.", {}, Effect::kNone, 0};
    if (!line->handle) line->handle.reset(curl_easy_init());
    if (!line->handle) {
      give_back(endpoint, std::move(*line));
      return Error{ErrorKind::kBroken, "libcurl has no handle to give", {}, Effect::kNone, 0};
    }
    Result<HttpResponse> result = perform(endpoint, request, *line);
    give_back(endpoint, std::move(*line));
    return result;
  }

 private:
  struct Pool {
    std::vector<Line> idle = {};
    int out = 0;
  };

  std::optional<Line> borrow(const std::string& endpoint) {
    std::unique_lock lock(mutex_);
    Pool& pool = pools_[endpoint];
    const auto free = [&] { return pool.out < options_.connections_per_endpoint; };
    if (!changed_.wait(lock, stop_, free)) return std::nullopt;
    if (stop_.stop_requested()) return std::nullopt;
    ++pool.out;
    if (pool.idle.empty()) return Line{};
    Line line = std::move(pool.idle.back());  // the one used last is the least likely to be closed by the server
    pool.idle.pop_back();
    return line;
  }

  void give_back(const std::string& endpoint, Line line) {
    const std::scoped_lock lock(mutex_);
    Pool& pool = pools_[endpoint];
    --pool.out;
    if (line.handle) pool.idle.push_back(std::move(line));
    changed_.notify_all();
  }

  void set_up_tls(CURL* handle, Pin& pin) const {
    if (options_.insecure) {
      curl_easy_setopt(handle, CURLOPT_SSL_VERIFYPEER, 0L);
      curl_easy_setopt(handle, CURLOPT_SSL_VERIFYHOST, 0L);
    } else if (!options_.fingerprints.empty()) {
      // The pin stands in for authorities and host name; without their files no bundle is read.
      curl_easy_setopt(handle, CURLOPT_SSL_VERIFYPEER, 1L);
      curl_easy_setopt(handle, CURLOPT_SSL_VERIFYHOST, 0L);
      curl_easy_setopt(handle, CURLOPT_CAINFO, nullptr);
      curl_easy_setopt(handle, CURLOPT_CAPATH, nullptr);
      curl_easy_setopt(handle, CURLOPT_SSL_CTX_FUNCTION, set_up_pin);
      curl_easy_setopt(handle, CURLOPT_SSL_CTX_DATA, &pin);
    } else {
      curl_easy_setopt(handle, CURLOPT_SSL_VERIFYPEER, 1L);
      curl_easy_setopt(handle, CURLOPT_SSL_VERIFYHOST, 2L);
      if (!options_.ca_file.empty()) {
        curl_easy_setopt(handle, CURLOPT_CAINFO, options_.ca_file.c_str());
        curl_easy_setopt(handle, CURLOPT_CAPATH, nullptr);
      }
    }
  }

  Result<HttpResponse> perform(const std::string& endpoint, const HttpRequest& request, Line& line) {
    CURL* handle = line.handle.get();
    curl_easy_reset(handle);  // keeps the connection
    Transfer transfer{.stop = stop_};
    line.pin->fingerprints = &options_.fingerprints;
    line.pin->seen.clear();
    const bool body = request.method == "POST" || request.method == "PUT";
    std::string form = encode_form(request.fields);
    std::string url = endpoint + request.path;
    if (!body && !form.empty()) url += "?" + form;

    curl_easy_setopt(handle, CURLOPT_URL, url.c_str());
    curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(handle, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle, CURLOPT_ACCEPT_ENCODING, "");
    curl_easy_setopt(handle, CURLOPT_USERAGENT, options_.user_agent.c_str());
    curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options_.connect_timeout.count()));
    curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS,
                     static_cast<long>((options_.connect_timeout + options_.read_timeout).count()));
    curl_easy_setopt(handle, CURLOPT_MAXCONNECTS, 1L);
    curl_easy_setopt(handle, CURLOPT_MAXAGE_CONN, kIdleSeconds);
    curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, transfer.problem.data());
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(handle, CURLOPT_WRITEDATA, &transfer);
    curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(handle, CURLOPT_HEADERDATA, &transfer);
    curl_easy_setopt(handle, CURLOPT_XFERINFOFUNCTION, watch);
    curl_easy_setopt(handle, CURLOPT_XFERINFODATA, &transfer);
    curl_easy_setopt(handle, CURLOPT_NOPROGRESS, 0L);
    set_up_tls(handle, *line.pin);

    if (body) {
      curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(form.size()));
      curl_easy_setopt(handle, CURLOPT_POSTFIELDS, form.c_str());
    }
    if (request.method != "GET" && request.method != "POST") {
      curl_easy_setopt(handle, CURLOPT_CUSTOMREQUEST, request.method.c_str());
    }
    if (request.method != "GET") {
      // libcurl silently repeats a request when a reused connection turns out to be dead. A write must not be repeated,
      // so it gets a connection of its own.
      curl_easy_setopt(handle, CURLOPT_FRESH_CONNECT, 1L);
    }
    const bool last = line.requests + 1 >= kRequestsPerConnection;
    if (last) curl_easy_setopt(handle, CURLOPT_FORBID_REUSE, 1L);

    HeaderList headers(curl_slist_append(nullptr, "Expect:"));
    for (const HttpHeader& header : request.headers) {
      std::string text = fmt::format("{}: {}", header.name, header.value ? header.value->reveal() : std::string_view());
      headers.reset(curl_slist_append(headers.release(), text.c_str()));
      wipe(text);
    }
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers.get());

    const CURLcode code = curl_easy_perform(handle);
    for (curl_slist* entry = headers.get(); entry != nullptr; entry = entry->next) {
      std::fill_n(entry->data, std::char_traits<char>::length(entry->data), '\0');
    }
    if (request.sensitive) wipe(form);

    long fresh = 0;
    curl_easy_getinfo(handle, CURLINFO_NUM_CONNECTS, &fresh);
    line.requests = last ? 0 : fresh > 0 ? 1 : line.requests + 1;
    if (code == CURLE_OK) {
      long status = 0;
      curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
      transfer.response.status = static_cast<int>(status);
      return std::move(transfer.response);
    }
    long sent = 0;
    curl_easy_getinfo(handle, CURLINFO_REQUEST_SIZE, &sent);
    Error error = failure(code, endpoint, transfer, line.pin->seen, !before_sending(code) && sent > 0);
    line.handle.reset();  // nothing of a broken connection is kept
    line.requests = 0;
    return error;
  }

  [[nodiscard]] Error failure(CURLcode code, const std::string& endpoint, const Transfer& transfer,
                              const std::string& seen, bool sent) const {
    const std::string why = transfer.problem[0] != '\0' ? transfer.problem.data() : curl_easy_strerror(code);
    Error error{
        ErrorKind::kServer, fmt::format("{}: {}", endpoint, why), {}, sent ? Effect::kPossible : Effect::kNone, 0};
    if (code == CURLE_ABORTED_BY_CALLBACK) {
      error.kind = ErrorKind::kInterrupted;
      error.message = "The run was asked to stop.";
    } else if (about_tls(code)) {
      error.kind = ErrorKind::kTls;
      if (!seen.empty()) {
        error.message = fmt::format(
            "{}: the certificate is another one than the pinned. Its SHA-256 fingerprint is {}. If it was renewed on "
            "purpose, "
            "write this one as cluster.fingerprint.",
            endpoint, seen);
      } else {
        error.message += " (for the self-signed certificates of PVE give cluster.ca_file or cluster.fingerprint)";
      }
    } else if (!sent) {
      error.kind = ErrorKind::kUnreachable;
    } else if (code == CURLE_OPERATION_TIMEDOUT) {
      error.kind = ErrorKind::kTimeout;
    }
    return error;
  }

  ConnectionOptions options_;
  std::stop_token stop_;
  bool ready_ = false;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::map<std::string, Pool> pools_;
};

}  // namespace

std::unique_ptr<HttpTransport> make_curl_transport(const ConnectionOptions& options, std::stop_token stop) {
  return std::make_unique<CurlTransport>(options, std::move(stop));
}

}  // namespace pvr
