#include "runtime/feed_forward.h"

namespace switchyard {

void feed_forward(const ModelConfig& config, const FeedForwardArgs& args,
                  const Workspace& workspace, Backend& backend, Stream& compute) {
  const FfnForm& form = config.ffn_form;
  const bool is_gated = form.glu != GluLayout::kNone;
  const int64_t count = args.x.shape[0];
  const LinearWeights& up = args.weights.up;
  const LinearWeights& down = args.weights.down;
  TensorView hidden = workspace.shaped(BufferId::kFfnHidden, {count, up.weight.spec.rows});
  backend.matmul(
      compute,
      {args.x, up.weight, up.bias, is_gated ? Activation::kNone : form.activation, {}, hidden});
  if (is_gated) {
    const TensorView gated = workspace.shaped(BufferId::kFfnGated, {count, down.weight.spec.cols});
    backend.glu(compute, {hidden, form, gated});
    hidden = gated;
  }
  backend.matmul(compute, {hidden, down.weight, down.bias, Activation::kNone, args.residual,
                           args.out, args.scale});
}

}  // namespace switchyard
