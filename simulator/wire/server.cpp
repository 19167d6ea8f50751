#include "simulator/wire/server.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <ctime>
#include <future>
#include <limits>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

// The thread sanitizer does not understand memory fences; Asio's queues are guarded by mutexes anyway.
#ifdef __SANITIZE_THREAD__
#define BOOST_ASIO_DISABLE_FENCED_BLOCK 1
#endif
#include <boost/asio/dispatch.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/beast/core/detect_ssl.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>

namespace pvesim {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;
using boost::system::error_code;

constexpr std::uint32_t kHeaderLimit = 8U * 1024U;
constexpr std::uint64_t kBodyLimit = std::uint64_t{512} * 1024;
constexpr std::size_t kMaxHeaderLines = 64;
constexpr std::size_t kHandlerThreads = 24;

std::string http_date() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  std::array<char, 40> text{};
  const std::size_t size = std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return {text.data(), size};
}

}  // namespace

/// Shared by the listener and its connections; outlives both through shared pointers.
class Server::Core : public std::enable_shared_from_this<Server::Core> {
 public:
  Core(ServerOptions options, const Certificate& certificate, Handler handler)
      : options_(std::move(options)),
        handler_(std::move(handler)),
        tls_(asio::ssl::context::tls_server),
        acceptor_(asio::make_strand(io_)),
        work_(asio::make_work_guard(io_)),
        handlers_(kHandlerThreads) {
    if (options_.tls) {
      tls_.use_certificate(asio::buffer(certificate.certificate), asio::ssl::context::pem);
      tls_.use_private_key(asio::buffer(certificate.key), asio::ssl::context::pem);
    }
    error_code error;
    const auto address = asio::ip::make_address(options_.address, error);
    if (error || !address.is_loopback())
      throw std::runtime_error("the simulator listens on loopback addresses only, not on '" + options_.address + "'");
    endpoint_ = tcp::endpoint(address, options_.port);
    open_acceptor();
    endpoint_ = acceptor_.local_endpoint();
  }

  void start() {
    accept();
    threads_.emplace_back([this] { io_.run(); });
    threads_.emplace_back([this] { io_.run(); });
  }

  void stop() {
    if (stopped_.exchange(true)) return;
    asio::post(acceptor_.get_executor(), [this] {
      error_code ignored;
      acceptor_.close(ignored);
    });
    close_connections();
    work_.reset();
    // Runs dry: every connection ends with its socket, handlers in flight included. Nothing is cut off, because pending
    // callbacks own their connection and connections own this object.
    for (std::thread& thread : threads_) thread.join();
    handlers_.join();
  }

  void set_listening(bool listening) {
    if (stopped_ || listening_.exchange(listening) == listening) return;
    std::promise<void> done;
    asio::post(acceptor_.get_executor(), [this, listening, &done] {
      error_code ignored;
      if (!listening) {
        acceptor_.close(ignored);
      } else if (!try_open_acceptor()) {  // somebody else may have taken the port meanwhile: then it stays closed
        accept();
      }
      done.set_value();
    });
    done.get_future().wait();
    if (!listening) close_connections();
  }

  [[nodiscard]] std::uint16_t port() const { return endpoint_.port(); }
  [[nodiscard]] int open_connections() const { return open_; }
  [[nodiscard]] std::uint64_t accepted() const { return accepted_; }

 private:
  class Connection;

  void open_acceptor() {
    if (const error_code error = try_open_acceptor())
      throw std::runtime_error("cannot listen on " + options_.address + ":" + std::to_string(endpoint_.port()) + ": " +
                               error.message());
  }

  [[nodiscard]] error_code try_open_acceptor() {
    error_code error;
    acceptor_.open(endpoint_.protocol(), error);
    if (!error) acceptor_.set_option(asio::socket_base::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint_, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    return error;
  }

  void accept();
  void close_connections();
  void forget(Connection* connection) {
    {
      const std::lock_guard lock(mutex_);
      connections_.erase(connection);
    }
    --open_;
    // Weak: the last connection may end after the last thread of io_, and nothing would ever run or free this.
    asio::post(acceptor_.get_executor(), [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->resume_accept();
    });
  }
  void resume_accept() {
    if (!waiting_ || stopped_ || !acceptor_.is_open()) return;
    waiting_ = false;
    accept();
  }

  ServerOptions options_;
  Handler handler_;
  asio::io_context io_{2};
  asio::ssl::context tls_;
  tcp::acceptor acceptor_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  asio::thread_pool handlers_;
  tcp::endpoint endpoint_ = {};
  std::vector<std::thread> threads_ = {};
  std::mutex mutex_ = {};
  std::set<Connection*> connections_ = {};
  bool waiting_ = false;  // at the connection limit; only touched on the acceptor's strand
  std::atomic<int> open_{0};
  std::atomic<std::uint64_t> accepted_{0};
  std::atomic<bool> stopped_{false};
  std::atomic<bool> listening_{true};
};

/// One connection, all of it on one strand except the handler call.
class Server::Core::Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<Core> core, tcp::socket socket)
      : core_(std::move(core)), stream_(std::move(socket)), left_(core_->options_.requests_per_connection) {}
  ~Connection() { core_->forget(this); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void start() {
    asio::dispatch(stream_.get_executor(), [self = shared_from_this()] { self->begin(); });
  }
  void abort() {
    asio::post(stream_.get_executor(), [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->close_now();
    });
  }

 private:
  void begin() {
    if (core_->stopped_) return close_now();
    expire();
    if (!core_->options_.tls) return read_header();
    beast::async_detect_ssl(stream_, buffer_, [self = shared_from_this()](error_code error, bool tls) {
      if (error) return;
      if (!tls) {
        self->redirect_ = true;
        return self->read_header();
      }
      self->ssl_.emplace(self->stream_, self->core_->tls_);
      self->ssl_->async_handshake(asio::ssl::stream_base::server, self->buffer_.data(),
                                  [self](error_code failed, std::size_t used) {
                                    if (failed) return;
                                    self->buffer_.consume(used);
                                    self->read_header();
                                  });
    });
  }

  void expire() { stream_.expires_after(std::chrono::seconds(core_->options_.idle_seconds)); }

  void read_header() {
    parser_.emplace();
    parser_->header_limit(kHeaderLimit);
    parser_->body_limit(std::numeric_limits<std::uint64_t>::max());  // PVE's own limit is checked by hand
    expire();
    const auto done = [self = shared_from_this()](error_code error, std::size_t) { self->on_header(error); };
    if (ssl_)
      http::async_read_header(*ssl_, buffer_, *parser_, done);
    else
      http::async_read_header(stream_, buffer_, *parser_, done);
  }

  void on_header(error_code error) {
    if (error == http::error::bad_version) return answer_now(506, "http protocol version not supported");
    if (error == http::error::bad_method || error == http::error::bad_target || error == http::error::bad_line_ending)
      return answer_now(400, "bad request");
    if (error) return;  // closed, silent too long, or more header than PVE reads: no answer
    const auto& message = parser_->get();
    if (static_cast<std::size_t>(std::distance(message.begin(), message.end())) >= kMaxHeaderLines) return close_now();
    --left_;
    if (redirect_) return redirect();
    request_ = {};
    request_.node = core_->options_.node;
    request_.method = std::string(message.method_string());
    const std::string target(message.target());
    const auto mark = target.find('?');
    request_.path = target.substr(0, mark);
    if (mark != std::string::npos) request_.query = target.substr(mark + 1);
    for (const auto& field : message)
      request_.headers.emplace_back(std::string(field.name_string()), std::string(field.value()));
    keep_ = message.keep_alive();
    const auto length = parser_->content_length();
    const bool takes_body = request_.method == "POST" || request_.method == "PUT";
    if (parser_->chunked() || (length && (*length > kBodyLimit || (*length > 0 && !takes_body)))) {
      keep_ = false;  // the body stays unread
      return dispatch();
    }
    if (!length || *length == 0) return dispatch();
    expire();
    const auto done = [self = shared_from_this()](error_code failed, std::size_t) {
      if (failed) return;
      self->request_.body = std::move(self->parser_->get().body());
      self->dispatch();
    };
    if (ssl_)
      http::async_read(*ssl_, buffer_, *parser_, done);
    else
      http::async_read(stream_, buffer_, *parser_, done);
  }

  void dispatch() {
    stream_.expires_never();  // Fact: no time-out while the request is served
    asio::post(core_->handlers_, [self = shared_from_this(), work = asio::make_work_guard(core_->io_)] {
      Response response = self->core_->handler_(self->request_);
      asio::post(self->stream_.get_executor(),
                 [self, response = std::move(response)]() mutable { self->deliver(std::move(response)); });
    });
  }

  void deliver(Response response) {
    switch (response.delivery) {
      case Delivery::kAnswer:
        break;
      case Delivery::kLost:
        return close_now();
      case Delivery::kReset:
      case Delivery::kConnectRefused:
        return reset();
    }
    const bool crowded = core_->open_ >= core_->options_.soft_connections;
    write(std::move(response), keep_ && left_ > 0 && !crowded);
  }

  void write(Response response, bool keep) {
    keep = keep && !response.close && response.status < 400;
    answer_.emplace();
    answer_->version(11);
    answer_->result(static_cast<unsigned>(response.status));
    answer_->reason(response.reason);
    const std::string date = http_date();
    answer_->set(http::field::cache_control, "max-age=0");
    answer_->set(http::field::connection, keep ? "Keep-Alive" : "close");
    answer_->set(http::field::date, date);
    answer_->set(http::field::pragma, "no-cache");
    answer_->set(http::field::server, "pve-api-daemon/3.0");
    if (!response.body.empty()) answer_->set(http::field::content_length, std::to_string(response.body.size()));
    for (const auto& [name, value] : response.headers) answer_->set(name, value);
    answer_->set(http::field::expires, date);
    answer_->body() = std::move(response.body);
    keep_ = keep;
    expire();
    const auto done = [self = shared_from_this()](error_code error, std::size_t) {
      if (error) return;
      if (self->keep_) return self->read_header();
      self->finish();
    };
    if (ssl_)
      http::async_write(*ssl_, *answer_, done);
    else
      http::async_write(stream_, *answer_, done);
  }

  void answer_now(int status, const std::string& text) {
    Response response;
    response.status = status;
    response.reason = text;
    response.body = text;
    write(std::move(response), false);
  }

  void redirect() {
    const auto& message = parser_->get();
    const bool reading = message.method() == http::verb::get || message.method() == http::verb::head;
    const std::string host(message[http::field::host]);
    if (host.empty()) return close_now();
    Response response;
    response.status = reading ? 301 : 308;
    response.reason = reading ? "Moved Permanently" : "Permanent Redirect";
    response.body = response.reason;
    response.headers.emplace_back("Location", "https://" + host + std::string(message.target()));
    response.close = true;
    write(std::move(response), false);
  }

  /// The end of a connection both sides agree on.
  void finish() {
    if (!ssl_) return close_now();
    expire();
    ssl_->async_shutdown([self = shared_from_this()](error_code) { self->close_now(); });
  }

  void close_now() {
    error_code ignored;
    stream_.socket().shutdown(tcp::socket::shutdown_both, ignored);
    stream_.socket().close(ignored);
  }

  /// RST instead of FIN.
  void reset() {
    error_code ignored;
    stream_.socket().set_option(asio::socket_base::linger(true, 0), ignored);
    stream_.socket().close(ignored);
  }

  std::shared_ptr<Core> core_;
  beast::tcp_stream stream_;
  std::optional<beast::ssl_stream<beast::tcp_stream&>> ssl_ = {};
  beast::flat_buffer buffer_ = {};
  std::optional<http::request_parser<http::string_body>> parser_ = {};
  std::optional<http::response<http::string_body>> answer_ = {};
  Request request_ = {};
  int left_ = 0;
  bool keep_ = true;
  bool redirect_ = false;
};

void Server::Core::accept() {
  if (open_ >= options_.max_connections) {
    waiting_ = true;  // what comes on top waits in the kernel's backlog
    return;
  }
  acceptor_.async_accept(asio::make_strand(io_), [self = shared_from_this()](error_code error, tcp::socket socket) {
    if (error || self->stopped_) return;
    ++self->open_;
    ++self->accepted_;
    error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    const auto connection = std::make_shared<Connection>(self, std::move(socket));
    {
      const std::lock_guard lock(self->mutex_);
      self->connections_.insert(connection.get());
    }
    connection->start();
    self->accept();
  });
}

void Server::Core::close_connections() {
  const std::lock_guard lock(mutex_);
  for (Connection* connection : connections_) connection->abort();
}

Server::Server(ServerOptions options, const Certificate& certificate, Handler handler)
    : core_(std::make_shared<Core>(std::move(options), certificate, std::move(handler))) {
  core_->start();
}

Server::~Server() { stop(); }

std::uint16_t Server::port() const { return core_->port(); }
int Server::open_connections() const { return core_->open_connections(); }
std::uint64_t Server::accepted_connections() const { return core_->accepted(); }
void Server::set_listening(bool listening) { core_->set_listening(listening); }
void Server::stop() { core_->stop(); }

}  // namespace pvesim
