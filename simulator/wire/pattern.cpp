#include "simulator/wire/pattern.h"

#include <map>
#include <mutex>
#include <regex>

namespace pvesim {

bool matches_pattern(const std::string& pattern, const std::string& value) {
  static std::map<std::string, std::regex> cache;
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  auto found = cache.find(pattern);
  if (found == cache.end()) found = cache.emplace(pattern, std::regex(pattern)).first;
  return std::regex_match(value, found->second);
}

}  // namespace pvesim
