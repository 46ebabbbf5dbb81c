// Matrices in the form the backend computes with.
#pragma once

#include <cstdint>

#include "kernels/tensor.h"

namespace switchyard {

/// What a matrix is, as the checkpoint describes it: `rows` x `cols` = [N, K] (out, in), row-major.
struct WeightSpec {
  DType dtype = DType::kF32;
  int64_t rows = 0;  // N
  int64_t cols = 0;  // K

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
