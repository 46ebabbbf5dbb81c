#include "kernels/cpu/grouped_ffn_driver.h"

#include <algorithm>

#include "kernels/base/error.h"

namespace switchyard::cpu {

FfnJobs plan_jobs(const HostGroupedFfn& args) {
  FfnJobs jobs;
  jobs.up.reserve(static_cast<size_t>(args.num_groups));
  jobs.down.reserve(static_cast<size_t>(args.num_groups));
  const bool is_gated = args.form.glu != GluLayout::kNone;
  for (int64_t g = 0; g < args.num_groups; ++g) {
    const HostExpert& expert = args.experts[g];
    const int64_t first = args.row_offsets[g];
    const int64_t num_rows = args.row_offsets[g + 1] - first;
    SWITCHYARD_CHECK(num_rows >= 0, "group ", g, " has ", num_rows, " rows");
    if (num_rows == 0) continue;
    const int64_t hidden_size = expert.up.spec.cols;
    const int64_t up_rows = expert.up.spec.rows;
    SWITCHYARD_CHECK(expert.down.spec.rows == hidden_size &&
                         expert.down.spec.cols * args.form.rows_per_unit() == up_rows &&
                         up_rows <= args.hidden_width,
                     "the matrices of group ", g, " do not fit each other");
    jobs.up.push_back({.x = args.rows + first * hidden_size,
                       .num_rows = num_rows,
                       .w = expert.up,
                       .bias = expert.up_bias,
                       .activation = is_gated ? Activation::kNone : args.form.activation,
                       .out = args.hidden + first * args.hidden_width});
    // A gated row's hidden units take the place of its first half; the matrix skips the other.
    jobs.down.push_back({.x = jobs.up.back().out,
                         .x_stride = up_rows,
                         .num_rows = num_rows,
                         .w = expert.down,
                         .bias = expert.down_bias,
                         .out = args.out + first * hidden_size});
  }
  return jobs;
}

namespace {

// The hidden units of what the up matrices gave, in place.
void gate_rows(const CpuKernels& kernels, ThreadPool& pool, const FfnForm& form,
               const std::vector<HostMatmul>& ups) {
  // Elements of one task at least: about 10 us, several times what handing it out costs.
  constexpr int64_t kElementsPerTask = 16384;
  struct Task {
    float* rows = nullptr;
    int64_t num_rows = 0;
    int64_t width = 0;
  };
  std::vector<Task> tasks;
  for (const HostMatmul& up : ups) {
    const int64_t width = up.w.spec.rows;
    const int64_t most = std::max<int64_t>(1, kElementsPerTask / std::max<int64_t>(1, width));
    for (int64_t row = 0; row < up.num_rows; row += most) {
      tasks.push_back({up.out + row * width, std::min(most, up.num_rows - row), width});
    }
  }
  pool.parallel_for(static_cast<int64_t>(tasks.size()), [&](int64_t i, int) {
    const Task& task = tasks[static_cast<size_t>(i)];
    for (int64_t row = 0; row < task.num_rows; ++row) {
      float* const at = task.rows + row * task.width;
      kernels.glu_row(form, at, task.width / 2, at);
    }
  });
}

}  // namespace

void grouped_ffn(const CpuKernels& kernels, ThreadPool& pool, MatmulScratch& scratch,
                 const HostGroupedFfn& args) {
  const FfnJobs jobs = plan_jobs(args);
  matmul_all(kernels, pool, scratch, jobs.up);
  if (args.form.glu != GluLayout::kNone) gate_rows(kernels, pool, args.form, jobs.up);
  matmul_all(kernels, pool, scratch, jobs.down);
}

}  // namespace switchyard::cpu
