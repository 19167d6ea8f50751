#include "providers/pve/connection_options.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <type_traits>

namespace pvr {
namespace {

Result<Secret> no_file(const std::filesystem::path& file) {
  return Error{ErrorKind::kRejected, file.string() + " is not there", {}, Effect::kNone, 0};
}

struct Files {
  std::map<std::string, std::string> texts = {};
  Result<Secret> operator()(const std::filesystem::path& file) const {
    const auto at = texts.find(file.string());
    return at != texts.end() ? Result<Secret>(Secret(at->second)) : no_file(file);
  }
};

WrittenCluster document() {
  WrittenCluster cluster;
  cluster.endpoints = {{"https://pve1.lan:8006", {}}, {"pve2.lan", {}}};
  cluster.token_id = Spanned<std::string>{"ci@pve!fleet", {}};
  cluster.token_file = Spanned<std::string>{"/run/token", {}};
  return cluster;
}

const Environment kOurs = {{"PVERECONCILE_ENDPOINT", "https://env.lan"}, {"PVERECONCILE_TOKEN", "env@pve!a=s-env"}};

TEST(ConnectionOptions, EndpointsAreBroughtToOneForm) {
  for (const auto& [text, normal] :
       std::map<std::string, std::string>{{"pve1.lan", "https://pve1.lan:8006"},
                                          {"https://pve1.lan", "https://pve1.lan:8006"},
                                          {"https://pve1.lan:443/", "https://pve1.lan:443"},
                                          {"https://pve1.lan:8006/api2/json", "https://pve1.lan:8006"},
                                          {"https://10.0.0.1:8006/api2/json/", "https://10.0.0.1:8006"},
                                          {"[fd00::1]", "https://[fd00::1]:8006"},
                                          {"https://[fd00::1]:9000", "https://[fd00::1]:9000"}}) {
    const auto result = normal_endpoint(text);
    ASSERT_TRUE(result.ok()) << text;
    EXPECT_EQ(*result, normal);
  }
  for (const char* text : {"", "http://pve1.lan:8006", "https://", "https://user@pve1", "https://pve1:0",
                           "https://pve1:99999", "https://pve1/other", "pve1:80x", "https://pve1\n.lan", "[fd00::1"}) {
    EXPECT_FALSE(normal_endpoint(text).ok()) << text;
  }
}

TEST(ConnectionOptions, FingerprintsAreBroughtToOneForm) {
  const std::string digits(64, 'a');
  const auto normal = normal_fingerprint(digits);
  ASSERT_TRUE(normal);
  EXPECT_EQ(normal->size(), 95U);
  EXPECT_TRUE(normal->starts_with("AA:AA:"));
  EXPECT_EQ(normal_fingerprint(*normal), normal);
  EXPECT_FALSE(normal_fingerprint(digits.substr(1)));
  EXPECT_FALSE(normal_fingerprint(std::string(64, 'g')));
}

TEST(ConnectionOptions, TheDocumentIsEnough) {
  const Files files{{{"/run/token", "s-file"}}};
  const auto options = connection_options({}, {}, document(), files);
  ASSERT_TRUE(options.ok()) << options.error().text();
  EXPECT_EQ(options->endpoints, (std::vector<std::string>{"https://pve1.lan:8006", "https://pve2.lan:8006"}));
  EXPECT_EQ(options->token_id, "ci@pve!fleet");
  EXPECT_EQ(options->token_secret.reveal(), "s-file");
  EXPECT_FALSE(options->insecure);
}

TEST(ConnectionOptions, FlagsComeBeforeOurVariablesBeforeTheDocument) {
  const Files files{{{"/run/token", "s-file"}, {"/run/flag", "flag@pve!f=s-flag"}}};
  auto options = connection_options(kOurs, {}, document(), files);
  ASSERT_TRUE(options.ok());
  EXPECT_EQ(options->endpoints, std::vector<std::string>{"https://env.lan:8006"});
  EXPECT_EQ(options->token_id, "env@pve!a");
  EXPECT_EQ(options->token_secret.reveal(), "s-env");
  ConnectionFlags flags;
  flags.endpoints = {"flag.lan"};
  flags.token_file = "/run/flag";
  options = connection_options(kOurs, flags, document(), files);
  ASSERT_TRUE(options.ok());
  EXPECT_EQ(options->endpoints, std::vector<std::string>{"https://flag.lan:8006"});
  EXPECT_EQ(options->token_id, "flag@pve!f");
  EXPECT_EQ(options->token_secret.reveal(), "s-flag");
}

TEST(ConnectionOptions, VariablesOfOtherToolsAreReadLast) {
  const std::vector<Environment> environments = {
      {{"PROXMOX_VE_ENDPOINT", "https://o.lan:8006/"}, {"PROXMOX_VE_API_TOKEN", "o@pve!t=s-o"}},
      {{"PM_API_URL", "https://o.lan:8006/api2/json"}, {"PM_API_TOKEN_ID", "o@pve!t"}, {"PM_API_TOKEN_SECRET", "s-o"}},
      {{"PROXMOX_HOST", "o.lan"}, {"PROXMOX_TOKEN_ID", "o@pve!t"}, {"PROXMOX_TOKEN_SECRET", "s-o"}}};
  for (const Environment& environment : environments) {
    auto options = connection_options(environment, {}, {}, no_file);
    ASSERT_TRUE(options.ok()) << options.error().text();
    EXPECT_EQ(options->endpoints, std::vector<std::string>{"https://o.lan:8006"});
    EXPECT_EQ(options->token_id, "o@pve!t");
    EXPECT_EQ(options->token_secret.reveal(), "s-o");
    const Files files{{{"/run/token", "s-file"}}};
    options = connection_options(environment, {}, document(), files);
    ASSERT_TRUE(options.ok());
    EXPECT_EQ(options->token_id, "ci@pve!fleet");
  }
  Environment ticket = {{"PROXMOX_VE_ENDPOINT", "o.lan"},
                        {"PROXMOX_VE_USERNAME", "root@pam"},
                        {"PROXMOX_VE_PASSWORD", "p"},
                        {"PROXMOX_VE_INSECURE", "true"},
                        {"PM_TLS_INSECURE", "true"}};
  const auto options = connection_options(ticket, {}, {}, no_file);
  ASSERT_TRUE(options.ok());
  EXPECT_EQ(options->user, "root@pam");
  EXPECT_FALSE(options->insecure);
}

TEST(ConnectionOptions, AnIdMayBeNamedInOnePlaceAndItsSecretInAnother) {
  const Environment secret = {{"PVERECONCILE_TOKEN_SECRET", "s-only"}};
  const auto options = connection_options(secret, {}, document(), no_file);
  ASSERT_TRUE(options.ok()) << options.error().text();
  EXPECT_EQ(options->token_id, "ci@pve!fleet");
  EXPECT_EQ(options->token_secret.reveal(), "s-only");
}

TEST(ConnectionOptions, SaysWhatIsMissingAndNeverTheSecret) {
  const auto text = [](const Environment& environment, const WrittenCluster& cluster) {
    const auto options = connection_options(environment, {}, cluster, no_file);
    return options.ok() ? std::string("fine") : options.error().message;
  };
  WrittenCluster anonymous;
  anonymous.endpoints = {{"pve1.lan", {}}};
  EXPECT_NE(text({}, {}).find("No endpoint"), std::string::npos);
  EXPECT_NE(text({}, anonymous).find("Nobody to log in as"), std::string::npos);
  EXPECT_NE(text({}, document()).find("/run/token"), std::string::npos);
  EXPECT_NE(text({{"PVERECONCILE_TOKEN_ID", "a@b!c"}}, anonymous).find("a@b!c"), std::string::npos);
  EXPECT_NE(text({{"PVERECONCILE_USER", "root@pam"}}, anonymous).find("password of root@pam"), std::string::npos);
  const std::string injected = text({{"PVERECONCILE_TOKEN", "a@b!c=s-secret\nX: y"}}, anonymous);
  EXPECT_NE(injected, "fine");
  EXPECT_EQ(injected.find("s-secret"), std::string::npos);
}

class SecretFile : public testing::Test {
 protected:
  SecretFile() : folder_(std::filesystem::temp_directory_path() / ("pvr-secret-" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(folder_);
  }
  ~SecretFile() override { std::filesystem::remove_all(folder_); }
  std::filesystem::path write(const std::string& text, mode_t mode) {
    const auto file = folder_ / "token";
    std::filesystem::remove(file);
    std::ofstream(file) << text;
    ::chmod(file.c_str(), mode);
    return file;
  }
  std::filesystem::path folder_;
};

TEST_F(SecretFile, IsReadUpToItsFirstLineEnd) {
  const auto secret = read_secret_file(write("a@b!c=s-1\nmore\n", 0600));
  ASSERT_TRUE(secret.ok()) << secret.error().text();
  EXPECT_EQ(secret->reveal(), "a@b!c=s-1");
}

TEST_F(SecretFile, IsRefusedWhenOthersCouldReadItOrItIsNoFile) {
  const auto open = read_secret_file(write("s-1", 0640));
  ASSERT_FALSE(open.ok());
  EXPECT_NE(open.error().message.find("chmod 600"), std::string::npos);
  EXPECT_FALSE(read_secret_file(write("", 0600)).ok());
  EXPECT_FALSE(read_secret_file(folder_).ok());
  EXPECT_FALSE(read_secret_file(folder_ / "absent").ok());
}

TEST(Secret, ACrashLeavesNoCoreFile) {
  leave_no_core_file();
  rlimit now = {.rlim_cur = 1, .rlim_max = 1};
  ASSERT_EQ(getrlimit(RLIMIT_CORE, &now), 0);
  EXPECT_EQ(now.rlim_cur, 0U);
  EXPECT_EQ(now.rlim_max, 0U);
}

TEST(Secret, CannotBePrintedAndLeavesNothingWhereItWas) {
  static_assert(!std::is_convertible_v<Secret, std::string>);
  static_assert(!std::is_convertible_v<Secret, std::string_view>);
  Secret from("s-1");
  const Secret to = std::move(from);
  EXPECT_EQ(to.reveal(), "s-1");
  EXPECT_TRUE(from.empty());  // NOLINT(bugprone-use-after-move)
  std::string text = "s-2";
  const char* place = text.data();
  wipe(text);
  EXPECT_TRUE(text.empty());
  EXPECT_EQ(place[0], '\0');
}

}  // namespace
}  // namespace pvr
