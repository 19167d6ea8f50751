#pragma once

#include <cstdint>
#include <string>

#include "tests/fate/dice.h"

namespace pvr::fate {

/// What may go wrong in one run of a seed. All chances are per mille, of a request or of a command.
struct Weather {
  // requests
  std::uint32_t refuse = 0, reset = 0, slow = 0, lose_answer = 0, proxy = 0, unauthorized = 0, forbidden = 0,
                refuse_text = 0, claims_done = 0;
  // commands on nodes
  std::uint32_t host_refuse = 0, host_lose = 0, host_fail = 0, host_cut = 0, host_corrupt = 0;
  // tasks, per step
  std::uint32_t task_fail = 0, task_stall = 0;
  // what others do, per request
  std::uint32_t edits = 0, guest_writes = 0, nodes = 0, quorum = 0, pauses = 0, clock = 0, rival = 0, pools = 0,
                task_kill = 0, task_vanish = 0, holds = 0, locks = 0, power = 0, volumes = 0;
  bool lease_breaker = false;  // the rival breaks the lease
  int kill_at = 0;             // the nth effect; 0: no kill
  bool kill_after = false;
  [[nodiscard]] std::string text() const;
};

/// Weather of one run: often one kind of trouble alone, sometimes all at once, rarely none.
[[nodiscard]] Weather draw_weather(Dice& dice, Dice& rare);

}  // namespace pvr::fate
