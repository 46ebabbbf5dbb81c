// Views and owners of device memory.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <utility>

#include "kernels/base/dtype.h"
#include "kernels/base/error.h"

namespace switchyard {

/// Alignment of everything a Backend allocates and of what is cut from it: a cache line, and an
/// AVX-512 vector.
inline constexpr int64_t kMemoryAlignment = 64;

inline constexpr int64_t align_up(int64_t bytes) {
  return (bytes + kMemoryAlignment - 1) / kMemoryAlignment * kMemoryAlignment;
}

/// Up to four extents, outermost first; contiguous row-major throughout the project.
class Shape {
 public:
  static constexpr int kMaxRank = 4;

  Shape() = default;
  Shape(std::initializer_list<int64_t> extents) : rank_(static_cast<int>(extents.size())) {
    SWITCHYARD_CHECK(rank_ <= kMaxRank);
    int i = 0;
    for (const int64_t extent : extents) extents_[static_cast<size_t>(i++)] = extent;
  }

  int rank() const { return rank_; }
  int64_t operator[](int i) const { return extents_[static_cast<size_t>(i)]; }
  int64_t num_elements() const {
    int64_t product = 1;
    for (int i = 0; i < rank_; ++i) product *= extents_[static_cast<size_t>(i)];
    return product;
  }
  friend bool operator==(const Shape&, const Shape&) = default;

 private:
  std::array<int64_t, kMaxRank> extents_{};
  int rank_ = 0;
};

/// A typed, shaped window on memory of a Backend. Never owns; `data` must not be dereferenced by
/// host code: only the Backend's operations and its host tasks read and write it.
struct TensorView {
  void* data = nullptr;
  DType dtype = DType::kF32;
  Shape shape;

  int64_t bytes() const { return shape.num_elements() * size_of(dtype); }

  /// Rows [begin, begin + count) along the outermost extent; the others stay.
  TensorView rows(int64_t begin, int64_t count) const {
    SWITCHYARD_CHECK(shape.rank() >= 1 && begin >= 0 && count >= 0 && begin + count <= shape[0],
                     "rows [", begin, ", ", begin + count, ") of ", shape[0]);
    TensorView part = *this;
    const int64_t row_bytes = shape[0] == 0 ? 0 : bytes() / shape[0];
    part.data = static_cast<char*>(data) + begin * row_bytes;
    switch (shape.rank()) {
      case 1:
        part.shape = {count};
        break;
      case 2:
        part.shape = {count, shape[1]};
        break;
      case 3:
        part.shape = {count, shape[1], shape[2]};
        break;
      default:
        part.shape = {count, shape[1], shape[2], shape[3]};
        break;
    }
    return part;
  }
};

/// Owner of a block of device memory, made by Backend::allocate. Move-only; must not outlive its
/// Backend. Freeing waits for no stream: the owner must outlive the work that uses it.
class DeviceBuffer {
 public:
  using Deleter = std::function<void(void*)>;

  DeviceBuffer() = default;
  DeviceBuffer(void* data, int64_t bytes, Deleter deleter)
      : data_(data), bytes_(bytes), deleter_(std::move(deleter)) {}
  DeviceBuffer(DeviceBuffer&& other) noexcept { swap(other); }
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    DeviceBuffer(std::move(other)).swap(*this);
    return *this;
  }
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;
  ~DeviceBuffer() {
    if (data_ != nullptr) deleter_(data_);
  }

  void* data() const { return data_; }
  int64_t bytes() const { return bytes_; }

 private:
  void swap(DeviceBuffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(deleter_, other.deleter_);
  }

  void* data_ = nullptr;
  int64_t bytes_ = 0;
  Deleter deleter_;
};

/// Owner of a block of host memory, made by Backend::allocate_host; the same rules.
using HostBuffer = DeviceBuffer;

/// A tensor that owns its memory.
class Tensor {
 public:
  Tensor() = default;
  Tensor(DeviceBuffer buffer, DType dtype, Shape shape)
      : buffer_(std::move(buffer)), view_{buffer_.data(), dtype, shape} {}
  const TensorView& view() const { return view_; }

 private:
  DeviceBuffer buffer_;
  TensorView view_;
};

}  // namespace switchyard
