// The backend whose device is an NVIDIA GPU.
#pragma once

#include <map>
#include <memory>
#include <shared_mutex>
#include <string>
#include <utility>

#include "kernels/checked_backend.h"
#include "kernels/cuda/cuda_devices.h"
#include "kernels/cuda/cuda_queue.h"
#include "kernels/cuda/packing.h"
#include "kernels/cuda/tensor_products.h"

namespace switchyard {

/// A GPU. Kernels are in kernels/cuda/*.cu; everything between operations is fp32 as on the CPU.
class CudaBackend final : public CheckedBackend {
 public:
  /// Throws Error(kUsage) if there is no such device or the arithmetic is not for it.
  explicit CudaBackend(const BackendOptions& options);
  ~CudaBackend() override;

  std::string description() const override;
  std::string_view arithmetic_class() const override { return arithmetic_class_; }
  std::vector<ArithmeticClass> arithmetic_classes() const override;
  void use(const ArithmeticClass& chosen) override;
  bool takes_device_offsets() const override { return library_ == nullptr; }
  DType key_value_type() const override;

  const DeviceFacts& facts() const { return facts_; }
  /// Makes it the calling thread's GPU, for libraries that take that.
  void choose() const;
  /// For those who give up work that is under way.
  cuda::DeviceFailure& failure() { return failure_; }

  std::optional<DeviceMemory> device_memory() const override;
  DeviceBuffer allocate(int64_t bytes) override;
  HostBuffer allocate_host(int64_t bytes) override;
  std::vector<DeviceLimit> measure_limits(const LimitSizes& sizes) override;
  int64_t scratch_bytes(const WorkSizes& sizes) const override;
  void reserve_scratch(Stream& compute, const WorkSizes& sizes) override;

  Stream make_stream(StreamKind kind) override;
  Event record(Stream& stream) override;
  void wait(Stream& stream, const Event& event) override;
  void run_on_host(Stream& stream, std::function<void()> task) override;
  /// A library may take new working memory for every graph.
  bool gains_from_graphs() const override { return library_ == nullptr; }
  void begin_recording(Stream& stream) override;
  Graph end_recording(Stream& stream) override;
  bool is_current(const Stream& stream, const Graph& graph) const override;
  void launch(Stream& stream, const Graph& graph) override;
  void* host_address(const void* pointer) const override;
  void copy_in_task(void* to, const void* from, int64_t bytes) const override;

  void copy_to_device(Stream& stream, const void* host, const TensorView& to) override;
  void copy_to_host(Stream& stream, const TensorView& from, void* host) override;

  std::string_view packing_name() const override;
  int64_t packed_bytes(const WeightSpec& spec) const override;
  void pack_weight(Stream& stream, const void* host_rows, int64_t first_row, int64_t num_rows,
                   const Weight& weight) override;
  int64_t key_value_page_bytes(const KeyValueSpec& spec) const override;

 private:
  void run_sinusoidal_positions(Stream& stream,
                                const cpu::SinusoidalPositionsParams& params) override;
  void run_embed(Stream& stream, const cpu::EmbedParams& params) override;
  void run_layer_norm(Stream& stream, const cpu::LayerNormParams& params) override;
  void run_rms_norm(Stream& stream, const cpu::RmsNormParams& params) override;
  void run_clamp(Stream& stream, const cpu::ClampParams& params) override;
  void run_rope_table(Stream& stream, const cpu::RopeTableParams& params) override;
  void run_rope(Stream& stream, const cpu::RopeParams& params) override;
  void run_glu(Stream& stream, const cpu::GluParams& params) override;
  void run_route(Stream& stream, const cpu::RouteParams& params) override;
  void run_gather_rows(Stream& stream, const cpu::CopyRowsParams& params) override;
  void run_scatter_rows(Stream& stream, const cpu::CopyRowsParams& params) override;
  void run_place_copies(Stream& stream, const cpu::PlaceCopiesParams& params) override;
  void run_group_arrivals(Stream& stream, const cpu::GroupArrivalsParams& params) override;
  void run_combine(Stream& stream, const cpu::CombineParams& params) override;
  void run_log_probs(Stream& stream, const cpu::LogProbsParams& params) override;
  void run_find_non_finite(Stream& stream, const cpu::FindNonFiniteParams& params) override;
  void run_apply_capacity(Stream& stream, const cpu::CapacityParams& params,
                          const std::vector<CapacityBatch>& batches) override;
  void run_sample(Stream& stream, cpu::SampleParams params) override;
  void run_store_key_values(Stream& stream, const cpu::StoreKeyValuesParams& params,
                            cpu::PagedSequences rows) override;
  void run_attention(Stream& stream, const cpu::AttentionParams& params,
                     cpu::PagedSequences rows) override;
  void run_matmul(Stream& stream, const cpu::HostMatmul& args) override;
  void run_matmuls(Stream& stream, std::vector<cpu::HostMatmul> jobs) override;
  void run_grouped_ffn(Stream& stream, std::shared_ptr<const cpu::GroupedFfnCall> call) override;

  /// Of tensor cores, once for each arithmetic that is chosen.
  void probe_exactness();
  cuda::ProductMethod product_method() const { return {arithmetic_, many_rows_, library_.get()}; }
  cuda::PackingForm packing_form() const { return {arithmetic_, library_ != nullptr}; }
  void* resolve(const void* pointer, int64_t bytes) const override;
  bool is_device_only(const void* pointer) const override { return find(pointer, 1); }
  /// Enqueues launch(queue).
  template <typename Launch>
  static void submit(Stream& stream, Launch launch) {
    static_cast<cuda::CudaQueue&>(stream.queue())
        .submit(
            [launch = std::move(launch)](cuda::CudaQueue& queue, cudaStream_t) { launch(queue); });
  }
  /// Whether the bytes lie in one live block of device memory.
  bool find(const void* pointer, int64_t bytes) const;

  const int device_;
  const int host_node_;
  Arithmetic arithmetic_;
  cuda::ManyRows many_rows_ = cuda::ManyRows::kWarps;  // where arithmetic_ is not kFp32
  std::unique_ptr<cuda::LibraryProducts> library_;     // of fast classes
  DeviceFacts facts_;
  std::string arithmetic_class_;
  std::unique_ptr<cuda::ClockOrigin> clock_;
  cuda::DeviceFailure failure_;
  mutable std::shared_mutex mutex_;
  std::map<const char*, int64_t> blocks_;  // live device memory; guarded by mutex_
};

/// Throws as CudaBackend's constructor.
std::unique_ptr<Backend> make_cuda_backend(const BackendOptions& options);

}  // namespace switchyard
