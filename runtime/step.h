// One step of the engine: what runs, where, and what comes out. Plain data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/ops.h"

namespace switchyard {

/// Consecutive rows of one sequence. Row i holds input_ids[i] at position first_position + i; the
/// num_pads rows after these are padding, which sees the sequence but is seen by nobody.
struct StepSequence {
  int64_t sequence = 0;  // number in the job, unique
  int64_t first_position = 0;
  std::vector<int32_t> input_ids;
  int64_t num_pads = 0;
  /// Rows that want log-probs: entry j belongs to row first_target_row + j.
  int64_t first_target_row = 0;
  std::vector<int32_t> target_ids;
  /// How the last input row gives a token; none: it gives none.
  std::optional<SampleSettings> sample = std::nullopt;
  /// Where its keys and values are kept from step to step: by cache group (cache_groups() of the
  /// model), the page of each kKeysPerPage positions up to the last row's, -1 where a window has
  /// passed them. Empty: they are kept for this step alone, which holds the sequence from position
  /// 0.
  std::vector<std::vector<int32_t>> pages = {};
  /// The length that rotary frequencies which depend on it go by: that of all its ids, those of
  /// other steps included. 0: the rows of this step.
  int64_t planned_length = 0;

  int64_t num_rows() const { return static_cast<int64_t>(input_ids.size()) + num_pads; }
};

/// What one rank runs in one step: a sequence, or the sequences of a capacity batch, which compete
/// for the slots of the experts.
struct StepUnit {
  std::vector<StepSequence> sequences;
  /// Positions of the capacity batch, those that are only counted included; 0: no capacity.
  int64_t capacity_positions = 0;
  int32_t rank = kAnyRank;  // that runs it: the one whose cache holds it

  static constexpr int32_t kAnyRank = -1;
};

enum class StepKind : uint8_t {
  kRun,   ///< run the units
  kStop,  ///< nothing is left: leave the loop
  kFail,  ///< rank 0 found an error of the user's: every rank ends with it
};

/// What rank 0 tells every rank before a step.
struct StepHeader {
  StepKind kind = StepKind::kStop;
  int64_t step = 0;
  int64_t top_logprobs = 0;
  std::vector<int32_t> eos_ids;     // what SampleSettings::is_eos_banned leaves out
  std::vector<int32_t> banned_ids;  // tokens that no sequence gives
  std::vector<StepUnit> units;
  ErrorKind error_kind = ErrorKind::kInput;  // kFail
  std::string error;                         // kFail
};

std::string encode(const StepHeader& header);
StepHeader decode_step_header(const std::string& bytes);

/// Which rank runs which units of a step: indices into StepHeader::units, ascending. Every rank
/// computes the same plan.
struct StepPlan {
  std::vector<std::vector<int>> units_of_rank;
};

/// What came out for one sequence, one entry a target row.
struct SequenceOutput {
  int64_t sequence = 0;
  std::vector<float> logprobs;
  std::vector<int32_t> greedy;
  std::vector<int32_t> top_ids;     // [targets, top_logprobs]
  std::vector<float> top_logprobs;  // [targets, top_logprobs]
  int32_t token = -1;               // of StepSequence::sample
  float token_logprob = 0.0f;       // of it, as scoring would give it
};

std::string encode(const std::vector<SequenceOutput>& outputs);
std::vector<SequenceOutput> decode_outputs(const std::string& bytes);

}  // namespace switchyard
