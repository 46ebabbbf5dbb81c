#include "kernels/cuda/grouped_ffn.h"

#include <algorithm>
#include <vector>

#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/panel_products.h"
#include "kernels/cuda/tensor_plan.h"

namespace switchyard::cuda {
namespace {

/// The experts of a call, up to their hidden units and on from there.
class ExpertProducts {
 public:
  ExpertProducts(CudaQueue& queue, const cpu::HostGroupedFfn& args)
      : queue_(queue),
        form_(args.form),
        is_gated_(args.form.glu != GluLayout::kNone),
        jobs_(cpu::plan_jobs(args)),
        has_units_(jobs_.up.size(), false) {}

  void run_fp32() {
    auto* const units = static_cast<float*>(queue_.scratch(gated_bytes()));
    panel_products(queue_, jobs_.up);
    gate_rows(units);
    panel_products(queue_, jobs_.down);
  }

  void run_on_tensor_cores(const ProductMethod& method) {
    TensorPlan up = plan_up(method);
    TensorPlan down = plan_down(method);
    const int64_t partial = std::max(up.bytes(), down.bytes());
    // One block for all: a second would replace the first.
    auto* const scratch =
        static_cast<char*>(queue_.scratch(partial + rounded_unit_bytes() + gated_bytes()));
    char* units = scratch + partial;
    for (size_t i = 0; i < has_units_.size(); ++i) {
      if (!has_units_[i]) continue;
      up.set_units(i, reinterpret_cast<uint16_t*>(units));
      down.set_rounded(i, reinterpret_cast<uint16_t*>(units));
      units += rounded_unit_bytes(i);
    }
    up.run(queue_, scratch);
    gate_rows(reinterpret_cast<float*>(units));
    for (size_t i = 0; i < has_units_.size(); ++i) {
      if (!has_units_[i]) down.set_rows(i, jobs_.down[i].x, jobs_.down[i].x_stride);
    }
    down.run(queue_, scratch);
  }

 private:
  TensorPlan plan_up(const ProductMethod& method) {
    std::vector<TensorProduct> products;
    for (size_t i = 0; i < jobs_.up.size(); ++i) {
      products.push_back({.job = jobs_.up[i],
                          .wants_units = takes_rounded_rows(jobs_.down[i], method),
                          .form = form_});
    }
    TensorPlan plan(products, method);
    for (size_t i = 0; i < products.size(); ++i) has_units_[i] = plan.makes_units(i);
    return plan;
  }

  TensorPlan plan_down(const ProductMethod& method) const {
    std::vector<TensorProduct> products;
    for (size_t i = 0; i < jobs_.down.size(); ++i) {
      products.push_back({.job = jobs_.down[i], .has_rounded = has_units_[i]});
    }
    return TensorPlan(products, method);
  }

  /// Of the hidden units that the up matrix of job `i` gives rounded.
  int64_t rounded_unit_bytes(size_t i) const {
    return has_units_[i] ? rounded_bytes(jobs_.down[i].num_rows, jobs_.down[i].w.spec.cols) : 0;
  }
  int64_t rounded_unit_bytes() const {
    int64_t bytes = 0;
    for (size_t i = 0; i < has_units_.size(); ++i) bytes += rounded_unit_bytes(i);
    return bytes;
  }
  /// Of those that gate_rows() gives.
  int64_t gated_bytes() const {
    int64_t floats = 0;
    for (size_t i = 0; is_gated_ && i < has_units_.size(); ++i) {
      if (!has_units_[i]) floats += jobs_.down[i].num_rows * jobs_.down[i].w.spec.cols;
    }
    return floats * size_of(DType::kF32);
  }

  /// Puts the hidden units of gated forms, where no product has given them, into memory of their
  /// own, from where the down matrices take them: threads that wrote in place would overwrite what
  /// others still read. One launch for neighbouring groups of one size.
  void gate_rows(float* hidden) {
    if (!is_gated_) return;
    size_t first = 0;
    while (first < jobs_.up.size()) {
      if (has_units_[first]) {
        ++first;
        continue;
      }
      const cpu::HostMatmul& up = jobs_.up[first];
      const int64_t units = up.w.spec.rows / 2;
      int64_t num_rows = 0;
      size_t last = first;
      for (; last < jobs_.up.size() && !has_units_[last]; ++last) {
        const cpu::HostMatmul& next = jobs_.up[last];
        if (next.w.spec.rows != up.w.spec.rows || next.out != up.out + num_rows * 2 * units) break;
        jobs_.down[last].x = hidden + num_rows * units;
        jobs_.down[last].x_stride = units;
        num_rows += next.num_rows;
      }
      glu(queue_.stream(),
          {.x = up.out, .form = form_, .out = hidden, .num_rows = num_rows, .units = units});
      hidden += num_rows * units;
      first = last;
    }
  }

  CudaQueue& queue_;
  const FfnForm form_;
  const bool is_gated_;
  cpu::FfnJobs jobs_;
  std::vector<bool> has_units_;  // by job: rounded, from the up matrix' own kernel
};

}  // namespace

void grouped_ffn(CudaQueue& queue, const cpu::HostGroupedFfn& args, const ProductMethod& method) {
  ExpertProducts experts(queue, args);
  if (method.arithmetic == Arithmetic::kFp32) return experts.run_fp32();
  experts.run_on_tensor_cores(method);
}

}  // namespace switchyard::cuda
