// How many tokens a step should have when experts are paged.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/backend.h"
#include "runtime/cache_sizes.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/expected_tensors.h"

namespace switchyard {

/// Rows of a rank's step where nothing asks for more.
inline constexpr int64_t kDefaultBatchTokens = 4096;

/// What one rank's steps are made of, as measured.
struct SweepCosts {
  int64_t load_bytes = 0;  // packed bytes of the experts that a sweep over all layers loads
  double load_rate = 0.0;  // of them in a second
  double operations_a_token = 0.0;  // multiply-adds times two
  double operation_rate = 0.0;      // of them in a second

  double load_seconds() const { return static_cast<double>(load_bytes) / load_rate; }
  /// Tokens that compute as long as a sweep loads; what one expert's arrival leaves idle at the
  /// ends of a sweep is made up by a tenth more.
  int64_t balanced_tokens() const;
};

/// What limits a choice of tokens.
struct TokenLimits {
  int64_t fit_in_memory = 0;
  int64_t in_input = 0;  // of a rank, all there are
};

/// The tokens of a step and why. A pure function.
struct TokenChoice {
  int64_t tokens = kDefaultBatchTokens;
  std::string reason;
};
TokenChoice choose_tokens(const SweepCosts& costs, const TokenLimits& limits);

/// Whether every row is multiplied by a tensor: by every matrix but an embedding whose rows are
/// only looked up. Of experts: every row that is routed to them.
bool multiplies_rows(const ModelConfig& config, const ExpectedTensor& tensor);

/// Multiply-adds times two that a token takes in the matrices of the model, each of a layer's
/// experts counted as often as tokens go to it on average. Attention's products of queries, keys
/// and values are not counted: they depend on the length.
double operations_per_token(const ModelConfig& config);

/// Operations per second of a matmul of many rows on `compute`, best of a few short runs.
double measure_operation_rate(Backend& backend, Stream& compute);

/// Packed bytes per second at which this rank's experts come from their files into slots: the first
/// of them, for about a quarter of a second, by as many threads as will load them.
double measure_load_rate(const Checkpoint& checkpoint, const std::vector<ExpertLayer>& layers,
                         int64_t load_threads, TensorSources& sources, Backend& backend,
                         Stream& compute);

}  // namespace switchyard
