#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <string>

#include "providers/host/host_zfs.h"
#include "providers/host/ssh_runner.h"
#include "reconciler/ports/system_clock.h"

namespace pvr::lab {

/// The guest of scripts/lab as a node. PVERECONCILE_LAB_SSH is an ssh command that knows its address, user and keys; it
/// takes the place of the user's ssh configuration. Without it the cases skip themselves.
inline constexpr const char* kNode = "zfslab";  // what the guest calls itself
inline constexpr const char* kAddress = "lab";
/// For one command of a test: an emulated processor on a busy machine is slow.
inline constexpr std::chrono::minutes kPatience{15};

class OnLab : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::getenv("PVERECONCILE_LAB_SSH") == nullptr) GTEST_SKIP() << "no lab: scripts/lab test";
  }

  /// A command that must work; its output.
  std::string run(std::vector<std::string> argv, std::string input = {}) {
    const auto ended =
        runner_.run({.node = kNode, .argv = std::move(argv), .input = std::move(input), .limit = kPatience});
    EXPECT_TRUE(ended.ok()) << ended.error().text();
    if (!ended) return {};
    EXPECT_EQ(ended->exit_code, 0) << ended->err;
    return ended->out;
  }
  std::string shell(std::string script) { return run({"sh", "-s"}, std::move(script)); }

  SystemClock clock_;
  SshRunner runner_{
      {.user = "root",
       .addresses = {{kNode, kAddress}},
       .program = std::getenv("PVERECONCILE_LAB_SSH") != nullptr ? std::getenv("PVERECONCILE_LAB_SSH") : "ssh"}};
  HostZfs zfs_{runner_, clock_, {.sudo = true}};
};

}  // namespace pvr::lab
