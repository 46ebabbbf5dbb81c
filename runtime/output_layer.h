// The end of a step: logits of the rows that want them, log-probs, and tokens to come.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/base/error.h"
#include "runtime/model_config.h"
#include "runtime/model_weights.h"
#include "runtime/step.h"
#include "runtime/step_observer.h"
#include "runtime/step_rows.h"
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

/// What the output layer works with. All references must outlive it.
struct OutputParts {
  const ModelConfig& config;
  const ModelWeights& weights;
  const Workspace& workspace;
  Backend& backend;
  Stream& compute;
  StepObserver* observer = nullptr;
};

/// Final norm, logits, log-probs and sampling, chunk by chunk of rows: never the logits of all rows
/// at once.
class OutputLayer {
 public:
  explicit OutputLayer(const OutputParts& parts) : p_(parts) {}

  /// The outputs of a step's members from BufferId::kHidden. BufferId::kNonFinite holds the checks
  /// of the embedding and of each layer. Waits for the stream. Throws NonFiniteError.
  std::vector<SequenceOutput> run(const StepHeader& header, const StepRows& rows);

 private:
  /// Results as they come from the device.
  struct Results {
    std::vector<int32_t> targets;  // the tokens among them are new
    std::vector<float> logprobs;
    std::vector<int32_t> greedy;
    std::vector<int32_t> top_ids;
    std::vector<float> top_logprobs;
    std::vector<int32_t> non_finite;
  };

  void run_chunk(const StepHeader& header, const StepRows& rows, int64_t first, int64_t count);
  void sample(const StepHeader& header, const StepRows& rows, int64_t first,
              const TensorView& logits);
  Results fetch(int64_t count, int64_t top_logprobs);
  void require_finite(const StepRows& rows, const Results& results) const;

  OutputParts p_;
};

}  // namespace switchyard
