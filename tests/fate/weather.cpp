#include "tests/fate/weather.h"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace pvr::fate {
namespace {

using Chance = std::uint32_t Weather::*;
constexpr std::array<std::pair<const char*, Chance>, 27> kChances = {{
    {"refuse", &Weather::refuse},
    {"reset", &Weather::reset},
    {"slow", &Weather::slow},
    {"lose-answer", &Weather::lose_answer},
    {"proxy", &Weather::proxy},
    {"unauthorized", &Weather::unauthorized},
    {"forbidden", &Weather::forbidden},
    {"refuse-text", &Weather::refuse_text},
    {"claims-done", &Weather::claims_done},
    {"host-refuse", &Weather::host_refuse},
    {"host-lose", &Weather::host_lose},
    {"host-fail", &Weather::host_fail},
    {"host-cut", &Weather::host_cut},
    {"task-fail", &Weather::task_fail},
    {"task-stall", &Weather::task_stall},
    {"edits", &Weather::edits},
    {"guest-writes", &Weather::guest_writes},
    {"nodes", &Weather::nodes},
    {"quorum", &Weather::quorum},
    {"pauses", &Weather::pauses},
    {"clock", &Weather::clock},
    {"rival", &Weather::rival},
    {"pools", &Weather::pools},
    {"task-kill", &Weather::task_kill},
    {"holds", &Weather::holds},
    {"locks", &Weather::locks},
    {"power", &Weather::power},
}};
// Thrown with dice of their own: a new one here changes no seed in which it does not happen.
constexpr std::array<std::pair<const char*, Chance>, 3> kRare = {{
    {"host-corrupt", &Weather::host_corrupt},
    {"task-vanish", &Weather::task_vanish},
    {"volumes", &Weather::volumes},
}};

}  // namespace

Weather draw_weather(Dice& dice, Dice& rare) {
  Weather weather;
  const std::uint32_t kind = dice.below(10);
  const int troubles = kind == 0 ? 0 : kind < 6 ? dice.between(1, 3) : dice.between(4, 14);
  for (int i = 0; i < troubles; ++i) {
    const auto& [name, chance] = kChances[dice.below(kChances.size())];
    weather.*chance = static_cast<std::uint32_t>(dice.between(3, 60));
  }
  weather.lease_breaker = dice.percent(50);
  if (dice.percent(60)) {
    weather.kill_at = dice.between(1, dice.percent(70) ? 12 : 60);
    weather.kill_after = dice.percent(50);
  }
  if (rare.percent(25)) {
    const auto& [name, chance] = kRare[rare.below(kRare.size())];
    weather.*chance = static_cast<std::uint32_t>(rare.between(3, 60));
  }
  return weather;
}

std::string Weather::text() const {
  std::string text;
  const auto add = [&](const auto& chances) {
    for (const auto& [name, chance] : chances)
      if (this->*chance != 0) text += fmt::format(" {}={}", name, this->*chance);
  };
  add(kChances);
  add(kRare);
  if (kill_at != 0) text += fmt::format(" kill={}{}", kill_at, kill_after ? "+" : "-");
  return text.empty() ? " calm" : text;
}

}  // namespace pvr::fate
