// Operations that treat every number by itself.
#pragma once

#include <cuda_runtime.h>

#include "kernels/cpu/clamp.h"
#include "kernels/cpu/embed.h"
#include "kernels/cpu/glu.h"
#include "kernels/cpu/rope.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/sinusoidal_positions.h"

namespace switchyard::cuda {

// The operations of the same names in kernels/cpu, bit for bit. Where those report an internal
// error, an index that is out of range, these write NaN (scatter_rows: nothing).

/// `frequencies` [width / 2] is cpu::sinusoidal_frequencies in device memory.
void sinusoidal_positions(cudaStream_t stream, const cpu::SinusoidalPositionsParams& params,
                          const float* frequencies);
/// `keeps_rows`: the table is row-major and not in panels.
void embed(cudaStream_t stream, const cpu::EmbedParams& params, bool keeps_rows);
void clamp(cudaStream_t stream, const cpu::ClampParams& params);
void rope_table(cudaStream_t stream, const cpu::RopeTableParams& params);
void rope(cudaStream_t stream, const cpu::RopeParams& params);
/// `num_rows`, if not null, is in device memory: only so many rows are read and written.
void glu(cudaStream_t stream, const cpu::GluParams& params, const int32_t* num_rows = nullptr);
void gather_rows(cudaStream_t stream, const cpu::CopyRowsParams& params);
void scatter_rows(cudaStream_t stream, const cpu::CopyRowsParams& params);

}  // namespace switchyard::cuda
