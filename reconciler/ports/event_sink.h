#pragma once

#include "reconciler/model/event.h"

namespace pvr {

class EventSink {
 public:
  virtual ~EventSink() = default;
  /// Must not block for long; never fails. Called from several threads.
  virtual void emit(const Event& event) = 0;
};

}  // namespace pvr
