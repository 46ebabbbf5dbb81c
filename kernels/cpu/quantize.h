// Quantises weights while they are packed; quantized_layout.h has the form.
#pragma once

#include <cstdint>

#include "kernels/base/thread_pool.h"
#include "kernels/weight.h"

namespace switchyard {
struct CpuKernels;
}

namespace switchyard::cpu {

/// Offsets of a group that are tried at most.
inline constexpr int kFitIterations = 20;

/// One group of inputs in 16 rows.
struct GroupWeights {
  const float* weights = nullptr;  // [count][16]
  int64_t count = 0;               // at least 1
};

/// A group's fit. See quantized_layout.h for what scales, offsets and words are.
struct FittedGroup {
  float* scales = nullptr;    // [16], or scale codes
  float* offsets = nullptr;   // [16], or zero codes
  uint32_t* words = nullptr;  // [blocks][of 8 bits 2, else 1][16]
};

/// Fits rows [first_row, first_row + num_rows) of the matrix to integer codes, given as pack_rows
/// is, and packs them. The same bytes for rows in any pieces, threads and kernels. A group with a
/// weight that is not finite becomes NaN; with 3 and 2 bits its whole row does.
void quantize_rows(const CpuKernels& kernels, ThreadPool& pool, const void* host_rows,
                   int64_t first_row, int64_t num_rows, const Weight& weight);

}  // namespace switchyard::cpu
