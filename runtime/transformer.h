// The decoder: rows of a step in, log-probs out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/base/error.h"
#include "runtime/model_config.h"
#include "runtime/model_weights.h"
#include "runtime/moe_layer.h"
#include "runtime/phase_clock.h"
#include "runtime/step.h"
#include "runtime/step_observer.h"
#include "runtime/workspace.h"

namespace switchyard {

/// A logit or log-prob of a scored row is infinite or NaN.
class NonFiniteError : public Error {
 public:
  NonFiniteError(int64_t sequence, int64_t position, const std::string& where)
      : Error(ErrorKind::kInput,
              concat("sequence ", sequence, ", position ", position,
                     ": a log-prob is not finite; the first infinity or NaN stands in ", where)),
        sequence_(sequence),
        position_(position),
        where_(where) {}
  int64_t sequence() const { return sequence_; }
  int64_t position() const { return position_; }
  /// "layer 3", "the embedding" or "the logits".
  const std::string& where() const { return where_; }

 private:
  int64_t sequence_;
  int64_t position_;
  std::string where_;
};

/// What one rank needs to run its share of steps. All references must outlive the Transformer.
struct TransformerParts {
  const ModelConfig& config;
  const ModelWeights& weights;
  const Workspace& workspace;
  MoeLayer* moe;  // null if the model has no MoE layer
  Backend& backend;
  Stream& compute;
  PhaseClock& clock;
  StepObserver* observer = nullptr;
};

/// Runs steps layer by layer: attention block by block of rows, then one feed-forward over all rows
/// of the step, so that a layer's experts are needed once.
class Transformer {
 public:
  explicit Transformer(const TransformerParts& parts) : p_(parts) {}

  /// Runs this rank's units of a step, none included, and returns the outputs of their sequences in
  /// the same order. Throws NonFiniteError when a logit or log-prob is not finite. Blocks until the
  /// step is done.
  std::vector<SequenceOutput> run(const StepHeader& header, const std::vector<int>& units);

 private:
  /// The rows of the running step; host memory that the streams copy from.
  struct Rows {
    std::vector<int32_t> ids;
    std::vector<int32_t> positions;    // rows of the position table
    std::vector<int32_t> targets;      // of the rows that want log-probs
    std::vector<int32_t> target_rows;  // these rows
    std::vector<RowOrigin> origins;
    std::vector<SequenceRows> sequences;
    std::vector<int32_t> page_table;
    std::vector<int32_t> router_mask;  // 1: padding that the model's routers leave out
    std::vector<CapacityRows> capacity;
    int64_t count() const { return static_cast<int64_t>(ids.size()); }
    int64_t num_targets() const { return static_cast<int64_t>(targets.size()); }
  };

  /// Results as they come from the device.
  struct Results {
    std::vector<float> logprobs;
    std::vector<int32_t> greedy;
    std::vector<int32_t> top_ids;
    std::vector<float> top_logprobs;
    std::vector<int32_t> non_finite;
  };

  void collect_sequence(const StepSequence& sequence);
  void embed();
  void attention(int layer);
  void attention_block(int layer, int64_t first_row, int64_t num_rows);
  void feed_forward(int layer, int64_t step);
  void dense_ffn(const LayerWeights& layer);
  void norm(const NormWeights& weights, const TensorView& x, const TensorView& out);
  void check_finite(const TensorView& x, int64_t check);
  void observe(const std::string& name, const TensorView& rows);
  void log_probs(int64_t top_logprobs);
  void log_prob_chunk(int64_t first, int64_t count, int64_t top_logprobs);
  Results fetch(int64_t top_logprobs);
  void require_finite(const Results& results) const;

  TransformerParts p_;
  Rows rows_;
};

}  // namespace switchyard
