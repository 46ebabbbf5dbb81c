// Copies to a GPU from host memory that is not pinned.
#pragma once

#include <cuda_runtime.h>

#include <array>
#include <cstdint>

namespace switchyard::cuda {

/// Whether copies to and from this host memory run without the help of the host.
bool is_pinned(const void* host);

/// Copies through two pinned pieces in turns: while one travels, the host fills the other. For one
/// stream and one thread at a time.
class StagedCopy {
 public:
  StagedCopy() = default;
  ~StagedCopy();
  StagedCopy(const StagedCopy&) = delete;
  StagedCopy& operator=(const StagedCopy&) = delete;

  /// Enqueues the copy; returns when all of `host` has been read. Throws Error(kResource).
  void to_device(cudaStream_t stream, const void* host, void* device, int64_t bytes);

 private:
  struct Piece {
    char* data = nullptr;
    cudaEvent_t copied = nullptr;  // what it held last has left it
  };

  void make_pieces();

  std::array<Piece, 2> pieces_;
  size_t next_ = 0;
};

}  // namespace switchyard::cuda
