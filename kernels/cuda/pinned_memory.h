// Host memory for many gigabytes of experts behind a GPU.
#pragma once

#include <algorithm>
#include <cstdint>

namespace switchyard::cuda {

/// Bytes that are pinned at a time: pinning touches every page, 1 GiB in some tenths of a second.
inline constexpr int64_t kPinStep = int64_t{1} << 30;

/// Calls body(offset, count) for the pieces of host memory that one copy each may take: the range
/// of a copy has to lie in memory that was pinned by one call, or in memory that was not pinned at
/// all (cuMemcpyAsync of the CUDA driver API), and steps meet at multiples of kPinStep.
template <typename Body>
void for_each_copy(const void* host, int64_t bytes, const Body& body) {
  const auto address = static_cast<int64_t>(reinterpret_cast<uintptr_t>(host));
  for (int64_t at = 0; at < bytes;) {
    const int64_t count = std::min(bytes - at, kPinStep - (address + at) % kPinStep);
    body(at, count);
    at += count;
  }
}

/// Host memory near the GPU, pinned as far as the system lets: copies from and to pinned memory run
/// at the link's full speed and beside everything else. What may not be pinned is ordinary memory,
/// which is told with the speed of both. Copies of more than a piece of it need for_each_copy().
/// Owner that stays where it is.
class PinnedMemory {
 public:
  /// Reserves `bytes` on the NUMA node (-1: anywhere) and pins them step by step, of the current
  /// device; each step of a large block is told. Throws Error(kResource) if there is no memory.
  PinnedMemory(int64_t bytes, int numa_node);
  ~PinnedMemory();
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;

  void* data() const { return data_; }
  int64_t bytes() const { return bytes_; }
  /// Of the beginning.
  int64_t pinned_bytes() const { return pinned_bytes_; }

 private:
  void pin();
  void tell_speeds() const;

  void* mapped_ = nullptr;
  int64_t mapped_bytes_ = 0;
  char* data_ = nullptr;
  int64_t bytes_ = 0;
  int64_t pinned_bytes_ = 0;
};

}  // namespace switchyard::cuda
