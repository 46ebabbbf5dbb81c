// One step of the engine: what runs, where, and what comes out. Plain data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/base/error.h"

namespace switchyard {

/// Consecutive rows of one sequence. Row i holds input_ids[i] at position first_position + i.
struct StepSequence {
  int64_t sequence = 0;  // number in the job, unique
  int64_t first_position = 0;
  std::vector<int32_t> input_ids;
  /// The last target_ids.size() rows want log-probs; entry j belongs to row
  /// input_ids.size() - target_ids.size() + j.
  std::vector<int32_t> target_ids;

  int64_t num_rows() const { return static_cast<int64_t>(input_ids.size()); }
  int64_t first_target_row() const { return num_rows() - static_cast<int64_t>(target_ids.size()); }
};

enum class StepKind : uint8_t {
  kRun,   ///< run the sequences
  kStop,  ///< nothing is left: leave the loop
  kFail,  ///< rank 0 found an error of the user's: every rank ends with it
};

/// What rank 0 tells every rank before a step.
struct StepHeader {
  StepKind kind = StepKind::kStop;
  int64_t step = 0;
  int64_t top_logprobs = 0;
  std::vector<StepSequence> sequences;
  ErrorKind error_kind = ErrorKind::kInput;  // kFail
  std::string error;                         // kFail
};

std::string encode(const StepHeader& header);
StepHeader decode_step_header(const std::string& bytes);

/// Which rank runs which sequences of a step: indices into StepHeader::sequences, ascending. Every
/// rank computes the same plan.
struct StepPlan {
  std::vector<std::vector<int>> sequences_of_rank;
};

/// What came out for one sequence, one entry a target row.
struct SequenceOutput {
  int64_t sequence = 0;
  std::vector<float> logprobs;
  std::vector<int32_t> greedy;
  std::vector<int32_t> top_ids;     // [targets, top_logprobs]
  std::vector<float> top_logprobs;  // [targets, top_logprobs]
};

std::string encode(const std::vector<SequenceOutput>& outputs);
std::vector<SequenceOutput> decode_outputs(const std::string& bytes);

}  // namespace switchyard
