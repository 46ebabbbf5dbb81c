// The only step loop.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "parallel/control_channel.h"
#include "runtime/phase_clock.h"
#include "runtime/scheduler.h"
#include "runtime/step.h"
#include "runtime/transformer.h"

namespace switchyard {

/// What rank 0 feeds the engine with and drains it into.
class StepWork {
 public:
  StepWork() = default;
  StepWork(const StepWork&) = delete;
  StepWork& operator=(const StepWork&) = delete;
  virtual ~StepWork() = default;

  /// The next step, kStop when nothing is left. `step` is left to the engine. An Error becomes the
  /// job's: every rank ends with it.
  virtual StepHeader next() = 0;
  /// The outputs of the step that next() gave last, in any order.
  virtual void consume(std::vector<SequenceOutput> outputs) = 0;
  /// The message for a non-finite result of a sequence.
  virtual std::string describe(const NonFiniteError& error) const = 0;
};

/// Runs steps until rank 0's work is done: `while (header = next) run(plan(header))`. Every rank
/// computes the same plan from the header, and takes part in every step, also without rows.
class Engine {
 public:
  /// All references must outlive the engine.
  Engine(ControlChannel& control, Transformer& transformer, PhaseClock& clock,
         const ScheduleLimits& limits);

  /// `work` is used on rank 0 and null elsewhere. Throws AgreedError on every rank for errors of
  /// the user's input.
  void run(StepWork* work);

  int64_t steps() const { return steps_; }
  /// Rows this rank ran.
  int64_t rows() const { return rows_; }
  /// Mean over the steps of predicted_idle().
  double mean_idle() const { return steps_ == 0 ? 0.0 : idle_ / static_cast<double>(steps_); }

 private:
  StepHeader next_header(StepWork* work);
  void run_step(const StepHeader& header, StepWork* work);
  void consume(const StepHeader& header, const std::vector<std::string>& reports, StepWork& work);

  ControlChannel& control_;
  Transformer& transformer_;
  PhaseClock& clock_;
  ScheduleLimits limits_;
  int64_t steps_ = 0;
  int64_t rows_ = 0;
  double idle_ = 0.0;

  // Rank 0's next header, where it is not the work's to give: the end of a run that failed, or a
  // step with a failing unit alone, whose report does not depend on what ran beside it.
  std::optional<StepHeader> urgent_;
};

}  // namespace switchyard
