#include "runtime/scheduler.h"

#include <algorithm>
#include <numeric>

#include "kernels/ops.h"

namespace switchyard {

ScheduleLimits ScheduleLimits::make(int num_ranks, int64_t max_rows, int64_t max_pages,
                                    int64_t hidden_size) {
  return {num_ranks, max_rows, max_pages, 12 * hidden_size};
}

StepFiller::StepFiller(const ScheduleLimits& limits)
    : limits_(limits), arrival_loads_(static_cast<size_t>(limits.num_ranks)) {}

int StepFiller::place(int64_t num_rows, std::vector<Load>& loads) const {
  const int64_t pages = pages_of(num_rows);
  int best = -1;
  for (size_t rank = 0; rank < loads.size(); ++rank) {
    const Load& load = loads[rank];
    const bool fits = load.rows == 0 || (load.rows + num_rows <= limits_.max_rows &&
                                         load.pages + pages <= limits_.max_pages);
    if (fits && (best < 0 || load.cost < loads[static_cast<size_t>(best)].cost)) {
      best = static_cast<int>(rank);
    }
  }
  if (best >= 0) {
    Load& load = loads[static_cast<size_t>(best)];
    load.rows += num_rows;
    load.pages += pages;
    load.cost += limits_.linear_cost * num_rows + num_rows * num_rows;
  }
  return best;
}

bool StepFiller::add(int64_t num_rows) {
  const int rank = place(num_rows, arrival_loads_);
  if (rank < 0) return false;
  rows_.push_back(num_rows);
  arrival_ranks_.push_back(rank);
  return true;
}

StepPlan StepFiller::plan() const {
  std::vector<int> order(rows_.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, std::greater{},
                           [&](int i) { return rows_[static_cast<size_t>(i)]; });
  std::vector<Load> loads(arrival_loads_.size());
  std::vector<int> ranks(rows_.size());
  bool placed = true;
  for (const int i : order) {
    const int rank = place(rows_[static_cast<size_t>(i)], loads);
    placed = placed && rank >= 0;
    ranks[static_cast<size_t>(i)] = rank;
  }
  const std::vector<int>& chosen = placed ? ranks : arrival_ranks_;
  StepPlan plan;
  plan.sequences_of_rank.resize(arrival_loads_.size());
  for (size_t i = 0; i < chosen.size(); ++i) {
    plan.sequences_of_rank[static_cast<size_t>(chosen[i])].push_back(static_cast<int>(i));
  }
  return plan;
}

StepPlan plan_step(const StepHeader& header, const ScheduleLimits& limits) {
  StepFiller filler(limits);
  for (const StepSequence& sequence : header.sequences) {
    SWITCHYARD_CHECK(filler.add(sequence.num_rows()), "a step header holds more than a step");
  }
  return filler.plan();
}

}  // namespace switchyard
