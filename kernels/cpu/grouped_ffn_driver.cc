#include "kernels/cpu/grouped_ffn_driver.h"

#include "kernels/base/error.h"

namespace switchyard::cpu {

void grouped_ffn(const CpuKernels& kernels, ThreadPool& pool, MatmulScratch& scratch,
                 const HostGroupedFfn& args) {
  std::vector<HostMatmul> up;
  std::vector<HostMatmul> down;
  up.reserve(static_cast<size_t>(args.num_groups));
  down.reserve(static_cast<size_t>(args.num_groups));
  for (int64_t g = 0; g < args.num_groups; ++g) {
    const HostExpert& expert = args.experts[g];
    const int64_t first = args.row_offsets[g];
    const int64_t num_rows = args.row_offsets[g + 1] - first;
    SWITCHYARD_CHECK(num_rows >= 0, "group ", g, " has ", num_rows, " rows");
    if (num_rows == 0) continue;
    const int64_t hidden_size = expert.up.spec.cols;
    const int64_t ffn_size = expert.up.spec.rows;
    SWITCHYARD_CHECK(expert.down.spec.rows == hidden_size && expert.down.spec.cols == ffn_size,
                     "the matrices of group ", g, " do not fit each other");
    up.push_back({.x = args.rows + first * hidden_size,
                  .num_rows = num_rows,
                  .w = expert.up,
                  .bias = expert.up_bias,
                  .activation = args.activation,
                  .out = args.hidden + first * ffn_size});
    down.push_back({.x = up.back().out,
                    .num_rows = num_rows,
                    .w = expert.down,
                    .bias = expert.down_bias,
                    .out = args.out + first * hidden_size});
  }
  matmul_all(kernels, pool, scratch, up);
  matmul_all(kernels, pool, scratch, down);
}

}  // namespace switchyard::cpu
