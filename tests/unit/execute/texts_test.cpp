#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconciler/execute/guest_text.h"
#include "reconciler/execute/lease.h"
#include "reconciler/execute/task_progress.h"
#include "reconciler/model/error_text.h"
#include "reconciler/ports/pve_api.h"

namespace pvr {
namespace {

TEST(TaskProgress, ReadsTheMirrorLine) {
  const auto progress = parse_progress("mirror-scsi0: transferred 114.0 MiB of 256.0 MiB (44.53%) in 1s");
  ASSERT_TRUE(progress);
  EXPECT_NEAR(progress->fraction, 0.4453, 1e-9);
  EXPECT_EQ(progress->done, 114_MiB);
  EXPECT_EQ(progress->total, 256_MiB);
}

TEST(TaskProgress, ReadsTheOfflineCopyLine) {
  const auto progress = parse_progress("transferred 1.5 GiB of 4.0 GiB (37.50%)");
  ASSERT_TRUE(progress);
  EXPECT_DOUBLE_EQ(progress->fraction, 0.375);
  EXPECT_EQ(progress->done, 1536_MiB);
}

TEST(TaskProgress, ReadsTheConverterLine) {
  const auto progress = parse_progress("    (12.34/100%)");
  ASSERT_TRUE(progress);
  EXPECT_NEAR(progress->fraction, 0.1234, 1e-9);
  EXPECT_EQ(progress->total, ByteSize{});
}

TEST(TaskProgress, IgnoresEveryOtherLine) {
  for (const auto* line :
       {"", "TASK OK", "drive mirror is starting for drive-scsi0", "(", "(abc%)", "transferred 5",
        "transferred x of y (1%)", "all 'mirror' jobs are ready", "transferred 1 MiB of 2 MiB (nan%)", "(1%)"})
    if (const auto progress = parse_progress(line)) {
      EXPECT_EQ(progress->total, ByteSize{}) << line;
    }
  EXPECT_FALSE(parse_progress("TASK OK"));
  EXPECT_FALSE(parse_progress("(1%)"));
}

TEST(TaskProgress, ReadsEveryUnit) {
  const std::pair<const char*, ByteSize> cases[] = {{"512.0 B", ByteSize{512}},
                                                    {"1.5 KiB", ByteSize{1536}},
                                                    {"2.0 MiB", 2_MiB},
                                                    {"3.0 GiB", 3_GiB},
                                                    {"4.0 TiB", 4_TiB}};
  for (const auto& [text, size] : cases) {
    const auto progress = parse_progress(std::string("transferred ") + text + " of 8.0 TiB (50.00%)");
    ASSERT_TRUE(progress) << text;
    EXPECT_EQ(progress->done, size) << text;
    EXPECT_EQ(progress->total, 8_TiB) << text;
  }
}

// Half a sentence is none: the bytes are told together or not at all.
TEST(TaskProgress, TellsNoBytesItCannotRead) {
  for (const char* line : {"transferred x of 8.0 GiB (50%)", "transferred 1.0 GiB of x (50%)",
                           "transferred 1.0 XiB of 8.0 GiB (50%)", "transferred 1.0 of 8.0 (50%)",
                           "transferred -1.0 GiB of 8.0 GiB (50%)", "transferred 99999999999 TiB of 8.0 GiB (50%)"}) {
    const auto progress = parse_progress(line);
    ASSERT_TRUE(progress) << line;
    EXPECT_DOUBLE_EQ(progress->fraction, 0.5) << line;
    EXPECT_EQ(progress->done, ByteSize{}) << line;
    EXPECT_EQ(progress->total, ByteSize{}) << line;
  }
  for (const char* line :
       {"transferred 1.0 GiB of 8.0 GiB (50)", "transferred 1.0 GiB (50%)", "transferred 1.0 GiB of 8.0 GiB 50%",
        "transferred 1.0 GiB of 8.0 GiB (-5%)", "transferred 1.0 GiB of 8.0 GiB (inf%)"})
    EXPECT_FALSE(parse_progress(line)) << line;
  EXPECT_DOUBLE_EQ(parse_progress("transferred 9.0 GiB of 8.0 GiB (112.5%)")->fraction, 1.0) << "it grew meanwhile";
}

TEST(TaskErrors, LocksDigestsAndQuorumAreToldApartInsideTexts) {
  EXPECT_EQ(kind_of_task_text("can't lock file '/var/lock/qemu-server/lock-120.conf' - got timeout"),
            ErrorKind::kLocked);
  EXPECT_EQ(kind_of_task_text("VM is locked (backup)"), ErrorKind::kLocked);
  EXPECT_EQ(kind_of_task_text("checksum mismatch (file change by other user?)"), ErrorKind::kConflict);
  EXPECT_EQ(kind_of_task_text("cluster not ready - no quorum?"), ErrorKind::kNoQuorum);
  EXPECT_EQ(kind_of_task_text("VM quit/powerdown failed - got timeout"), ErrorKind::kTaskFailed);
}

TEST(Upid, FieldsAreReadByPosition) {
  const Upid task{"UPID:pve1:0000AB12:00C0FFEE:6740A1B2:qmmove:101:ci@pve!runner:"};
  EXPECT_EQ(task.node(), "pve1");
  EXPECT_EQ(task.type(), "qmmove");
  EXPECT_EQ(task.id(), "101");
  EXPECT_EQ(Upid{"nonsense"}.type(), "");
}

TEST(AllocationText, IsExactInGibibytes) {
  EXPECT_EQ(allocation_text("san", 32_GiB), "san:32");
  EXPECT_EQ(allocation_text("san", 512_MiB), "san:0.5");
  EXPECT_EQ(allocation_text("san", 1_KiB), "san:0.00000095367431640625");
  EXPECT_EQ(allocation_text("san", ByteSize{(1ULL << 30U) + 1}), "san:1.00000095367431640625");
}

LeaseRecord sample() {
  return {.holder = "ci@runner7, pid 4711",
          .nonce = "abc",
          .taken = std::chrono::sys_seconds(std::chrono::seconds(1000)),
          .expires = std::chrono::sys_seconds(std::chrono::seconds(1300)),
          .restarting = {701},
          .released = false,
          .process = "boot/mark"};
}

TEST(LeaseRecord, ReadsBackWhatItWrote) {
  const auto read = parse_lease(print_lease(sample()));
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, sample());
}

TEST(LeaseRecord, OtherTextsAreMalformed) {
  for (const auto* text : {"", "hello", "[]", "{}", "{\"format\":\"pvereconcile.lease\"}", "{\"format\":1}",
                           "{\"format\":\"pvereconcile.lease\",\"holder\":5}"}) {
    const auto read = parse_lease(text);
    ASSERT_FALSE(read) << text;
    EXPECT_EQ(read.error().kind, ErrorKind::kMalformed);
  }
}

TEST(DescribeLease, SaysWhoSinceWhenAndUntil) {
  LeaseRecord record = sample();
  const std::chrono::system_clock::time_point now(std::chrono::seconds(1000 + 299));
  EXPECT_EQ(describe_lease(record, now),
            "held by ci@runner7, pid 4711 since 1970-01-01T00:16:40Z (4 min), until 1970-01-01T00:21:40Z");
  record.expires = std::chrono::sys_seconds::max();
  EXPECT_EQ(describe_lease(record, now), "held by ci@runner7, pid 4711, without an end");
  record.released = true;
  EXPECT_EQ(describe_lease(record, now), "held by nobody; a restart is unfinished");
}

TEST(LeaseRecord, SaysOnlyWhatThereIsToSay) {
  const std::string plain = print_lease({.holder = "me", .nonce = "n", .taken = {}, .expires = {}});
  EXPECT_EQ(plain, R"({"expires":0,"format":"pvereconcile.lease","holder":"me","nonce":"n","taken":0,"version":1})");
  LeaseRecord kept = sample();
  kept.released = true;
  kept.process.clear();
  const auto read = parse_lease(print_lease(kept));
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, kept);
}

TEST(LeaseClaim, IsHeldUntilItEndsAndTheClocksMayDiffer) {
  const LeaseRecord record = sample();
  EXPECT_EQ(judge_lease(record, "abc", record.expires), LeaseClaim::kMine);
  EXPECT_EQ(judge_lease(record, "other", record.expires), LeaseClaim::kHeld);
  EXPECT_EQ(judge_lease(record, "other", record.expires + kClockSkew), LeaseClaim::kHeld);
  EXPECT_EQ(judge_lease(record, "other", record.expires + kClockSkew + std::chrono::seconds(1)), LeaseClaim::kFree);
}

TEST(LeaseClaim, AReleasedLeaseIsFreeEvenForItsHolder) {
  LeaseRecord record = sample();
  record.released = true;
  EXPECT_EQ(judge_lease(record, "other", record.taken), LeaseClaim::kFree);
  EXPECT_EQ(judge_lease(record, "abc", record.taken), LeaseClaim::kFree);
}

TEST(LeaseClaim, AnUnknownHolderNeverExpires) {
  const LeaseRecord record{.holder = "somebody", .nonce = "", .taken = {}, .expires = std::chrono::sys_seconds::max()};
  EXPECT_EQ(judge_lease(record, "abc", std::chrono::sys_seconds(std::chrono::hours(24 * 365 * 100))),
            LeaseClaim::kHeld);
}

}  // namespace
}  // namespace pvr
