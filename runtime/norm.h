// The norm of whole rows, of the model's kind.
#pragma once

#include "kernels/backend.h"
#include "runtime/model_config.h"
#include "runtime/model_weights.h"

namespace switchyard {

/// out = norm(x) over the model's width; out may be x, both [T, D].
inline void normalize_rows(const ModelConfig& config, const NormWeights& weights,
                           const TensorView& x, const TensorView& out, Backend& backend,
                           Stream& compute) {
  if (config.norm == NormKind::kRmsNorm) {
    backend.rms_norm(compute, {{x, 1, 0}, weights.gamma, config.norm_eps, {out, 1, 0}});
  } else {
    backend.layer_norm(compute, {x, weights.gamma, weights.beta, config.norm_eps, out});
  }
}

}  // namespace switchyard
