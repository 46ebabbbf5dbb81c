// A step that is run again and again to be timed.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "runtime/engine.h"
#include "runtime/model_config.h"

namespace switchyard {

/// Rows of a step, and of each of its sequences.
struct StepShape {
  int64_t tokens = 0;
  int64_t length = 0;
};

/// One step of random sequences, again and again, and a check that each time gives the same bits.
class RepeatedStep : public StepWork {
 public:
  RepeatedStep(const StepShape& shape, const ModelConfig& config, int repeats) : repeats_(repeats) {
    header_.kind = StepKind::kRun;
    const int64_t length = std::min(shape.length, config.max_positions - 1);
    for (int64_t i = 0; i < shape.tokens / length; ++i) {
      StepSequence& sequence = header_.units.emplace_back().sequences.emplace_back();
      sequence.sequence = i;
      for (int64_t t = 0; t < length; ++t) {
        const int64_t id = 4 + (i * 7919 + t * 104729) % (config.vocab_size - 4);
        sequence.input_ids.push_back(static_cast<int32_t>(id));
      }
      sequence.target_ids = sequence.input_ids;
      tokens_ += length;
    }
  }

  StepHeader next() override {
    if (seconds_.size() == static_cast<size_t>(repeats_)) return {};
    begin_ = std::chrono::steady_clock::now();
    return header_;
  }

  void consume(std::vector<SequenceOutput> outputs) override {
    seconds_.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count());
    std::map<int64_t, std::vector<float>> logprobs;
    for (SequenceOutput& output : outputs) logprobs[output.sequence] = std::move(output.logprobs);
    if (first_.empty()) first_ = logprobs;
    same_ = same_ && first_ == logprobs && !first_.empty();
  }

  std::string describe(const NonFiniteError& error) const override { return error.what(); }

  /// Of each run.
  const std::vector<double>& seconds() const { return seconds_; }
  int64_t tokens() const { return tokens_; }
  bool same() const { return same_; }
  /// Of the first step, by sequence.
  const std::map<int64_t, std::vector<float>>& log_probs() const { return first_; }
  double median_seconds() const {
    std::vector<double> sorted = seconds_;
    std::sort(sorted.begin(), sorted.end());
    return sorted[sorted.size() / 2];
  }

 private:
  int repeats_;
  StepHeader header_;
  std::map<int64_t, std::vector<float>> first_;
  std::chrono::steady_clock::time_point begin_;
  std::vector<double> seconds_;
  int64_t tokens_ = 0;
  bool same_ = true;
};

}  // namespace switchyard
