#include <utility>

#include "kernels/base/error.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/layer_norm.h"

namespace switchyard {
namespace {

[[noreturn]] void fail_missing(const char* op) { fail_resource(op, " is not there on GPUs yet"); }

}  // namespace

void CudaBackend::run_sinusoidal_positions(Stream&, const cpu::SinusoidalPositionsParams&) {
  fail_missing("sinusoidal_positions");
}

void CudaBackend::run_embed(Stream&, const cpu::EmbedParams&) { fail_missing("embed"); }

void CudaBackend::run_layer_norm(Stream& stream, const cpu::LayerNormParams& params) {
  submit(stream, [=](cudaStream_t queue) { cuda::layer_norm(queue, params); });
}

void CudaBackend::run_rms_norm(Stream&, const cpu::RmsNormParams&) { fail_missing("rms_norm"); }

void CudaBackend::run_clamp(Stream&, const cpu::ClampParams&) { fail_missing("clamp"); }

void CudaBackend::run_rope_table(Stream&, const cpu::RopeTableParams&) {
  fail_missing("rope_table");
}

void CudaBackend::run_rope(Stream&, const cpu::RopeParams&) { fail_missing("rope"); }

void CudaBackend::run_glu(Stream&, const cpu::GluParams&) { fail_missing("glu"); }

void CudaBackend::run_route(Stream&, const cpu::RouteParams&) { fail_missing("route"); }

void CudaBackend::run_gather_rows(Stream&, const cpu::CopyRowsParams&) {
  fail_missing("gather_rows");
}

void CudaBackend::run_scatter_rows(Stream&, const cpu::CopyRowsParams&) {
  fail_missing("scatter_rows");
}

void CudaBackend::run_combine(Stream&, const cpu::CombineParams&) { fail_missing("combine"); }

void CudaBackend::run_log_probs(Stream&, const cpu::LogProbsParams&) { fail_missing("log_probs"); }

void CudaBackend::run_find_non_finite(Stream&, const cpu::FindNonFiniteParams&) {
  fail_missing("find_non_finite");
}

void CudaBackend::run_apply_capacity(Stream&, const cpu::CapacityParams&,
                                     const std::vector<CapacityBatch>&) {
  fail_missing("apply_capacity");
}

void CudaBackend::run_sample(Stream&, cpu::SampleParams) { fail_missing("sample"); }

}  // namespace switchyard
