// The GPU's forms of a weight matrix.
#pragma once

#include <cstdint>
#include <string_view>

#include "kernels/backend.h"
#include "kernels/cuda/cuda_queue.h"

namespace switchyard::cuda {

/// Whether cuBLAS multiplies this weight in the arithmetic: one of its type, whose rows are kept as
/// they are given. Others stay in panels and are multiplied by our own kernels.
bool is_library_weight(const WeightSpec& spec, Arithmetic arithmetic);

/// What the forms of weights depend on.
struct PackingForm {
  Arithmetic arithmetic = Arithmetic::kFp32;
  bool is_fast = false;

  /// Whether a matrix keeps its rows, for the library, and is not cut into panels.
  bool keeps_rows(const WeightSpec& spec) const {
    return is_fast && is_library_weight(spec, arithmetic);
  }
};

/// "panel32-1", the CPU's form, for every exact arithmetic: one packed checkpoint serves all.
std::string_view packing_name(const PackingForm& form);

/// Bytes of a packed matrix, a multiple of 64. Throws Error(kInput) for a type that no matrix has.
int64_t packed_bytes(const WeightSpec& spec, const PackingForm& form);

/// See Backend::pack_weight. `host_rows` is read when the stream comes to it.
void pack_rows(CudaQueue& queue, const void* host_rows, int64_t first_row, int64_t num_rows,
               const Weight& weight, const PackingForm& form);

}  // namespace switchyard::cuda
