// The CPU's form of a weight matrix. A weight [N, K] is cut into panels of kPanelWidth outputs;
// panel p holds [K][kPanelWidth] elements of the stored type, those of outputs past N are zero. So
// a kernel reads a panel front to back and finds the outputs in the lanes of a vector. Quantised
// weights have panels of their own form: see quantized_layout.h.
#pragma once

#include <cstdint>

#include "kernels/cpu/kernels.h"
#include "kernels/weight.h"

namespace switchyard::cpu {

/// Panels of a weight with `rows` outputs.
int64_t num_panels(int64_t rows);

/// Bytes of the packed form, a multiple of 64. Throws Error(kInput) unless the type is fp32, fp16
/// or bf16.
int64_t packed_bytes(const WeightSpec& spec);

/// Packs rows [first_row, first_row + num_rows) of a matrix that is not quantised from `host_rows`
/// (row-major, the spec's dtype, any alignment) into weight.data. The piece with the last row
/// zeroes the padding.
void pack_rows(const void* host_rows, int64_t first_row, int64_t num_rows, const Weight& weight);

/// Widens row `row` of a packed weight that is not quantised to fp32: out[K].
void unpack_row(const CpuKernels& kernels, const Weight& weight, int64_t row, float* out);

}  // namespace switchyard::cpu
