// The decoder: rows of a step in, log-probs and tokens out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "runtime/attention_layer.h"
#include "runtime/decode_tables.h"
#include "runtime/model_config.h"
#include "runtime/model_weights.h"
#include "runtime/moe_layer.h"
#include "runtime/output_layer.h"
#include "runtime/phase_clock.h"
#include "runtime/step.h"
#include "runtime/step_graphs.h"
#include "runtime/step_observer.h"
#include "runtime/step_rows.h"
#include "runtime/workspace.h"

namespace switchyard {

/// What one rank needs to run its share of steps. All references must outlive the Transformer.
struct TransformerParts {
  const ModelConfig& config;
  const ModelWeights& weights;
  const Workspace& workspace;
  const std::vector<int64_t>& cache_pages;  // WorkspaceLimits::cache_pages
  MoeLayer* moe;                            // null if the model has no MoE layer
  Backend& backend;
  Stream& compute;
  PhaseClock& clock;
  StepGraphs* graphs = nullptr;  // null: no step is recorded
  StepObserver* observer = nullptr;
};

/// Runs steps layer by layer: attention block by block of rows, then one feed-forward over all rows
/// of the step, so that a layer's experts are needed once.
class Transformer {
 public:
  explicit Transformer(const TransformerParts& parts);

  /// Runs this rank's units of a step, none included, and returns the outputs of their sequences in
  /// the same order. `most_rows` are those of the rank that has most. Throws NonFiniteError when a
  /// logit or log-prob is not finite. Blocks until the step is done.
  std::vector<SequenceOutput> run(const StepHeader& header, const std::vector<int>& units,
                                  int64_t most_rows);

 private:
  void upload();
  /// The shape of the running step, if all that it enqueues depends on this: then its tables are on
  /// their way to the device. None: it is not recorded.
  std::optional<DecodeShape> shape_of_step(int64_t most_rows);
  /// Embedding and layers.
  void run_layers(int64_t step, int64_t most_rows);
  void run_recorded(const DecodeShape& shape, int64_t step, int64_t most_rows);
  void embed();
  void attention(int layer);
  void feed_forward(int layer, int64_t step, int64_t most_rows);
  void dense_ffn(const LayerWeights& layer, const TensorView& source);
  void norm(const NormWeights& weights, const TensorView& x, const TensorView& out);
  void check_finite(const TensorView& x, int64_t check);
  void observe(const std::string& name, const TensorView& rows);

  TransformerParts p_;
  AttentionLayer attention_;
  OutputLayer output_;
  DecodeTables tables_;
  StepRows rows_;  // of the running step
};

}  // namespace switchyard
