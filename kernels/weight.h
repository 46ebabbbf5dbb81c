// Matrices in the form the backend computes with.
#pragma once

#include <cstdint>

#include "kernels/tensor.h"

namespace switchyard {

/// How a matrix is kept in fewer bits: the inputs of each row stand in groups of `group` (the last
/// may be shorter), each with a scale and an offset of its own, and an element is its code times
/// the scale plus the offset. Rows do not depend on each other.
struct GroupQuantization {
  int bits = 0;       // of a code: 8, 4, 3 or 2; 0: the matrix is kept as its dtype says
  int64_t group = 0;  // inputs, a multiple of 8

  bool is_on() const { return bits != 0; }
  friend bool operator==(const GroupQuantization&, const GroupQuantization&) = default;
};

/// What a matrix is, as the checkpoint describes it: `rows` x `cols` = [N, K] (out, in), row-major.
struct WeightSpec {
  DType dtype = DType::kF32;  // of the elements that are given to pack_weight
  int64_t rows = 0;           // N
  int64_t cols = 0;           // K
  GroupQuantization quantization = {};

  int64_t source_bytes() const { return rows * cols * size_of(dtype); }
  friend bool operator==(const WeightSpec&, const WeightSpec&) = default;
};

/// A packed matrix. Opaque: the Backend packs it (Backend::pack_weight) and consumes it; nobody
/// else looks inside `data`. A view: whoever allocated Backend::packed_bytes(spec) owns it.
struct Weight {
  WeightSpec spec;
  void* data = nullptr;
};

/// One expert's feed-forward weights as a cache slot holds them. A null bias is absent.
struct ExpertWeights {
  Weight up;             // [F, D], with a gate [2 F, D]: see GluLayout
  TensorView up_bias;    // [rows of up] fp32
  Weight down;           // [D, F]
  TensorView down_bias;  // [D] fp32
};

}  // namespace switchyard
