#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace pvesim_test {

/// The folder with recorded answers of the real API, when this machine has it: ../shared/pve or ../../shared/pve beside
/// the sources, or $PVERECONCILE_SHARED (the folder above pve, or pve itself).
[[nodiscard]] std::optional<std::filesystem::path> shared_folder();

/// One recorded call and its answer.
struct RecordedCall {
  std::string method, path, format, auth, note;
  nlohmann::json params, json_body, body;
  std::optional<std::string> raw_body;
  int status = 0;
  std::string reason;
  bool closes = false;  // the answer said "connection: close"
};

struct Transcript {
  std::string name;
  std::vector<RecordedCall> calls;
};

[[nodiscard]] Transcript load_transcript(const std::filesystem::path& file);
[[nodiscard]] std::vector<std::string> transcript_names();

/// What may differ between a recorded answer and a simulated one, and why. Each use is counted by name; anything else
/// that differs is a mismatch.
///
/// upid        a UPID: node, type, id and user must agree; pid and times are of the run
/// digest      40 hex digits on both sides; later calls send what the simulator answered
/// identifier  MAC addresses, uuids, and the parts of `meta` that name the QEMU build and the moment
/// time        pids, starting times, uptimes
/// load        CPU, memory and traffic figures of a moment
/// host        what the recording machine was: kernel, CPU, versions, certificate
/// space       used and free bytes: a real file system's metadata
/// order       lists and comma-joined sets come in any order
/// log         a line of a task's log between its begin and its last line: printed by tools of the host
/// secret      replaced by the recorder
/// number      one side says 1, the other "1"
class Comparison {
 public:
  /// Compares two bodies. Mismatches are appended as "place: recorded … simulated …".
  void compare(const nlohmann::json& recorded, const nlohmann::json& simulated, const std::string& place);
  void compare_text(const std::string& recorded, const std::string& simulated, const std::string& place);

  [[nodiscard]] const std::vector<std::string>& mismatches() const { return mismatches_; }
  void clear_mismatches() { mismatches_.clear(); }
  void clear_used() { used_.clear(); }
  [[nodiscard]] const std::map<std::string, int>& used() const { return used_; }
  /// Recorded text -> simulated text, for what later calls repeat (UPIDs, digests, token secrets).
  [[nodiscard]] const std::map<std::string, std::string>& learned() const { return learned_; }

 private:
  void compare_list(const nlohmann::json& recorded, const nlohmann::json& simulated, const std::string& place);
  void compare_log(const nlohmann::json& recorded, const nlohmann::json& simulated, const std::string& place);
  void mismatch(const std::string& place, const nlohmann::json& recorded, const nlohmann::json& simulated);
  /// Counts a normalisation when it changed anything.
  std::string normal_text(const std::string& text, bool count);

  std::vector<std::string> mismatches_ = {};
  std::map<std::string, int> used_ = {};
  std::map<std::string, std::string> learned_ = {};
};

}  // namespace pvesim_test
