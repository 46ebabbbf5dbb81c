#include "kernels/cuda/grouped_ffn.h"

#include <algorithm>

#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/products.h"

namespace switchyard::cuda {
namespace {

/// Floats of all hidden units.
int64_t num_units(const cpu::FfnJobs& jobs) {
  int64_t floats = 0;
  for (const cpu::HostMatmul& down : jobs.down) floats += down.num_rows * down.w.spec.cols;
  return floats;
}

/// Puts the hidden units of gated forms into memory of their own, from where the down matrices take
/// them: threads that wrote in place would overwrite what others still read. One launch for
/// neighbouring groups of one size.
void gate_rows(CudaQueue& queue, const FfnForm& form, cpu::FfnJobs& jobs, float* hidden) {
  size_t first = 0;
  while (first < jobs.up.size()) {
    const cpu::HostMatmul& up = jobs.up[first];
    const int64_t units = up.w.spec.rows / 2;
    int64_t num_rows = 0;
    size_t last = first;
    for (; last < jobs.up.size(); ++last) {
      const cpu::HostMatmul& next = jobs.up[last];
      if (next.w.spec.rows != up.w.spec.rows || next.out != up.out + num_rows * 2 * units) break;
      jobs.down[last].x = hidden + num_rows * units;
      jobs.down[last].x_stride = units;
      num_rows += next.num_rows;
    }
    glu(queue.stream(),
        {.x = up.out, .form = form, .out = hidden, .num_rows = num_rows, .units = units});
    hidden += num_rows * units;
    first = last;
  }
}

}  // namespace

void grouped_ffn(CudaQueue& queue, const cpu::HostGroupedFfn& args, const ProductMethod& method) {
  cpu::FfnJobs jobs = cpu::plan_jobs(args);
  const bool is_gated = args.form.glu != GluLayout::kNone;
  const int64_t partial_bytes =
      std::max(product_scratch_bytes(jobs.up, method), product_scratch_bytes(jobs.down, method));
  const int64_t unit_bytes = is_gated ? num_units(jobs) * size_of(DType::kF32) : 0;
  // One block for both: a second would replace the first.
  auto* const scratch = static_cast<char*>(queue.scratch(partial_bytes + unit_bytes));
  products(queue, jobs.up, method, scratch);
  if (is_gated)
    gate_rows(queue, args.form, jobs, reinterpret_cast<float*>(scratch + partial_bytes));
  products(queue, jobs.down, method, scratch);
}

}  // namespace switchyard::cuda
