#include "kernels/cuda/counted_ffn.h"

#include <algorithm>
#include <vector>

#include "kernels/cuda/counted_products.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/panel_products.h"

namespace switchyard::cuda {
namespace {

int64_t partial_bytes(const WeightSpec& up, const WeightSpec& down, int64_t most_rows,
                      const ProductMethod& method) {
  if (method.arithmetic == Arithmetic::kFp32) return 0;
  return std::max(counted_scratch_bytes(up, most_rows), counted_scratch_bytes(down, most_rows));
}

/// Of the hidden units of gated forms.
int64_t unit_bytes(const WeightSpec& down, const FfnForm& form, int64_t most_rows) {
  return form.glu == GluLayout::kNone ? 0 : most_rows * down.cols * size_of(DType::kF32);
}

}  // namespace

int64_t counted_ffn_scratch_bytes(const WeightSpec& up, const WeightSpec& down, const FfnForm& form,
                                  int64_t most_rows, const ProductMethod& method) {
  return unit_bytes(down, form, most_rows) + partial_bytes(up, down, most_rows, method);
}

void counted_ffn(CudaQueue& queue, const cpu::GroupedFfnCall& call, const ProductMethod& method) {
  const cpu::HostGroupedFfn& args = call.args;
  const CountedGroups groups{call.device_offsets, call.num_rows};
  const WeightSpec& up = call.experts.front().up.spec;
  const WeightSpec& down = call.experts.front().down.spec;
  const bool is_gated = args.form.glu != GluLayout::kNone;
  auto* const scratch = static_cast<char*>(
      queue.scratch(counted_ffn_scratch_bytes(up, down, args.form, groups.most_rows, method)));
  auto* const units = reinterpret_cast<float*>(scratch);
  auto* const partial =
      reinterpret_cast<float*>(scratch + unit_bytes(down, args.form, groups.most_rows));
  const auto multiply = [&](const std::vector<cpu::HostMatmul>& jobs) {
    if (method.arithmetic == Arithmetic::kFp32) return counted_panel_products(queue, jobs, groups);
    counted_tensor_products(queue, jobs, groups, method.arithmetic, partial);
  };
  std::vector<cpu::HostMatmul> ups;
  std::vector<cpu::HostMatmul> downs;
  for (const cpu::HostExpert& expert : call.experts) {
    ups.push_back({.x = args.rows,
                   .w = expert.up,
                   .bias = expert.up_bias,
                   .activation = is_gated ? Activation::kNone : args.form.activation,
                   .out = args.hidden});
    downs.push_back({.x = is_gated ? units : args.hidden,
                     .w = expert.down,
                     .bias = expert.down_bias,
                     .out = args.out});
  }
  multiply(ups);
  if (is_gated) {
    glu(queue.stream(),
        {.x = args.hidden,
         .form = args.form,
         .out = units,
         .num_rows = groups.most_rows,
         .units = down.cols},
        groups.offsets + args.num_groups);
  }
  multiply(downs);
}

}  // namespace switchyard::cuda
