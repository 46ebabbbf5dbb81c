#include <memory>
#include <utility>
#include <vector>

#include "kernels/cuda/capacity.h"
#include "kernels/cuda/combine.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/finite.h"
#include "kernels/cuda/layer_norm.h"
#include "kernels/cuda/log_probs.h"
#include "kernels/cuda/padded_slots.h"
#include "kernels/cuda/rms_norm.h"
#include "kernels/cuda/route.h"
#include "kernels/cuda/sample.h"

namespace switchyard {

using cuda::CudaQueue;

void CudaBackend::run_sinusoidal_positions(Stream& stream,
                                           const cpu::SinusoidalPositionsParams& params) {
  submit(stream, [params](CudaQueue& queue) {
    const float* const frequencies = queue.upload(cpu::sinusoidal_frequencies(params.width / 2));
    cuda::sinusoidal_positions(queue.stream(), params, frequencies);
  });
}

void CudaBackend::run_embed(Stream& stream, const cpu::EmbedParams& params) {
  submit(stream, [params, keeps_rows = packing_form().keeps_rows(params.table.spec)](
                     CudaQueue& queue) { cuda::embed(queue.stream(), params, keeps_rows); });
}

void CudaBackend::run_layer_norm(Stream& stream, const cpu::LayerNormParams& params) {
  submit(stream, [params](CudaQueue& queue) { cuda::layer_norm(queue.stream(), params); });
}

void CudaBackend::run_rms_norm(Stream& stream, const cpu::RmsNormParams& params) {
  submit(stream, [params](CudaQueue& queue) { cuda::rms_norm(queue.stream(), params); });
}

void CudaBackend::run_clamp(Stream& stream, const cpu::ClampParams& params) {
  submit(stream, [params](CudaQueue& queue) { cuda::clamp(queue.stream(), params); });
}

void CudaBackend::run_rope_table(Stream& stream, const cpu::RopeTableParams& params) {
  submit(stream, [params](CudaQueue& queue) { cuda::rope_table(queue.stream(), params); });
}

void CudaBackend::run_rope(Stream& stream, const cpu::RopeParams& params) {
  submit(stream, [params](CudaQueue& queue) { cuda::rope(queue.stream(), params); });
}

void CudaBackend::run_glu(Stream& stream, const cpu::GluParams& params) {
  submit(stream, [params](CudaQueue& queue) { cuda::glu(queue.stream(), params); });
}

void CudaBackend::run_route(Stream& stream, const cpu::RouteParams& params) {
  submit(stream, [params](CudaQueue& queue) {
    void* const scratch =
        queue.scratch(params.num_tokens * cuda::route_scratch_bytes(params.settings));
    cuda::route(queue.stream(), params, scratch);
  });
}

void CudaBackend::run_gather_rows(Stream& stream, const cpu::CopyRowsParams& params) {
  submit(stream, [params](CudaQueue& queue) { cuda::gather_rows(queue.stream(), params); });
}

void CudaBackend::run_scatter_rows(Stream& stream, const cpu::CopyRowsParams& params) {
  submit(stream, [params](CudaQueue& queue) { cuda::scatter_rows(queue.stream(), params); });
}

void CudaBackend::run_place_copies(Stream& stream, const cpu::PlaceCopiesParams& params) {
  submit(stream, [params](CudaQueue& queue) { cuda::place_copies(queue.stream(), params); });
}

void CudaBackend::run_group_arrivals(Stream& stream, const cpu::GroupArrivalsParams& params) {
  submit(stream, [params](CudaQueue& queue) { cuda::group_arrivals(queue.stream(), params); });
}

void CudaBackend::run_combine(Stream& stream, const cpu::CombineParams& params) {
  submit(stream, [params](CudaQueue& queue) { cuda::combine(queue.stream(), params); });
}

void CudaBackend::run_log_probs(Stream& stream, const cpu::LogProbsParams& params) {
  submit(stream, [params](CudaQueue& queue) {
    void* const scratch =
        queue.scratch(cuda::log_probs_scratch_bytes(params.num_rows, params.vocabulary));
    cuda::log_probs(queue.stream(), params, scratch);
  });
}

void CudaBackend::run_find_non_finite(Stream& stream, const cpu::FindNonFiniteParams& params) {
  submit(stream, [params](CudaQueue& queue) { cuda::find_non_finite(queue.stream(), params); });
}

void CudaBackend::run_apply_capacity(Stream& stream, const cpu::CapacityParams& params,
                                     const std::vector<CapacityBatch>& batches) {
  submit(stream, [params, batches](CudaQueue& queue) {
    const auto num_batches = static_cast<int64_t>(batches.size());
    const int64_t num_rows =
        batches.empty() ? 0 : batches.back().first_row + batches.back().num_rows;
    const CapacityBatch* const uploaded = queue.upload(batches);
    auto* const order = static_cast<int32_t*>(
        queue.scratch((num_rows + num_batches * params.num_experts) * size_of(DType::kI32)));
    cuda::apply_capacity(queue.stream(), params, uploaded, num_batches, num_rows, order,
                         order + num_rows);
  });
}

void CudaBackend::run_sample(Stream& stream, cpu::SampleParams params) {
  const auto shared = std::make_shared<const cpu::SampleParams>(std::move(params));
  submit(stream, [shared](CudaQueue& queue) {
    cuda::SampleCall call = {};
    call.logits = shared->logits;
    call.vocabulary = shared->vocabulary;
    call.rows = queue.upload(shared->rows);
    for (size_t list = 0; list < 2; ++list) {
      call.banned_ids[list] = queue.upload(shared->banned_ids[list]);
      call.num_banned[list] = static_cast<int64_t>(shared->banned_ids[list].size());
    }
    call.tokens = shared->tokens;
    call.num_rows = static_cast<int64_t>(shared->rows.size());
    void* const scratch = queue.scratch(cuda::sample_scratch_bytes(call.num_rows, call.vocabulary));
    cuda::sample(queue.stream(), call, scratch);
  });
}

}  // namespace switchyard
