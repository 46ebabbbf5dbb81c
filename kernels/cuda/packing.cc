#include "kernels/cuda/packing.h"

#include "kernels/base/error.h"
#include "kernels/cpu/packing.h"
#include "kernels/cuda/pack_panels.h"

namespace switchyard::cuda {

std::string_view packing_name(Arithmetic) { return "panel32-1"; }

int64_t packed_bytes(const WeightSpec& spec, Arithmetic) { return cpu::packed_bytes(spec); }

void pack_rows(CudaQueue& queue, const void* host_rows, int64_t first_row, int64_t num_rows,
               const Weight& weight, Arithmetic) {
  const WeightSpec& spec = weight.spec;
  const int64_t bytes = num_rows * spec.cols * size_of(spec.dtype);
  void* const rows = queue.scratch(bytes);
  queue.copy_to_device(host_rows, rows, bytes);
  pack_panels(queue.stream(), rows, first_row, num_rows, weight);
}

}  // namespace switchyard::cuda
