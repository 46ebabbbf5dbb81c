// A feed-forward that every rank holds: a dense layer's, or a shared expert's.
#pragma once

#include "kernels/backend.h"
#include "runtime/model_config.h"
#include "runtime/model_weights.h"
#include "runtime/workspace.h"

namespace switchyard {

struct FeedForwardArgs {
  const FfnWeights& weights;
  TensorView x;         // [n, D], n <= kAttentionBlockRows
  TensorView residual;  // [n, D] or empty
  TensorView out;       // [n, D], may be residual
  float scale = 1.0f;   // of what is added to the residual
};

/// out = down(form(up(x))) * scale + residual, through the workspace's kFfnHidden and kFfnGated.
void feed_forward(const ModelConfig& config, const FeedForwardArgs& args,
                  const Workspace& workspace, Backend& backend, Stream& compute);

}  // namespace switchyard
