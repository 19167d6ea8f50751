// The transport rules over a real socket: libcurl for what clients do, raw TLS for what they should not.

#include <arpa/inet.h>
#include <curl/curl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "simulator/simulator.h"
#include "simulator/wire/server.h"

namespace pvesim {
namespace {

constexpr const char* kCluster = R"(
cluster: {name: lab, clock_scale: 1000}
nodes: {n1: {}, n2: {}}
)";
constexpr const char* kToken = "Authorization: PVEAPIToken=root@pam!ci=11111111-2222-3333-4444-555555555555";

/// A TCP connection to loopback, with TLS when asked for.
class Connection {
 public:
  Connection(std::uint16_t port, bool tls) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    // The socket API takes every kind of address through this one type.
    connected_ = ::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    if (!connected_ || !tls) return;
    context_.reset(SSL_CTX_new(TLS_client_method()));
    ssl_.reset(SSL_new(context_.get()));
    SSL_set_fd(ssl_.get(), socket_);
    connected_ = SSL_connect(ssl_.get()) == 1;
  }
  ~Connection() {
    ssl_.reset();
    ::close(socket_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  [[nodiscard]] bool connected() const { return connected_; }
  void send(const std::string& text) {
    const auto size = static_cast<int>(text.size());
    if (ssl_)
      EXPECT_EQ(SSL_write(ssl_.get(), text.data(), size), size);
    else
      EXPECT_EQ(::send(socket_, text.data(), text.size(), MSG_NOSIGNAL), size);
  }
  /// Everything until the other side closes.
  std::string receive_all() {
    std::string all;
    while (true) {
      std::array<char, 4096> buffer{};
      const auto got = ssl_ ? SSL_read(ssl_.get(), buffer.data(), static_cast<int>(buffer.size()))
                            : static_cast<int>(::recv(socket_, buffer.data(), buffer.size(), 0));
      if (got <= 0) return all;
      all.append(buffer.data(), static_cast<std::size_t>(got));
    }
  }

 private:
  struct Free {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  };
  int socket_ = -1;
  bool connected_ = false;
  std::unique_ptr<SSL_CTX, Free> context_ = {};
  std::unique_ptr<SSL, Free> ssl_ = {};
};

/// One libcurl handle: keeps its connection between calls as clients do.
class Client {
 public:
  explicit Client(const std::string& certificate) : curl_(curl_easy_init()), certificate_(certificate) {
    curl_blob blob{certificate_.data(), certificate_.size(), CURL_BLOB_COPY};
    curl_easy_setopt(curl_, CURLOPT_CAINFO_BLOB, &blob);
    curl_easy_setopt(curl_, CURLOPT_WRITEFUNCTION, &Client::append);
    curl_easy_setopt(curl_, CURLOPT_WRITEDATA, &body);
    curl_easy_setopt(curl_, CURLOPT_HEADERFUNCTION, &Client::append);
    curl_easy_setopt(curl_, CURLOPT_HEADERDATA, &head);
    headers_ = curl_slist_append(nullptr, kToken);
    curl_easy_setopt(curl_, CURLOPT_HTTPHEADER, headers_);
  }
  ~Client() {
    curl_slist_free_all(headers_);
    curl_easy_cleanup(curl_);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  CURLcode get(const std::string& url) {
    body.clear();
    head.clear();
    curl_easy_setopt(curl_, CURLOPT_URL, url.c_str());
    const CURLcode code = curl_easy_perform(curl_);
    curl_easy_getinfo(curl_, CURLINFO_RESPONSE_CODE, &status);
    long made = 0;
    curl_easy_getinfo(curl_, CURLINFO_NUM_CONNECTS, &made);
    connections += made;
    return code;
  }

  std::string body, head;
  long status = 0;
  long connections = 0;  // made so far

 private:
  static std::size_t append(char* data, std::size_t size, std::size_t count, void* to) {
    static_cast<std::string*>(to)->append(data, size * count);
    return size * count;
  }
  CURL* curl_;
  curl_slist* headers_ = nullptr;
  std::string certificate_;
};

class ServerTest : public testing::Test {
 protected:
  ServerTest() : simulator_(Simulator::from_text(kCluster)) { port_ = simulator_->listen(); }
  std::string request(const std::string& line, const std::string& more = {}) {
    return line + " HTTP/1.1\r\nHost: localhost\r\n" + kToken + "\r\n" + more + "\r\n";
  }
  std::unique_ptr<Simulator> simulator_;
  std::uint16_t port_ = 0;
};

TEST_F(ServerTest, VerifiesAgainstItsOwnCertificateAndKeepsAlive) {
  Client client(simulator_->certificate());
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(client.get(simulator_->url() + "/api2/json/version"), CURLE_OK);
    EXPECT_EQ(client.status, 200);
    EXPECT_NE(client.head.find("Connection: Keep-Alive"), std::string::npos);
    EXPECT_NE(client.head.find("Server: pve-api-daemon/3.0"), std::string::npos);
    EXPECT_NE(client.head.find("Content-Type: application/json;charset=UTF-8"), std::string::npos);
  }
  EXPECT_EQ(client.connections, 1);
}

TEST_F(ServerTest, ClosesAfterEveryError) {
  Client client(simulator_->certificate());
  for (int i = 1; i <= 3; ++i) {
    ASSERT_EQ(client.get(simulator_->url() + "/api2/json/nope"), CURLE_OK);
    EXPECT_EQ(client.status, 501);
    EXPECT_NE(client.head.find("HTTP/1.1 501 Method 'GET /nope' not implemented"), std::string::npos);
    EXPECT_NE(client.head.find("Connection: close"), std::string::npos);
    EXPECT_EQ(client.connections, i);
  }
}

TEST_F(ServerTest, ClosesAfterAHundredRequests) {
  Client client(simulator_->certificate());
  for (int i = 0; i < 100; ++i) ASSERT_EQ(client.get(simulator_->url() + "/api2/json/version"), CURLE_OK);
  EXPECT_NE(client.head.find("Connection: close"), std::string::npos);
  EXPECT_EQ(client.connections, 1);
  ASSERT_EQ(client.get(simulator_->url() + "/api2/json/version"), CURLE_OK);
  EXPECT_EQ(client.connections, 2);
}

TEST_F(ServerTest, EmptyAnswersHaveNoLength) {
  Connection connection(port_, true);
  connection.send("GET /api2/json/version HTTP/1.1\r\nHost: x\r\n\r\n");
  const std::string answer = connection.receive_all();
  EXPECT_EQ(answer.substr(0, answer.find("\r\n")), "HTTP/1.1 401 No ticket");
  EXPECT_EQ(answer.find("Content-Length"), std::string::npos);
}

TEST_F(ServerTest, PlainHttpIsRedirected) {
  Connection get(port_, false);
  get.send("GET /api2/json/version?x=1 HTTP/1.1\r\nHost: localhost:8006\r\n\r\n");
  const std::string answer = get.receive_all();
  EXPECT_EQ(answer.substr(0, 34), "HTTP/1.1 301 Moved Permanently\r\nCa");
  EXPECT_NE(answer.find("Location: https://localhost:8006/api2/json/version?x=1"), std::string::npos);
  Connection post(port_, false);
  post.send("POST /api2/json/pools HTTP/1.1\r\nHost: localhost:8006\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(post.receive_all().substr(0, 31), "HTTP/1.1 308 Permanent Redirect");
}

TEST_F(ServerTest, BodiesAreLimitedAndUnwelcomeOnGet) {
  Connection large(port_, true);
  large.send(request("POST /api2/json/pools", "Content-Length: 600000\r\n"));
  EXPECT_EQ(large.receive_all().substr(0, 31), "HTTP/1.1 501 for data too large");
  Connection get(port_, true);
  get.send(request("GET /api2/json/version", "Content-Length: 3\r\n") + "a=1");
  EXPECT_EQ(get.receive_all().substr(0, 48), "HTTP/1.1 501 Unexpected content for method 'GET'");
  Connection chunked(port_, true);
  chunked.send(request("POST /api2/json/pools", "Transfer-Encoding: chunked\r\n") + "0\r\n\r\n");
  EXPECT_EQ(chunked.receive_all().substr(0, 52), "HTTP/1.1 501 chunked transfer encoding not supported");
}

TEST_F(ServerTest, LostAnswersCutTheConnection) {
  Fault fault;
  fault.action = FaultAction::kLoseAnswer;
  fault.path = "/version";
  simulator_->add_fault(fault);
  Client client(simulator_->certificate());
  EXPECT_NE(client.get(simulator_->url() + "/api2/json/version"), CURLE_OK);
  EXPECT_EQ(client.body, "");
  EXPECT_EQ(client.get(simulator_->url() + "/api2/json/version"), CURLE_OK);
}

TEST_F(ServerTest, EachNodeHasItsPortAndADeadOneRefuses) {
  simulator_->stop();
  (void)simulator_->listen({.per_node = true});
  ASSERT_NE(simulator_->port("n1"), simulator_->port("n2"));
  EXPECT_NE(simulator_->fingerprint("n1"), simulator_->fingerprint("n2"));
  Client second(simulator_->certificate("n2"));
  ASSERT_EQ(second.get(simulator_->url("n2") + "/api2/json/cluster/status"), CURLE_OK);
  EXPECT_EQ(second.status, 200);
  const std::uint16_t port = simulator_->port("n1");
  simulator_->node_down("n1");
  EXPECT_FALSE(Connection(port, true).connected());
  EXPECT_TRUE(Connection(simulator_->port("n2"), true).connected());
  simulator_->node_up("n1");
  EXPECT_TRUE(Connection(port, true).connected());
}

TEST_F(ServerTest, StopsAndListensAgain) {
  Connection open(port_, true);
  EXPECT_TRUE(open.connected());
  simulator_->stop();
  EXPECT_EQ(simulator_->open_connections(), 0);
  EXPECT_FALSE(Connection(port_, true).connected());
  const std::uint16_t port = simulator_->listen();
  EXPECT_TRUE(Connection(port, true).connected());
}

TEST_F(ServerTest, ManyClientsAtOnceGetTheirAnswers) {
  simulator_->stop();
  (void)simulator_->listen({.per_node = true});
  const std::string first = simulator_->certificate("n1");
  const std::string second = simulator_->certificate("n2");
  std::atomic<int> good{0};
  std::vector<std::thread> clients;
  for (int i = 0; i < 8; ++i)
    clients.emplace_back([&, i] {
      const bool one = i % 2 == 0;
      Client client(one ? first : second);
      for (int k = 0; k < 20; ++k)
        if (client.get(simulator_->url(one ? "n1" : "n2") + "/api2/json/cluster/resources") == CURLE_OK &&
            client.status == 200)
          ++good;
    });
  for (int i = 0; i < 50; ++i) {
    (void)simulator_->volumes();
    (void)simulator_->request_counts();
    (void)simulator_->open_connections();
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(good, 160);
  EXPECT_EQ(simulator_->request_counts().at({"GET", "/cluster/resources"}), 160U);
}

TEST(ServerLimits, RefusesToListenBeyondLoopback) {
  const Certificate certificate = make_certificate("n", {}, "seed");
  ServerOptions options;
  options.address = "0.0.0.0";
  EXPECT_THROW(Server(options, certificate, [](const Request&) { return Response{}; }), std::runtime_error);
}

TEST(ServerLimits, SilentConnectionsEnd) {
  const Certificate certificate = make_certificate("n", {}, "seed");
  ServerOptions options;
  options.tls = false;
  options.idle_seconds = 1;
  Server server(options, certificate, [](const Request&) { return Response{}; });
  Connection connection(server.port(), false);
  EXPECT_EQ(connection.receive_all(), "");  // ends by itself
}

TEST(ServerLimits, WaitingConnectionsAreServedWhenOthersEnd) {
  const Certificate certificate = make_certificate("n", {}, "seed");
  ServerOptions options;
  options.tls = false;
  options.max_connections = 1;
  options.soft_connections = 2;
  Server server(options, certificate, [](const Request&) {
    Response response;
    response.body = "{}";
    return response;
  });
  auto first = std::make_unique<Connection>(server.port(), false);
  Connection second(server.port(), false);
  second.send("GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  first->send("GET /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_NE(first->receive_all().find("200 OK"), std::string::npos);
  first.reset();
  EXPECT_NE(second.receive_all().find("200 OK"), std::string::npos);
  EXPECT_EQ(server.accepted_connections(), 2U);
}

TEST(Certificates, DependOnTheSeedAlone) {
  const Certificate one = make_certificate("n1", {"n1", "n2"}, "seed 1");
  EXPECT_EQ(one.certificate, make_certificate("n1", {"n1", "n2"}, "seed 1").certificate);
  EXPECT_NE(one.fingerprint, make_certificate("n1", {"n1", "n2"}, "seed 2").fingerprint);
  EXPECT_EQ(one.fingerprint.size(), 32U * 3 - 1);
}

}  // namespace
}  // namespace pvesim
