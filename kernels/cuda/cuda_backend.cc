#include "kernels/cuda/cuda_backend.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "kernels/base/error.h"
#include "kernels/cuda/cuda_error.h"
#include "kernels/cuda/exactness_probe.h"
#include "kernels/cuda/library_products.h"
#include "kernels/cuda/packing.h"
#include "kernels/cuda/pinned_memory.h"
#include "kernels/cuda/tensor_attention.h"

namespace switchyard {
namespace {

using cuda::check_cuda;

cuda::CudaQueue& queue_of(const Stream& stream) {
  return static_cast<cuda::CudaQueue&>(stream.queue());
}

/// Tensor cores that take bfloat16.
constexpr int kLeastCapability = 80;

DeviceFacts facts_of(int device) {
  const std::vector<DeviceFacts> devices = cuda_devices();
  if (devices.empty()) {
    fail_usage(
        "--backend cuda: this process sees no GPU: there is none, its driver is missing, or "
        "CUDA_VISIBLE_DEVICES hides it; leave the option out to compute on processors");
  }
  if (device < 0 || device >= static_cast<int>(devices.size())) {
    fail_usage("--device ", device, ": this process sees ", devices.size(),
               " GPUs (numbered from 0; CUDA_VISIBLE_DEVICES may hide some)");
  }
  const DeviceFacts& facts = devices[static_cast<size_t>(device)];
  if (facts.compute_capability < kLeastCapability) {
    fail_usage("--device ", device, ": ", facts.name, " has compute capability ",
               facts.compute_capability / 10, ".", facts.compute_capability % 10,
               ", expected at least 8.0");
  }
  return facts;
}

std::string class_of(Arithmetic arithmetic, bool is_fast, int capability) {
  if (arithmetic == Arithmetic::kFp32) return "cpu-fp32";
  return concat("cuda-sm", capability, arithmetic == Arithmetic::kBf16 ? "-bf16" : "-fp16",
                is_fast ? "-fast" : "");
}

}  // namespace

CudaBackend::CudaBackend(const BackendOptions& options)
    : device_(options.device),
      host_node_(options.host_node),
      arithmetic_(options.arithmetic),
      facts_(facts_of(options.device)) {
  check_cuda(cudaSetDevice(device_), "choosing a GPU");
  clock_ = std::make_unique<cuda::ClockOrigin>();
  CudaBackend::use(
      {.name = {}, .arithmetic = options.arithmetic, .packing = {}, .is_fast = options.is_fast});
}

CudaBackend::~CudaBackend() = default;

std::vector<ArithmeticClass> CudaBackend::arithmetic_classes() const {
  std::vector<ArithmeticClass> classes;
  for (const bool is_fast : {false, true}) {
    for (const auto arithmetic : {Arithmetic::kFp32, Arithmetic::kBf16, Arithmetic::kFp16}) {
      if (is_fast && arithmetic == Arithmetic::kFp32) continue;
      classes.push_back({class_of(arithmetic, is_fast, facts_.compute_capability), arithmetic,
                         std::string(cuda::packing_name({arithmetic, is_fast})), is_fast});
    }
  }
  return classes;
}

void CudaBackend::use(const ArithmeticClass& chosen) {
  arithmetic_ = chosen.arithmetic;
  arithmetic_class_ = class_of(arithmetic_, chosen.is_fast, facts_.compute_capability);
  library_ = chosen.is_fast ? std::make_unique<cuda::LibraryProducts>() : nullptr;
  probe_exactness();
}

void CudaBackend::probe_exactness() {
  if (arithmetic_ == Arithmetic::kFp32) return;
  choose();
  cuda::CudaQueue queue(device_, StreamKind::kCompute, *clock_, failure_);
  many_rows_ = cuda::fastest_exact_products(queue, arithmetic_, facts_.compute_capability);
}

DType CudaBackend::key_value_type() const {
  switch (arithmetic_) {
    case Arithmetic::kFp32:
      break;
    case Arithmetic::kBf16:
      return DType::kBF16;
    case Arithmetic::kFp16:
      return DType::kF16;
  }
  return DType::kF32;
}

std::string CudaBackend::description() const {
  const char* products = "";
  if (library_ != nullptr) {
    products = ", cuBLAS";
  } else if (arithmetic_ != Arithmetic::kFp32) {
    products = many_rows_ == cuda::ManyRows::kWarps ? ", mma.sync" : ", wgmma";
  }
  return concat("cuda (", facts_.name, ", ", arithmetic_class_, products, ")");
}

void CudaBackend::choose() const { check_cuda(cudaSetDevice(device_), "choosing a GPU"); }

std::optional<DeviceMemory> CudaBackend::device_memory() const {
  return DeviceMemory{facts_.bus_id, facts_of_device(device_).free_bytes};
}

DeviceBuffer CudaBackend::allocate(int64_t bytes) {
  SWITCHYARD_CHECK(bytes >= 0, "allocation of ", bytes, " bytes");
  check_cuda(cudaSetDevice(device_), "choosing a GPU");
  // A block of no bytes has an address too, so that its owner can be told from an empty one.
  const int64_t size = std::max<int64_t>(bytes, kMemoryAlignment);
  void* data = nullptr;
  const cudaError_t status = cudaMalloc(&data, static_cast<size_t>(size));
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    fail_resource("no ", size, " bytes are free on ", facts_.name, " (", facts_.bus_id, ")");
  }
  check_cuda(status, "allocating device memory");
  {
    const std::unique_lock lock(mutex_);
    blocks_[static_cast<const char*>(data)] = size;
  }
  return DeviceBuffer(data, bytes, [this](void* block) {
    {
      const std::unique_lock lock(mutex_);
      blocks_.erase(static_cast<const char*>(block));
    }
    cudaFree(block);
  });
}

HostBuffer CudaBackend::allocate_host(int64_t bytes) {
  SWITCHYARD_CHECK(bytes >= 0, "allocation of ", bytes, " bytes");
  check_cuda(cudaSetDevice(device_), "choosing a GPU");
  auto block =
      std::make_shared<cuda::PinnedMemory>(std::max<int64_t>(bytes, kMemoryAlignment), host_node_);
  void* const data = block->data();
  return HostBuffer(data, bytes, [block = std::move(block)](void*) mutable { block.reset(); });
}

Stream CudaBackend::make_stream(StreamKind kind) {
  return Stream(std::make_unique<cuda::CudaQueue>(device_, kind, *clock_, failure_));
}

Event CudaBackend::record(Stream& stream) { return queue_of(stream).record(); }

void CudaBackend::wait(Stream& stream, const Event& event) { queue_of(stream).wait(event); }

void CudaBackend::run_on_host(Stream& stream, std::function<void()> task) {
  queue_of(stream).run_on_host(std::move(task));
}

void CudaBackend::begin_recording(Stream& stream) { queue_of(stream).begin_recording(); }

Graph CudaBackend::end_recording(Stream& stream) { return Graph(queue_of(stream).end_recording()); }

bool CudaBackend::is_current(const Stream& stream, const Graph& graph) const {
  return queue_of(stream).is_current(static_cast<const cuda::CudaGraph&>(*graph.state()));
}

void CudaBackend::launch(Stream& stream, const Graph& graph) {
  queue_of(stream).launch(static_cast<const cuda::CudaGraph&>(*graph.state()));
}

void* CudaBackend::host_address(const void* pointer) const {
  return find(pointer, 1) ? nullptr : const_cast<void*>(pointer);
}

void CudaBackend::copy_in_task(void* to, const void* from, int64_t bytes) const {
  if (bytes == 0) return;
  check_cuda(cudaSetDevice(device_), "choosing a GPU");
  // The default stream of the calling thread: tasks of several queues do not wait for each other.
  check_cuda(
      cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDefault, cudaStreamPerThread),
      "copying");
  check_cuda(cudaStreamSynchronize(cudaStreamPerThread), "waiting for a copy");
}

void CudaBackend::copy_to_device(Stream& stream, const void* host, const TensorView& to) {
  const int64_t bytes = to.bytes();
  if (bytes == 0) return;
  const Arguments check = arguments("copy_to_device");
  void* const target = check.address("to", to.data, bytes);
  check.host_memory("host", host);
  queue_of(stream).submit(
      [=](cuda::CudaQueue& queue, cudaStream_t) { queue.copy_to_device(host, target, bytes); });
}

void CudaBackend::copy_to_host(Stream& stream, const TensorView& from, void* host) {
  const int64_t bytes = from.bytes();
  if (bytes == 0) return;
  const Arguments check = arguments("copy_to_host");
  const void* const source = check.address("from", from.data, bytes);
  check.host_memory("host", host);
  queue_of(stream).submit([=](cuda::CudaQueue&, cudaStream_t queue) {
    cuda::for_each_copy(host, bytes, [=](int64_t at, int64_t count) {
      check_cuda(
          cudaMemcpyAsync(static_cast<char*>(host) + at, static_cast<const char*>(source) + at,
                          static_cast<size_t>(count), cudaMemcpyDeviceToHost, queue),
          "copying from the device");
    });
  });
}

int64_t CudaBackend::key_value_page_bytes(const KeyValueSpec& spec) const {
  if (arithmetic_ != Arithmetic::kFp32) return cuda::tensor_page_bytes(spec);
  return cpu::KeyValueLayout(spec).page_size * size_of(DType::kF32);
}

std::string_view CudaBackend::packing_name() const { return cuda::packing_name(packing_form()); }

int64_t CudaBackend::packed_bytes(const WeightSpec& spec) const {
  return cuda::packed_bytes(spec, packing_form());
}

void CudaBackend::pack_weight(Stream& stream, const void* host_rows, int64_t first_row,
                              int64_t num_rows, const Weight& weight) {
  const Arguments check = arguments("pack_weight");
  check.require(first_row >= 0 && num_rows >= 0 && first_row + num_rows <= weight.spec.rows,
                "first_row + num_rows", "is outside the matrix");
  if (num_rows == 0) return;
  check.host_memory("host_rows", host_rows);
  const Weight target{weight.spec, check.address("weight", weight.data, packed_bytes(weight.spec))};
  queue_of(stream).submit([=, form = packing_form()](cuda::CudaQueue& queue, cudaStream_t) {
    cuda::pack_rows(queue, host_rows, first_row, num_rows, target, form);
  });
}

bool CudaBackend::find(const void* pointer, int64_t bytes) const {
  const char* const begin = static_cast<const char*>(pointer);
  const std::shared_lock lock(mutex_);
  auto block = blocks_.upper_bound(begin);
  if (block == blocks_.begin()) return false;
  --block;
  return begin + bytes <= block->first + block->second;
}

void* CudaBackend::resolve(const void* pointer, int64_t bytes) const {
  return find(pointer, bytes) ? const_cast<void*>(pointer) : nullptr;
}

std::unique_ptr<Backend> make_cuda_backend(const BackendOptions& options) {
  return std::make_unique<CudaBackend>(options);
}

}  // namespace switchyard
