// The cpu's mathematics behind a device-like memory and schedule.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/strict_memory.h"

namespace switchyard {

/// Makes what would break on a device break on every machine. Each stream, the compute stream too,
/// runs on a thread of its own with seeded delays; memory dies under the host's hands and is
/// poisoned before its first use and after its last; copies read and write host memory only when
/// the stream comes to them; arguments must lie in live blocks of the device's memory.
class StrictBackend final : public CpuBackendBase {
 public:
  /// Throws as CpuBackendBase, and Error(kResource) without address space.
  StrictBackend(InstructionSet instruction_set, int num_threads, uint64_t seed)
      : CpuBackendBase(instruction_set, num_threads), seed_(seed) {}

  std::string description() const override { return "strict cpu (" + machine() + ")"; }
  DeviceBuffer allocate(int64_t bytes) override;
  Stream make_stream(StreamKind kind) override;
  void* host_address(const void* pointer) const override;

 private:
  void* resolve(const void* pointer, int64_t bytes) const override;
  bool is_device_only(const void* pointer) const override { return memory_.contains(pointer); }

  const uint64_t seed_;
  std::atomic<uint64_t> num_streams_{0};
  StrictMemory memory_;
};

/// Microseconds that task number `task` of stream number `stream` is delayed: 0 for 15 of 16
/// tasks, below 200 for the others. A pure function, so a schedule can be repeated.
int64_t strict_delay(uint64_t seed, uint64_t stream, uint64_t task);

}  // namespace switchyard
