// Backends whose device is the host.
#pragma once

#include <memory>
#include <string>

#include "kernels/checked_backend.h"
#include "kernels/cpu/cpu_stream.h"

namespace switchyard {

/// The operations of every backend that computes on the host. Derived classes choose memory and
/// streams.
class CpuBackendBase : public CheckedBackend {
 public:
  std::string_view arithmetic_class() const final { return "cpu-fp32"; }

  Event record(Stream& stream) final;
  void wait(Stream& stream, const Event& event) final;
  void run_on_host(Stream& stream, std::function<void()> task) final;

  void begin_recording(Stream& stream) final;
  Graph end_recording(Stream& stream) final;
  bool is_current(const Stream&, const Graph&) const final { return true; }
  void launch(Stream& stream, const Graph& graph) final;

  HostBuffer allocate_host(int64_t bytes) final;
  std::vector<DeviceLimit> measure_limits(const LimitSizes& sizes) final;
  void copy_in_task(void* to, const void* from, int64_t bytes) const override;
  void copy_to_device(Stream& stream, const void* host, const TensorView& to) final;
  void copy_to_host(Stream& stream, const TensorView& from, void* host) final;

  int64_t scratch_bytes(const WorkSizes& sizes) const final;
  std::string_view packing_name() const final { return "panel32-1"; }
  int64_t packed_bytes(const WeightSpec& spec) const final;
  void pack_weight(Stream& stream, const void* host_rows, int64_t first_row, int64_t num_rows,
                   const Weight& weight) final;
  int64_t key_value_page_bytes(const KeyValueSpec& spec) const final;

 protected:
  /// Throws Error(kUsage) if the machine lacks the instruction set or num_threads is below 1.
  CpuBackendBase(InstructionSet instruction_set, int num_threads);

  /// "avx512, 2 threads".
  std::string machine() const;
  /// What a stream computes with: all threads if it is for computing, else its own one.
  std::unique_ptr<OpContext> make_context(StreamKind kind) const;

 private:
  void run_sinusoidal_positions(Stream& stream, const cpu::SinusoidalPositionsParams& params) final;
  void run_embed(Stream& stream, const cpu::EmbedParams& params) final;
  void run_layer_norm(Stream& stream, const cpu::LayerNormParams& params) final;
  void run_rms_norm(Stream& stream, const cpu::RmsNormParams& params) final;
  void run_clamp(Stream& stream, const cpu::ClampParams& params) final;
  void run_rope_table(Stream& stream, const cpu::RopeTableParams& params) final;
  void run_rope(Stream& stream, const cpu::RopeParams& params) final;
  void run_glu(Stream& stream, const cpu::GluParams& params) final;
  void run_route(Stream& stream, const cpu::RouteParams& params) final;
  void run_gather_rows(Stream& stream, const cpu::CopyRowsParams& params) final;
  void run_scatter_rows(Stream& stream, const cpu::CopyRowsParams& params) final;
  void run_place_copies(Stream& stream, const cpu::PlaceCopiesParams& params) final;
  void run_group_arrivals(Stream& stream, const cpu::GroupArrivalsParams& params) final;
  void run_combine(Stream& stream, const cpu::CombineParams& params) final;
  void run_log_probs(Stream& stream, const cpu::LogProbsParams& params) final;
  void run_find_non_finite(Stream& stream, const cpu::FindNonFiniteParams& params) final;
  void run_apply_capacity(Stream& stream, const cpu::CapacityParams& params,
                          const std::vector<CapacityBatch>& batches) final;
  void run_sample(Stream& stream, cpu::SampleParams params) final;
  void run_store_key_values(Stream& stream, const cpu::StoreKeyValuesParams& params,
                            cpu::PagedSequences rows) final;
  void run_attention(Stream& stream, const cpu::AttentionParams& params,
                     cpu::PagedSequences rows) final;
  void run_matmul(Stream& stream, const cpu::HostMatmul& args) final;
  void run_matmuls(Stream& stream, std::vector<cpu::HostMatmul> jobs) final;
  void run_grouped_ffn(Stream& stream, std::shared_ptr<const cpu::GroupedFfnCall> call) final;

  const CpuKernels& kernels_;
  const int num_threads_;
};

/// Device memory is host memory. Compute streams run at once on the calling thread and its thread
/// pool; the others each have a thread, so that transfers run beside the computation.
class CpuBackend final : public CpuBackendBase {
 public:
  /// As CpuBackendBase.
  CpuBackend(InstructionSet instruction_set, int num_threads)
      : CpuBackendBase(instruction_set, num_threads) {}

  std::string description() const override { return "cpu (" + machine() + ")"; }
  DeviceBuffer allocate(int64_t bytes) override;
  Stream make_stream(StreamKind kind) override;
  void* host_address(const void* pointer) const override { return const_cast<void*>(pointer); }

 private:
  void* resolve(const void* pointer, int64_t bytes) const override;
  bool is_device_only(const void*) const override { return false; }
};

}  // namespace switchyard
