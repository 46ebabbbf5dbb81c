#include "kernels/cuda/grouped_ffn.h"

#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/panel_products.h"

namespace switchyard::cuda {
namespace {

/// Puts the hidden units of gated forms into memory of their own, from where the down matrices take
/// them: threads that wrote in place would overwrite what others still read. One launch for
/// neighbouring groups of one size.
void gate_rows(CudaQueue& queue, const FfnForm& form, cpu::FfnJobs& jobs) {
  int64_t floats = 0;
  for (const cpu::HostMatmul& down : jobs.down) floats += down.num_rows * down.w.spec.cols;
  auto* hidden = static_cast<float*>(queue.scratch(floats * size_of(DType::kF32)));
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

void grouped_ffn(CudaQueue& queue, const cpu::HostGroupedFfn& args) {
  cpu::FfnJobs jobs = cpu::plan_jobs(args);
  panel_products(queue, jobs.up);
  if (args.form.glu != GluLayout::kNone) gate_rows(queue, args.form, jobs);
  panel_products(queue, jobs.down);
}

}  // namespace switchyard::cuda
