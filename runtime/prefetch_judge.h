// Whether loading experts ahead of their need pays.
#pragma once

#include <cstdint>

namespace switchyard {

/// Watches what becomes of experts that were loaded because a prediction named them. Such a load
/// pays when it is used and costs the link's time when it is not: on a link that is busy anyway a
/// wrong one delays a right one. So prefetching goes on while the used part of the last loads is at
/// least half, and at least the part of the time in which the link was busy. When it does not it
/// rests, and is tried again later.
class PrefetchJudge {
 public:
  static constexpr int64_t kWindow = 32;     // loads that are judged together
  static constexpr int64_t kRestSteps = 64;  // predictions for which it then rests

  /// A load ahead was used, or was given up without.
  void record(bool was_used);
  /// A prediction comes; `busy` is the part of the time so far in which the link was.
  bool may_prefetch(double busy);

  int64_t times_switched_off() const { return times_switched_off_; }

 private:
  int64_t used_ = 0;
  int64_t unused_ = 0;
  int64_t resting_ = 0;
  int64_t times_switched_off_ = 0;
};

}  // namespace switchyard
