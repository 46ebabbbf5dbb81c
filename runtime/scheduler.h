// Which units run in a step, and on which rank. Pure functions of lengths.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/step.h"

namespace switchyard {

/// What bounds a rank's share of a step, and what a row costs.
struct ScheduleLimits {
  int num_ranks = 1;
  int64_t max_rows = 0;   ///< of one rank; a longer unit runs alone on its rank
  int64_t max_pages = 0;  ///< key/value pages of one rank
  /// A sequence of n rows costs linear_cost * n + n * n: its matmuls against its attention, which
  /// are 24 D^2 against 2 D n operations a row and layer in a decoder of width D with F = 4 D.
  /// After p positions that have run before, n * n becomes n * (2 p + n).
  int64_t linear_cost = 12;

  /// Limits for a model of width `hidden_size`.
  static ScheduleLimits make(int num_ranks, int64_t max_rows, int64_t max_pages,
                             int64_t hidden_size);
};

/// What a unit takes of its rank. Kept pages (StepSequence::pages) are not counted: who keeps them
/// has seen to it that they are there.
struct UnitLoad {
  int64_t rows = 0;
  int64_t pages = 0;
  int64_t cost = 0;

  static UnitLoad of(const StepUnit& unit, const ScheduleLimits& limits);
};

/// Fills a step in order of arrival: add() takes units until one no longer fits.
class StepFiller {
 public:
  explicit StepFiller(const ScheduleLimits& limits);

  /// Whether the next unit still fits, on its own rank if it has one (StepUnit::rank); if so it is
  /// part of the step. The first of a rank always does.
  bool add(const StepUnit& unit);

  /// The step's units on ranks: the costliest first, each to its own rank or the one with the least
  /// cost so far where it fits; in order of arrival where that does not come out.
  StepPlan plan() const;

 private:
  struct PlacedUnit {
    UnitLoad load;
    int home = StepUnit::kAnyRank;
  };

  int place(const PlacedUnit& placed, std::vector<UnitLoad>& ranks) const;

  ScheduleLimits limits_;
  std::vector<PlacedUnit> units_;  // of the step
  std::vector<UnitLoad> arrival_loads_;
  std::vector<int> arrival_ranks_;
};

/// The plan for the units of a step header, as every rank computes it.
StepPlan plan_step(const StepHeader& header, const ScheduleLimits& limits);

/// Rows of each rank in a step.
std::vector<int64_t> rows_of_ranks(const StepHeader& header, const StepPlan& plan,
                                   const ScheduleLimits& limits);

/// How much of its layers' time outside the experts the ranks of a step will wait for the one with
/// the largest cost: 0 when all have the same.
double predicted_idle(const StepHeader& header, const StepPlan& plan, const ScheduleLimits& limits);

}  // namespace switchyard
