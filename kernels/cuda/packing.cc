#include "kernels/cuda/packing.h"

#include <vector>

#include "kernels/base/error.h"
#include "kernels/base/thread_pool.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/pack_codes.h"
#include "kernels/cpu/packing.h"
#include "kernels/cpu/quantize.h"
#include "kernels/cpu/quantized_layout.h"
#include "kernels/cuda/cuda_error.h"
#include "kernels/cuda/pack_panels.h"

namespace switchyard::cuda {
namespace {

/// Packs codes on the host, in a copy of the panels that they lie in: integers are found by a
/// search that the CPU's results define. Panels of which other rows are there already are fetched
/// first.
void pack_quantized(CudaQueue& queue, const void* host_rows, int64_t first_row, int64_t num_rows,
                    const Weight& weight) {
  const WeightSpec& spec = weight.spec;
  const int64_t panel_bytes = cpu::layout_of(spec).panel_bytes;
  const int64_t end = first_row + num_rows;
  const int64_t first_panel = first_row / cpu::kPanelWidth;
  const int64_t last_panel = (end + cpu::kPanelWidth - 1) / cpu::kPanelWidth;
  const auto bytes = static_cast<size_t>((last_panel - first_panel) * panel_bytes);
  char* const device = static_cast<char*>(weight.data) + first_panel * panel_bytes;
  std::vector<char> panels(bytes);
  const bool is_whole =
      first_row % cpu::kPanelWidth == 0 && (end % cpu::kPanelWidth == 0 || end == spec.rows);
  if (!is_whole) {
    check_cuda(
        cudaMemcpyAsync(panels.data(), device, bytes, cudaMemcpyDeviceToHost, queue.stream()),
        "fetching weights");
    check_cuda(cudaStreamSynchronize(queue.stream()), "waiting for a copy");
  }
  // The matrix from the first of these panels on.
  const int64_t skipped = first_panel * cpu::kPanelWidth;
  Weight part{spec, panels.data()};
  part.spec.rows -= skipped;
  ThreadPool pool(1);
  if (spec.quantization.is_given()) {
    cpu::pack_codes(pool, host_rows, first_row - skipped, num_rows, part);
  } else {
    cpu::quantize_rows(cpu_kernels(InstructionSet::kAuto), pool, host_rows, first_row - skipped,
                       num_rows, part);
  }
  queue.copy_to_device(panels.data(), device, static_cast<int64_t>(bytes));
  check_cuda(cudaStreamSynchronize(queue.stream()), "waiting for a copy");
}

}  // namespace

bool is_library_weight(const WeightSpec& spec, Arithmetic arithmetic) {
  if (arithmetic == Arithmetic::kFp32 || spec.quantization.is_on()) return false;
  // Rounded rows are written 8 numbers at a time.
  return spec.cols % 8 == 0 &&
         spec.dtype == (arithmetic == Arithmetic::kBf16 ? DType::kBF16 : DType::kF16);
}

std::string_view packing_name(const PackingForm& form) {
  return form.is_fast ? "rows-1" : "panel32-1";
}

int64_t packed_bytes(const WeightSpec& spec, const PackingForm& form) {
  return form.keeps_rows(spec) ? align_up(spec.source_bytes()) : cpu::packed_bytes(spec);
}

void pack_rows(CudaQueue& queue, const void* host_rows, int64_t first_row, int64_t num_rows,
               const Weight& weight, const PackingForm& form) {
  const WeightSpec& spec = weight.spec;
  if (form.keeps_rows(spec)) {
    const int64_t row_bytes = spec.source_row_bytes();
    queue.copy_to_device(host_rows, static_cast<char*>(weight.data) + first_row * row_bytes,
                         num_rows * row_bytes);
    return;
  }
  if (spec.quantization.is_on()) {
    return pack_quantized(queue, host_rows, first_row, num_rows, weight);
  }
  const int64_t bytes = num_rows * spec.cols * size_of(spec.dtype);
  void* const rows = queue.scratch(bytes);
  queue.copy_to_device(host_rows, rows, bytes);
  pack_panels(queue.stream(), rows, first_row, num_rows, weight);
}

}  // namespace switchyard::cuda
