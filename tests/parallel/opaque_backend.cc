#include "tests/parallel/opaque_backend.h"

#include <cstring>
#include <memory>
#include <mutex>
#include <set>

namespace switchyard {
namespace {

/// The memories of all backends of this process.
struct Memories {
  std::mutex mutex;
  std::set<const StrictMemory*> all;
};

Memories& memories() {
  static Memories memories;
  return memories;
}

void* storage_of(const void* pointer) {
  const std::lock_guard lock(memories().mutex);
  for (const StrictMemory* memory : memories().all) {
    if (memory->contains(pointer)) return memory->storage(pointer);
  }
  return const_cast<void*>(pointer);
}

}  // namespace

OpaqueBackend::OpaqueBackend() : CpuBackendBase(InstructionSet::kAuto, 1) {
  const std::lock_guard lock(memories().mutex);
  memories().all.insert(&memory_);
}

OpaqueBackend::~OpaqueBackend() {
  const std::lock_guard lock(memories().mutex);
  memories().all.erase(&memory_);
}

DeviceBuffer OpaqueBackend::allocate(int64_t bytes) {
  return DeviceBuffer(memory_.allocate(bytes), bytes, [this](void* data) { memory_.free(data); });
}

Stream OpaqueBackend::make_stream(StreamKind kind) {
  return Stream(std::make_unique<ThreadQueue>(make_context(kind), ThreadQueue::BeforeTask()));
}

void* OpaqueBackend::host_address(const void* pointer) const {
  return memory_.contains(pointer) ? nullptr : const_cast<void*>(pointer);
}

void OpaqueBackend::copy_in_task(void* to, const void* from, int64_t bytes) const {
  ++num_copies_;
  std::memcpy(storage_of(to), storage_of(from), static_cast<size_t>(bytes));
}

void* OpaqueBackend::resolve(const void* pointer, int64_t bytes) const {
  return memory_.is_allocated(pointer, bytes) ? memory_.storage(pointer) : nullptr;
}

}  // namespace switchyard
