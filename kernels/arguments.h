// Checks of what callers hand to the operations.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/column_addresses.h"
#include "kernels/ops.h"

namespace switchyard {

/// Where a backend on the host finds device memory.
class AddressResolver {
 public:
  virtual ~AddressResolver() = default;
  /// The address at which the backend's threads reach `bytes` bytes of device memory, or null if
  /// they are not all in one live block of it.
  virtual void* resolve(const void* pointer, int64_t bytes) const = 0;
  /// Whether the address belongs to device memory that host code must not touch.
  virtual bool is_device_only(const void* pointer) const = 0;
};

/// Checks the arguments of one call and turns views into addresses. What does not fit is an
/// internal error that names operation and argument.
class Arguments {
 public:
  Arguments(const char* op, const AddressResolver& resolver) : op_(op), resolver_(resolver) {}

  /// The elements of a view that must have this type and shape; null if it has no elements.
  template <typename T>
  T* tensor(const char* name, const TensorView& view, DType dtype, const Shape& shape) const {
    check_view(name, view, dtype, shape);
    return static_cast<T*>(address(name, view.data, view.bytes()));
  }
  float* f32(const char* name, const TensorView& view, const Shape& shape) const {
    return tensor<float>(name, view, DType::kF32, shape);
  }
  int32_t* i32(const char* name, const TensorView& view, const Shape& shape) const {
    return tensor<int32_t>(name, view, DType::kI32, shape);
  }
  /// As f32, but the view may be absent (null data): then null.
  float* optional_f32(const char* name, const TensorView& view, const Shape& shape) const {
    return view.data == nullptr ? nullptr : f32(name, view, shape);
  }
  /// A weight of rows x cols whose packed form takes `packed_bytes`, with its address on the host.
  Weight weight(const char* name, const Weight& weight, int64_t rows, int64_t cols,
                int64_t packed_bytes) const;

  /// Any device memory; null if bytes is 0.
  void* address(const char* name, const void* pointer, int64_t bytes) const;
  /// A buffer that host code made: neither null nor device memory.
  void host_memory(const char* name, const void* pointer) const;
  /// The shape must have this rank.
  void rank(const char* name, const TensorView& view, int expected) const;
  /// Fails with `detail` unless the condition holds.
  void require(bool holds, const char* name, const char* detail) const {
    if (!holds) fail(name, detail);
  }
  /// `num_columns` columns of each head of `num_rows` rows.
  ColumnAddresses columns(const char* name, const HeadColumns& columns, int64_t num_rows,
                          int64_t num_columns) const;
  /// Sizes of keys and values that can be.
  void key_values(const KeyValueSpec& spec) const;
  void disjoint(const char* name, const TensorView& a, const char* other,
                const TensorView& b) const;
  /// The same columns of one tensor, or tensors that do not overlap.
  void same_or_disjoint(const char* name, const HeadColumns& a, const char* other,
                        const HeadColumns& b) const;
  /// The rows lie in [0, num_rows) and the pages they use are listed and exist: those from their
  /// first position's on or, if `used` says so, from the first that their windows (0: all
  /// positions) show.
  enum class PagesUsed { kOfRows, kOfWindows };
  void sequences(const std::vector<SequenceRows>& sequences, int64_t num_rows,
                 const std::vector<int32_t>& page_table, int64_t num_pages, PagesUsed used,
                 int64_t window = 0) const;

  /// One offset more than groups, from 0 to num_rows, ascending.
  void group_offsets(const std::vector<int64_t>& offsets, int64_t num_groups,
                     int64_t num_rows) const;

  [[noreturn]] void fail(const char* name, const std::string& detail) const;

 private:
  void check_view(const char* name, const TensorView& view, DType dtype, const Shape& shape) const;

  const char* op_;
  const AddressResolver& resolver_;
};

}  // namespace switchyard
