#pragma once

#include <string>
#include <utility>
#include <vector>

namespace pvesim_test {

/// How the world of one transcript comes about: a cluster file, then the earlier transcripts of the same machine,
/// replayed without looking at their answers.
struct ReplayWorld {
  std::string cluster = {};
  std::vector<std::string> before = {};
  std::vector<int> without_system =
      {};  // guests with nothing installed: they answer neither the power button nor unplugs
};
[[nodiscard]] ReplayWorld world_of(const std::string& transcript);

/// Something the recorder did between two recorded calls and left out of the recording: the next answers show it.
struct Unrecorded {
  const char* transcript;
  int before;  // index of the call that follows
  const char* method;
  const char* path;
  std::vector<std::pair<std::string, std::string>> params;
};
[[nodiscard]] const std::vector<Unrecorded>& unrecorded();

/// A recorded call that is not replayed, or whose answer is not compared, and why.
struct Exclusion {
  const char* transcript;  // name, or "*"
  const char* method;      // verb, or "*"
  const char* path;        // glob below /api2/json
  int index;               // position in the transcript, or -1 for every call that fits
  const char* why;
};
[[nodiscard]] const std::vector<Exclusion>& exclusions();
/// The first exclusion that fits, or null.
[[nodiscard]] const Exclusion* exclusion_of(const std::string& transcript, int index, const std::string& method,
                                            const std::string& path);

}  // namespace pvesim_test
