// The steps of somebody's work with the time that each took.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "kernels/base/steady_seconds.h"
#include "runtime/engine.h"

namespace switchyard {

struct StepTime {
  int64_t units = 0;
  int64_t rows = 0;
  double seconds = 0.0;  // from the header to the outputs of all ranks
};

/// Passes everything on; `work` must outlive it.
class TimedWork : public StepWork {
 public:
  explicit TimedWork(StepWork& work) : work_(work) {}

  StepHeader next() override {
    StepHeader header = work_.next();
    StepTime& step = steps_.emplace_back();
    step.units = static_cast<int64_t>(header.units.size());
    for (const StepUnit& unit : header.units) {
      for (const StepSequence& sequence : unit.sequences) step.rows += sequence.num_rows();
    }
    begin_ = steady_seconds();
    return header;
  }
  void consume(std::vector<SequenceOutput> outputs) override {
    steps_.back().seconds = steady_seconds() - begin_;
    work_.consume(std::move(outputs));
  }
  std::string describe(const NonFiniteError& error) const override { return work_.describe(error); }

  /// The last is the end of the work, without units.
  const std::vector<StepTime>& steps() const { return steps_; }

 private:
  StepWork& work_;
  std::vector<StepTime> steps_;
  double begin_ = 0.0;
};

}  // namespace switchyard
