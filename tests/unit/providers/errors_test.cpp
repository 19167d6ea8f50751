#include "providers/pve/errors.h"

#include "reconciler/model/error_text.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace pvr {
namespace {

HttpResponse answer(int status, const std::string& message, const nlohmann::json& errors = {}) {
  nlohmann::json body = {{"data", nullptr}, {"message", message + "\n"}};
  if (!errors.is_null()) body["errors"] = errors;
  return {status, message, body.dump()};
}

struct Case {
  HttpResponse response = {};
  ErrorKind kind = ErrorKind::kServer;
  Effect effect = Effect::kNone;
};

TEST(Errors, AreToldByStatusAndText) {
  const std::string verification = "Parameter verification failed.";
  const std::vector<Case> cases = {
      {{401, "Authentication failed!", ""}, ErrorKind::kUnauthorized, Effect::kNone},
      {answer(403, "Permission check failed (/vms/100, VM.Audit)"), ErrorKind::kForbidden, Effect::kNone},
      {answer(400, verification, {{"cores", "type check ('integer') failed"}}), ErrorKind::kRejected, Effect::kNone},
      {answer(400, verification, {{"storage", "No such storage."}}), ErrorKind::kNotFound, Effect::kNone},
      {answer(400, verification, {{"upid", "no such task"}}), ErrorKind::kNotFound, Effect::kNone},
      {answer(400, verification, {{"scsi0", "hotplug problem - can't unplug bootdisk 'scsi0'\n"}}), ErrorKind::kServer,
       Effect::kPossible},
      {answer(400, verification, {{"scsi0", "unable to apply pending change scsi0 : x\n"}}), ErrorKind::kServer,
       Effect::kPossible},
      {answer(500, "checksum mismatch (file change by other user?)"), ErrorKind::kConflict, Effect::kNone},
      {answer(500, "update storage failed: detected modified configuration - file changed by other user? Try again."),
       ErrorKind::kConflict, Effect::kNone},
      {answer(500, "VM is locked (backup)"), ErrorKind::kLocked, Effect::kNone},
      {answer(500, "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout"), ErrorKind::kLocked,
       Effect::kNone},
      {answer(500, "cluster not ready - no quorum?"), ErrorKind::kNoQuorum, Effect::kNone},
      {answer(500, "update storage failed: cfs-lock 'file-storage_cfg' error: no quorum!"), ErrorKind::kNoQuorum,
       Effect::kNone},
      {answer(500, "unable to open file '/etc/pve/nodes/n1/qemu-server/100.conf.tmp.1' - Permission denied"),
       ErrorKind::kNoQuorum, Effect::kNone},
      {answer(500, "Configuration file 'nodes/pve/qemu-server/100.conf' does not exist"), ErrorKind::kNotFound,
       Effect::kNone},
      {answer(500, "storage 'nope' does not exist"), ErrorKind::kNotFound, Effect::kNone},
      {answer(500, "only root can set 'args' config"), ErrorKind::kForbidden, Effect::kNone},
      {answer(500, "create storage failed: storage ID 'tank-vm' already defined"), ErrorKind::kRejected, Effect::kNone},
      {answer(500, "update storage failed: can't change value of fixed parameter 'pool'"), ErrorKind::kRejected,
       Effect::kNone},
      {answer(500, "you can't move a cdrom"), ErrorKind::kRejected, Effect::kNone},
      {answer(500, "'storage-san'-locked command timed out - aborting"), ErrorKind::kTimeout, Effect::kPossible},
      {answer(500, "something nobody has seen before"), ErrorKind::kServer, Effect::kPossible},
      {{501, "Method 'GET /nope' not implemented", ""}, ErrorKind::kRejected, Effect::kNone},
      {{595, "No route to host", ""}, ErrorKind::kUnreachable, Effect::kNone},
      {{596, "Connection timed out", ""}, ErrorKind::kTimeout, Effect::kPossible},
      {{599, "Too many redirections", ""}, ErrorKind::kTimeout, Effect::kPossible},
      {{500, "", "<html>not JSON"}, ErrorKind::kServer, Effect::kPossible},
      {{502, "Bad Gateway", ""}, ErrorKind::kTimeout, Effect::kPossible}};
  for (const Case& expected : cases) {
    const Error error = classify_answer(expected.response, true);
    EXPECT_EQ(error.kind, expected.kind) << expected.response.reason << " " << error.message;
    EXPECT_EQ(error.effect, expected.effect) << expected.response.reason << " " << error.message;
    EXPECT_EQ(error.http_status, expected.response.status);
    EXPECT_FALSE(error.message.empty());
    EXPECT_EQ(classify_answer(expected.response, false).effect, Effect::kNone);
  }
}

TEST(Errors, NameTheParameterThatWasRefused) {
  const Error error = classify_answer(answer(400, "Parameter verification failed.", {{"cores", "too many\n"}}), true);
  EXPECT_EQ(error.message, "Parameter verification failed. (cores: too many)");
}

TEST(Errors, TaskTextsAreToldTheSameWay) {
  EXPECT_EQ(kind_of_text("checksum mismatch (file change by other user?)"), ErrorKind::kConflict);
  EXPECT_EQ(kind_of_text("storage migration failed: x"), ErrorKind::kServer);
}

}  // namespace
}  // namespace pvr
