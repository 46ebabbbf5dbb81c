// A backend whose device memory no host code can address, as a GPU's.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/strict_memory.h"

namespace switchyard {

/// The strict backend's memory without host addresses: transports have to copy by copy_in_task().
class OpaqueBackend final : public CpuBackendBase {
 public:
  OpaqueBackend();
  ~OpaqueBackend() override;

  std::string description() const override { return "opaque cpu"; }
  DeviceBuffer allocate(int64_t bytes) override;
  Stream make_stream(StreamKind kind) override;
  void* host_address(const void* pointer) const override;
  /// Also from and to the memory of other OpaqueBackends.
  void copy_in_task(void* to, const void* from, int64_t bytes) const override;

  /// Calls of copy_in_task so far.
  int64_t num_copies() const { return num_copies_; }

 private:
  void* resolve(const void* pointer, int64_t bytes) const override;
  bool is_device_only(const void* pointer) const override { return memory_.contains(pointer); }

  StrictMemory memory_;
  mutable std::atomic<int64_t> num_copies_{0};
};

}  // namespace switchyard
