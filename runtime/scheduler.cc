#include "runtime/scheduler.h"

#include <algorithm>
#include <numeric>

#include "kernels/ops.h"

namespace switchyard {

ScheduleLimits ScheduleLimits::make(int num_ranks, int64_t max_rows, int64_t max_pages,
                                    int64_t hidden_size) {
  return {num_ranks, max_rows, max_pages, 12 * hidden_size};
}

UnitLoad UnitLoad::of(const StepUnit& unit, const ScheduleLimits& limits) {
  UnitLoad load;
  for (const StepSequence& sequence : unit.sequences) {
    const int64_t rows = sequence.num_rows();
    load.rows += rows;
    if (sequence.pages.empty()) load.pages += pages_of(rows);
    load.cost += limits.linear_cost * rows + rows * (2 * sequence.first_position + rows);
  }
  return load;
}

StepFiller::StepFiller(const ScheduleLimits& limits)
    : limits_(limits), arrival_loads_(static_cast<size_t>(limits.num_ranks)) {}

int StepFiller::place(const PlacedUnit& placed, std::vector<UnitLoad>& ranks) const {
  const UnitLoad& unit = placed.load;
  int best = -1;
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    if (placed.home != StepUnit::kAnyRank && placed.home != static_cast<int>(rank)) continue;
    const UnitLoad& load = ranks[rank];
    const bool fits = load.rows == 0 || (load.rows + unit.rows <= limits_.max_rows &&
                                         load.pages + unit.pages <= limits_.max_pages);
    if (fits && (best < 0 || load.cost < ranks[static_cast<size_t>(best)].cost)) {
      best = static_cast<int>(rank);
    }
  }
  if (best >= 0) {
    UnitLoad& load = ranks[static_cast<size_t>(best)];
    load.rows += unit.rows;
    load.pages += unit.pages;
    load.cost += unit.cost;
  }
  return best;
}

bool StepFiller::add(const StepUnit& unit) {
  const PlacedUnit placed = {UnitLoad::of(unit, limits_), unit.rank};
  const int rank = place(placed, arrival_loads_);
  if (rank < 0) return false;
  units_.push_back(placed);
  arrival_ranks_.push_back(rank);
  return true;
}

StepPlan StepFiller::plan() const {
  std::vector<int> order(units_.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, std::greater{},
                           [&](int i) { return units_[static_cast<size_t>(i)].load.cost; });
  std::vector<UnitLoad> loads(arrival_loads_.size());
  std::vector<int> ranks(units_.size());
  bool placed = true;
  for (const int i : order) {
    const int rank = place(units_[static_cast<size_t>(i)], loads);
    placed = placed && rank >= 0;
    ranks[static_cast<size_t>(i)] = rank;
  }
  const std::vector<int>& chosen = placed ? ranks : arrival_ranks_;
  StepPlan plan;
  plan.units_of_rank.resize(arrival_loads_.size());
  for (size_t i = 0; i < chosen.size(); ++i) {
    plan.units_of_rank[static_cast<size_t>(chosen[i])].push_back(static_cast<int>(i));
  }
  return plan;
}

StepPlan plan_step(const StepHeader& header, const ScheduleLimits& limits) {
  StepFiller filler(limits);
  for (const StepUnit& unit : header.units) {
    SWITCHYARD_CHECK(filler.add(unit), "a step header holds more than a step");
  }
  return filler.plan();
}

std::vector<int64_t> rows_of_ranks(const StepHeader& header, const StepPlan& plan,
                                   const ScheduleLimits& limits) {
  std::vector<int64_t> rows;
  for (const std::vector<int>& units : plan.units_of_rank) {
    int64_t& of_rank = rows.emplace_back(0);
    for (const int i : units) {
      of_rank += UnitLoad::of(header.units[static_cast<size_t>(i)], limits).rows;
    }
  }
  return rows;
}

double predicted_idle(const StepHeader& header, const StepPlan& plan,
                      const ScheduleLimits& limits) {
  int64_t sum = 0;
  int64_t largest = 0;
  for (const std::vector<int>& units : plan.units_of_rank) {
    int64_t cost = 0;
    for (const int i : units) {
      cost += UnitLoad::of(header.units[static_cast<size_t>(i)], limits).cost;
    }
    sum += cost;
    largest = std::max(largest, cost);
  }
  if (largest == 0) return 0.0;
  const double mean = static_cast<double>(sum) / static_cast<double>(plan.units_of_rank.size());
  return 1.0 - mean / static_cast<double>(largest);
}

}  // namespace switchyard
