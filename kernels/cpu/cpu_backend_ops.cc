#include <memory>
#include <utility>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/enqueue.h"

namespace switchyard {
namespace {

void compute_matmul(OpContext& context, const cpu::HostMatmul& args) {
  cpu::matmul(context.kernels, context.pool, context.matmul_scratch(), args);
}

void compute_matmuls(OpContext& context, const std::vector<cpu::HostMatmul>& jobs) {
  cpu::matmul_all(context.kernels, context.pool, context.matmul_scratch(), jobs);
}

void compute_grouped_ffn(OpContext& context,
                         const std::shared_ptr<const cpu::GroupedFfnCall>& call) {
  cpu::HostGroupedFfn args = call->args;
  std::vector<int64_t> offsets;
  if (call->device_offsets != nullptr) {
    offsets.assign(call->device_offsets, call->device_offsets + args.num_groups + 1);
    SWITCHYARD_CHECK(offsets.front() == 0 && offsets.back() <= call->num_rows,
                     "grouped_ffn: device_offsets end at ", offsets.back());
    args.row_offsets = offsets.data();
  }
  cpu::grouped_ffn(context.kernels, context.pool, context.matmul_scratch(), args);
}

void compute_store_key_values(OpContext& context, const cpu::StoreKeyValuesParams& params,
                              const cpu::PagedSequences& rows) {
  if (!rows.decode.are_given()) return cpu::store_key_values(context, params, rows);
  cpu::store_key_values(context, params, cpu::read_decode_rows(rows.decode));
}

void compute_attention(OpContext& context, const cpu::AttentionParams& params,
                       const cpu::PagedSequences& rows) {
  if (!rows.decode.are_given()) return cpu::attention(context, params, rows);
  cpu::attention(context, params, cpu::read_decode_rows(rows.decode));
}

}  // namespace

void CpuBackendBase::run_sinusoidal_positions(Stream& stream,
                                              const cpu::SinusoidalPositionsParams& params) {
  enqueue(stream, cpu::sinusoidal_positions, params);
}

void CpuBackendBase::run_embed(Stream& stream, const cpu::EmbedParams& params) {
  enqueue(stream, cpu::embed, params);
}

void CpuBackendBase::run_layer_norm(Stream& stream, const cpu::LayerNormParams& params) {
  enqueue(stream, cpu::layer_norm, params);
}

void CpuBackendBase::run_rms_norm(Stream& stream, const cpu::RmsNormParams& params) {
  enqueue(stream, cpu::rms_norm, params);
}

void CpuBackendBase::run_clamp(Stream& stream, const cpu::ClampParams& params) {
  enqueue(stream, cpu::clamp, params);
}

void CpuBackendBase::run_rope_table(Stream& stream, const cpu::RopeTableParams& params) {
  enqueue(stream, cpu::rope_table, params);
}

void CpuBackendBase::run_rope(Stream& stream, const cpu::RopeParams& params) {
  enqueue(stream, cpu::rope, params);
}

void CpuBackendBase::run_glu(Stream& stream, const cpu::GluParams& params) {
  enqueue(stream, cpu::glu, params);
}

void CpuBackendBase::run_route(Stream& stream, const cpu::RouteParams& params) {
  enqueue(stream, cpu::route, params);
}

void CpuBackendBase::run_gather_rows(Stream& stream, const cpu::CopyRowsParams& params) {
  enqueue(stream, cpu::gather_rows, params);
}

void CpuBackendBase::run_scatter_rows(Stream& stream, const cpu::CopyRowsParams& params) {
  enqueue(stream, cpu::scatter_rows, params);
}

void CpuBackendBase::run_place_copies(Stream& stream, const cpu::PlaceCopiesParams& params) {
  enqueue(stream, cpu::place_copies, params);
}

void CpuBackendBase::run_group_arrivals(Stream& stream, const cpu::GroupArrivalsParams& params) {
  enqueue(stream, cpu::group_arrivals, params);
}

void CpuBackendBase::run_combine(Stream& stream, const cpu::CombineParams& params) {
  enqueue(stream, cpu::combine, params);
}

void CpuBackendBase::run_log_probs(Stream& stream, const cpu::LogProbsParams& params) {
  enqueue(stream, cpu::log_probs, params);
}

void CpuBackendBase::run_find_non_finite(Stream& stream, const cpu::FindNonFiniteParams& params) {
  enqueue(stream, cpu::find_non_finite, params);
}

void CpuBackendBase::run_apply_capacity(Stream& stream, const cpu::CapacityParams& params,
                                        const std::vector<CapacityBatch>& batches) {
  enqueue(stream, cpu::apply_capacity, params, batches);
}

void CpuBackendBase::run_sample(Stream& stream, cpu::SampleParams params) {
  enqueue(stream, cpu::sample, std::move(params));
}

void CpuBackendBase::run_store_key_values(Stream& stream, const cpu::StoreKeyValuesParams& params,
                                          cpu::PagedSequences rows) {
  enqueue(stream, compute_store_key_values, params, std::move(rows));
}

void CpuBackendBase::run_attention(Stream& stream, const cpu::AttentionParams& params,
                                   cpu::PagedSequences rows) {
  enqueue(stream, compute_attention, params, std::move(rows));
}

void CpuBackendBase::run_matmul(Stream& stream, const cpu::HostMatmul& args) {
  enqueue(stream, compute_matmul, args);
}

void CpuBackendBase::run_matmuls(Stream& stream, std::vector<cpu::HostMatmul> jobs) {
  enqueue(stream, compute_matmuls, std::move(jobs));
}

void CpuBackendBase::run_grouped_ffn(Stream& stream,
                                     std::shared_ptr<const cpu::GroupedFfnCall> call) {
  enqueue(stream, compute_grouped_ffn, std::move(call));
}

}  // namespace switchyard
