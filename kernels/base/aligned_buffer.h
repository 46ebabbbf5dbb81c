// Host memory for numbers.
#pragma once

#include <cstdint>
#include <memory>

namespace switchyard {

/// Uninitialised host memory, aligned to 64 bytes (a cache line, an AVX-512 register). Blocks of
/// 2 MiB and more are aligned to 2 MiB and ask for huge pages: streaming weights through 4 KiB
/// pages would miss the TLB at every page of every stream. Move-only.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  /// Throws Error(kResource) if there is no memory; `bytes` may be 0.
  explicit AlignedBuffer(int64_t bytes);

  void* data() const { return data_.get(); }
  template <typename T>
  T* as() const {
    return static_cast<T*>(data_.get());
  }
  int64_t bytes() const { return bytes_; }

 private:
  struct Free {
    void operator()(void* data) const;
  };
  std::unique_ptr<void, Free> data_;
  int64_t bytes_ = 0;
};

}  // namespace switchyard
