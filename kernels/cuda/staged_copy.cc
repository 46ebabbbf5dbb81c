#include "kernels/cuda/staged_copy.h"

#include <algorithm>
#include <cstring>

#include "kernels/cuda/cuda_error.h"

namespace switchyard::cuda {
namespace {

// Long enough that a copy's start (10 us) is lost in it at 50 GB/s (160 us).
constexpr int64_t kPieceBytes = int64_t{8} << 20;

}  // namespace

bool is_pinned(const void* host) {
  cudaPointerAttributes attributes = {};
  if (cudaPointerGetAttributes(&attributes, host) != cudaSuccess) {
    cudaGetLastError();
    return false;
  }
  return attributes.type == cudaMemoryTypeHost;
}

StagedCopy::~StagedCopy() {
  for (const Piece& piece : pieces_) {
    if (piece.data != nullptr) cudaFreeHost(piece.data);
    if (piece.copied != nullptr) cudaEventDestroy(piece.copied);
  }
}

void StagedCopy::make_pieces() {
  for (Piece& piece : pieces_) {
    check_cuda(cudaHostAlloc(reinterpret_cast<void**>(&piece.data),
                             static_cast<size_t>(kPieceBytes), cudaHostAllocDefault),
               "allocating pinned memory");
    check_cuda(cudaEventCreateWithFlags(&piece.copied, cudaEventDisableTiming), "making an event");
  }
}

void StagedCopy::to_device(cudaStream_t stream, const void* host, void* device, int64_t bytes) {
  if (pieces_[0].data == nullptr) make_pieces();
  for (int64_t at = 0; at < bytes; at += kPieceBytes) {
    Piece& piece = pieces_[next_];
    next_ = 1 - next_;
    const auto count = static_cast<size_t>(std::min(kPieceBytes, bytes - at));
    check_cuda(cudaEventSynchronize(piece.copied), "waiting for a copy");
    std::memcpy(piece.data, static_cast<const char*>(host) + at, count);
    check_cuda(cudaMemcpyAsync(static_cast<char*>(device) + at, piece.data, count,
                               cudaMemcpyHostToDevice, stream),
               "copying to the device");
    check_cuda(cudaEventRecord(piece.copied, stream), "recording an event");
  }
}

}  // namespace switchyard::cuda
