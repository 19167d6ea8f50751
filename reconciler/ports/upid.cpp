#include <string_view>

#include "reconciler/ports/pve_api.h"

namespace pvr {
namespace {

// UPID:NODE:PID:PSTART:STARTTIME:TYPE:ID:USER:
std::string field(std::string_view text, int index) {
  for (; index > 0; --index) {
    const auto colon = text.find(':');
    if (colon == std::string_view::npos) return {};
    text.remove_prefix(colon + 1);
  }
  return std::string(text.substr(0, text.find(':')));
}

}  // namespace

std::string Upid::node() const { return field(text, 1); }
std::string Upid::type() const { return field(text, 5); }
std::string Upid::id() const { return field(text, 6); }

}  // namespace pvr
