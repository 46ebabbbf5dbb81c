// What the matrices of measured experts are made of.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/weight.h"

namespace switchyard {

/// A list of numbers on which matrices of one type are windows: element i of a matrix in row-major
/// order is number i from the window's begin.
class ExpertNumbers {
 public:
  /// For `windows` windows of `elements` elements in this type and, where `codes` are given, in
  /// these.
  ExpertNumbers(DType dtype, const GroupQuantization& codes, int64_t elements, int64_t windows);

  double element(int64_t window, int64_t i) const {
    return static_cast<double>(numbers_[static_cast<size_t>(window * step_ + i)]);
  }

  /// The rows of a matrix as pack_weight takes them, until the next call. Codes are `spec`'s own.
  const void* rows(const WeightSpec& spec, int64_t window);

 private:
  void make_codes(const GroupQuantization& codes, int64_t bytes);

  DType dtype_;
  int64_t step_ = 1;  // elements from one window to the next: codes of 4 bits are two a byte
  std::vector<float> numbers_;
  std::vector<char> stored_;  // as elements or codes
  std::vector<char> rows_;    // codes with their scales
};

}  // namespace switchyard
