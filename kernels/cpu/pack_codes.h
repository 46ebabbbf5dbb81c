// Packs matrices whose codes the checkpoint holds; quantized_layout.h has the form.
#pragma once

#include <cstdint>

#include "kernels/base/thread_pool.h"
#include "kernels/weight.h"

namespace switchyard::cpu {

/// Packs rows [first_row, first_row + num_rows) of the matrix, each as
/// WeightSpec::source_row_bytes() says. Loses nothing. The piece with the last row zeroes the
/// padding.
void pack_codes(ThreadPool& pool, const void* host_rows, int64_t first_row, int64_t num_rows,
                const Weight& weight);

}  // namespace switchyard::cpu
