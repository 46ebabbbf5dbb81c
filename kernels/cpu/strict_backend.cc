#include "kernels/cpu/strict_backend.h"

#include <chrono>
#include <memory>
#include <thread>
#include <utility>

#include "kernels/base/mix_bits.h"

namespace switchyard {
int64_t strict_delay(uint64_t seed, uint64_t stream, uint64_t task) {
  const uint64_t random = mix_bits(mix_bits(mix_bits(seed) ^ stream) ^ task);
  if (random % 16 != 0) return 0;
  return static_cast<int64_t>(random / 16 % 200);
}

DeviceBuffer StrictBackend::allocate(int64_t bytes) {
  void* block = memory_.allocate(bytes);
  return DeviceBuffer(block, bytes, [this](void* data) { memory_.free(data); });
}

Stream StrictBackend::make_stream(StreamKind kind) {
  const uint64_t stream = num_streams_.fetch_add(1);
  const auto delay = [seed = seed_, stream](uint64_t task) {
    const int64_t micros = strict_delay(seed, stream, task);
    if (micros > 0) std::this_thread::sleep_for(std::chrono::microseconds(micros));
  };
  return Stream(std::make_unique<ThreadQueue>(make_context(kind), delay));
}

void* StrictBackend::host_address(const void* pointer) const {
  return memory_.contains(pointer) ? memory_.storage(pointer) : const_cast<void*>(pointer);
}

void* StrictBackend::resolve(const void* pointer, int64_t bytes) const {
  return memory_.is_allocated(pointer, bytes) ? memory_.storage(pointer) : nullptr;
}

}  // namespace switchyard
