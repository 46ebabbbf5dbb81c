#include "kernels/cpu/cpu_backend.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "kernels/base/aligned_buffer.h"
#include "kernels/cpu/attention.h"
#include "kernels/cpu/machine_limits.h"
#include "kernels/cpu/matmul_driver.h"
#include "kernels/cpu/pack_codes.h"
#include "kernels/cpu/packing.h"
#include "kernels/cpu/quantize.h"

namespace switchyard {
namespace {

HostQueue& queue_of(Stream& stream) { return static_cast<HostQueue&>(stream.queue()); }

DeviceBuffer host_block(int64_t bytes) {
  SWITCHYARD_CHECK(bytes >= 0, "allocation of ", bytes, " bytes");
  // A block of no bytes has an address too, so that its owner can be told from an empty one.
  auto block = std::make_shared<AlignedBuffer>(std::max<int64_t>(bytes, 64));
  void* data = block->data();
  return DeviceBuffer(data, bytes, [block = std::move(block)](void*) mutable { block.reset(); });
}

}  // namespace

CpuBackendBase::CpuBackendBase(InstructionSet instruction_set, int num_threads)
    : kernels_(cpu_kernels(instruction_set)), num_threads_(num_threads) {
  if (num_threads < 1) fail_usage("--threads is ", num_threads, "; expected at least 1");
}

std::vector<DeviceLimit> CpuBackendBase::measure_limits(const LimitSizes& sizes) {
  return measure_machine_limits(kernels_.instruction_set, num_threads_, sizes);
}

std::string CpuBackendBase::machine() const {
  return concat(name_of(kernels_.instruction_set), ", ", num_threads_,
                num_threads_ == 1 ? " thread" : " threads");
}

std::unique_ptr<OpContext> CpuBackendBase::make_context(StreamKind kind) const {
  return std::make_unique<OpContext>(kernels_, kind == StreamKind::kCompute ? num_threads_ : 1);
}

Event CpuBackendBase::record(Stream& stream) { return queue_of(stream).record(); }

void CpuBackendBase::wait(Stream& stream, const Event& event) { queue_of(stream).wait(event); }

void CpuBackendBase::run_on_host(Stream& stream, std::function<void()> task) {
  queue_of(stream).enqueue(std::move(task));
}

void CpuBackendBase::begin_recording(Stream& stream) { queue_of(stream).begin_recording(); }

Graph CpuBackendBase::end_recording(Stream& stream) {
  return Graph(queue_of(stream).end_recording());
}

void CpuBackendBase::launch(Stream& stream, const Graph& graph) {
  queue_of(stream).launch(static_cast<const HostGraph&>(*graph.state()));
}

HostBuffer CpuBackendBase::allocate_host(int64_t bytes) { return host_block(bytes); }

void CpuBackendBase::copy_in_task(void* to, const void* from, int64_t bytes) const {
  if (bytes > 0) std::memcpy(host_address(to), host_address(from), static_cast<size_t>(bytes));
}

void CpuBackendBase::copy_to_device(Stream& stream, const void* host, const TensorView& to) {
  const auto bytes = static_cast<size_t>(to.bytes());
  if (bytes == 0) return;
  const Arguments check = arguments("copy_to_device");
  void* target = check.address("to", to.data, to.bytes());
  check.host_memory("host", host);
  queue_of(stream).enqueue([=] { std::memcpy(target, host, bytes); });
}

void CpuBackendBase::copy_to_host(Stream& stream, const TensorView& from, void* host) {
  const auto bytes = static_cast<size_t>(from.bytes());
  if (bytes == 0) return;
  const Arguments check = arguments("copy_to_host");
  const void* source = check.address("from", from.data, from.bytes());
  check.host_memory("host", host);
  queue_of(stream).enqueue([=] { std::memcpy(host, source, bytes); });
}

int64_t CpuBackendBase::scratch_bytes(const WorkSizes&) const {
  return cpu::MatmulScratch::bytes(num_threads_);
}

int64_t CpuBackendBase::packed_bytes(const WeightSpec& spec) const {
  return cpu::packed_bytes(spec);
}

void CpuBackendBase::pack_weight(Stream& stream, const void* host_rows, int64_t first_row,
                                 int64_t num_rows, const Weight& weight) {
  const Arguments check = arguments("pack_weight");
  check.require(first_row >= 0 && num_rows >= 0 && first_row + num_rows <= weight.spec.rows,
                "first_row + num_rows", "is outside the matrix");
  if (num_rows == 0) return;
  check.host_memory("host_rows", host_rows);
  const Weight target{weight.spec, check.address("weight", weight.data, packed_bytes(weight.spec))};
  HostQueue& queue = queue_of(stream);
  if (!weight.spec.quantization.is_on()) {
    queue.enqueue([=] { cpu::pack_rows(host_rows, first_row, num_rows, target); });
    return;
  }
  OpContext& context = queue.context();
  if (weight.spec.quantization.is_given()) {
    queue.enqueue(
        [=, &context] { cpu::pack_codes(context.pool, host_rows, first_row, num_rows, target); });
    return;
  }
  queue.enqueue([=, &context] {
    cpu::quantize_rows(context.kernels, context.pool, host_rows, first_row, num_rows, target);
  });
}

int64_t CpuBackendBase::key_value_page_bytes(const KeyValueSpec& spec) const {
  return cpu::KeyValueLayout(spec).page_size * size_of(DType::kF32);
}

DeviceBuffer CpuBackend::allocate(int64_t bytes) { return host_block(bytes); }

Stream CpuBackend::make_stream(StreamKind kind) {
  if (kind == StreamKind::kCompute) {
    return Stream(std::make_unique<InlineQueue>(make_context(kind)));
  }
  return Stream(std::make_unique<ThreadQueue>(make_context(kind), ThreadQueue::BeforeTask()));
}

void* CpuBackend::resolve(const void* pointer, int64_t) const { return const_cast<void*>(pointer); }

}  // namespace switchyard
