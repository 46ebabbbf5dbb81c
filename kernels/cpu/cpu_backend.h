// Backends whose device is the host.
#pragma once

#include <memory>
#include <string>

#include "kernels/arguments.h"
#include "kernels/backend.h"
#include "kernels/cpu/cpu_stream.h"

namespace switchyard {

/// The operations of every backend that computes on the host: each checks its arguments, turns
/// them into host addresses and enqueues the work. Derived classes choose memory and streams.
class CpuBackendBase : public Backend, private AddressResolver {
 public:
  std::string_view arithmetic_class() const final { return "cpu-fp32"; }

  Event record(Stream& stream) final;
  void wait(Stream& stream, const Event& event) final;
  void run_on_host(Stream& stream, std::function<void()> task) final;

  HostBuffer allocate_host(int64_t bytes) final;
  void copy_in_task(void* to, const void* from, int64_t bytes) const final;
  void copy_to_device(Stream& stream, const void* host, const TensorView& to) final;
  void copy_to_host(Stream& stream, const TensorView& from, void* host) final;

  int64_t scratch_bytes() const final;
  std::string_view packing_name() const final { return "panel32-1"; }
  int64_t packed_bytes(const WeightSpec& spec) const final;
  void pack_weight(Stream& stream, const void* host_rows, int64_t first_row, int64_t num_rows,
                   const Weight& weight) final;
  int64_t key_value_page_bytes(const KeyValueSpec& spec) const final;

  void sinusoidal_positions(Stream& stream, const SinusoidalPositionsArgs& args) final;
  void embed(Stream& stream, const EmbedArgs& args) final;
  void layer_norm(Stream& stream, const LayerNormArgs& args) final;
  void rms_norm(Stream& stream, const RmsNormArgs& args) final;
  void matmul(Stream& stream, const MatmulArgs& args) final;
  void heads_matmul(Stream& stream, const HeadsMatmulArgs& args) final;
  void clamp(Stream& stream, const ClampArgs& args) final;
  void rope_table(Stream& stream, const RopeTableArgs& args) final;
  void rope(Stream& stream, const RopeArgs& args) final;
  void store_key_values(Stream& stream, const StoreKeyValuesArgs& args) final;
  void attention(Stream& stream, const AttentionArgs& args) final;
  void glu(Stream& stream, const GluArgs& args) final;
  void route(Stream& stream, const RouteArgs& args) final;
  void apply_capacity(Stream& stream, const ApplyCapacityArgs& args) final;
  void gather_rows(Stream& stream, const GatherRowsArgs& args) final;
  void scatter_rows(Stream& stream, const ScatterRowsArgs& args) final;
  void grouped_ffn(Stream& stream, const GroupedFfnArgs& args) final;
  void combine(Stream& stream, const CombineArgs& args) final;
  void log_probs(Stream& stream, const LogProbsArgs& args) final;
  void sample(Stream& stream, const SampleArgs& args) final;
  void find_non_finite(Stream& stream, const FindNonFiniteArgs& args) final;

 protected:
  /// Throws Error(kUsage) if the machine lacks the instruction set or num_threads is below 1.
  CpuBackendBase(InstructionSet instruction_set, int num_threads);

  /// "avx512, 2 threads".
  std::string machine() const;
  /// What a stream computes with: all threads if it is for computing, else its own one.
  std::unique_ptr<OpContext> make_context(StreamKind kind) const;

 private:
  Arguments arguments(const char* op) const { return Arguments(op, *this); }

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
