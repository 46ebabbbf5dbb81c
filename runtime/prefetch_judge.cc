#include "runtime/prefetch_judge.h"

#include <algorithm>

namespace switchyard {

void PrefetchJudge::record(bool was_used) { ++(was_used ? used_ : unused_); }

bool PrefetchJudge::may_prefetch(double busy) {
  if (resting_ > 0) {
    --resting_;
    return false;
  }
  if (used_ + unused_ < kWindow) return true;
  const double precision = static_cast<double>(used_) / static_cast<double>(used_ + unused_);
  used_ = 0;
  unused_ = 0;
  if (precision >= std::max(0.5, busy)) return true;
  resting_ = kRestSteps;
  ++times_switched_off_;
  return false;
}

}  // namespace switchyard
