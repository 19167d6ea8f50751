#include "simulator/wire/faults.h"

#include <gtest/gtest.h>

namespace pvesim {
namespace {

TEST(Glob, StarsAndQuestionMarks) {
  EXPECT_TRUE(glob_match("*", ""));
  EXPECT_TRUE(glob_match("/nodes/*/qemu/*/config", "/nodes/pve1/qemu/100/config"));
  EXPECT_FALSE(glob_match("/nodes/*/qemu/*/config", "/nodes/pve1/qemu/100/pending"));
  EXPECT_TRUE(glob_match("mirror*", "mirror scsi0"));
  EXPECT_TRUE(glob_match("a?c", "abc"));
  EXPECT_FALSE(glob_match("a?c", "ac"));
  EXPECT_TRUE(glob_match("*b*d", "abcbd"));
}

TEST(FaultScript, ActsFromTheNthMatchOnAsOftenAsTold) {
  FaultScript script;
  Fault fault;
  fault.action = FaultAction::kStatus;
  fault.method = "PUT";
  fault.path = "/x/*";
  fault.nth = 2;
  fault.times = 2;
  script.add(fault);
  EXPECT_TRUE(script.for_request("GET", "/x/1").empty());
  EXPECT_TRUE(script.for_request("PUT", "/x/1").empty());
  EXPECT_EQ(script.for_request("PUT", "/x/2").size(), 1U);
  EXPECT_EQ(script.for_request("PUT", "/x/3").size(), 1U);
  EXPECT_TRUE(script.for_request("PUT", "/x/4").empty());
  EXPECT_EQ(script.fired(), 2U);
}

TEST(FaultScript, TaskRulesOnlyMeetSteps) {
  FaultScript script;
  Fault fault;
  fault.action = FaultAction::kTaskFail;
  fault.task = "qmmove";
  fault.step = "copy*";
  fault.message = "disk on fire";
  script.add(fault);
  EXPECT_TRUE(script.for_request("POST", "/nodes/a/qemu/1/move_disk").empty());
  Fault met;
  EXPECT_FALSE(script.for_step("qmclone", "100", "copy scsi0", met));
  ASSERT_TRUE(script.for_step("qmmove", "100", "copy scsi0", met));
  EXPECT_EQ(met.message, "disk on fire");
  EXPECT_FALSE(script.for_step("qmmove", "100", "copy scsi0", met));
}

TEST(RandomFaultScript, TheSeedDecides) {
  const auto pattern = [](std::uint64_t seed) {
    FaultScript script;
    RandomFaults random;
    random.seed = seed;
    random.rate = 0.5;
    script.set_random(random);
    std::string out;
    for (int i = 0; i < 64; ++i) {
      const auto hits = script.for_request("GET", "/version");
      out += hits.empty() ? "." : std::string(fault_name(hits[0].action)) + ",";
    }
    return out;
  };
  EXPECT_EQ(pattern(3), pattern(3));
  EXPECT_NE(pattern(3), pattern(4));
  EXPECT_NE(pattern(3).find('.'), std::string::npos);
  EXPECT_NE(pattern(3).find(','), std::string::npos);
}

TEST(FaultNames, RoundTrip) {
  for (const std::string_view name : fault_names()) {
    FaultAction action = FaultAction::kStatus;
    ASSERT_TRUE(parse_fault_name(name, action));
    EXPECT_EQ(fault_name(action), name);
  }
  FaultAction action = FaultAction::kStatus;
  EXPECT_FALSE(parse_fault_name("explode", action));
}

}  // namespace
}  // namespace pvesim
